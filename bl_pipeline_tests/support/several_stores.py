"""An installation with several stores: a BrickLink for each, and the settings that name them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.stores_file import CREDENTIAL_VARIABLES
from bl_pipeline_tests.conftest import NOW

KEYS = ("bricks_uk", "bricks_de", "bricks_us")


@dataclass(frozen=True)
class SeveralStores:
    """The stores by their keys, and the variables that are their settings: BL_STORES_FILE and the credentials."""

    servers: dict[str, SandboxServer]
    variables: dict[str, str]

    @property
    def requests(self) -> list[int]:
        """How many requests each store had."""
        return [len(server.requests) for server in self.servers.values()]


@contextmanager
def serve_stores(folder: Path, keys: Sequence[str] = KEYS, *, now: datetime = NOW) -> Iterator[SeveralStores]:
    """A BrickLink for each store, with 6, 7, 8 ... orders; the file of the stores is written into the folder."""
    with ExitStack() as stack:
        file = folder / "stores.toml"
        stores = SeveralStores({}, {"BL_STORES_FILE": str(file)})
        parts = []
        for number, key in enumerate(keys):
            store = Store.grow(orders=6 + number, seed=20 + number, now=now)
            # The pipeline's clock may be the test's, so its signatures are of any time.
            server = stack.enter_context(SandboxServer(store, timestamp_lifetime=10**9))
            stores.servers[key] = server
            variables = server.environment()
            for name in CREDENTIAL_VARIABLES:
                stores.variables[name.replace("BRICKLINK", key.upper())] = variables[name]
            parts.append(
                f'[{key}]\ncredentials = "{key.upper()}"\nbricklink_api_url = "{variables["BRICKLINK_API_URL"]}"\n'
            )
        file.write_text("\n".join(parts))
        yield stores

"""An installation with three stores in one warehouse: one is synced, one was refused since, one is not connected."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.settings import Settings, load_installation, load_stores
from bl_pipeline_tests.conftest import NOW, Clock, Sync

_FILE = """
[bricks_uk]
credentials = "BRICKS_UK"
timezone = "Europe/London"
bricklink_api_url = "{uk}"

[bricks_de]
credentials = "BRICKS_DE"
timezone = "Europe/Berlin"
bricklink_api_url = "{de}"

[bricks_us]
credentials = "BRICKS_US"
timezone = "America/New_York"
"""


@dataclass
class ThreeStores:
    """The settings, the clock, and what BrickLink has of the two stores that are connected."""

    clock: Clock
    uk_server: SandboxServer
    de_server: SandboxServer

    @property
    def installation(self) -> Settings:
        """The settings of all stores."""
        return load_installation()

    @property
    def all(self) -> list[Settings]:
        """The settings of each store."""
        return load_stores()


def _credentials(server: SandboxServer, prefix: str) -> dict[str, str]:
    names = server.credentials.environment()
    return {name.replace("BRICKLINK", prefix): value for name, value in names.items()}


@contextmanager
def three_stores(folder: Path, database_url: str, clock: Clock) -> Iterator[ThreeStores]:
    """The installation, in the environment of this process: two stores with orders in two currencies, and one without.

    The caller sees to it that nothing else of ours is in the environment.
    """
    grown = [Store.grow(orders=12, seed=seed, now=NOW, filed=3, purged=1, currencies=("EUR", "GBP")) for seed in (5, 6)]
    before = dict(os.environ)
    with (
        SandboxServer(grown[0], timestamp_lifetime=10**9) as uk,
        SandboxServer(grown[1], timestamp_lifetime=10**9) as de,
    ):
        file = folder / "stores.toml"
        file.write_text(_FILE.format(uk=uk.url, de=de.url))
        os.environ.update(
            {"BL_STORES_FILE": str(file), "BL_DATABASE_URL": database_url, "BL_REQUEST_TIMEOUT": "10"}
            | _credentials(uk, "BRICKS_UK")
            | _credentials(de, "BRICKS_DE")
        )
        try:
            stores = ThreeStores(clock, uk, de)
            for settings in stores.all[:2]:
                assert Sync(settings, clock)().success
            clock.advance(hours=1)
            os.environ["BRICKS_DE_TOKEN_SECRET"] = "another-one-than-at-bricklink"
            assert Sync(stores.all[1], clock)().exit_code == 5
            yield stores
        finally:
            os.environ.clear()
            os.environ.update(before)

"""A world for the demo: a made-up store at a sandbox BrickLink, and a database of its own, both gone at the end.

Nothing here reads or writes the seller's database, settings or credentials.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psycopg
from psycopg import sql

from bl_pipeline.home import open_folder
from bl_pipeline.postgres import embedded
from bl_pipeline.postgres.cluster import EmbeddedPostgresError
from bl_pipeline.settings import Settings, load_settings
from bl_pipeline.terminal.signals import ignore_signals, orderly_end
from bl_pipeline.terminal.variables import set_variables
from bl_pipeline.warehouse.database import WarehouseError

_PREFIX = "bl_demo_"
_START_TIMEOUT = 60.0
_KEPT = ("bl_home", "bl_postgres_bin")
# Every setting except those of the embedded Postgres, so that none of the seller's has an effect.
_OWN: dict[str, Any] = {
    **{name: field.get_default() for name, field in Settings.model_fields.items() if name not in _KEPT},
    "bricklink_api_url": "http://127.0.0.1:1",
    "bl_store": "demo",
}


class DemoError(Exception):
    """The demo cannot be started; the message says why."""


@dataclass(frozen=True)
class DemoWorld:
    """The settings of the demo, which are also in this process' environment, and the store's controls.

    `variables` is a file that gives them to a shell that sources it.
    """

    settings: Settings
    sandbox_url: str
    folder: Path
    variables: Path

    def move_on(self, *, new: int, changed: int) -> list[str]:
        """Let time pass in the store: `new` new orders, `changed` changed ones; returns a line for each."""
        request = Request(  # noqa: S310  (our own http:// address)
            f"{self.sandbox_url}/sandbox/live",
            data=json.dumps({"new": new, "changed": changed}).encode(),
            method="POST",
        )
        with urlopen(request, timeout=30) as answer:  # noqa: S310
            changes: list[str] = json.load(answer)["changes"]
        return changes


def how_to_call_bl() -> str:
    """What to type in this folder: in a checkout `bl` is on no PATH."""
    return ".venv/bin/bl" if Path(".venv/bin/bl").exists() else "bl"


@contextmanager
def demo_world(*, orders: int = 300, filed: int | None = None) -> Iterator[DemoWorld]:
    """Make the world, put its settings into the environment, and remove everything at the end.

    Raises SettingsError, WarehouseError or DemoError if it cannot be made. A signal to end becomes
    KeyboardInterrupt, so that everything is removed; after kill -9 the next demo removes what is left.
    """
    with ExitStack() as stack:
        stack.enter_context(orderly_end())
        base = load_settings(**_OWN)
        open_folder(base.bl_home / "postgres", base.bl_home)
        stack.callback(embedded.wait_until_stopped, base.bl_home)
        try:
            lease = stack.enter_context(embedded.acquire(base.bl_home, binaries=base.bl_postgres_bin))
        except EmbeddedPostgresError as error:
            raise WarehouseError(str(error)) from None
        database = stack.enter_context(_database(lease.url, base.bl_home / "demo"))
        folder = base.bl_home / "demo" / database
        folder.mkdir(parents=True)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        variables = stack.enter_context(_sandbox(orders, filed))
        settings = load_settings(
            **{
                **_OWN,
                **{name.lower(): value for name, value in variables.items()},
                "bl_database_url": lease.url.rpartition("/")[0] + f"/{database}",
            }
        )
        exported = {**settings.as_environment(), "DAGSTER_HOME": str(folder)}
        stack.enter_context(set_variables(exported))
        for_a_terminal = folder / "variables"
        for_a_terminal.touch(mode=0o600)
        for_a_terminal.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in exported.items()))
        # Dagster and our settings read a .env in the working directory.
        stack.enter_context(chdir(folder))
        # The first to be undone: a second Ctrl-C must not interrupt the removal.
        stack.callback(ignore_signals)
        yield DemoWorld(settings, variables["BRICKLINK_API_URL"].partition("/api/")[0], folder, for_a_terminal)


@contextmanager
def _database(admin_url: str, folders: Path) -> Iterator[str]:
    """A new database; those of demos that died are dropped: nobody is connected to them."""
    name = _PREFIX + secrets.token_hex(4)
    with psycopg.connect(admin_url, autocommit=True) as admin:
        # Before its first connection a new database looks like a dead demo's.
        admin.execute("SELECT pg_advisory_lock(hashtext('bl_pipeline.demo'))")
        dead = admin.execute(
            "SELECT datname FROM pg_database d WHERE starts_with(datname, %s) "
            "AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = d.datname)",
            [_PREFIX],
        ).fetchall()
        for (left,) in dead:
            _drop(admin, left)
            shutil.rmtree(folders / left, ignore_errors=True)
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        alive = psycopg.connect(admin_url.rpartition("/")[0] + f"/{name}", autocommit=True)
        admin.execute("SELECT pg_advisory_unlock(hashtext('bl_pipeline.demo'))")
        try:
            yield name
        finally:
            alive.close()
            _drop(admin, name)


def _drop(admin: psycopg.Connection[Any], name: str) -> None:
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _sandbox(orders: int, filed: int | None) -> Iterator[dict[str, str]]:
    """A sandbox in a process of its own, which ends with this one; the variables that a client needs."""
    with tempfile.TemporaryDirectory(prefix="bl-demo-") as scratch:
        ready = Path(scratch) / "ready"
        process = subprocess.Popen(  # noqa: S603  (the command is made of our own words)
            [
                *(sys.executable, "-m", "bl_pipeline.sandbox", "--orders", str(orders)),
                *(() if filed is None else ("--filed", str(filed))),
                *("--ready-file", str(ready), "--exit-with-parent", str(os.getpid())),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # Without the seller's credentials it makes its own.
            env={name: value for name, value in os.environ.items() if not name.startswith("BRICKLINK_")},
            start_new_session=True,  # Ctrl-C in the terminal is for us: the sandbox is stopped when all is done
        )
        try:
            until = time.monotonic() + _START_TIMEOUT
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > until:
                    raise DemoError("The sandbox BrickLink does not start; try it by itself: bl sandbox")
                time.sleep(0.02)
            lines = ready.read_text().splitlines()
            exports = [line.removeprefix("export ") for line in lines if line.startswith("export ")]
            yield dict(line.split("=", 1) for line in exports)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

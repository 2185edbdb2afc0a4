"""`bl` run in this process, on a sandbox BrickLink and a database of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest
from typer.testing import CliRunner, Result

from bl_pipeline.postgres import embedded
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.terminal.cli import app
from bl_pipeline_tests.conftest import NOW
from bl_pipeline_tests.support.servers import Postgres

NOWHERE = "postgresql://someone:hunter2@127.0.0.1:1/nothing"
FIELDS = [
    "success",
    "orders_processed",
    "orders_created",
    "orders_updated",
    "orders_skipped",
    "orders_deferred",
    "errors",
    "api_calls",
    "last_synced_at",
    "duration_seconds",
]
BL = [sys.executable, "-c", "from bl_pipeline.terminal.cli import main; main()"]

Bl = Callable[..., Result]


@pytest.fixture
def home() -> Iterator[Path]:
    """A BL_HOME with an embedded Postgres of its own."""
    # Not below pytest's own folders, which are closed to Postgres if root runs the tests.
    path = Path(tempfile.mkdtemp(prefix="bl-demo-test-"))
    yield path
    embedded.wait_until_stopped(path, 10)
    shutil.rmtree(path, ignore_errors=True)


def processes_of(home: Path) -> list[psutil.Process]:
    """What runs with this BL_HOME: its Postgres and its keeper, `bl` and Dagster, a sandbox."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if str(home) in " ".join(process.cmdline()) or process.environ().get("BL_HOME") == str(home):
                found.append(process)
    return found


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def grow_store() -> Store:
    """The store of the fixture."""
    return Store.grow(orders=12, seed=7, now=NOW, filed=4, purged=2)


@pytest.fixture
def store() -> Store:
    """A store small enough for a sync to be quick."""
    return grow_store()


@pytest.fixture(scope="session")
def templates(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Databases to copy that have Dagster's tables too: an empty one, and one in which the store was synced."""
    home = str(tmp_path_factory.mktemp("home"))

    def run(url: str, server: SandboxServer, *arguments: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**server.environment(), "BL_DATABASE_URL": url, "BL_HOME": home}.items():
                patch.setenv(name, value)
            expect(CliRunner().invoke(app, arguments), 0)

    def make_empty(url: str) -> None:
        with SandboxServer(Store.grow(orders=0)) as server:
            run(url, server, "sync")
        with psycopg.connect(url) as connection:
            connection.execute(
                "TRUNCATE sync.runs, sync.api_calls, dagster.runs, dagster.event_logs, dagster.asset_keys, "
                "dagster.asset_check_executions CASCADE"
            )

    def make_synced(url: str) -> None:
        with SandboxServer(grow_store(), timestamp_lifetime=10**9) as server:
            run(url, server, "sync")

    postgres.make_template("bl_empty", "template1", make_empty)
    postgres.make_template("bl_synced", "bl_empty", make_synced)
    return "bl_empty", "bl_synced"


@pytest.fixture
def database_url(request: pytest.FixtureRequest, postgres: Postgres, templates: tuple[str, str]) -> Iterator[str]:
    """A database of the test's own: empty, or if the test asks for `synced_bl`, filled."""
    empty, synced = templates
    with postgres.database(synced if "synced_bl" in request.fixturenames else empty) as url:
        yield url


@pytest.fixture
def credentials(server: SandboxServer) -> dict[str, str]:
    """The variables that lead to the sandbox."""
    return server.environment()


@pytest.fixture
def bl(isolated: pytest.MonkeyPatch, credentials: dict[str, str], database_url: str, tmp_path: Path) -> Bl:
    """Run `bl` in this process on the sandbox and a database of the test's own, except the variables given."""
    variables = {**credentials, "BL_DATABASE_URL": database_url, "BL_HOME": str(tmp_path / "home"), "COLUMNS": "100"}
    for name, value in variables.items():
        isolated.setenv(name, value)

    def run(*arguments: str, **changed: str) -> Result:
        return CliRunner().invoke(app, arguments, env=changed, prog_name="bl")

    return run


@pytest.fixture
def synced_bl(bl: Bl) -> Bl:
    """The same, after the store has been synced."""
    return bl


def expect(result: Result, code: int) -> Result:
    """The result, which must have this exit code and show no traceback."""
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    assert "Traceback" not in result.stdout + result.stderr
    return result


def json_of(result: Result) -> Any:
    """The JSON that is all of standard output."""
    return json.loads(result.stdout)


def only_message(result: Result) -> str:
    """The message of a run that did not come to its end, from a whole SyncResult."""
    values = json_of(result)
    assert list(values) == FIELDS
    assert values["success"] is False
    (error,) = values["errors"]
    assert error["order_id"] is None
    assert error["error"].splitlines()[0] in result.stderr
    return str(error["error"])


def only_message_of_run(result: Result) -> str:
    """The message of a run that was cut short; orders may have failed before."""
    values = json_of(result)
    assert list(values) == FIELDS
    (error,) = [error for error in values["errors"] if error["order_id"] is None]
    return str(error["error"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of a backup."""
    return tmp_path / "backup.zip"


@pytest.fixture
def other_url(postgres: Postgres) -> Iterator[str]:
    """A database of somebody who begins with a backup."""
    with postgres.database() as url:
        yield url

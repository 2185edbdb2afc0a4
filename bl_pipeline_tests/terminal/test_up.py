"""`bl up`: what it says, what listens, and what is left of it, however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest
from dagster._daemon.types import DaemonHeartbeat
from sqlalchemy.engine import make_url

from bl_pipeline.defs.instance import open_instance
from bl_pipeline.defs.storage import close_connections
from bl_pipeline.sandbox import SandboxServer
from bl_pipeline.settings import load_settings
from bl_pipeline.terminal import up as up_command
from bl_pipeline.terminal import watcher
from bl_pipeline_tests.support.clusters import cluster, postmaster
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.terminal.conftest import BL, free_port, processes_of

pytestmark = pytest.mark.slow

PATIENCE = 200.0
LAUNCH = (
    'mutation {launchRun(executionParams: {selector: {repositoryLocationName: "bl_pipeline", '
    'repositoryName: "__repository__", jobName: "sync_orders"}, runConfigData: {}}) {__typename}}'
)


def wait_for(what: str, happened: Callable[[], Any]) -> Any:
    """What `happened` returns once that is something."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := happened():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen")


@pytest.fixture
def seller(isolated: pytest.MonkeyPatch, server: SandboxServer, home: Path) -> Path:
    """The home of a seller with an embedded Postgres, whose store is a sandbox."""
    for name, value in {**server.environment(), "BL_HOME": str(home)}.items():
        isolated.setenv(name, value)
    return home


@pytest.fixture
def up(seller: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`bl up` of the seller, once it serves, and its port; it writes into tmp_path/"log"."""
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*BL, "up", "--port", str(port), "--desk-port", str(free_port())], stdout=log, stderr=log
        )
    try:
        wait_for("bl up", lambda: b"Ctrl-C" in (tmp_path / "log").read_bytes() or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield process, port
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
            wait_for("The end of all", lambda: processes_of(seller) == [])
        finally:
            sys.stdout.write((tmp_path / "log").read_text())  # pytest shows it if the test fails


def ask(port: int, query: str) -> Any:
    """The answer to a GraphQL query."""
    body = json.dumps({"query": query}).encode()
    request = Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)["data"]


def status() -> dict[str, Any]:
    """What `bl status` says."""
    done = subprocess.run([*BL, "status", "--json"], capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_schedules_run_when_the_daemon_has_said_so(isolated: pytest.MonkeyPatch, postgres: Postgres) -> None:
    """Planted: what the daemon of an earlier `bl up` said; an error while Postgres starts anew."""
    with postgres.database() as url:
        isolated.setenv("BL_DATABASE_URL", url)
        with open_instance(load_settings()) as instance:
            began = datetime.now(UTC)

            def beat(**ago: float) -> None:
                at = (began - timedelta(**ago)).timestamp()
                instance.add_daemon_heartbeat(DaemonHeartbeat(at, "SCHEDULER", str(uuid4()), []))

            assert not up_command._schedules_run(instance, began)
            beat(seconds=1)
            assert not up_command._schedules_run(instance, began)
            beat()
            assert up_command._schedules_run(instance, began)
            with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
                admin.execute(f"ALTER DATABASE {make_url(url).database} ALLOW_CONNECTIONS false")
            close_connections()
            assert not up_command._schedules_run(instance, began)


@pytest.mark.timeout(600)
def test_up_killed_in_the_middle_of_a_sync(
    up: tuple[subprocess.Popen[bytes], int], seller: Path, server: SandboxServer, tmp_path: Path
) -> None:
    """kill -9 leaves neither a process nor a port nor a folder, and the next sync goes on with what was under way.

    A second `bl up` beside it is refused, on whatever port. Planted: without the lock it served too.
    Before that its Postgres is killed, and it uses the one that comes after.
    """
    process, port = up
    dead = postmaster(seller)
    os.kill(dead, signal.SIGKILL)
    wait_for("A new Postgres", lambda: (cluster(seller).postmaster() or (dead,))[0] != dead)
    wait_for("An answer from it", lambda: (ask(port, "{runsOrError {__typename}}") or {}).get("runsOrError"))
    assert _listening(seller) == {("127.0.0.1", "python"), ("127.0.0.1", "postgres")}
    second = subprocess.run(
        [*BL, "up", "--port", str(port), "--desk-port", str(free_port())], capture_output=True, text=True, check=False
    )
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == (
        f"Error: Port {port} is in use by another bl up, process {process.pid}.\n"
        f"End it with: kill {process.pid}. Or choose another port: bl up --port {port + 1}\n"
    )
    second = subprocess.run(
        [*BL, "up", "--port", str(free_port()), "--desk-port", str(free_port())],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == (
        f"Error: Another bl up serves this BL_HOME at http://127.0.0.1:{port}, process {process.pid}. "
        f"Nothing was started.\nUse that one, or end it with: kill {process.pid}. "
        "One bl up serves several stores: BL_STORES_FILE names them.\n"
    )
    server.latency = 60.0
    assert ask(port, LAUNCH)["launchRun"]["__typename"] == "LaunchRunSuccess"
    wait_for("The sync", lambda: server.requests)
    folders = _folders_of(process.pid)
    assert [path.exists() for path in folders] == [True]

    process.kill()
    process.wait()
    wait_for("The end of all that it started", lambda: processes_of(seller) == [])
    wait_for("The end of its folder", lambda: not folders[0].exists())
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    log = (tmp_path / "log").read_text()
    assert log.startswith("The orders desk and the Dagster UI are starting ...\nThe orders desk is at http://"), log
    # Of a code server; the daemon may have been noting its own when Postgres was killed.
    assert "No heartbeat" not in log
    assert "\x1b" not in log
    # The run was ended as Ctrl-C would have ended it.
    assert status()["last_run"]["status"] == "canceled"
    server.latency = 0.0
    synced = subprocess.run([*BL, "sync", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(synced.stdout)["orders_processed"] == len(server.store.sales)


def _listening(home: Path) -> set[tuple[str, str]]:
    """The address and the program of each TCP socket that listens; no socket of the code servers is among them."""
    found = set()
    for process in processes_of(home):
        with suppress(psutil.Error):
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    found.add((connection.laddr.ip, re.sub(r"[\d.]+$", "", process.name())))
    return found


def _folders_of(pid: int) -> list[Path]:
    (command,) = [child.cmdline() for child in psutil.Process(pid).children() if watcher.__file__ in child.cmdline()]
    return [Path(command[-1])]


def test_a_port_in_use_is_named_with_what_uses_it(seller: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        # Caught: the advice for a demo would have started the real store.
        for up in ("bl up", "bl up --demo"):
            done = subprocess.run(
                [*BL, *up.split()[1:], "--port", str(port), "--desk-port", str(free_port())],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 1
            first, second = done.stderr.splitlines()
            assert re.fullmatch(rf"Error: Port {port} is in use by process {os.getpid()} \(.+\)\.", first)
            assert second == f"End it with: kill {os.getpid()}. Or choose another port: {up} --port {port + 1}"


def test_the_watcher_kills_what_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "STOP_TIMEOUT", 0.5)
    stubborn = subprocess.Popen(
        ["sh", "-c", "trap '' TERM; touch there; while :; do sleep 0.1; done"], cwd=tmp_path, start_new_session=True
    )
    wait_for("The start", (tmp_path / "there").exists)
    watcher.end_groups([stubborn.pid], stubborn.poll)
    assert stubborn.poll() == -signal.SIGKILL

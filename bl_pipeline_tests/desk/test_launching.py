"""The processes of the runs that the desk starts: canceled once, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
from sqlalchemy import text

from bl_pipeline.desk.launching import Ended, Launches
from bl_pipeline.sandbox import SandboxServer
from bl_pipeline.settings import Settings
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lock import is_syncing
from bl_pipeline_tests.conftest import MakeSettings
from bl_pipeline_tests.support.waiting import wait_until
from bl_pipeline_tests.terminal.conftest import free_port

pytestmark = pytest.mark.slow

SLOW = 240.0
"""Seconds an answer of BrickLink takes; nothing here may wait for one."""


@pytest.fixture
def settings(make_settings: MakeSettings, server: SandboxServer) -> Settings:
    """Settings with more patience than any test, at a BrickLink that answers the list and nothing more."""

    def slow_after_the_list(_request: object) -> None:
        if len(server.requests) > 2:
            server.latency = SLOW

    server.on_request = slow_after_the_list
    return make_settings(bl_request_timeout=SLOW)


def statuses(warehouse: Warehouse) -> list[str]:
    with warehouse.engine.connect() as connection:
        return list(connection.scalars(text("SELECT status FROM sync.runs")))


def is_free(warehouse: Warehouse) -> bool:
    with warehouse.engine.connect() as connection:
        return not is_syncing(connection, "main")


def test_however_often_a_run_is_canceled_it_is_interrupted_once(
    settings: Settings, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Planted: a signal each time, so that the second one interrupts what the first has begun."""
    launches = Launches(settings)
    run_id = launches.start("sync_orders", {})
    wait_until(lambda: len(server.requests) > 2)
    for _ in range(3):
        launches.interrupt(run_id)
    launches.close()
    ended = launches.ended(run_id)
    assert isinstance(ended, Ended)
    assert (ended.exit_code, str(ended.message).startswith("Canceled")) == (1, True), ended
    assert statuses(warehouse) == ["canceled"]
    assert is_free(warehouse)


def test_runs_that_nobody_looks_at_leave_nothing_open(make_settings: MakeSettings) -> None:
    """A program may start runs every half hour, and never ask how they ended. Planted: their pipes stay open."""
    wrong = make_settings(bl_database_url="postgresql://nobody@127.0.0.1:1/none")
    launches, own = Launches(wrong), psutil.Process()
    before = own.num_fds()
    started = [launches.start("sync_orders", {}) for _ in range(2)]
    assert own.num_fds() > before
    wait_until(lambda: not launches.running())
    assert own.num_fds() == before
    messages = [ended.message or "" for run_id in started if (ended := launches.ended(run_id))]
    assert ["cannot be reached" in message for message in messages] == [True, True]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
def test_a_run_ends_with_its_desk(
    signum: signal.Signals, settings: Settings, server: SandboxServer, warehouse: Warehouse, tmp_path: Path
) -> None:
    """Ctrl-C is for the whole group of the terminal, kill -9 for the desk alone.

    Planted: the run in the group of the desk, which gets two signals then; a run that goes on without its desk.
    """
    port = free_port()
    command = "from bl_pipeline.terminal.cli import main; main()"
    environment = {**os.environ, **settings.as_environment(), "DAGSTER_HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", command, "desk", "--port", str(port)], env=environment, cwd=tmp_path,
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as desk:  # fmt: skip
        try:
            assert desk.stdout is not None
            # To the last line: what is read with a line and not taken is lost to communicate().
            lines = list(takewhile(lambda line: line != "Ctrl-C stops it.\n", desk.stdout))
            assert str(port) in lines[0]
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=20)) as client:
                assert client.post("/sync").status_code == 303
            wait_until(lambda: len(server.requests) > 2)
            [run] = psutil.Process(desk.pid).children()
            os.killpg(desk.pid, signum) if signum == signal.SIGINT else desk.send_signal(signum)
            out, err = desk.communicate()
        finally:
            desk.kill()
    assert (desk.returncode, out, err) == ((0, "Stopped.\n", "") if signum == signal.SIGINT else (-9, "", ""))
    wait_until(lambda: not run.is_running())
    assert statuses(warehouse) == ["canceled"]
    assert is_free(warehouse)

"""Ctrl-C, Terminate and kill -9 while BrickLink is slow: over at once, noted, the lock free, and nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from psycopg import ProgrammingError
from sqlalchemy import text

from bl_pipeline.bricklink import RetryPolicy
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.settings import Settings
from bl_pipeline.sync.session import NoProgress
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline.warehouse.lock import SyncLock, is_syncing
from bl_pipeline_tests.conftest import NOW, Clock, MakeSettings, sandbox_settings
from bl_pipeline_tests.support.processes import Task, contents, event, run_job, run_steps, start
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.support.sessions import lose_locks, session_at
from bl_pipeline_tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SLOW = 240.0
"""Seconds an answer takes; nothing here may wait for one."""
AT_ONCE = 120.0
"""Seconds: on a quiet machine it is a fraction of one, but far less than an answer takes on any machine."""


@pytest.fixture
def store() -> Store:
    return Store.grow(orders=12, seed=13, now=NOW, filed=3, purged=1)


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    """Settings with more patience than any test."""
    return make_settings(bl_request_timeout=SLOW)


def _job(task: Task, first_wait: float = 1.0, waits: Event | None = None) -> None:
    """A run as Dagster launches it; `waits` is set when it waits for the lock."""
    from dagster._core.errors import DagsterExecutionInterruptedError
    from dagster._utils.interrupts import setup_interrupt_handlers

    # As the process of a run does it that Dagster has launched: SIGTERM is Terminate in the UI.
    setup_interrupt_handlers()
    try:
        with session_at(task.settings, task.clock) as session:
            # The waits of production, so that one is interrupted too.
            session.sleep = None
            session.retry = RetryPolicy(first_wait=first_wait, longest_wait=SLOW)
            if waits is not None:
                session.lock.acquire = partial(_acquire, session.lock.acquire, waits)  # type: ignore[method-assign]
            ended = run_job(session)
        sys.exit(0 if ended == "SUCCESS" else 7)
    except (KeyboardInterrupt, DagsterExecutionInterruptedError):
        sys.exit(7)


def _acquire(
    acquire: Callable[..., None], waits: Event, *, waiting: Callable[[], None], sleep: Callable[[float], None]
) -> None:
    def sleeping(seconds: float) -> None:
        waits.set()
        sleep(seconds)

    acquire(waiting=waiting, sleep=sleeping)


def statuses(warehouse: Warehouse) -> list[str]:
    with warehouse.engine.connect() as connection:
        return list(connection.scalars(text("SELECT status FROM sync.runs ORDER BY started_at, run_id")))


def syncing(warehouse: Warehouse) -> bool:
    with warehouse.engine.connect() as connection:
        return is_syncing(connection, "main")


@pytest.fixture
def undisturbed(postgres: Postgres, store: Store) -> Iterator[dict[str, object]]:
    """The tables of a sync that nothing disturbed."""
    with postgres.database("bl_pipeline_template") as url, SandboxServer(store, timestamp_lifetime=10**9) as server:
        settings = sandbox_settings(server, url)
        assert Task(settings, NOW).run().success
        with open_warehouse(settings) as warehouse:
            yield dict(contents(warehouse))


def slow_from(server: SandboxServer, call: int) -> None:
    """From its n-th call on BrickLink takes its time."""

    def note(_request: object) -> None:
        if len(server.requests) >= call:
            server.latency = SLOW

    server.on_request = note


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
@pytest.mark.parametrize("call", [1, 9], ids=["list", "orders"])
def test_canceled_while_bricklink_is_slow(
    signum: signal.Signals, call: int, settings: Settings, server: SandboxServer, warehouse: Warehouse,
    undisturbed: dict[str, object],
) -> None:  # fmt: skip
    """Planted: the pool shut down by waiting for it; the lock given back after that; the end not noted; threads that
    outlive the run and keep its process.
    """
    slow_from(server, call)
    process = start(_job, Task(settings, NOW))
    wait_until(lambda: len(server.requests) >= (call if call == 1 else call + 2))
    assert statuses(warehouse) == ["started"]
    assert syncing(warehouse)

    assert process.pid is not None
    os.kill(process.pid, signum)
    process.join(AT_ONCE)
    assert process.exitcode == 7
    assert statuses(warehouse) == ["canceled"]
    assert not syncing(warehouse)

    asked = len(server.requests)
    server.on_request, server.latency = None, 0.0
    assert Task(settings, NOW).run().success
    assert contents(warehouse) == undisturbed
    assert sorted(statuses(warehouse)) == ["canceled", "succeeded"]
    # What was under way is asked for again, and no more: two lists, and at most an answer a thread.
    assert len(server.requests) - asked <= 2 + 24 - (asked - 2 - settings.bl_max_parallel_requests)


def test_canceled_in_a_wait_between_two_attempts(
    settings: Settings, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Planted: waits that sleep on, in threads that keep their process."""
    server.faults.on("/orders/", "html503")
    process = start(_job, Task(settings, NOW), SLOW)
    wait_until(lambda: len(server.requests) >= 2 + settings.bl_max_parallel_requests)

    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.join(AT_ONCE)

    assert process.exitcode == 7
    assert statuses(warehouse) == ["canceled"]


def test_ctrl_c_in_the_terminal(
    settings: Settings, server: SandboxServer, warehouse: Warehouse, tmp_path: Path
) -> None:
    """`bl sync --json` itself. Planted: as above, and a report that is not there."""
    slow_from(server, 9)
    environment = {**os.environ, **settings.as_environment(), "DAGSTER_HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", "from bl_pipeline.terminal.cli import main; main()", "sync", "--json"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    ) as process:  # fmt: skip
        try:
            wait_until(lambda: len(server.requests) >= 11 or process.poll() is not None)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=AT_ONCE)
        finally:
            process.kill()

    assert process.returncode == 1
    assert json.loads(out)["success"] is False
    assert "Canceled" in err
    assert "Traceback" not in err
    assert statuses(warehouse) == ["canceled"]
    assert not syncing(warehouse)


class _InterruptedBadly(NoProgress):
    """Ctrl-C in the middle of what cannot be left there: whoever clears up raises an error of its own."""

    def fetched(self, order_id: str) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("release unlocked lock")


def test_ctrl_c_behind_an_error_of_a_library(settings: Settings, server: SandboxServer, warehouse: Warehouse) -> None:
    """As `Condition.wait` of Python does, rarely. Planted: taken for an error of our own, which waits for the calls
    that are under way.
    """
    slow_from(server, 9)
    began = time.monotonic()
    with (
        session_at(settings, Clock(NOW), progress=_InterruptedBadly()) as session,
        pytest.raises(KeyboardInterrupt),
    ):
        run_steps(session)
    assert time.monotonic() - began < AT_ONCE
    assert statuses(warehouse) == ["canceled"]


def _hold_the_lock(task: Task) -> None:
    with session_at(task.settings, task.clock) as session:
        session.begin("holder", job="sync_orders")
        time.sleep(SLOW)


def test_the_lock_dies_with_its_holder(settings: Settings, warehouse: Warehouse, server: SandboxServer) -> None:
    """While it is taken, a second one is refused or waits; kill -9 of its process frees it.

    Planted: a lock that is a row in a table; a waiting run that goes on without the lock.
    """
    holder = start(_hold_the_lock, Task(settings, NOW))
    wait_until(lambda: syncing(warehouse))
    assert not SyncLock(warehouse).try_acquire()
    waits = event()
    waiting = start(_job, Task(settings, NOW), 1.0, waits)
    assert waits.wait(AT_ONCE)
    assert waiting.is_alive()
    assert server.requests == [], "it did not wait for the lock"
    assert statuses(warehouse) == ["started"]

    holder.kill()
    holder.join()

    waiting.join(AT_ONCE)
    assert waiting.exitcode == 0
    with warehouse.engine.connect() as connection:
        ended = connection.execute(text("SELECT run_id = 'holder' AS dead, status FROM sync.runs")).all()
    assert {(row.dead, row.status) for row in ended} == {(True, "failed"), (False, "succeeded")}
    assert not syncing(warehouse)


def test_a_waiting_run_can_be_canceled(settings: Settings, warehouse: Warehouse, server: SandboxServer) -> None:
    """Planted: a wait for the lock that no signal ends."""
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    waits = event()
    waiting = start(_job, Task(settings, NOW), 1.0, waits)
    assert waits.wait(AT_ONCE)

    assert waiting.pid is not None
    os.kill(waiting.pid, signal.SIGINT)
    waiting.join(AT_ONCE)

    assert waiting.exitcode == 7
    assert server.requests == []
    assert lock.taken
    lock.release()


def test_another_store_does_not_wait(settings: Settings, warehouse: Warehouse) -> None:
    """Planted: one lock for all stores."""
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    with open_warehouse(settings.model_copy(update={"bl_store": "other"})) as other:
        second = SyncLock(other)
        assert second.try_acquire()
        second.release()
    lock.release()
    lock.release()
    assert not lock.taken


def test_a_run_that_loses_its_lock_loads_nothing_more(
    make_settings: MakeSettings, server: SandboxServer, warehouse: Warehouse, clock: Clock
) -> None:
    """Its connection is gone, so another sync may be running. Planted: the lock not looked at before a load."""
    settings = make_settings(bl_max_parallel_requests=1)

    def cut(_request: object) -> None:
        if len(server.requests) == 12:
            lose_locks(warehouse)

    server.on_request = cut
    with pytest.raises(Exception, match="lock"), session_at(settings, clock) as session:
        run_steps(session)

    with warehouse.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM sales.orders")) == 0
    assert statuses(warehouse) == ["failed"]
    server.on_request = None
    server.clear_requests()
    assert replace(Task(settings, NOW)).run().success
    # All that had landed is loaded without a call.
    assert len(server.requests) == 2


def test_a_host_that_vanishes_does_not_keep_the_lock(warehouse: Warehouse) -> None:
    """No packet informs Postgres that a machine has lost its power: it has to ask, and not only after two hours.

    Planted: the server's own settings, which are the kernel's: 7200 seconds.
    """
    with warehouse.engine.connect() as connection:
        idle, interval, count = (
            int(str(connection.scalar(text(f"SELECT current_setting('tcp_keepalives_{name}')"))))
            for name in ("idle", "interval", "count")
        )
    assert idle + interval * count <= 120


def test_canceled_while_a_connection_is_tested(settings: Settings, warehouse: Warehouse, clock: Clock) -> None:
    """The library that is to take the connection back fails at it, and its error is all that comes out.

    Caught: such a run was noted as failed, and its user saw a connection in transaction status ACTIVE.
    """
    with session_at(settings, clock) as session:
        session.begin("canceled", job="sync_orders")
        engine = session.warehouse.engine

        def interrupted_ping(_connection: object) -> bool:
            del engine.dialect.do_ping  # Ctrl-C comes once
            try:
                raise KeyboardInterrupt
            finally:
                raise ProgrammingError("can't change 'autocommit' now: connection in transaction status ACTIVE")

        engine.dialect.do_ping = interrupted_ping  # type: ignore[assignment, method-assign]
        with pytest.raises(KeyboardInterrupt), session.step():
            session.usage()
    assert statuses(warehouse) == ["canceled"]

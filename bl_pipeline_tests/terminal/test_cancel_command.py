"""`bl cancel`: it stops a sync in whatever process, and withdraws what would go on after it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import psycopg
import pytest
from sqlalchemy import event

from bl_pipeline.dagster_names import Names
from bl_pipeline.definitions import defs
from bl_pipeline.defs.instance import open_instance
from bl_pipeline.defs.store_state import newest_event
from bl_pipeline.records import RunStatus, SyncRequest
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.settings import Settings, load_settings
from bl_pipeline.sync import canceling
from bl_pipeline.sync.canceling import cancel_store
from bl_pipeline.sync.interruptions import Interrupted
from bl_pipeline.sync.planning import forecast_sync
from bl_pipeline.sync.session import open_session
from bl_pipeline.warehouse import runs
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lease import LeaseStatus, lease_status
from bl_pipeline.warehouse.lock import SyncLock, is_syncing
from bl_pipeline_tests.support.waiting import wait_until
from bl_pipeline_tests.terminal.conftest import BL, Bl, expect, json_of

pytestmark = pytest.mark.slow

SLOW = 60.0
"""Seconds an answer takes; nothing here waits for one."""
NOTHING = {"run_id": None, "ended": False, "full_syncs_withdrawn": 0}


def slow_from(server: SandboxServer, calls: int) -> None:
    def note(_request: object) -> None:
        if len(server.requests) >= calls:
            server.latency = SLOW

    server.on_request = note


def statuses(table: str) -> list[Any]:
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        return [status for (status,) in connection.execute(f"SELECT status FROM {table} ORDER BY 1")]


def test_a_full_sync_of_another_terminal_is_canceled(bl: Bl, server: SandboxServer, store: Store) -> None:
    """Planted: a run that looks for the request only between its steps; a full sync that is not withdrawn."""
    slow_from(server, 8)
    with subprocess.Popen(
        [*BL, "sync", "--full"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            wait_until(lambda: len(server.requests) >= 8 or process.poll() is not None)
            assert json_of(bl("status", "--json"))["indicator"] == "syncing"
            began = time.monotonic()
            done = json_of(expect(bl("cancel", "--json"), 0))
            assert (done["ended"], done["full_syncs_withdrawn"]) == (True, 1)
            _, err = process.communicate(timeout=SLOW)
            assert time.monotonic() - began < SLOW, "it waited for an answer"
        finally:
            process.kill()
    assert process.returncode == 1
    assert "Error: Canceled by bl cancel. What was stored is kept" in err
    assert statuses("sync.runs") == ["canceled"]
    assert statuses("dagster.runs") == ["CANCELED"]
    asked = len(server.requests)
    with open_instance(load_settings()) as instance:
        event = newest_event(instance, Names())
    assert event is not None
    assert (event["success"], event["indicator"]) == (False, "stale")
    assert "The last run was canceled" in event["reason"]

    assert json_of(expect(bl("cancel", "--json"), 0)) == NOTHING
    assert expect(bl("cancel"), 0).stdout == "Nothing to cancel: no sync is running, and no full sync is open.\n"
    assert len(server.requests) == asked
    server.on_request, server.latency = None, 0.0
    assert json_of(expect(bl("sync", "--json"), 0))["orders_processed"] == 12


def test_a_write_is_canceled_and_no_later_run_goes_on_with_it(bl: Bl, server: SandboxServer, store: Store) -> None:
    """Caught: "the next sync goes on from there", as of a sync."""
    order_id = store.place_order()
    server.on_request = lambda request: setattr(server, "latency", SLOW if request.method != "GET" else 0.0)
    with subprocess.Popen(
        [*BL, "update", str(order_id), "--status", "PACKED", "--filed"], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            wait_until(lambda: server.latency == SLOW or process.poll() is not None)
            done = expect(bl("cancel"), 0).stdout
            _, err = process.communicate(timeout=SLOW)
        finally:
            process.kill()
    assert process.returncode == 1
    assert "Canceled: update_order" in done
    for said in (done, err):
        assert "Ask again for what is left." in " ".join(said.split())
        assert "goes on from there" not in " ".join(said.split())
    server.on_request, server.latency = None, 0.0
    expect(bl("sync"), 0)
    assert not store.order(order_id).is_filed


def open_full_sync(bl: Bl, server: SandboxServer) -> None:
    expect(bl("sync"), 0)
    few = {"BL_DAILY_CALL_LIMIT": str(len(server.requests) + 6), "BL_CALL_RESERVE": "0"}
    expect(bl("sync", "--full", **few), 4)
    assert "Withdraw it with: bl cancel" in expect(bl("status"), 0).stdout
    server.clear_requests()


def test_an_open_full_sync_is_withdrawn(bl: Bl, server: SandboxServer) -> None:
    open_full_sync(bl, server)

    assert expect(bl("cancel"), 0).stdout == "Withdrawn: 1 full sync that was still open.\n"

    status = json_of(bl("status", "--json"))
    assert status["open_full_syncs"] == []
    assert "bl cancel" not in status["reason"]
    expect(bl("sync"), 0)
    assert [request.path for request in server.requests] == ["/orders", "/orders"]


def test_the_ui_withdraws_it_too(bl: Bl, server: SandboxServer) -> None:
    open_full_sync(bl, server)
    with open_instance(load_settings()) as instance:
        before = newest_event(instance, Names())
        assert before is not None
        assert "Withdraw it with: bl cancel" in before["reason"]
        assert defs.resolve_job_def("cancel_full_sync").execute_in_process(instance=instance).success
        after = newest_event(instance, Names())
        assert after is not None
        assert "bl cancel" not in after["reason"]
        assert isinstance(instance, dg.DagsterInstance)
    assert json_of(bl("cancel", "--json")) == NOTHING


def test_what_is_no_sync_is_not_canceled(synced_bl: Bl, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canceling, "START_TIMEOUT", 0.3)
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    try:
        result = expect(synced_bl("cancel"), 0)
    finally:
        lock.release()
    assert result.stdout.startswith("No sync is running, but another command uses the store")
    assert result.stderr.count("waiting for that, 0.3 s at most.") == 1


def test_a_store_that_becomes_free_is_waited_for_no_longer(synced_bl: Bl, warehouse: Warehouse) -> None:
    assert json_of(synced_bl("cancel", "--json")) == NOTHING
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    done = cancel_store(warehouse, sleep=lambda _: lock.release())
    assert done.as_dict() == NOTHING
    assert done.message(str).startswith("Nothing to cancel")


@pytest.mark.parametrize("died_before", [False, True])
def test_a_run_that_begins_after_its_lock_is_canceled(died_before: bool, synced_bl: Bl, warehouse: Warehouse) -> None:
    """A sync takes the lock seconds before its row. Planted: the row of an earlier run that died, taken for its row."""
    assert json_of(synced_bl("cancel", "--json")) == NOTHING
    if died_before:
        with warehouse.engine.begin() as connection:
            runs.start_run(
                connection, warehouse, run_id="dead", job="sync_orders", now=datetime.now(UTC), of_all_orders=True
            )
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    waits: list[str] = []

    def go_on(_seconds: float) -> None:
        waits.append("sleep")
        with warehouse.engine.begin() as connection:
            if waits.count("sleep") == 2:
                runs.start_run(
                    connection, warehouse, run_id="alive", job="sync_orders", now=datetime.now(UTC), of_all_orders=True
                )
            elif lease_status(connection, "alive") is LeaseStatus.CANCEL_REQUESTED:
                runs.finish_run(
                    connection,
                    "alive",
                    status=RunStatus.CANCELED,
                    counts=Counter(),
                    api_calls=0,
                    detected_by={},
                    now=datetime.now(UTC),
                )

    try:
        done = cancel_store(warehouse, waiting=lambda: waits.append("waiting"), sleep=go_on)
    finally:
        lock.release()
    assert done.as_dict() == {"run_id": "alive", "ended": True, "full_syncs_withdrawn": 0}
    assert waits.count("waiting") == (0 if died_before else 1)


def test_a_run_that_ends_while_it_is_asked_again(synced_bl: Bl, warehouse: Warehouse) -> None:
    """Caught, once in forty times: "No sync is running", of a run that it had just canceled."""
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    with warehouse.engine.begin() as connection:
        runs.start_run(
            connection, warehouse, run_id="alive", job="sync_orders", now=datetime.now(UTC), of_all_orders=True
        )
    asked: list[str] = []

    @event.listens_for(warehouse.engine, "before_cursor_execute")
    def end_the_run(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "SET cancel_requested_at" in statement:
            asked.append(statement)
            if len(asked) == 2:
                with psycopg.connect(os.environ["BL_DATABASE_URL"]) as other:
                    other.execute("UPDATE sync.runs SET status = 'canceled', finished_at = now()")
                lock.release()

    done = cancel_store(warehouse, sleep=lambda _: None)
    assert done.as_dict() == {"run_id": "alive", "ended": True, "full_syncs_withdrawn": 0}


@pytest.mark.parametrize("calls", [0, 1, 2], ids=["starting", "first list", "second list"])
def test_a_sync_that_starts_or_waits_for_its_lists_is_canceled(
    calls: int, bl: Bl, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Planted: a `bl cancel` that sees the lock and no run, and goes. Caught: a wait for a list that nothing ends."""
    slow_from(server, max(calls, 1))

    def has_come_so_far() -> bool:
        with warehouse.engine.connect() as connection:
            return is_syncing(connection, warehouse.store) and len(server.requests) >= calls

    with subprocess.Popen([*BL, "sync"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: has_come_so_far() or process.poll() is not None)
            assert json_of(expect(bl("cancel", "--json"), 0))["ended"] is True
            _, err = process.communicate(timeout=SLOW)
        finally:
            process.kill()
    assert "Error: Canceled by bl cancel." in err
    assert statuses("sync.runs") == ["canceled"]
    # The call that was under way is spent, and there is no other one.
    assert len(server.requests) == calls or calls == 0
    with warehouse.engine.connect() as connection:
        outcomes = list(connection.exec_driver_sql("SELECT outcome FROM sync.api_calls ORDER BY call_id").scalars())
    assert outcomes == ["ok", None][-calls:] if calls else outcomes in ([], [None])


@pytest.mark.parametrize("signum", [signal.SIGINT, None], ids=["ctrl-c", "canceled"])
def test_a_plan_that_waits_for_its_lists_is_canceled(
    signum: signal.Signals | None, settings: Settings, server: SandboxServer, warehouse: Warehouse
) -> None:
    """In this process, so that it goes on afterwards. Planted: a thread that asks for the second list afterwards."""
    answer = threading.Event()

    def wait(_request: object) -> None:
        answer.wait(SLOW)

    server.on_request = wait
    with open_session(settings) as session:

        def cancel() -> None:
            wait_until(lambda: len(server.requests) == 1)
            session.canceled.set() if signum is None else os.kill(os.getpid(), signum)

        canceler = threading.Thread(target=cancel)
        canceler.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt if signum else Interrupted):
            forecast_sync(session, SyncRequest())
        assert time.monotonic() - began < SLOW, "it waited for an answer"
        canceler.join()
        answer.set()
        wait_until(lambda: not any(thread.name == "fetch_0" for thread in threading.enumerate()))
        assert len(server.requests) == 1
        assert session.usage().used == 1


@pytest.mark.parametrize("moment", ["before a call", "in a wait"])
def test_a_canceled_run_makes_no_further_call(moment: str, bl: Bl, server: SandboxServer, warehouse: Warehouse) -> None:
    """In one process, so that the moment is exact. Planted: calls and waits that do not look."""
    if moment == "in a wait":
        server.faults.on("/orders/", "html503")
    asked: list[int] = []

    def cancel_at_the_fifth(_request: object) -> None:
        if len(server.requests) == 5 and not asked:
            asked.append(5)
            with warehouse.engine.begin() as connection:
                connection.exec_driver_sql("UPDATE sync.runs SET cancel_requested_at = now()")

    server.on_request = cancel_at_the_fifth
    result = expect(bl("sync", BL_MAX_PARALLEL_REQUESTS="1"), 1)
    assert "Canceled by bl cancel" in result.stderr
    assert len(server.requests) == 5
    assert statuses("sync.runs") == ["canceled"]

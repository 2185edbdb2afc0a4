"""Orders that fail, answers that fail, processes that die: no order lost, none twice, no call spent twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from bl_pipeline.records import SyncResult
from bl_pipeline.sandbox import PASSING, WRONG_TYPES, Fault, SandboxServer, Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import NOW, DagsterSync
from bl_pipeline_tests.defs.test_first_sync import assert_holds
from bl_pipeline_tests.support.sales_rows import assert_in_step, dump, item_rows, order_row, stored_items, stored_orders

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", [fault for fault in PASSING if "rate_limit" not in fault])
def test_passing_faults_pass(fault: Fault, synced: DagsterSync, store: Store, server: SandboxServer) -> None:
    order_id = store.place_order()
    server.faults.next(fault)
    server.faults.on(f"/orders/{order_id}", fault, times=2)

    result = synced()

    assert result == SyncResult(orders_created=1, orders_skipped=24, api_calls=4 + 3, last_synced_at=synced.clock.now)
    assert len(server.requests) == 7
    assert len(synced.clock.slept) == 3


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        *(("", fault) for fault in (*WRONG_TYPES, Fault.FORBIDDEN) if fault is not Fault.WRONG_TYPE_COUNT),
        *(("/items", fault) for fault in (*WRONG_TYPES, Fault.FORBIDDEN) if fault is not Fault.WRONG_TYPE_ID),
    ],
)
def test_an_order_that_cannot_be_read_fails_alone(
    part: str, fault: Fault, synced: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    bad, good = (str(store.place_order()) for _ in range(2))
    server.faults.on(f"/orders/{bad}{part}$", fault)

    result = synced()

    assert (result.orders_created, result.orders_skipped, result.exit_code) == (1, 24, 3)
    assert [error["order_id"] for error in result.errors] == [bad]
    items_failed = part == "/items"
    assert synced.last is not None
    assert synced.last.success
    stored = stored_orders(warehouse)
    assert good in stored
    # Without its items, or without some of them, it counts all the same.
    assert (bad in stored) == items_failed
    with warehouse.engine.connect() as connection:
        (state,) = connection.execute(
            text("SELECT error_class, failed_at, attempts FROM sync.order_state WHERE error IS NOT NULL")
        )
    assert (state.failed_at, state.attempts) == (synced.clock.now, 1)
    server.faults.clear()
    result = synced()
    assert (result.orders_created, result.orders_updated) == ((0, 1) if items_failed else (1, 0))
    assert stored_orders(warehouse)[bad] == order_row(store.order(int(bad)))
    assert stored_items(warehouse)[bad] == item_rows(store.order(int(bad)))


def test_an_order_that_fails_again_and_again_is_tried_ever_more_rarely(
    synced: DagsterSync, store: Store, server: SandboxServer
) -> None:
    order_id = store.place_order()
    server.faults.on(f"/orders/{order_id}", Fault.FORBIDDEN)
    tried = []
    for run in range(10):
        server.clear_requests()
        result = synced()
        assert [error["order_id"] for error in result.errors] == [str(order_id)]  # named, tried or not
        if len(server.requests) == 3:
            tried.append(run)
        synced.clock.advance(minutes=30)

    assert tried == [0, 1, 2, 4, 8]


DYING = """
import os, signal, sys
from pathlib import Path
from bl_pipeline.definitions import defs
from bl_pipeline.defs.resources import OpenedSession
from bl_pipeline.sync import fetching
from bl_pipeline.sync.session import open_session
from bl_pipeline.settings import load_settings
from datetime import datetime
import dagster as dg

def die(*_args, **_more):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1] == "load":
    fetching.load_prepared = die
elif sys.argv[1] == "items":
    fetching.BrickLinkClient.order_part = die
with open_session(load_settings()) as session, dg.DagsterInstance.ephemeral() as instance:
    session.clock = lambda: datetime.fromisoformat(sys.argv[2])
    resources = {"sync": OpenedSession(session)}
    defs.resolve_job_def("sync_orders").execute_in_process(resources=resources, instance=instance)
"""


@pytest.mark.parametrize("before", ["items", "load"])
def test_what_a_killed_process_had_fetched_is_not_fetched_again(
    before: str, sync: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    """kill -9 when answers have landed and none is loaded: the lock is free, the run marked, no call spent twice."""
    environment = {**os.environ, **sync.settings.as_environment()}
    killed = subprocess.run(
        [sys.executable, "-c", DYING, before, sync.clock.now.isoformat()],
        env=environment, cwd=PROJECT, capture_output=True, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert dump(warehouse, "sales.orders")["sales.orders"] == []
    landed = Counter(row["kind"] for row in dump(warehouse)["landing.documents"])
    server.clear_requests()

    result = sync()

    assert landed == {"order": 24, "items": 24} if before == "load" else landed["order"] > 0
    assert len(server.requests) == 2 + 48 - landed.total()
    assert (result.orders_created, result.errors) == (24, [])
    assert_holds(warehouse, store)
    documents = Counter((row["platform_order_id"], row["kind"]) for row in dump(warehouse)["landing.documents"])
    assert set(documents.values()) == {1}
    with warehouse.engine.connect() as connection:
        runs = connection.execute(text("SELECT status, stop_reason FROM sync.runs ORDER BY status"))
        assert [tuple(run) for run in runs] == [("failed", "error"), ("succeeded", None)]


def test_a_run_that_died_is_marked_by_the_next(sync: DagsterSync, warehouse: Warehouse) -> None:
    with warehouse.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO sync.runs (run_id, store, job, started_at, status) "
                "VALUES (:id, 'main', 'x', :at, 'started')"
            ),
            {"id": "dead", "at": NOW},
        )

    sync()

    with warehouse.engine.connect() as connection:
        row = connection.execute(
            text("SELECT status, stop_reason, finished_at, api_calls FROM sync.runs WHERE run_id = 'dead'")
        ).one()
    assert tuple(row) == ("failed", "error", NOW, 0)


def test_a_canceled_run_says_so_and_the_next_goes_on(sync: DagsterSync, store: Store, warehouse: Warehouse) -> None:
    """As with Terminate in the UI, which raises in the op."""

    class Watcher:
        def planned(self, total: int) -> None:
            raise dg.DagsterExecutionInterruptedError

        def fetched(self, order_id: str) -> None: ...

        def done(self, order_id: str, outcome: str) -> None: ...

    sync(progress=Watcher())
    assert sync.last is not None
    assert not sync.last.success
    with warehouse.engine.connect() as connection:
        assert connection.scalars(text("SELECT status FROM sync.runs")).all() == ["canceled"]

    assert sync().orders_created == 24
    assert_holds(warehouse, store)


def test_an_order_postgres_refuses_fails_alone(
    sync: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    """A value that passes all checks before Postgres and not Postgres's own: the rest of the batch is loaded."""
    refused = str(next(iter(store.sales)))
    with warehouse.engine.begin() as connection:
        connection.execute(
            text(f"ALTER TABLE sales.orders ADD CONSTRAINT planted CHECK (platform_order_id <> '{refused}')")
        )

    result = sync()

    assert (result.orders_created, result.exit_code) == (23, 3)
    assert result.errors == [{"order_id": refused, "error": "The warehouse cannot store a value of it"}]
    assert set(stored_orders(warehouse)) == {str(order_id) for order_id in store.sales} - {refused}
    assert refused not in stored_items(warehouse)


def test_an_answer_about_another_order_is_not_stored(
    synced: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bl_pipeline.sandbox.wire import Wire

    order_id, other = store.place_order(), next(iter(store.sales))
    monkeypatch.setattr(Wire, "detail", lambda wire, order, right=Wire.detail: right(wire, store.order(other)))

    result = synced()

    assert [error["order_id"] for error in result.errors] == [str(order_id)]
    assert "another order" in result.errors[0]["error"]
    assert str(order_id) not in stored_orders(warehouse)


def test_dagster_reports_a_run_with_failed_orders_as_done_with_errors(
    dagster_sync: DagsterSync, server: SandboxServer, store: Store, warehouse: Warehouse
) -> None:
    """The whole way, through the jobs. Caught: a run that fails for one order, a job that repairs nothing."""
    order_id = min(order.order_id for order in store.sales.values() if not order.is_purged)
    server.faults.on(f"/orders/{order_id}$", Fault.HTML200)

    result = dagster_sync()

    assert dagster_sync.last is not None
    assert dagster_sync.last.success
    assert (result.exit_code, [error["order_id"] for error in result.errors]) == (3, [str(order_id)])
    assert_in_step(warehouse, store, without={order_id})

    server.faults.clear()
    dagster_sync.clock.now += timedelta(minutes=30)
    assert dagster_sync("retry_failed_orders").orders_created == 1
    assert_in_step(warehouse, store)

"""The row of a run in sync.runs: how it ended, why, and how many orders it left failing."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.sync.interruptions import Interrupted
from bl_pipeline.warehouse import runs
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import Clock, OpenSession, Sync
from bl_pipeline_tests.support.processes import run_steps


def last_run(warehouse: Warehouse) -> runs.Run:
    with warehouse.engine.connect() as connection:
        return runs.last_runs(connection, warehouse, limit=1)[0]


@pytest.mark.parametrize("error", [KeyboardInterrupt, Interrupted, RuntimeError("planted")])
def test_how_a_run_ended_is_noted(
    error: type[BaseException] | Exception, open_test_session: OpenSession, warehouse: Warehouse
) -> None:
    """A canceled run has no reason to repair anything, a failed one names it. Planted: one taken for the other."""
    session = open_test_session()
    session.begin("the run", job="sync_orders")
    with pytest.raises(BaseException) as raised, session.step():
        raise error

    run = last_run(warehouse)
    if isinstance(error, Exception):
        assert raised.value is error
        assert (run.status, run.stop_reason) == ("failed", "error")
        assert run.message
    else:
        assert (run.status, run.stop_reason, run.message) == ("canceled", None, None)
    assert run.finished_at is not None


def test_a_failed_order_that_waits_for_another_try_is_counted(
    synced: Sync,
    open_test_session: OpenSession,
    store: Store,
    server: SandboxServer,
    warehouse: Warehouse,
    clock: Clock,
) -> None:
    """The run makes no call for it, but it is not in step either. Planted: only orders of the run itself counted."""
    order_id = store.place_order(paid=True)
    server.faults.on(f"/orders/{order_id}$", Fault.WRONG_TYPE_MONEY)
    session = open_test_session()
    run_steps(session)
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sync.order_state SET attempts = 9 WHERE failed_at IS NOT NULL"))
    clock.advance(minutes=5)
    server.clear_requests()

    result = run_steps(session)

    assert [request.path for request in server.requests] == ["/orders", "/orders"]
    assert [error["order_id"] for error in result.errors] == [str(order_id)]
    run = last_run(warehouse)
    assert (run.status, run.orders_failed, run.orders_skipped) == ("completed_with_errors", 1, 24)

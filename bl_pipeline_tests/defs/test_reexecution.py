"""Re-execution from the failure, as the UI offers it: it does all that is left, whichever step failed."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest
from sqlalchemy import text

from bl_pipeline.dagster_names import Names
from bl_pipeline.defs.store_state import newest_event
from bl_pipeline.records import SyncResult
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.settings import Settings
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import DagsterSync
from bl_pipeline_tests.support.sales_rows import assert_in_step
from bl_pipeline_tests.support.slow import some_slow

BREAK = """
CREATE FUNCTION sync.break() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$;
CREATE TRIGGER planted BEFORE {event} FOR EACH ROW {condition} EXECUTE FUNCTION sync.break();
"""
BROKEN = {
    "list_orders": ("INSERT ON sync.order_state", ""),
    "plan_changes": ("INSERT ON sync.run_orders", ""),
    "fetch_orders": ("INSERT ON landing.documents", ""),
    "finish_sync": ("UPDATE ON sync.runs", "WHEN (NEW.finished_at IS NOT NULL)"),
}
"""A write of each step."""


def sync_orders() -> dg.JobDefinition:
    from bl_pipeline.definitions import defs

    return defs.resolve_job_def("sync_orders")


@pytest.fixture
def history(settings: Settings, isolated: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Dagster's own history; runs take their settings from the environment."""
    for name, value in settings.as_environment().items():
        isolated.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def launch(history: dg.DagsterInstance, parent: str | None = None) -> tuple[dg.JobExecutionResult, set[str]]:
    """Run the job, or what of a run failed or was not done; and the steps that failed."""
    with dg.execute_job(
        dg.reconstructable(sync_orders),
        instance=history,
        reexecution_options=dg.ReexecutionOptions.from_failure(parent, history) if parent else None,
    ) as result:
        failed = {
            (event.step_key or "").removeprefix("sync.").split("[")[0] for event in result.get_step_failure_events()
        }
        return result, failed


def report(warehouse: Warehouse, result: dg.JobExecutionResult) -> SyncResult:
    return DagsterSync.result(warehouse, result.run_id, succeeded=result.success)


@pytest.mark.parametrize("step", some_slow(BROKEN, ["plan_changes"]))
def test_after_a_step_that_broke(step: str, history: dg.DagsterInstance, warehouse: Warehouse, store: Store) -> None:
    """The error is shown before. Caught: a step that took the run for begun, and its orders for planned. Planted: the
    end of the broken run not shown."""
    event, condition = BROKEN[step]
    with warehouse.engine.begin() as connection:
        connection.exec_driver_sql(BREAK.format(event=event, condition=condition))
    broken, failed = launch(history)
    assert (broken.success, failed) == (False, {step})
    shown = newest_event(history, Names())
    assert shown is not None
    # If the end of the run cannot be stored, the store is what it was before: nothing was ever synced.
    assert (shown["indicator"], shown["success"]) == ("stale" if step == "finish_sync" else "error", False)
    with warehouse.engine.begin() as connection:
        connection.execute(text("DROP FUNCTION sync.break() CASCADE"))

    again, failed = launch(history, broken.run_id)

    assert (again.success, failed) == (True, set())
    assert report(warehouse, again).orders_processed == len(store.sales)
    assert_in_step(warehouse, store)


@pytest.mark.slow
@pytest.mark.parametrize("calls", [0, 7])
def test_after_refused_credentials(
    calls: int, history: dg.DagsterInstance, warehouse: Warehouse, store: Store, server: SandboxServer
) -> None:
    server.on_request = lambda _: (
        server.faults.on("/orders", Fault.UNAUTHORIZED) if len(server.requests) >= calls else None
    )
    refused, _ = launch(history)
    assert not refused.success
    server.on_request = None
    server.faults.clear()

    again, _ = launch(history, refused.run_id)

    assert report(warehouse, again).success
    assert_in_step(warehouse, store)


@pytest.mark.slow
def test_what_is_refused_still_fails_again(
    history: dg.DagsterInstance, warehouse: Warehouse, server: SandboxServer
) -> None:
    server.faults.on("/orders/", Fault.UNAUTHORIZED)
    refused, failed = launch(history)
    again, failed_again = launch(history, refused.run_id)
    assert failed == failed_again == {"finish_sync"}
    assert report(warehouse, again).stop_reason == "credentials"

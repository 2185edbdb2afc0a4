"""The crash matrix over the boundaries of steps, with Dagster's own executor: each step is a process of its own."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from bl_pipeline.defs.dead_runs import end_given_up_run
from bl_pipeline.defs.instance import open_instance
from bl_pipeline.records import SyncResult
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.sync.status import read_status
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lease import DIED
from bl_pipeline_tests.defs.test_executors import PATIENCE, Place, is_syncing_now, kill, place, statuses
from bl_pipeline_tests.support.distributed import expire_lease
from bl_pipeline_tests.support.processes import Task
from bl_pipeline_tests.support.sales_rows import assert_in_step
from bl_pipeline_tests.support.waiting import wait_until

__all__ = ["place"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.parametrize("place", ["multiprocess"], indirect=True),
]

STEPS = ["sync.list_orders", "sync.plan_changes", "sync.fetch_orders[batch_0001]", "sync.finish_sync", "check_sales"]
BEGINS, NOTED, ENDS, OVER = "has not begun", "has begun", "has ended", "is over"


def stage(step: str, *, done: bool) -> str:
    """How far the run is in sync.runs, before or after a step."""
    number = STEPS.index(step) + done
    return BEGINS if number == 0 else OVER if number >= STEPS.index("sync.finish_sync") + 1 else NOTED


def indicator(place: Place, warehouse: Warehouse) -> tuple[str, str]:
    found = read_status(place.settings.store, warehouse)
    return found.indicator, found.reason


def is_left_to_the_next_step(warehouse: Warehouse) -> bool:
    with warehouse.engine.connect() as connection:
        lease = text("SELECT bool_or(lease_until > clock_timestamp() + interval '2 minutes') FROM sync.runs")
        return bool(connection.scalar(lease))


def assert_the_next_sync_is_whole(place: Place, warehouse: Warehouse, store: Store, server: SandboxServer) -> None:
    """It brings the store in step, and asks for nothing that has landed."""
    result: SyncResult = Task(place.settings, datetime.now(UTC)).run()
    assert result.success
    assert statuses(warehouse)[0] == "succeeded"
    assert indicator(place, warehouse)[0] == "synced"
    assert_in_step(warehouse, store)
    asked = Counter(request.path for request in server.requests if request.path != "/orders")
    assert asked
    assert max(asked.values()) == 1, "what had landed was fetched again"


@pytest.mark.parametrize("last_event", ["STEP_START", pytest.param("STEP_SUCCESS", marks=pytest.mark.full)])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_boundary(
    step: str, last_event: str, place: Place, warehouse: Warehouse, store: Store, server: SandboxServer
) -> None:
    """The process of a step, by kill -9, before its work has begun and when it has ended.

    Dagster sees it, and the daemon gives the store free; the next sync has nothing to wait for. Planted: the lease left
    until it has gone.
    """
    before_the_end = stage(step, done=last_event == "STEP_SUCCESS")
    with place.launched("die", step, last_event) as run:
        run.wait(PATIENCE)
    assert place.status() == "FAILURE"
    assert is_syncing_now(warehouse) is (before_the_end == NOTED)
    assert statuses(warehouse) == {BEGINS: [], NOTED: ["started"], OVER: ["succeeded"]}[before_the_end]

    with open_instance(place.settings) as instance:
        end_given_up_run(instance, place.settings, instance.get_run_records(limit=1)[0].dagster_run.run_id)

    assert not is_syncing_now(warehouse)
    if before_the_end == NOTED:
        assert statuses(warehouse) == ["failed"]
        assert indicator(place, warehouse)[0] == "error"
        assert DIED in indicator(place, warehouse)[1]
    assert_the_next_sync_is_whole(place, warehouse, store, server)


@pytest.mark.parametrize("step", STEPS[:-1])
def test_killed_between_two_steps(
    step: str, place: Place, warehouse: Warehouse, store: Store, server: SandboxServer
) -> None:
    """All processes of the run, when a step is over and no other has begun: its lease has to go.

    Planted: a step that does not leave the lease to the next one.
    """
    with place.launched("stop", step) as run:
        assert run.stdout is not None
        assert run.stdout.readline().strip() == step
        over = stage(step, done=True) == OVER
        wait_until(lambda: over or is_left_to_the_next_step(warehouse), PATIENCE)
        kill(run.pid)
    assert place.status() == "STARTED"
    assert is_syncing_now(warehouse) is not over
    expire_lease(warehouse)
    assert not is_syncing_now(warehouse)
    assert_the_next_sync_is_whole(place, warehouse, store, server)
    assert statuses(warehouse)[1:] == ["succeeded" if over else "failed"]

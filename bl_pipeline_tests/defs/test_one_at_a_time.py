"""Two runs of one store never overlap: the second waits, and then does its own work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import pytest
from sqlalchemy import text

from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.conftest import DagsterSync
from bl_pipeline_tests.defs.test_first_sync import assert_holds
from bl_pipeline_tests.defs.test_write_jobs import run_job
from bl_pipeline_tests.support.sales_rows import stored_orders
from bl_pipeline_tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("job", ["sync_orders", "rebuild", "update_order"])
def test_a_run_says_that_it_waits_for_the_lock_and_does_its_work_afterwards(
    job: str,
    dagster_synced: DagsterSync,
    store: Store,
    server: SandboxServer,
    warehouse: Warehouse,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Planted: no lock; a run that waits without a word; one that ends without its work."""
    order_id = store.place_order()
    ops = {"write_to_order": {"config": {"order_id": str(order_id), "remarks": "x"}}} if job == "update_order" else {}
    said: list[str] = []

    def waits() -> bool:
        said.append(capfd.readouterr().err)
        return "waiting for it to end" in "".join(said)

    other = SyncLock(warehouse)
    assert other.try_acquire()
    server.clear_requests()
    with ThreadPoolExecutor(1) as pool:
        try:
            run = pool.submit(run_job, dagster_synced, job, {"ops": ops})
            wait_until(lambda: waits() or run.done())
            assert not run.done()
            assert server.requests == []
        finally:
            other.release()
        assert run.result().success
    assert (str(order_id) in stored_orders(warehouse)) is (job != "rebuild")


def test_two_syncs_at_once_fetch_each_order_once(
    sync: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Catches a lock that is not taken, or not until the lists have been asked."""
    # With a history of its own: in memory, two threads lock each other out of one.
    with dg.DagsterInstance.ephemeral() as instance, ThreadPoolExecutor(2) as pool:
        second = DagsterSync(sync.settings, sync.clock, instance)
        results = [run.result() for run in (pool.submit(sync), pool.submit(second))]

    assert sorted(result.orders_created for result in results) == [0, 24]
    assert sorted(result.api_calls for result in results) == [2, 50]
    assert_holds(warehouse, store)
    with warehouse.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM landing.documents")) == 48

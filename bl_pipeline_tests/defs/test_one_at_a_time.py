"""Two runs of one store never overlap: the second waits, and then does its own work."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import pytest
from sqlalchemy import text

from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.conftest import DagsterSync
from bl_pipeline_tests.defs.test_first_sync import assert_holds

pytestmark = pytest.mark.slow


def test_a_run_waits_for_the_lock_and_never_succeeds_without_its_work(
    synced: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    store.place_order()
    other = SyncLock(warehouse)
    assert other.try_acquire()
    timer = threading.Timer(1.5, other.release)
    timer.start()
    try:
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(synced)
            while not run.done() and other.taken:
                assert server.requests == []
            result = run.result()
    finally:
        timer.join()

    assert result.orders_created == 1
    assert synced.last is not None
    assert synced.last.success


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

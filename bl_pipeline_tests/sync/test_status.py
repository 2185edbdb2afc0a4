"""The status of a store: of which nothing was ever synced, while it is synced, and after the budget is spent."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import event

from bl_pipeline.rules.indicator import Indicator
from bl_pipeline.sandbox import Store as SandboxStore
from bl_pipeline.settings import Settings, load_settings
from bl_pipeline.sync.status import read_status, state_of_nothing, status_of_nothing
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.conftest import NOW, MakeSettings, Sync

NAMES = ("bricklink_consumer_key", "bricklink_consumer_secret", "bricklink_token_value", "bricklink_token_secret")
CREDENTIALS = dict.fromkeys(NAMES, "x" * 32)


@pytest.mark.parametrize("connected", [True, False])
def test_nothing_is_stored_and_no_call_was_made(isolated: pytest.MonkeyPatch, connected: bool) -> None:
    credentials = CREDENTIALS if connected else {}
    given = {"bl_daily_call_limit": 100, "bl_call_reserve": 10, **credentials}
    store = load_settings(env_file=None, bl_store="brick", **given).store
    status = status_of_nothing(store, "the address")
    assert (status.store, status.warehouse) == ("brick", "the address")
    assert (status.orders, status.items, status.failed_orders, status.open_full_syncs) == (0, 0, 0, [])
    assert status.last_synced_at is None
    assert status.last_run is None
    calls = status.calls
    assert (calls.used, calls.left, calls.limit, calls.reserve, calls.next_reset_at) == (0, 90, 100, 10, None)
    word = Indicator.STALE if connected else Indicator.NOT_CONNECTED
    assert status.indicator is state_of_nothing(store, NOW).indicator is word
    assert status.as_dict()["reason"] == state_of_nothing(store, NOW).reason


def test_a_store_is_syncing_while_its_lock_is_taken(warehouse: Warehouse, settings: Settings) -> None:
    """Planted: only a run that has begun since counts."""
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    try:
        assert read_status(settings.store, warehouse, NOW).indicator is Indicator.SYNCING
    finally:
        lock.release()
    assert read_status(settings.store, warehouse, NOW).indicator is Indicator.STALE


def test_a_run_that_begins_while_it_is_looked_for_is_seen(
    warehouse: Warehouse, settings: Settings, database_url: str
) -> None:
    """It has taken the lock after that was looked at. Planted: only the lock counts; another run than the latest."""
    looks: list[str] = []

    def begin(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM sync.runs WHERE" in statement and "ORDER BY started_at DESC" in statement:
            looks.append(statement)
            if len(looks) == 2:
                with psycopg.connect(database_url) as other:
                    other.execute(
                        "INSERT INTO sync.runs (run_id, store, job, started_at, status) "
                        "VALUES ('new', 'main', 'sync_orders', now(), 'started')"
                    )

    event.listen(warehouse.engine, "before_cursor_execute", begin)
    try:
        assert read_status(settings.store, warehouse, NOW).indicator is Indicator.SYNCING
    finally:
        event.remove(warehouse.engine, "before_cursor_execute", begin)


def test_a_store_without_credentials_is_not_connected(warehouse: Warehouse, settings: Settings) -> None:
    """Planted: turned round."""
    with_them = read_status(settings.store, warehouse, NOW)
    without = read_status(replace(settings.store, credentials=None), warehouse, NOW)
    assert (with_them.indicator, without.indicator) == (Indicator.STALE, Indicator.NOT_CONNECTED)


def test_the_orders_that_the_budget_left_are_counted(
    sync: Sync, make_settings: MakeSettings, warehouse: Warehouse, store: SandboxStore
) -> None:
    """Planted: none, whatever the run has deferred."""
    left = sync(settings=make_settings(bl_daily_call_limit=8, bl_call_reserve=0)).orders_deferred
    assert 0 < left < len(store.sales)
    reason = read_status(sync.settings.store, warehouse, NOW).reason
    assert f"Left for the next run: {left} orders. " in reason

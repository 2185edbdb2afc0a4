"""One API key, one budget, one name: a store that gets another name is neither fetched twice nor paid for twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from bl_pipeline.records import StopReason
from bl_pipeline.rules.indicator import Indicator
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.settings import SettingsError, load_settings
from bl_pipeline.sync.status import read_status
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline.warehouse.stores import rename_store, same_store_message
from bl_pipeline_tests.conftest import Clock, MakeSettings, OpenSession, Sync
from bl_pipeline_tests.support.main_store import MAIN
from bl_pipeline_tests.support.sales_rows import dump

pytestmark = pytest.mark.slow


def test_a_new_name_for_a_key_that_is_known_stops_before_any_call(
    sync: Sync, server: SandboxServer, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    """Caught: a budget for each name, and every order stored a second time."""
    few = {"bl_daily_call_limit": 20, "bl_call_reserve": 0}
    assert sync(settings=make_settings(**few)).stop_reason is StopReason.BUDGET
    before, shop = dump(warehouse, "sales.orders", "sync.order_state"), make_settings(bl_store="shop", **few)
    asked = len(server.requests)

    for result in (sync(settings=shop), sync("refresh_order", settings=shop, order_ids=["1"])):
        assert (result.stop_reason, result.exit_code, result.api_calls) == (StopReason.SETTINGS, 2, 0)
        assert "BL_STORE=main" in (result.message or "")
        assert "bl rename-store main shop" in (result.message or "")

    assert len(server.requests) == asked
    assert dump(warehouse, "sales.orders", "sync.order_state") == before
    with open_warehouse(shop) as other:
        assert read_status(shop.store, other, sync.clock.now).calls.used == 20


def test_with_several_stores_the_old_name_is_that_of_a_part_of_the_file() -> None:
    shop = replace(MAIN, key="shop")
    assert "under the old name: BL_STORE=main." in same_store_message(shop, "main")
    # Caught: a command that no shell reads as it was meant.
    assert "bl rename-store 'old shop' 'my shop'" in same_store_message(replace(MAIN, key="my shop"), "old shop")
    assert "under the old name: name its part in BL_STORES_FILE [main]." in same_store_message(
        replace(shop, stores=2), "main"
    )


def test_a_new_name_with_another_key_of_the_same_store_stops_after_the_lists(
    synced: Sync, server: SandboxServer, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    """The store was synced with other credentials. Planted: no look at whose the listed orders are."""
    shop = make_settings(bl_store="shop")
    result = synced(settings=shop)
    assert (result.stop_reason, result.exit_code, result.api_calls) == (StopReason.SETTINGS, 2, 2)
    assert {request.path for request in server.requests} == {"/orders"}
    with warehouse.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM sync.order_state WHERE store = 'shop'")) == 0


def test_a_plan_under_a_new_name_stops_too(
    synced: Sync, server: SandboxServer, open_test_session: OpenSession, make_settings: MakeSettings
) -> None:
    from bl_pipeline.records import SyncRequest
    from bl_pipeline.sync.planning import forecast_sync

    synced()
    server.clear_requests()
    with pytest.raises(SettingsError, match="rename-store main shop"):
        forecast_sync(open_test_session(make_settings(bl_store="shop")), SyncRequest())
    assert server.requests == []


def test_two_sets_of_credentials_for_one_store_go_on_under_its_name(
    synced: Sync, store: Store, warehouse: Warehouse, database_url: str, make_settings: MakeSettings
) -> None:
    """New keys, or another machine's: the store's name decides. Planted: a stop whenever the key is new."""
    with SandboxServer(store, timestamp_lifetime=10**9) as renewed:
        fields = {name.lower(): value for name, value in renewed.environment().items()}
        other = make_settings(**fields, bl_daily_call_limit=10, bl_call_reserve=0)
        assert synced().success
        assert synced(settings=other).api_calls == 2
    # Each key has a budget of its own.
    assert read_status(other.store, warehouse, synced.clock.now).calls.used == 2
    without = load_settings(env_file=None, bl_database_url=database_url)
    assert read_status(without.store, warehouse, synced.clock.now).calls.used == 2


def test_a_renamed_store_goes_on_where_it_was(
    synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    """Caught: a table left behind under the old name. Planted: the new name's tax settings kept."""
    synced()
    shop = make_settings(bl_store="shop")
    assert synced(settings=shop).exit_code == 2  # leaves a run and a time zone under the new name
    before = {table: len(rows) for table, rows in dump(warehouse).items()}
    with warehouse.engine.begin() as connection:
        for name, country in (("main", "DE"), ("shop", "FR")):
            connection.execute(
                text("INSERT INTO books.tax_settings VALUES (:store, :country, 'standard', false, 'computed', now())"),
                {"store": name, "country": country},
            )
        assert rename_store(connection, "main", "shop") == 24

    after = dump(warehouse)
    assert {table: len(rows) for table, rows in after.items()} == before
    assert {row["store"] for rows in after.values() for row in rows if "store" in row} == {"shop"}
    with warehouse.engine.connect() as connection:
        settings = connection.execute(text("SELECT store, home_country FROM books.tax_settings")).all()
    assert settings == [("shop", "DE")]
    store.place_order()
    result = synced(settings=shop)
    assert (result.orders_created, result.api_calls) == (1, 4)


def test_what_was_noted_in_the_future_counts_for_no_longer_than_a_day(
    sync: Sync, clock: Clock, store: Store, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    """A sync and a full sync asked for while the clock was 400 days ahead. Caught: no call, no re-check and "synced"
    for 400 days; a full sync that fetches everything in each run and is never complete.
    """
    settings = make_settings(bl_daily_call_limit=120, bl_call_reserve=0)
    right = clock.now
    clock.advance(days=400)
    assert sync(settings=settings).success
    assert sync(settings=settings, full_sync=True).stop_reason is None
    clock.now = right
    status = read_status(settings.store, warehouse, right)
    assert (status.indicator, status.calls.used, status.calls.dated_ahead) == (Indicator.STALE, 52, 52)

    assert sync(settings=settings).success
    status = read_status(settings.store, warehouse, right)
    assert (status.indicator, status.last_synced_at, status.calls.dated_ahead) == (Indicator.SYNCED, right, 52)
    assert status.last_run
    assert status.last_run.started_at == right
    clock.advance(days=1)
    assert read_status(settings.store, warehouse, clock.now).calls.used == 0
    # Open orders are looked at again after a day.
    assert sync(settings=settings).api_calls > 2


def test_a_full_sync_requested_in_the_future_is_completed(
    sync: Sync, clock: Clock, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    """Caught: every order fetched again in each run, until the clock comes to that day."""
    settings = make_settings(bl_daily_call_limit=60, bl_call_reserve=0)
    assert sync(settings=settings).success
    clock.advance(days=400)
    assert sync(settings=settings, full_sync=True).success
    clock.advance(days=2)
    assert sync(settings=make_settings(bl_daily_call_limit=30, bl_call_reserve=0), full_sync=True).exit_code == 4
    clock.advance(days=-380)
    everything = make_settings(bl_daily_call_limit=200, bl_call_reserve=0, bl_rechecks_per_day=0)
    assert sync(settings=everything).success
    assert read_status(everything.store, warehouse, clock.now).open_full_syncs == []
    assert clock.now - timedelta(days=30) < (read_status(everything.store, warehouse).last_synced_at or clock.now)
    assert sync(settings=everything).api_calls == 2

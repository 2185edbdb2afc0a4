"""Rows of `sales` deleted or changed by hand: a refresh and a full sync write what BrickLink says."""

from __future__ import annotations

from typing import Literal

import pytest
from sqlalchemy import text

from bl_pipeline.records import SyncRequest, SyncResult
from bl_pipeline.sandbox import SandboxServer, Store, Wire
from bl_pipeline.settings import Settings
from bl_pipeline.sync.rebuild import rebuild
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import Clock
from bl_pipeline_tests.support.processes import contents, run_steps
from bl_pipeline_tests.support.sales_rows import Row, stored_items, stored_orders, versions
from bl_pipeline_tests.support.sessions import session_at
from bl_pipeline_tests.support.slow import some_slow

SALES = ("sales.orders", "sales.order_items", "sales.order_status_history")
OF_IT = "WHERE store = 'main' AND platform_order_id = :order_id"
DAMAGES = {
    "order deleted": f"DELETE FROM sales.orders {OF_IT}",
    "amounts changed": f"UPDATE sales.orders SET total = total + 1, fees = 7, currency = 'XXX' {OF_IT}",
    "words changed": f"UPDATE sales.orders SET platform_status = 'PAID', status = 'problem', remarks = 'x' {OF_IT}",
    "values removed": f"UPDATE sales.orders SET buyer_email = NULL, shipping_address = NULL, paid_at = NULL {OF_IT}",
    "address changed": f"UPDATE sales.orders SET shipping_address = jsonb_build_object('city', 'Ulm') {OF_IT}",
    "origin of the items removed": f"UPDATE sales.orders SET items_document_id = NULL {OF_IT}",
    "items deleted": f"DELETE FROM sales.order_items {OF_IT}",
    "an item deleted": f"DELETE FROM sales.order_items {OF_IT} AND line_number = 1",
    "an item changed": f"UPDATE sales.order_items SET unit_price = unit_price + 0.0001 {OF_IT} AND line_number = 1",
    "an item moved": f"UPDATE sales.order_items SET batch_number = 9 {OF_IT} AND line_number = 1",
    "an item's text removed": f"UPDATE sales.order_items SET item_name = NULL {OF_IT}",
    "an item added": (
        "INSERT INTO sales.order_items (store, platform, platform_order_id, batch_number, line_number) "
        "VALUES ('main', 'bricklink', :order_id, 1, 99)"
    ),
    "history deleted": f"DELETE FROM sales.order_status_history {OF_IT}",
    "history changed": f"UPDATE sales.order_status_history SET total = 0, credit = 5 {OF_IT}",
    "everything deleted": "".join(f"DELETE FROM {table} {OF_IT}; " for table in SALES),
}


def sales(warehouse: Warehouse) -> dict[str, dict[str, list[Row]]]:
    """Every row of `sales` by table and order, without when and by which answer it came to be."""
    return {table: rows for table, rows in contents(warehouse).items() if table in SALES}


def damage(warehouse: Warehouse, order_id: int, how: str) -> None:
    with warehouse.engine.begin() as connection:
        for statement in filter(None, DAMAGES[how].split("; ")):
            assert connection.execute(text(statement), {"order_id": str(order_id)}).rowcount > 0


def run(settings: Settings, clock: Clock, request: SyncRequest) -> SyncResult:
    with session_at(settings, clock) as session:
        return run_steps(session, request)


@pytest.fixture
def once_synced(synced: object, store: Store) -> Store:
    """The store of a warehouse that is in step with it."""
    return store


@pytest.mark.parametrize("way", some_slow(["refresh", "full sync"], ["refresh"]))
def test_what_was_damaged_is_repaired(
    way: str, once_synced: Store, settings: Settings, clock: Clock, warehouse: Warehouse
) -> None:
    """Planted: the answer compared with a digest of the one loaded before; the items compared by their sums."""
    before = sales(warehouse)
    # The first damage to the order of the most lots, and so on.
    candidates = sorted(once_synced.sales.values(), key=lambda order: -1 if order.is_purged else order.unique_count)
    damaged = {how: candidates.pop().order_id for how in DAMAGES}
    sound = [order.order_id for order in candidates]
    for how, order_id in damaged.items():
        damage(warehouse, order_id, how)
    gone = [order_id for order_id in damaged.values() if str(order_id) not in stored_orders(warehouse)]

    order_ids = tuple(map(str, (*damaged.values(), *sound)))
    result = run(settings, clock, SyncRequest(order_ids=order_ids) if way == "refresh" else SyncRequest(full_sync=True))

    after = sales(warehouse)
    for how, order_id in damaged.items():
        for table in SALES:
            assert after[table].get(str(order_id)) == before[table].get(str(order_id)), (how, table)
    assert after == before
    assert (result.orders_created, result.orders_updated) == (len(gone), len(damaged) - len(gone)) == (2, 13)
    assert result.orders_skipped == len(sound) == 9
    with session_at(settings, clock) as session:
        session.take_lock(lambda: None)
        assert not rebuild(session).undone
    assert sales(warehouse) == before


@pytest.mark.parametrize("way", ["refresh", "full sync"])
def test_what_is_stored_as_it_should_be_is_not_written(
    way: str, once_synced: Store, settings: Settings, clock: Clock, warehouse: Warehouse
) -> None:
    """Planted: every fetched order written, and counted as updated."""
    everything = tuple(str(order_id) for order_id in once_synced.sales)
    written = {table: rows for table, rows in versions(warehouse).items() if table in SALES}

    result = run(
        settings, clock, SyncRequest(order_ids=everything) if way == "refresh" else SyncRequest(full_sync=True)
    )

    assert (result.orders_created, result.orders_updated, result.orders_skipped) == (0, 0, 24)
    assert {table: rows for table, rows in versions(warehouse).items() if table in SALES} == written


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["empty", "absent", "not_found"])
@pytest.mark.parametrize("way", ["refresh", "full sync"])
def test_what_bricklink_has_purged_is_not_repaired_away(
    way: str,
    answer: Literal["empty", "absent", "not_found"],
    once_synced: Store,
    settings: Settings,
    clock: Clock,
    server: SandboxServer,
    warehouse: Warehouse,
) -> None:
    """The order's row is written anew; its items, which only the warehouse has, stay.

    Planted: the stored items replaced by those of the answer, which has none.
    """
    server.wire = Wire(purged_items=answer)
    order_id = next(order.order_id for order in once_synced.sales.values() if order.status == "COMPLETED")
    once_synced.purge(order_id)
    run(settings, clock, SyncRequest())
    before = sales(warehouse)
    assert stored_items(warehouse)[str(order_id)]
    damage(warehouse, order_id, "order deleted")
    clock.advance(hours=1)

    request = SyncRequest(order_ids=(str(order_id),)) if way == "refresh" else SyncRequest(full_sync=True)
    result = run(settings, clock, request)

    assert (result.orders_created, result.orders_updated, result.errors) == (1, 0, [])
    assert sales(warehouse) == before


def test_a_row_that_was_deleted_keeps_its_first_date(
    once_synced: Store, settings: Settings, clock: Clock, warehouse: Warehouse
) -> None:
    """BrickLink says only when the last batch was ordered. Planted: that date taken for the first one."""
    order_id = once_synced.place_order(paid=True)
    first = once_synced.order(order_id).date_ordered
    run(settings, clock, SyncRequest())
    once_synced.add_batch(order_id)
    run(settings, clock, SyncRequest())
    damage(warehouse, order_id, "order deleted")

    run(settings, clock, SyncRequest(order_ids=(str(order_id),)))

    assert stored_orders(warehouse)[str(order_id)]["first_order_date"] == first
    assert stored_orders(warehouse)[str(order_id)]["order_date"] > first

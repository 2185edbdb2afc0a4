"""The sync of a store known already: no more calls than what changed needs, and everything right afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from bl_pipeline.records import SyncResult
from bl_pipeline.sandbox import SandboxServer, Store, move_on
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import NOW, Clock, MakeSettings, Sync
from bl_pipeline_tests.support.sales_rows import (
    as_json,
    dump,
    item_rows,
    order_row,
    stored_items,
    stored_orders,
    versions,
)
from bl_pipeline_tests.support.slow import some_slow

HISTORY = "sales.order_status_history"


def paths(server: SandboxServer) -> list[str]:
    """What was asked since the lists, and forget it."""
    asked = [request.path for request in server.requests if request.path != "/orders"]
    server.clear_requests()
    return sorted(asked)


def changed(before: dict[str, list[Any]], after: dict[str, list[Any]], table: str) -> set[str]:
    """Ids of the orders of which a table says something else."""
    old = {as_json(row): row["platform_order_id"] for row in before[table]}
    new = {as_json(row): row["platform_order_id"] for row in after[table]}
    return {order_id for row, order_id in {**old, **new}.items() if (row in old) != (row in new)}


def test_an_unchanged_store_costs_two_calls_and_writes_nothing(
    synced: Sync, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Catches any write to a row that is right already: a date of the last look, or the same values once more."""
    before, written = dump(warehouse), versions(warehouse)
    now = synced.clock.now

    result = synced()

    assert result == SyncResult(orders_skipped=24, api_calls=2, last_synced_at=now)
    assert paths(server) == []
    assert as_json(dump(warehouse)) == as_json(before)
    assert versions(warehouse) == written


def test_an_unchanged_store_without_times_of_changes_costs_two_calls(
    synced: Sync, server: SandboxServer, warehouse: Warehouse
) -> None:
    """The old form of the list, without date_status_changed: once learned, it is no change either."""
    server.wire = type(server.wire)(date_status_changed=False)
    synced()
    before = dump(warehouse)

    assert synced().api_calls == 2
    assert as_json(dump(warehouse)) == as_json(before)


Change = Callable[[Store, int], object]
ORDER, BOTH = 1, 2
CHANGES: Mapping[str, tuple[Change, int]] = {
    "packed": (Store.pack, ORDER),
    "shipped": (lambda store, order: store.ship(order, "RR1234", "https://example.org/RR1234"), ORDER),
    "cancelled": (Store.cancel, ORDER),
    "unknown status": (lambda store, order: store.set_status(order, "AWAITING PICKUP"), ORDER),
    "eCheck not cleared": (lambda store, order: store.set_status(order, "PAID-PENDING"), ORDER),
    "payment alone": (lambda store, order: store.set_payment_status(order, "Clearing"), ORDER),
    "filed": (Store.file, ORDER),
    "batch added": (Store.add_batch, BOTH),
    "last item removed": (Store.remove_last_item, BOTH),
}


@pytest.mark.parametrize("change", some_slow(CHANGES, ["shipped", "payment alone", "batch added", "last item removed"]))
def test_a_change_costs_the_calls_it_needs(
    change: str, synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse, clock: Clock
) -> None:
    """One order of the store changes in one way: it is fetched and right, nothing else is touched.

    Catches items fetched though they cannot have changed, a change that is not seen, and one that is seen again.
    """
    order_id = store.place_order(paid=True)
    first_ordered = store.order(order_id).date_ordered
    synced()
    server.clear_requests()
    before = dump(warehouse)
    clock.advance(minutes=30)
    make, calls = CHANGES[change]

    make(store, order_id)
    result = synced()

    key, after = str(order_id), dump(warehouse)
    order = store.order(order_id)
    assert result == SyncResult(orders_updated=1, orders_skipped=24, api_calls=2 + calls, last_synced_at=clock.now)
    assert paths(server) == [f"/orders/{key}", f"/orders/{key}/items"][:calls]
    assert stored_orders(warehouse)[key] == order_row(order, first_order_date=first_ordered)
    assert stored_items(warehouse)[key] == item_rows(order)
    for table in ("sales.orders", HISTORY, "sync.order_state"):
        assert changed(before, after, table) == {key}
    assert changed(before, after, "sales.order_items") == ({key} if calls == BOTH else set())
    assert synced().api_calls == 2


def test_the_payment_change_of_an_old_order_is_seen(
    synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    """date_status_changed does not move: catches a comparison of times alone."""
    order = next(order for order in store.sales.values() if order.status == "COMPLETED" and order.is_filed)

    store.set_payment_status(order.order_id, "Returned")
    result = synced()

    assert store.order(order.order_id).date_status_changed == order.date_status_changed
    assert (result.orders_updated, result.api_calls) == (1, 3)
    assert paths(server) == [f"/orders/{order.order_id}"]
    assert stored_orders(warehouse)[str(order.order_id)]["payment_status"] == "Returned"


def test_a_time_of_change_that_moves_back_is_a_change(
    synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Catches "newer than" in place of "other than"."""
    from dataclasses import replace
    from datetime import timedelta

    order = next(order for order in store.sales.values() if order.status == "COMPLETED")
    store.put(replace(order, date_status_changed=order.date_status_changed - timedelta(days=1)))

    synced()

    assert paths(server) == [f"/orders/{order.order_id}"]
    assert stored_orders(warehouse)[str(order.order_id)] == order_row(store.order(order.order_id))


def test_a_new_order_costs_two_calls(synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse) -> None:
    order_id = store.place_order()

    result = synced()

    assert result == SyncResult(orders_created=1, orders_skipped=24, api_calls=4, last_synced_at=synced.clock.now)
    assert paths(server) == [f"/orders/{order_id}", f"/orders/{order_id}/items"]
    assert stored_orders(warehouse)[str(order_id)] == order_row(store.order(order_id))
    assert stored_items(warehouse)[str(order_id)] == item_rows(store.order(order_id))


def test_a_change_between_list_and_order_is_not_lost(
    synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    """The order moves on after the list was made: what was stored is compared with the list it belongs to."""
    order_id = store.place_order(paid=True)
    seen: list[Any] = []

    def pack_after_the_list(request: Any) -> None:
        if request.path == f"/orders/{order_id}" and not seen:
            seen.append(request)
            store.ship(order_id)

    server.on_request = pack_after_the_list
    synced()
    second = synced()

    assert (second.orders_skipped, second.api_calls) == (25, 3)  # looked at again, and found to be right already
    assert stored_orders(warehouse)[str(order_id)] == order_row(store.order(order_id))
    assert synced().api_calls == 2


def test_an_order_filed_between_the_two_lists_is_stored_once(
    sync: Sync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    order = next(order for order in store.sales.values() if not order.is_filed)

    def file_it(request: Any) -> None:
        if request.query.endswith("filed=true"):
            store.file(order.order_id)

    server.on_request = file_it
    result = sync()
    listed = [request.order_ids for request in server.requests[:2]]

    assert all(order.order_id in ids for ids in listed)
    assert result.orders_created == 24
    assert stored_orders(warehouse)[str(order.order_id)] == order_row(store.order(order.order_id))
    server.on_request = None
    assert sync().api_calls == 2


def test_an_order_that_leaves_the_lists_stays_stored(
    synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Out of one list before the call, into the other after it: it is not deleted, and not forgotten."""
    from dataclasses import replace

    order = next(order for order in store.sales.values() if order.status == "COMPLETED")
    before = dump(warehouse, "sales.orders", "sales.order_items")
    store.put(replace(order, direction="out"))

    result = synced()
    assert (result.orders_skipped, result.api_calls) == (23, 2)
    assert as_json(dump(warehouse, "sales.orders", "sales.order_items")) == as_json(before)

    store.put(replace(order, status="CANCELLED"))
    assert synced().orders_updated == 1
    assert stored_orders(warehouse)[str(order.order_id)]["status"] == "cancelled"


def test_without_the_filed_list_its_orders_are_left_alone(
    synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    filed = next(order for order in store.sales.values() if order.is_filed and not order.is_purged)
    unfiled = next(order for order in store.sales.values() if not order.is_filed)
    store.set_payment_status(filed.order_id, "Bounced")
    store.set_payment_status(unfiled.order_id, "Bounced")

    result = synced(include_filed=False)

    assert (result.orders_updated, result.orders_skipped, result.api_calls) == (1, 15, 2)
    assert paths(server) == [f"/orders/{unfiled.order_id}"]
    assert synced().orders_updated == 1
    assert paths(server) == [f"/orders/{filed.order_id}"]


def test_items_left_out_are_fetched_later_for_one_call_each(
    sync: Sync, store: Store, server: SandboxServer, warehouse: Warehouse, clock: Clock
) -> None:
    first = sync(include_items=False)
    assert (first.orders_created, first.api_calls) == (24, 2 + 24)
    assert stored_items(warehouse) == {}
    server.clear_requests()

    second = sync()

    wanted = {str(order_id): item_rows(order) for order_id, order in store.sales.items() if not order.is_purged}
    assert second == SyncResult(orders_updated=20, orders_skipped=4, api_calls=2 + 20, last_synced_at=clock.now)
    assert paths(server) == [f"/orders/{order_id}/items" for order_id in sorted(wanted)]
    assert stored_items(warehouse) == wanted
    assert stored_orders(warehouse) == {str(order_id): order_row(order) for order_id, order in store.sales.items()}
    assert sync().api_calls == 2


def test_two_stores_share_a_warehouse(
    synced: Sync, store: Store, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    """Catches a statement without the store in its WHERE."""
    before = dump(warehouse, "sales.orders", "sales.order_items", "sync.order_state")
    others = Store.grow(orders=24, seed=8, now=NOW, filed=8, purged=4)
    with SandboxServer(others, timestamp_lifetime=10**9) as server:
        fields = {name.lower(): value for name, value in server.environment().items()}
        other = make_settings(bl_store="other", **fields)

        first = synced(settings=other)
        assert (first.orders_created, first.api_calls) == (24, 50)
        move_on(others, new=1, changed=3)
        assert synced(settings=other).orders_created == 1

    after = dump(warehouse, "sales.orders", "sales.order_items", "sync.order_state")
    mine = {table: [row for row in rows if row["store"] == "main"] for table, rows in after.items()}
    assert as_json(mine) == as_json(before)

"""BrickLink forgets the items of old orders; the warehouse does not."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from bl_pipeline.records import SyncResult
from bl_pipeline.sandbox import Fault, SandboxServer, Store, Wire
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import Clock, Sync
from bl_pipeline_tests.support.sales_rows import as_read, dump, item_rows, order_row, stored_items, stored_orders

pytestmark = pytest.mark.slow

PurgedItems = Literal["empty", "absent", "not_found"]
ANSWERS: tuple[PurgedItems, ...] = ("empty", "absent", "not_found")


def sold(store: Store) -> int:
    """An order that still has all there is."""
    return next(order.order_id for order in store.sales.values() if order.status == "COMPLETED")


@pytest.mark.parametrize("answer", ANSWERS)
def test_items_outlive_the_purge(
    answer: PurgedItems, synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse, clock: Clock
) -> None:
    server.wire = Wire(purged_items=answer)
    order_id = sold(store)
    kept = item_rows(store.order(order_id))

    store.purge(order_id)
    result = synced()
    assert (result.orders_updated, result.api_calls, result.errors) == (1, 3, [])

    for full_sync in (True, False):
        clock.advance(hours=1)
        assert synced(full_sync=full_sync).errors == []
        assert stored_orders(warehouse)[str(order_id)] == order_row(store.order(order_id))
        assert stored_items(warehouse)[str(order_id)] == kept


@pytest.mark.parametrize("answer", ANSWERS)
def test_items_outlive_a_purge_between_the_list_and_the_items(
    answer: PurgedItems, synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse, clock: Clock
) -> None:
    """The list says COMPLETED, the order PURGED, its items are gone: catches items replaced by nothing."""
    server.wire = Wire(purged_items=answer)
    order_id = sold(store)
    kept = item_rows(store.order(order_id))
    document = next(row for row in dump(warehouse)["sales.orders"] if row["platform_order_id"] == str(order_id))

    def purge(request: Any) -> None:
        if request.path == f"/orders/{order_id}":
            store.purge(order_id)

    server.on_request = purge
    assert synced("refresh_order", order_ids=[str(order_id)]).errors == []
    asked = [request.path for request in server.requests[-2:]]
    assert asked == [f"/orders/{order_id}", f"/orders/{order_id}/items"]
    server.on_request = None
    for _ in range(3):
        (row,) = (row for row in dump(warehouse)["sales.orders"] if row["platform_order_id"] == str(order_id))
        assert stored_items(warehouse)[str(order_id)] == kept
        assert row["items_document_id"] == document["items_document_id"]  # still the answer that has them
        assert (row["status"], row["platform_status"]) == ("completed", "PURGED")
        store.unfile(order_id)
        synced()


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_order_purged_before_it_was_ever_fetched_is_stored_without_items(
    answer: PurgedItems, sync: Sync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    server.wire = Wire(purged_items=answer)
    purged = {str(order_id): order for order_id, order in store.sales.items() if order.is_purged}

    result = sync()

    assert (result.orders_created, result.errors, result.api_calls) == (24, [], 50)
    rows, items = stored_orders(warehouse), stored_items(warehouse)
    assert len(purged) == 4
    for order_id, order in purged.items():
        assert rows[order_id] == order_row(order)
        assert order_id not in items
    assert sync().api_calls == 2  # and not asked for again and again


@pytest.mark.parametrize("known", [True, False], ids=["known before", "new"])
def test_refused_items_of_a_purged_order_are_no_failure(
    known: bool, synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse, clock: Clock
) -> None:
    """They are asked for once: the list says COMPLETED, the order PURGED, and its items are refused.

    Planted: the refusal taken for a failure of the order; the items asked for again and again.
    """
    order_id = sold(store) if known else store.place_order(paid=True)
    kept = stored_items(warehouse).get(str(order_id), [])
    server.faults.on(f"/orders/{order_id}/items", Fault.FORBIDDEN)
    if known:
        store.set_payment_status(order_id, "Bounced")

    def purge(request: Any) -> None:
        if request.path == f"/orders/{order_id}":
            store.purge(order_id)

    server.on_request = purge
    result = synced("refresh_order", order_ids=[str(order_id)]) if known else synced()
    server.on_request = None

    assert (result.errors, result.exit_code) == ([], 0)
    assert [request.path for request in server.requests[-2:]] == [f"/orders/{order_id}", f"/orders/{order_id}/items"]
    assert stored_orders(warehouse)[str(order_id)] == order_row(store.order(order_id))
    assert stored_items(warehouse).get(str(order_id), []) == kept
    for full_sync in (False, True):
        clock.advance(hours=1)
        server.clear_requests()
        assert synced(full_sync=full_sync).errors == []
        assert f"/orders/{order_id}/items" not in [request.path for request in server.requests]
    assert stored_items(warehouse).get(str(order_id), []) == kept


def test_a_purged_order_that_was_never_paid_is_of_unknown_status(
    synced: Sync, store: Store, warehouse: Warehouse
) -> None:
    order_id = store.place_order()
    store.purge(order_id)

    synced()

    assert stored_orders(warehouse)[str(order_id)] == order_row(store.order(order_id), status="unknown")


def test_a_purged_order_keeps_the_last_status_known(synced: Sync, store: Store, warehouse: Warehouse) -> None:
    """Cancelled, then purged: catches "paid, so completed" though more is known."""
    order_id = store.place_order(paid=True)
    store.cancel(order_id)
    synced()

    store.purge(order_id)
    synced()

    assert stored_orders(warehouse)[str(order_id)] == order_row(store.order(order_id), status="cancelled")


def test_an_order_without_items_is_right(
    synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse, clock: Clock
) -> None:
    """Its last lot has been taken out: the stored lot goes."""
    order_id = store.place_order(paid=True)
    for _ in store.order(order_id).lots[1:]:
        store.remove_last_item(order_id)
    synced()
    first_ordered = store.order(order_id).date_ordered
    assert len(stored_items(warehouse)[str(order_id)]) == 1

    store.remove_last_item(order_id)
    result = synced()

    assert result == SyncResult(orders_updated=1, orders_skipped=24, api_calls=4, last_synced_at=clock.now)
    assert str(order_id) not in stored_items(warehouse)
    assert stored_orders(warehouse)[str(order_id)] == order_row(store.order(order_id), first_order_date=first_ordered)
    assert synced().api_calls == 2


def test_an_order_without_items_is_right_if_the_answer_has_no_data(
    synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    """An empty success may come without the key `data`: that is no failure if the order counts no pieces."""
    order_id = store.place_order()
    for _ in store.order(order_id).lots:
        store.remove_last_item(order_id)
    server.faults.on(f"/orders/{order_id}/items", Fault.DATA_ABSENT)

    result = synced()

    assert result.errors == []
    assert (result.orders_created, result.api_calls) == (1, 4)


def test_no_items_though_the_order_has_some_is_a_failure(
    sync: Sync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Its revenue counts. Catches an order stored as if it were complete."""
    order = next(order for order in store.sales.values() if order.status == "COMPLETED")
    server.faults.on(f"/orders/{order.order_id}/items", Fault.DATA_ABSENT)

    result = sync()

    assert [error["order_id"] for error in result.errors] == [str(order.order_id)]
    assert result.exit_code == 3
    assert stored_orders(warehouse)[str(order.order_id)] == order_row(order)
    assert str(order.order_id) not in stored_items(warehouse)
    server.faults.clear()
    assert sync().orders_updated == 1
    assert stored_items(warehouse)[str(order.order_id)] == item_rows(order)


def test_a_purged_order_that_left_the_file_for_a_moment_is_stored_as_filed(
    synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse, clock: Clock
) -> None:
    """Unfiled between the list and the order, filed again before the next list, which then looks as the last did.

    Catches an order stored by the list's fingerprint alone: nobody looks at a purged one ever again.
    """
    order_id = sold(store)
    store.purge(order_id)
    store.file(order_id)

    def unfile(request: Any) -> None:
        if request.path == f"/orders/{order_id}":
            store.unfile(order_id)

    server.on_request = unfile
    assert synced().errors == []
    server.on_request = None
    assert stored_orders(warehouse)[str(order_id)]["is_filed"] is False

    store.file(order_id)
    clock.advance(hours=1)
    assert synced().api_calls == 3
    assert stored_orders(warehouse)[str(order_id)] == order_row(store.order(order_id))
    clock.advance(hours=1)
    assert synced().api_calls == 2


def test_a_list_and_an_order_that_never_agree_cost_one_call_more(
    synced: Sync, store: Store, server: SandboxServer, clock: Clock
) -> None:
    """Catches the same order fetched by every sync, should the list always say filed, the order never."""
    order_id = sold(store)
    store.purge(order_id)

    def contradict(request: Any) -> None:
        if request.path == f"/orders/{order_id}":
            store.unfile(order_id)
        else:
            store.file(order_id)

    server.on_request = contradict
    calls = []
    for _ in range(4):
        calls.append(synced().api_calls)
        clock.advance(hours=1)
    assert calls == [3, 3, 2, 2]


def test_a_count_that_cannot_be_read_any_more_is_kept(
    synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    """It may be the only copy left; what the last answer lacks is named. Planted: the count replaced by null."""
    order = next(order for order in store.sales.values() if order.is_purged)
    order_id = str(order.order_id)
    server.faults.on(f"/orders/{order_id}$", Fault.WRONG_TYPE_COUNT, times=1)
    assert synced("refresh_order", order_ids=[order_id]).success
    stored = stored_orders(warehouse)[order_id]
    assert (stored["total_count"], stored["unreadable_fields"]) == (order.total_count, ["total_count"])
    assert as_read(order_row(order, status=stored["status"]), stored)["total_count"] == order.total_count

"""The jobs beside the ordinary sync: refresh, retry, and a month fetched again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bl_pipeline.records import StopReason, SyncResult
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import NOW, DagsterSync, MakeSettings
from bl_pipeline_tests.defs.test_first_sync import assert_holds
from bl_pipeline_tests.support.sales_rows import order_row, stored_orders

pytestmark = pytest.mark.slow

AS_SHOWN = "Give the order's number as BrickLink shows it."


def materialized(sync: DagsterSync) -> list[tuple[str, str | None]]:
    """The assets that the last run said it had materialized, with the partition."""
    assert sync.last is not None
    events = [event for event in sync.last.all_events if event.is_step_materialization]
    return [(str(event.asset_key and event.asset_key.to_user_string()), event.partition) for event in events]


def asked(server: SandboxServer) -> list[str]:
    return sorted(request.path for request in server.requests)


@pytest.mark.parametrize("prefix", ["", "BL-"])
def test_refresh_fetches_just_the_orders_given(
    prefix: str, synced: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    """What no list shows: catches a refresh that trusts the list, and one that asks it for nothing."""
    order_id = next(order.order_id for order in store.sales.values() if order.status == "COMPLETED")
    store.edit_tracking(order_id, "RR99", "https://example.org/RR99")
    store.place_order()

    result = synced("refresh_order", order_ids=[f"{prefix}{order_id}", str(order_id)])

    assert result == SyncResult(orders_updated=1, api_calls=2, last_synced_at=NOW)
    assert asked(server) == [f"/orders/{order_id}", f"/orders/{order_id}/items"]
    assert stored_orders(warehouse)[str(order_id)] == order_row(store.order(order_id))
    assert len(stored_orders(warehouse)) == 24
    assert ("orders", None) in materialized(synced)


def test_refresh_of_an_order_not_known_yet_asks_the_lists(
    synced: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Catches the run being taken for a whole sync: the other new order still waits."""
    order_id, other = store.place_order(), store.place_order()

    result = synced("refresh_order", order_ids=[str(order_id)])

    assert result == SyncResult(orders_created=1, api_calls=4, last_synced_at=NOW)
    assert str(other) not in stored_orders(warehouse)
    assert synced().orders_created == 1


def test_refresh_of_what_is_no_sale_says_so_and_fetches_the_others(
    synced: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    purchase, sale = str(next(iter(store.purchases))), str(next(iter(store.sales)))

    result = synced("refresh_order", order_ids=[sale, purchase, "12"])

    assert (result.stop_reason, result.exit_code, result.orders_skipped) == (None, 3, 1)
    assert result.errors == [
        {"order_id": order_id, "error": f"BrickLink lists no such sale of this store. {AS_SHOWN}"}
        for order_id in (purchase, "12")
    ]
    assert asked(server)[:3] == ["/orders", "/orders", f"/orders/{sale}"]

    server.clear_requests()
    none = synced("refresh_order", order_ids=["12"])
    assert (none.exit_code, none.orders_skipped, asked(server)) == (3, 0, ["/orders", "/orders"])


def test_refresh_needs_an_order(synced: DagsterSync, server: SandboxServer) -> None:
    refused = synced("refresh_order", order_ids=[])

    assert refused.stop_reason is StopReason.ERROR
    assert (refused.message or "").startswith("Which orders?")
    assert server.requests == []


def test_refresh_of_what_is_no_order_number_does_nothing(synced: DagsterSync, server: SandboxServer) -> None:
    """Two numbers in one text, say. Caught: "BrickLink lists no such sale"."""
    assert synced("refresh_order", order_ids=["15646315, 15646316"]).stop_reason is StopReason.ERROR

    assert synced.last is not None
    failure = next(event for event in synced.last.all_events if event.is_step_failure)
    assert "'15646315, 15646316' is no order number. Write it as 15646315" in str(failure.step_failure_data.error)
    assert server.requests == []


def test_the_sync_job_takes_orders_too(synced: DagsterSync, store: Store, server: SandboxServer) -> None:
    order_id = next(iter(store.sales))

    assert synced(order_ids=[str(order_id)]).orders_processed == 1
    assert not {"/orders"} & set(asked(server))


def test_retry_tries_just_the_failed_orders_again(
    synced: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    failed, still_failing = store.place_order(), store.place_order()
    server.faults.on(f"/orders/({failed}|{still_failing})", Fault.FORBIDDEN)
    for _ in range(5):
        synced()
    server.faults.clear()
    server.faults.on(f"/orders/{still_failing}", Fault.FORBIDDEN)
    waiting = store.place_order()
    server.clear_requests()

    result = synced("retry_failed_orders")

    assert asked(server) == [f"/orders/{failed}", f"/orders/{failed}/items", f"/orders/{still_failing}"]
    assert (result.orders_created, result.orders_skipped, result.api_calls) == (1, 0, 3)
    assert [error["order_id"] for error in result.errors] == [str(still_failing)]
    assert result.exit_code == 3
    assert stored_orders(warehouse)[str(failed)] == order_row(store.order(failed))
    assert str(waiting) not in stored_orders(warehouse)


def test_retry_without_failed_orders_does_nothing(synced: DagsterSync, server: SandboxServer) -> None:
    assert synced("retry_failed_orders") == SyncResult(last_synced_at=NOW)
    assert server.requests == []


def test_a_month_fetched_again_is_that_month_only(
    synced: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    start, end = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    expected = {str(order_id): order_row(order) for order_id, order in store.sales.items()}
    may = [order_id for order_id, order in store.sales.items() if start <= order.date_ordered < end]
    for order_id in store.sales:
        store.edit_remarks(order_id, "Seen only if the order itself is fetched")
    expected |= {str(order_id): order_row(store.order(order_id)) for order_id in may}

    result = synced("full_sync", partition="2026-05-01")

    assert 0 < len(may) < 24
    assert result == SyncResult(orders_updated=len(may), api_calls=2 * len(may), last_synced_at=NOW)
    assert asked(server) == sorted(path for id in may for path in (f"/orders/{id}", f"/orders/{id}/items"))
    assert stored_orders(warehouse) == expected
    assert set(materialized(synced)) == {("orders", None), ("order_items", None)}


def test_a_month_fetched_again_without_items_costs_one_call_an_order(
    synced: DagsterSync, store: Store, server: SandboxServer
) -> None:
    result = synced("full_sync", partition="2026-05-01", include_items=False)

    assert result.api_calls == result.orders_skipped > 0
    assert not any(path.endswith("/items") for path in asked(server))


def test_months_fetched_one_after_the_other_ask_the_lists_once(
    sync: DagsterSync, server: SandboxServer, store: Store
) -> None:
    for month in ("2026-03-01", "2026-04-01", "2026-05-01"):
        sync("full_sync", partition=month)
        sync.clock.advance(minutes=20)

    assert asked(server).count("/orders") == 2
    assert sync.clock.now > NOW
    assert sync().orders_created == len([o for o in store.sales.values() if not datetime(2026, 3, 1, tzinfo=UTC)
                                         <= o.date_ordered < datetime(2026, 6, 1, tzinfo=UTC)])  # fmt: skip


def test_a_full_sync_goes_on_over_days_and_ends(
    synced: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    """Asked for once: the runs after it, ordinary ones, fetch what the budget left, and then no more."""
    settings = make_settings(bl_daily_call_limit=22, bl_call_reserve=0)
    synced.clock.advance(days=1)
    for order_id in store.sales:
        store.edit_remarks(order_id, "Seen only if the order itself is fetched")

    exits = [synced(settings=settings, full_sync=True).exit_code]
    for _ in range(3):
        synced.clock.advance(hours=24)
        exits.append(synced(settings=settings).exit_code)

    assert exits == [4, 4, 0, 0]
    assert_holds(warehouse, store)
    server.clear_requests()
    assert synced(settings=settings).api_calls <= 22
    assert asked(server).count("/orders") <= 2

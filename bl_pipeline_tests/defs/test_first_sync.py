"""The first sync of a store: every sale, exact, once, for as few calls as there are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import astuple
from decimal import Decimal
from typing import Any, cast

import pytest
from sqlalchemy import text

from bl_pipeline.records import SyncResult
from bl_pipeline.sandbox import SandboxOrder, SandboxServer, Store, move_on
from bl_pipeline.settings import Settings
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline_tests.conftest import NOW, Clock, DagsterSync, MakeSettings
from bl_pipeline_tests.support.sales_rows import item_rows, order_row, stored_items, stored_orders
from bl_pipeline_tests.support.servers import Postgres

MONEY_OF_ORDERS: Mapping[str, Callable[[SandboxOrder], Decimal]] = {
    "subtotal": lambda order: order.subtotal,
    "shipping": lambda order: order.costs.shipping,
    "fees": lambda order: order.fees,
    "total": lambda order: order.grand_total,
    "final_total": lambda order: order.final_total,
    "insurance": lambda order: order.costs.insurance,
    "etc1": lambda order: order.costs.etc1,
    "etc2": lambda order: order.costs.etc2,
    "tax": lambda order: order.sales_tax,
    "credit": lambda order: order.costs.credit,
    "coupon": lambda order: order.costs.coupon,
    "vat_amount": lambda order: order.vat_amount,
}


def items_still_there(order: SandboxOrder) -> bool:
    return not order.is_purged


def assert_holds(warehouse: Warehouse, store: Store) -> None:
    """The warehouse has every sale of the store, and nothing else, with each value right."""
    assert stored_orders(warehouse) == {str(order_id): order_row(order) for order_id, order in store.sales.items()}
    assert stored_items(warehouse) == {
        str(order_id): item_rows(order) for order_id, order in store.sales.items() if items_still_there(order)
    }


def test_every_sale_is_stored_once_and_no_purchase(
    sync: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    assert {order.is_filed for order in store.sales.values()} == {True, False}
    assert store.purchases

    result = sync()

    assert_holds(warehouse, store)
    assert result == SyncResult(orders_created=24, api_calls=2 + 2 * 24, last_synced_at=NOW)
    assert result.success
    assert result.orders_processed == 24
    assert server.summary() | {"codes": None, "max_in_flight": None} == {
        "total": 50, "lists": 2, "details": 24, "items": 24, "refused": 0, "faults": {}, "codes": None,
        "max_in_flight": None,
    }  # fmt: skip


@pytest.mark.slow
def test_lists_are_asked_one_after_the_other(sync: DagsterSync, server: SandboxServer) -> None:
    sync()

    assert [(request.path, request.query) for request in server.requests[:2]] == [
        ("/orders", "direction=in&filed=false"),
        ("/orders", "direction=in&filed=true"),
    ]
    assert server.max_in_flight <= 4


def test_sums_of_every_money_column_are_the_stores(sync: DagsterSync, store: Store, warehouse: Warehouse) -> None:
    """Catches what equality by rows of a small store may miss: sums in Postgres itself, per currency."""
    sync()

    expected: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for order in store.sales.values():
        for column, amount in MONEY_OF_ORDERS.items():
            expected[order.currency][column] += amount(order)
    with warehouse.engine.connect() as connection:
        columns = ", ".join(f"sum({column}) AS {column}" for column in MONEY_OF_ORDERS)
        rows = connection.execute(text(f"SELECT currency, {columns} FROM sales.orders GROUP BY currency")).mappings()
        stored = {row["currency"]: {column: row[column] for column in MONEY_OF_ORDERS} for row in rows}
        lots = connection.execute(
            text("SELECT currency, sum(total_price), sum(quantity) FROM sales.order_items GROUP BY currency")
        )
        stored_lots = {currency: (price, quantity) for currency, price, quantity in lots}

    assert set(stored) == {"EUR", "USD"}
    assert stored == expected
    unpurged = [order for order in store.sales.values() if items_still_there(order)]
    assert stored_lots == {
        currency: (
            sum(order.subtotal for order in unpurged if order.currency == currency),
            sum(order.total_count for order in unpurged if order.currency == currency),
        )
        for currency in stored
    }


@pytest.mark.slow
def test_the_parts_of_every_total_add_up(sync: DagsterSync, warehouse: Warehouse) -> None:
    sync()

    with warehouse.engine.connect() as connection:
        wrong = connection.execute(
            text(
                """
                SELECT platform_order_id FROM sales.orders
                WHERE (subtotal + shipping + fees = total) IS NOT true
                   OR (insurance + etc1 + etc2 + tax - credit - coupon = fees) IS NOT true
                """
            )
        ).all()
        some_fees = connection.scalar(text("SELECT count(*) FROM sales.orders WHERE fees <> 0"))
    assert wrong == []
    assert some_fees  # else nothing was shown


def test_a_second_sync_of_the_same_store_stores_nothing_twice(
    sync: DagsterSync, store: Store, warehouse: Warehouse
) -> None:
    sync()
    sync(full_sync=True)

    assert_holds(warehouse, store)


@pytest.mark.slow
def test_what_each_run_did_is_in_its_metadata(sync: DagsterSync) -> None:
    sync()

    assert sync.last is not None
    (orders,) = sync.last.asset_materializations_for_node("sync.finish_sync")[:1]
    metadata = {name: value.value for name, value in orders.metadata.items()}
    assert orders.asset_key.to_user_string() == "orders"
    assert cast("Any", metadata.pop("errors")).records == []
    assert metadata.pop("last_synced_at") == NOW.timestamp()
    assert metadata | {
        "success": True, "orders_processed": 24, "orders_created": 24, "orders_updated": 0, "orders_skipped": 0,
        "orders_deferred": 0, "orders_failed": 0, "api_calls": 50, "duration_seconds": 0.0,
        "calls_used_24h": 50, "calls_left_24h": 4700, "dagster/row_count": 24,
    } == metadata  # fmt: skip


def test_what_an_asset_shows_is_stored_once(sync: DagsterSync) -> None:
    """With its materialization. Caught: a second time with the event of the output, from which it is made."""
    sync()

    assert sync.last is not None
    outputs = [event.step_output_data for event in sync.last.all_node_events if event.is_successful_output]
    assert {output.step_output_handle.step_key for output in outputs} >= {"sync.list_orders", "sync.finish_sync"}
    assert [output.step_output_handle for output in outputs if output.metadata] == []


def test_nothing_personal_and_no_secret_reaches_dagster(sync: DagsterSync, store: Store, settings: Settings) -> None:
    sync()

    assert sync.last is not None
    events = " ".join(str(event) for event in sync.instance.all_logs(sync.last.run_id))
    assert "sync.finish_sync" in events
    for order in store.sales.values():
        for word in (order.buyer_name, order.buyer.email, order.shipping.address.full_name, order.shipping.tracking_no):
            assert not word or word not in events
    assert settings.postgres_url
    for secret in (*astuple(settings.store.known_credentials()), str(settings.postgres_url.password)):
        assert secret not in events


def test_a_run_is_stored_as_reported(sync: DagsterSync, warehouse: Warehouse, clock: Clock) -> None:
    sync()

    assert sync.last is not None
    with warehouse.engine.connect() as connection:
        (run,) = connection.execute(text("SELECT * FROM sync.runs")).mappings()
        calls = connection.execute(text("SELECT method, path, outcome, run_id FROM sync.api_calls")).all()
    assert dict(run) == {
        "run_id": sync.last.run_id, "store": "main", "job": "sync_orders", "started_at": NOW, "finished_at": NOW,
        "status": "succeeded", "listed_at": NOW, "orders_listed": 24, "orders_created": 24, "orders_updated": 0,
        "orders_skipped": 0, "orders_deferred": 0, "orders_failed": 0, "api_calls": 50,
        "duration_seconds": Decimal("0.000"), "stop_reason": None, "message": None,
        "detected_by": {"new": 4, "backlog": 20}, "scope": "all", "cancel_requested_at": None, "lease_until": None,
    }  # fmt: skip
    assert Counter((call.method, call.outcome, call.run_id) for call in calls) == {("GET", "ok", run["run_id"]): 50}
    assert len({call.path for call in calls}) == 50


@pytest.mark.parametrize("binaries", [pytest.param(15, id="postgres 15")])
@pytest.mark.slow
def test_first_sync_on_the_oldest_postgres(
    binaries: int, postgres_15: Postgres, make_settings: MakeSettings, sync: DagsterSync, store: Store
) -> None:
    """The SQL is kept to what Postgres 15 knows: catches a statement of a later one."""
    with postgres_15.database() as url:
        settings = make_settings(bl_database_url=url)
        with open_warehouse(settings) as warehouse:
            with warehouse.engine.connect() as connection:
                assert str(connection.scalar(text("SHOW server_version"))).split(".")[0] == "15"
            sync(settings=settings)
            move_on(store, new=2, changed=5)
            changed = sync(settings=settings)
            assert (changed.orders_created, changed.orders_skipped + changed.orders_updated) == (2, 24)
            assert sync(settings=settings).api_calls == 2
            stored = stored_orders(
                warehouse, without={"first_order_date", "order_document_id", "items_document_id", "fetched_at"}
            )
            assert stored == {
                str(order_id): {name: value for name, value in order_row(order).items() if name != "first_order_date"}
                for order_id, order in store.sales.items()
            }

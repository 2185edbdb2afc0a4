"""Each check looks at the orders of one store: what it finds in SQL, without a run of Dagster."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from bl_pipeline.sandbox import Store
from bl_pipeline.warehouse.checks import OFFENDING_ORDERS, Offenders, find_offenders, unreadable_fields
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import Sync
from bl_pipeline_tests.defs.test_checks import FAULTS, new_status


@pytest.mark.usefixtures("synced")
def test_an_order_that_breaks_a_check_is_found_in_its_store_and_in_no_other(store: Store, warehouse: Warehouse) -> None:
    """Planted: the store left out of each check; what is not there taken for what is."""
    unknown = new_status(store)
    sound = [key for key, order in store.sales.items() if order.lots and not order.is_purged and key != unknown]
    order_id = str(max(sound))
    other = Warehouse(warehouse.engine, "other")
    for check, _severity, fault in FAULTS:
        with warehouse.engine.connect() as connection:
            before = find_offenders(connection, warehouse, check)
            connection.execute(text(fault), {"store": warehouse.store, "order_id": order_id})
            found = find_offenders(connection, warehouse, check)
            assert (found.count, order_id in found.order_ids) == (before.count + 1, True), fault
            assert find_offenders(connection, other, check) == Offenders(0, []), fault
            connection.rollback()
    assert OFFENDING_ORDERS.keys() == {check for check, _severity, _fault in FAULTS}


def test_fields_that_cannot_be_read_are_counted_by_store(synced: Sync, store: Store, warehouse: Warehouse) -> None:
    """Planted: those of another store; the rarest first."""
    first, second = (str(order_id) for order_id in sorted(store.sales)[-2:])
    with warehouse.engine.begin() as connection:
        for order_id, fields in ((first, "{remarks,buyer_name}"), (second, "{remarks}")):
            connection.execute(
                text(
                    "UPDATE sales.orders SET unreadable_fields = CAST(:fields AS text[]) WHERE platform_order_id = :a"
                ),
                {"fields": fields, "a": order_id},
            )
        assert list(unreadable_fields(connection, warehouse).items()) == [("remarks", 2), ("buyer_name", 1)]
        assert unreadable_fields(connection, Warehouse(warehouse.engine, "other")) == {}


@pytest.mark.usefixtures("synced")
def test_an_order_without_pieces_lacks_no_items(store: Store, warehouse: Warehouse) -> None:
    """Planted: every order that has no items."""
    order_id = next(str(key) for key, order in store.sales.items() if order.lots and not order.is_purged)
    with warehouse.engine.connect() as connection:
        before = find_offenders(connection, warehouse, "items_are_stored")
        for statement in (
            "DELETE FROM sales.order_items WHERE platform_order_id = :order_id",
            "UPDATE sales.orders SET total_count = 0 WHERE platform_order_id = :order_id",
        ):
            assert connection.execute(text(statement), {"order_id": order_id}).rowcount
        assert find_offenders(connection, warehouse, "items_are_stored") == before
        connection.rollback()


@pytest.mark.usefixtures("synced")
def test_of_many_orders_the_first_hundred_are_named_and_all_are_counted(store: Store, warehouse: Warehouse) -> None:
    """Planted: as many as there are, which a page cannot show; only those that are named counted."""
    order_id = str(max(store.sales))
    with warehouse.engine.connect() as connection:
        connection.execute(
            text("CREATE TEMP TABLE copied AS SELECT * FROM sales.orders WHERE platform_order_id = :order_id"),
            {"order_id": order_id},
        )
        connection.execute(text("UPDATE copied SET unreadable_fields = '{remarks}'"))
        for number in range(101):
            connection.execute(text("UPDATE copied SET platform_order_id = :number"), {"number": f"copy {number:03}"})
            connection.execute(text("INSERT INTO sales.orders SELECT * FROM copied"))
        found = find_offenders(connection, warehouse, "fields_are_readable")
        connection.rollback()
    assert found == Offenders(101, [f"copy {number:03}" for number in range(100)])

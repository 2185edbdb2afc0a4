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

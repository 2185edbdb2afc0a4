"""What the terminal reads of the sales, and the history that a load leaves."""

from __future__ import annotations

import pytest

from bl_pipeline.sandbox import Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.sales import count_rows, read_order
from bl_pipeline_tests.conftest import Sync
from bl_pipeline_tests.support.sales_rows import dump, item_rows


def test_one_order_in_full(synced: Sync, store: Store, warehouse: Warehouse) -> None:
    order_id = next(order.order_id for order in store.sales.values() if order.status == "SHIPPED")
    store.receive(order_id)
    synced()

    with warehouse.engine.connect() as connection:
        order = read_order(connection, warehouse, str(order_id))
        assert read_order(connection, warehouse, "1") is None
        orders, items = count_rows(connection, warehouse)

    assert order is not None
    key = {"store", "platform", "platform_order_id"}
    assert order["items"] == [
        {name: value for name, value in row.items() if name not in key} for row in item_rows(store.order(order_id))
    ]
    assert [entry["platform_status"] for entry in order["status_history"]] == ["SHIPPED", "RECEIVED"]
    assert orders == 24
    assert items == sum(len(each.lots) for each in store.sales.values() if not each.is_purged)


@pytest.mark.parametrize("silent", [True, False])
def test_history_has_a_row_for_each_state_seen(silent: bool, synced: Sync, store: Store, warehouse: Warehouse) -> None:
    """Of what is tracked: other remarks are no new state."""
    order_id = next(order.order_id for order in store.sales.values() if order.status == "SHIPPED")
    if silent:
        store.edit_remarks(order_id, "something else")
        synced("refresh_order", order_ids=[str(order_id)])
    else:
        for change in (store.receive, store.file, store.unfile):
            change(order_id)
            synced()

    rows = [row for row in dump(warehouse)["sales.order_status_history"] if row["platform_order_id"] == str(order_id)]

    seen = [(row["platform_status"], row["is_filed"]) for row in rows]
    changed = [("RECEIVED", False), ("RECEIVED", True), ("RECEIVED", False)]
    assert seen == [("SHIPPED", False), *([] if silent else changed)]
    assert all(row["total"] == store.order(order_id).grand_total for row in rows)

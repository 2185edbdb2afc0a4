"""How much is stored of the sales, and one order in full."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from bl_pipeline.warehouse.database import PLATFORM, Warehouse


def count_rows(connection: Connection, warehouse: Warehouse) -> tuple[int, int]:
    """Rows of sales.orders and of sales.order_items."""
    row = connection.execute(
        text(
            """
            SELECT (SELECT count(*) FROM sales.orders WHERE store = :store),
                   (SELECT count(*) FROM sales.order_items WHERE store = :store)
            """
        ),
        {"store": warehouse.store},
    ).one()
    return row[0], row[1]


def read_order(connection: Connection, warehouse: Warehouse, order_id: str) -> dict[str, Any] | None:
    """One order in full with its `items` and `status_history`; None if it is not in the warehouse."""
    values = {"store": warehouse.store, "platform": PLATFORM, "order_id": order_id}
    where = "WHERE store = :store AND platform = :platform AND platform_order_id = :order_id"
    order = connection.execute(text(f"SELECT * FROM sales.orders {where}"), values).mappings().one_or_none()
    if order is None:
        return None
    items = connection.execute(
        text(f"SELECT * FROM sales.order_items {where} ORDER BY batch_number, line_number"),
        values,
    )
    history = connection.execute(
        text(f"SELECT * FROM sales.order_status_history {where} ORDER BY document_id"),
        values,
    )
    key = ("store", "platform", "platform_order_id")
    return {
        **order,
        "items": [{name: value for name, value in row.items() if name not in key} for row in items.mappings()],
        "status_history": [
            {name: value for name, value in row.items() if name not in key} for row in history.mappings()
        ],
    }

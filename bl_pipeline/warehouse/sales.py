"""What the terminal shows of the sales."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from bl_pipeline.warehouse.database import PLATFORM, Warehouse


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders to show; None is no limit. `search` looks in the id, the buyer and the tracking number."""

    status: str | None = None
    platform: str | None = None
    search: str | None = None
    since: datetime | None = None
    limit: int = 20


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


def read_orders(connection: Connection, warehouse: Warehouse, wanted: OrderFilter) -> list[dict[str, Any]]:
    """The unified orders list, the latest order first; money is Decimal, times are UTC."""
    rows = connection.execute(
        text(
            """
            SELECT display_id, platform, platform_order_id, order_date, buyer_name, buyer_username, status,
                platform_status, payment_status, total_count, unique_count, total, final_total, currency,
                tracking_number, shipped_at
            FROM sales.orders
            WHERE store = :store
              AND (CAST(:status AS text) IS NULL OR status = lower(:status) OR platform_status = upper(:status))
              AND (CAST(:platform AS text) IS NULL OR platform = lower(:platform))
              AND (CAST(:since AS timestamptz) IS NULL OR order_date >= :since)
              AND (
                CAST(:search AS text) IS NULL
                OR strpos(lower(concat_ws(' ', display_id, buyer_name, buyer_username, buyer_email, tracking_number)),
                          lower(:search)) > 0
              )
            ORDER BY order_date DESC, platform_order_id DESC LIMIT :limit
            """
        ),
        {
            "store": warehouse.store,
            "status": wanted.status,
            "platform": wanted.platform,
            "search": wanted.search,
            "since": wanted.since,
            "limit": wanted.limit,
        },
    )
    return [dict(row) for row in rows.mappings()]


def read_order(connection: Connection, warehouse: Warehouse, order_id: str) -> dict[str, Any] | None:
    """One order in full with its `items` and `status_history`; None where it is not in the warehouse."""
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

"""When an order was shipped, if only the history of its status says so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, text

from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.tables import order_status_history, orders


def day(number: int) -> datetime:
    return datetime(2026, 6, number, tzinfo=UTC)


def test_the_state_that_says_when_it_was_shipped_is_the_one_with_the_earliest_time(blank: Warehouse) -> None:
    """A later answer may tell of an earlier change. Planted: the first answer; the one with the latest time."""
    states = [("COMPLETED", day(9), day(10)), ("SHIPPED", day(5), day(11)), ("COMPLETED", day(12), day(13))]
    order: dict[str, Any] = {
        "store": "main", "platform": "bricklink", "platform_order_id": "1", "status": "completed", "currency": "EUR",
        "order_date": day(1), "paid_at": day(2), "payment_status": "Received", "subtotal": 1, "total": 1,
    }  # fmt: skip
    with blank.engine.connect() as connection:
        for document_id, (status, changed_at, observed_at) in enumerate(states, start=1):
            state = {"platform_status": status, "status_changed_at": changed_at, "observed_at": observed_at}
            connection.execute(insert(order_status_history).values(**order, **state, document_id=document_id))
        last = {"platform_status": "COMPLETED", "display_id": "1", "first_order_date": day(1), "fetched_at": day(13)}
        connection.execute(insert(orders).values(**order, **last, order_document_id=len(states)))
        shown = connection.execute(text("SELECT shipped_at, shipped_at_is FROM reports.revenue_orders")).one()
        connection.rollback()
    assert tuple(shown) == (day(5), "status")

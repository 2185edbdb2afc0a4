"""Which payments are to be checked, by what an order was before too, and how many days that is ago."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, insert, text

from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.tables import order_status_history, orders
from bl_pipeline_tests.reports.test_properties import read

PLACED = datetime(2026, 9, 10, tzinfo=UTC)
UNPAID: dict[str, Any] = {
    "status": "pending", "payment_status": "None", "order_date": PLACED, "paid_at": None, "currency": "EUR",
    "total": Decimal(100), "final_total": Decimal(95),
}  # fmt: skip
PAID = UNPAID | {"status": "processing", "payment_status": "Received", "paid_at": PLACED}
LIVES: dict[str, list[dict[str, Any]]] = {
    "never paid": [UNPAID],
    "paid": [PAID],
    "a batch": [PAID, UNPAID],
    "two batches": [PAID, UNPAID, PAID | {"final_total": Decimal(90)}, UNPAID | {"final_total": Decimal(120)}],
    "paid in another currency": [PAID | {"currency": "USD"}, UNPAID],
    "paid in both": [PAID, PAID | {"currency": "USD"}, UNPAID],
    "without a date": [PAID | {"paid_at": None}, UNPAID],
    "clearing": [PAID | {"payment_status": "Clearing"}, UNPAID],
    "returned": [PAID | {"payment_status": "Returned"}, UNPAID],
    "bounced": [PAID | {"payment_status": "Bounced"}, UNPAID],
    "of no status": [PAID | {"payment_status": None}, UNPAID],
    "of no final total": [PAID | {"final_total": None}, UNPAID],
    "a batch, a complaint": [PAID, UNPAID | {"status": "problem"}],
    "a batch, paid without a date": [PAID, UNPAID | {"payment_status": "Completed"}],
    "a batch, cancelled": [PAID, UNPAID | {"status": "cancelled"}],
    "shipped": [UNPAID | {"status": "shipped"}],
    "clearing now": [UNPAID | {"payment_status": "Clearing", "paid_at": PLACED}],
    "sent, clearing": [UNPAID | {"status": "shipped", "payment_status": "Clearing"}],
    "no word of it": [UNPAID | {"payment_status": None}],
    "clearing without a date": [UNPAID | {"payment_status": "Clearing"}],
}
"""Orders, each with its states, the last one today's."""
TO_CHECK = {
    "a batch": ("paid_before", 95),
    "two batches": ("paid_before", 90),
    "paid in both": ("paid_before", 95),
    "of no status": ("paid_before", 95),
    "of no final total": ("paid_before", 100),
    "a batch, a complaint": ("paid_before", 95),
    "a batch, paid without a date": ("no_payment_date", None),
    "shipped": ("no_payment_date", None),
    "clearing now": ("clearing", None),
    "sent, clearing": ("clearing", None),
}
"""Reason, and what was paid before."""


def store(connection: Connection, lives: dict[str, list[dict[str, Any]]], **elsewhere: str) -> None:
    """Orders with their states, seen on the days after they were placed; the name is the id."""
    document_id = 0
    for order_id, states in lives.items():
        key = {"store": "main", "platform": "bricklink", "platform_order_id": order_id, **elsewhere}
        for day, state in enumerate(states, 1):
            document_id += 1
            seen = {**key, **state, "platform_status": state["status"].upper()}
            at = PLACED + timedelta(day)
            connection.execute(insert(order_status_history).values(**seen, document_id=document_id, observed_at=at))
        connection.execute(
            insert(orders).values(
                **seen, display_id=order_id, first_order_date=PLACED, order_document_id=document_id, fetched_at=at
            )
        )


def test_a_payment_that_was_there_before(blank: Warehouse) -> None:
    """Planted: the first or any payment in place of the last; one without a date, in another currency, of another
    store, or that has not come; a status that BrickLink has not given taken for one of these."""
    with blank.engine.connect() as connection:
        store(connection, LIVES)
        # Another order of that number.
        for elsewhere in ({"store": "other"}, {"platform": "other"}):
            store(connection, {"never paid": [PAID]}, **elsewhere)
        rows = read(connection, "payments_to_check")
        connection.rollback()
    assert {row["platform_order_id"]: (row["reason"], row["paid_before"]) for row in rows} == TO_CHECK


def test_the_days_are_those_until_the_moment(blank: Warehouse) -> None:
    """Since the payment, or since the order if that has no date. Planted: the days until now; the order date first."""
    clearing = UNPAID | {"payment_status": "Clearing", "paid_at": PLACED + timedelta(2)}
    with blank.engine.connect() as connection:
        store(connection, {"clearing": [clearing], "shipped": [UNPAID | {"status": "shipped"}]})
        connection.execute(text("SET LOCAL bl_pipeline.as_of = '2026-09-15 23:59:59Z'"))
        rows = read(connection, "payments_to_check")
        connection.rollback()
    assert {row["platform_order_id"]: row["days"] for row in rows} == {"clearing": 3, "shipped": 5}

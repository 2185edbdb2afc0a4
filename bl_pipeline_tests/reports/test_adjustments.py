"""What changes an order later is a row of the month in which it changes, and moves no month before it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text

from bl_pipeline.reports.views import set_timezone
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.tables import order_status_history, orders
from bl_pipeline_tests.reports.conftest import Kept
from bl_pipeline_tests.reports.test_properties import read

KEY = {"store": "main", "platform": "bricklink", "platform_order_id": "1"}
ORDERED = datetime(2026, 9, 10, tzinfo=UTC)
PLACED: dict[str, Any] = {
    "status": "processing", "platform_status": "PAID", "currency": "EUR", "order_date": ORDERED,
    "total": Decimal(100), "final_total": Decimal(100), "subtotal": Decimal(100), "credit": Decimal(0),
    "vat_amount": Decimal(19), "country_code": "FR",
}  # fmt: skip
MOVEMENTS = {"increase", "decrease", "cancelled", "reopened", "currency"}


def store(connection: Connection, *changes: tuple[datetime, dict[str, Any]]) -> None:
    """An order, and how it was seen at these moments."""
    state = PLACED
    for number, (at, changed) in enumerate(changes, start=1):
        state = state | changed
        connection.execute(
            insert(order_status_history).values(
                **KEY, **state, document_id=number, observed_at=at, status_changed_at=at
            )
        )
    connection.execute(text("DELETE FROM sales.orders"))
    connection.execute(
        insert(orders).values(
            **KEY, **state, display_id="BL-1", first_order_date=ORDERED, order_document_id=len(changes),
            fetched_at=changes[-1][0],
        )
    )  # fmt: skip


SEPTEMBER = (datetime(2026, 9, 11, tzinfo=UTC), dict[str, Any]())
CREDITED = (datetime(2026, 9, 20, tzinfo=UTC), {"credit": Decimal(5), "final_total": Decimal(95)})
CANCELLED = (datetime(2026, 11, 3, tzinfo=UTC), {"status": "cancelled", "platform_status": "CANCELLED"})
REOPENED = (datetime(2026, 12, 4, tzinfo=UTC), {"status": "processing", "platform_status": "PAID"})


def by_month(connection: Connection) -> dict[tuple[int, str], Decimal]:
    """Amounts by month and kind."""
    return {(row["month"].month, row["kind"]): row["amount"] for row in read(connection, "adjustments_by_month")}


def test_a_month_that_is_over_does_not_move(blank: Warehouse) -> None:
    """Planted: adjustments_by_month filtering on counts_as_revenue, which is of now."""
    with blank.engine.connect() as connection:
        store(connection, SEPTEMBER, CREDITED)
        september = by_month(connection)
        assert september == {(9, "credit"): 5, (9, "decrease"): 5}
        connection.execute(text("DELETE FROM sales.order_status_history"))
        store(connection, SEPTEMBER, CREDITED, CANCELLED)
        assert by_month(connection) == september | {(11, "cancelled"): 95, (11, "vat"): -19}
        connection.execute(text("DELETE FROM sales.order_status_history"))
        store(connection, SEPTEMBER, CREDITED, CANCELLED, REOPENED)
        november = september | {(11, "cancelled"): 95, (11, "vat"): -19}
        assert by_month(connection) == november | {(12, "reopened"): -95, (12, "vat"): 19}
        connection.rollback()


def test_cancellations_are_in_the_month_in_which_they_happened(blank: Warehouse) -> None:
    with blank.engine.connect() as connection:
        set_timezone(connection, "main", "UTC")
        store(connection, SEPTEMBER, CANCELLED)
        (row,) = read(connection, "cancellations_by_month")
        (adjusted,) = read(connection, "adjustments_by_month", "kind = 'cancelled'")
        connection.rollback()
    assert (row["month"].month, row["order_month"].month, row["amount"]) == (11, 9, 100)
    assert {name: adjusted[name] for name in ("month", "order_month", "amount", "orders")} == {
        name: row[name] for name in ("month", "order_month", "amount", "orders")
    }


def test_what_was_cancelled_again_is_lost_in_the_month_of_the_last_time(blank: Warehouse) -> None:
    """Planted: the month in which it was first cancelled."""
    again = (datetime(2027, 1, 5, tzinfo=UTC), CANCELLED[1])
    with blank.engine.connect() as connection:
        set_timezone(connection, "main", "UTC")
        store(connection, SEPTEMBER, CANCELLED, REOPENED, again)
        (row,) = read(connection, "cancellations_by_month")
        connection.rollback()
    assert row["month"] == date(2027, 1, 1)


def test_a_batch_vat_and_another_country_are_adjustments_too(blank: Warehouse) -> None:
    later = datetime(2026, 11, 5, tzinfo=UTC)
    changed = {"final_total": Decimal(110), "total": Decimal(110), "vat_amount": Decimal(0), "country_code": "CH"}
    with blank.engine.connect() as connection:
        store(connection, SEPTEMBER, (later, changed))
        rows = {row["kind"]: row for row in read(connection, "adjustments")}
        connection.rollback()
    assert {kind: (row["before"], row["after"], row["amount"]) for kind, row in rows.items()} == {
        "increase": (100, 110, -10), "vat": (19, 0, -19), "country": (100, 110, 0),
    }  # fmt: skip
    assert (rows["country"]["country_before"], rows["country"]["country_after"]) == ("FR", "CH")


@pytest.mark.parametrize(("kinds", "taxes"), [(MOVEMENTS, 0), (MOVEMENTS | {"vat", "sales_tax"}, 1)])
def test_movements_come_to_what_revenue_and_turnover_have_changed(kept: Kept, kinds: set[str], taxes: int) -> None:
    """From what each order was when it was first seen to what it counts now."""
    moved, first, now = Counter[tuple[str, str]](), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for row in kept.rows("adjustments"):
        if row["kind"] in kinds:
            moved[row["platform_order_id"], row["currency"]] += row["amount"]
    for row in kept.rows("status_history"):
        if row["state_number"] == 1:
            vat = 0 if row["vat_collected_by_bricklink"] else row["vat_amount"]
            tax = 0 if row["sales_tax_collected_by_bricklink"] else row["sales_tax"]
            first[row["platform_order_id"], row["currency"]] += row["final_total"] - taxes * (vat + tax)
    for row in kept.rows("revenue_orders"):
        now[row["platform_order_id"], row["currency"]] += row["turnover" if taxes else "revenue"]
    assert {row["kind"] for row in kept.rows("adjustments")} >= kinds - {"sales_tax"}
    assert {key for key in {*first, *now} if first[key] - moved[key] != now[key]} == set()
    assert {key for key in moved if key not in {*first, *now}} == set()

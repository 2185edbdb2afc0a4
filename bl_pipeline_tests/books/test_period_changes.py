"""Each way in which an order of a closed month can come to something else afterwards, as period_changes says it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, text

from bl_pipeline.books.booking import book
from bl_pipeline.books.closing import close, reopen
from bl_pipeline.reports.taxes import set_taxes
from bl_pipeline.tax_settings import TaxSettings
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.support.journal_model import OrderState
from bl_pipeline_tests.support.main_store import MAIN
from bl_pipeline_tests.support.order_lives import note_sync, set_zone, store_states

AUGUST, SEPTEMBER = date(2026, 8, 1), date(2026, 9, 1)
PAID = datetime(2026, 9, 10, 12, tzinfo=UTC)
SEEN = datetime(2026, 9, 20, tzinfo=UTC)
CLOSED = datetime(2026, 10, 6, 8, tzinfo=UTC)
LATER = datetime(2026, 11, 10, tzinfo=UTC)
ZERO = Decimal(0)
PENDING: dict[str, Any] = {"status": "pending", "payment_status": "None", "paid_at": None}
FREE: dict[str, Any] = {"given": Decimal(119), "total": ZERO, "final_total": ZERO, "vat": ZERO}
Row = tuple[str, str | None, str | None, Decimal, Decimal]
"""What, before, after, and the movements of revenue and VAT."""


def order(number: int, **fields: Any) -> OrderState:
    """An order of 119 EUR with 19 EUR of VAT, paid in September; answers come in the order of their numbers."""
    state = OrderState(
        order_id=str(number), document_id=number, observed_at=SEEN, status_changed_at=PAID, status="processing",
        payment_status="Received", order_date=PAID, paid_at=PAID, shipped_at=None, currency="EUR", country="DE",
        subtotal=Decimal(119), shipping=ZERO, total=Decimal(119), final_total=Decimal(119), vat_rate=Decimal(19),
        vat=Decimal(19), postal_code="10115",
    )  # fmt: skip
    return replace(state, **fields)


def costs(amount: str, vat: str = "19") -> dict[str, Any]:
    """The price of an order, and the VAT in it."""
    price = Decimal(amount)
    return {"subtotal": price, "total": price, "final_total": price, "vat": Decimal(vat)}


def changes(connection: Connection, period: date = SEPTEMBER) -> dict[int, list[Row]]:
    """The rows of a month by order."""
    found: dict[int, list[Row]] = {}
    for row in connection.execute(
        text("SELECT * FROM reports.period_changes WHERE period = :period ORDER BY currency, what"), {"period": period}
    ):
        movements = (row.what, row.before, row.after, row.revenue_movement, row.vat_movement)
        found.setdefault(int(row.platform_order_id), []).append(movements)
    return found


@pytest.fixture
def connection(books: Warehouse) -> Iterator[Connection]:
    """A warehouse of a store in Berlin without orders, whose lists were read after September."""
    with books.engine.begin() as connection:
        set_zone(connection, "Europe/Berlin")
        note_sync(connection, CLOSED)
        yield connection


def moved(revenue: str, vat: str) -> tuple[Decimal, Decimal]:
    """Movements."""
    return Decimal(revenue), Decimal(vat)


OCTOBER_1 = datetime(2026, 10, 1, 12, tzinfo=UTC)
SEEN_AFTERWARDS: list[tuple[dict[str, Any], dict[str, Any], list[Row]]] = [
    ({}, {}, []),
    ({}, {"status": "cancelled"}, [("cancelled", "119.00", None, *moved("-119", "-19"))]),
    (PENDING, {"status": "cancelled", "paid_at": None}, []),
    (PENDING, {}, [("late", None, "119.00", *moved("119", "19"))]),
    ({**PENDING, **FREE}, FREE, [("late", None, "0.00", ZERO, ZERO)]),
    (FREE, {**FREE, "status": "cancelled"}, [("cancelled", "0.00", None, ZERO, ZERO)]),
    ({}, {"paid_at": OCTOBER_1}, [("date", "119.00", None, *moved("-119", "-19"))]),
    ({"paid_at": OCTOBER_1}, {}, [("date", None, "119.00", *moved("119", "19"))]),
    (
        {},
        {**costs("129", "20"), "order_date": SEEN, "status": "pending", "paid_at": None},
        [("batch", "119.00", "129.00", *moved("10", "1"))],
    ),
    (
        {},
        {**costs("129", "20"), "order_date": PAID - timedelta(1)},
        [("amount", "119.00", "129.00", *moved("10", "1"))],
    ),
    (
        {},
        {"given": Decimal(9), "total": Decimal(110), "final_total": Decimal(110)},
        [("credit", "119.00", "110.00", *moved("-9", "0"))],
    ),
    ({}, costs("100"), [("amount", "119.00", "100.00", *moved("-19", "0"))]),
    ({}, {"country": "FR"}, [("country", "DE", "FR", ZERO, ZERO)]),
    ({}, {"postal_code": "27498"}, [("country", "DE", "DE heligoland", ZERO, ZERO)]),
    ({"postal_code": "27498"}, {}, [("country", "DE heligoland", "DE", ZERO, ZERO)]),
    ({}, {"order_date": SEEN, "country": "FR"}, [("country", "DE", "FR", ZERO, ZERO)]),
    ({}, {"vat": Decimal(7)}, [("vat", "unclear 19 % 19.00", "unclear 19 % 7.00", *moved("0", "-12"))]),
    ({}, {"vat_rate": Decimal("8.1")}, [("vat", "unclear 19 % 19.00", "unclear 8.1 % 19.00", ZERO, ZERO)]),
    (
        {},
        {"currency": "USD"},
        [("amount", "119.00", None, *moved("-119", "-19")), ("amount", None, "119.00", *moved("119", "19"))],
    ),
    ({}, {"status": "shipped", "shipped_at": LATER}, []),
]
"""What an order was when its month was closed, what it is when it is seen again, and the rows of that."""


def test_what_is_seen_after_a_closing(connection: Connection) -> None:
    """Planted: each condition, each kind and each text of the report left out or turned round."""
    before = [order(number, **fields) for number, (fields, _, _) in enumerate(SEEN_AFTERWARDS, 1)]
    # Seen before the closing, so it changes nothing; and one that has counted once.
    unchanged = [order(101), order(102, order_id="101", **costs("100"))]
    reopened = [order(103), order(104, order_id="103", status="cancelled")]
    store_states(connection, [*before, *unchanged, *reopened])
    close(connection, MAIN, SEPTEMBER, CLOSED)
    assert changes(connection) == {}
    after = [
        order(1000 + number, order_id=str(number), observed_at=LATER, **fields)
        for number, (_, fields, _) in enumerate(SEEN_AFTERWARDS, 1)
    ]
    store_states(connection, [*after, order(2000, order_id="103", observed_at=LATER)])
    expected = {number: rows for number, (_, _, rows) in enumerate(SEEN_AFTERWARDS, 1) if rows}
    expected[103] = [("reopened", None, "119.00", *moved("119", "19"))]
    assert changes(connection) == expected
    book(connection, "main", LATER)
    assert changes(connection) == expected
    assert connection.scalars(text("SELECT DISTINCT seen_at FROM reports.period_changes")).all() == [LATER]
    reopen(connection, MAIN, SEPTEMBER, LATER)
    assert changes(connection) == {}


READ_OTHERWISE: list[tuple[dict[str, Any], str, list[Row]]] = [
    ({}, "is_filed = true", []),
    (costs("-10", "-2"), "is_filed = true", []),
    (costs("100", "0"), "final_total = 90", [("recomputed", "100.00", "90.00", *moved("-10", "0"))]),
    (costs("-10", "-2"), "vat_amount = -1", [
        ("recomputed", "unclear 19 % -2.00", "unclear 19 % -1.00", *moved("0", "1")),
    ]),
    ({}, "vat_rate = 8.1", [("recomputed", "unclear 19 % 19.00", "unclear 8.1 % 19.00", ZERO, ZERO)]),
    ({}, "status = 'cancelled'", [("recomputed", "119.00", None, *moved("-119", "-19"))]),
    (FREE, "status = 'cancelled'", [("recomputed", "0.00", None, ZERO, ZERO)]),
    (PENDING, "paid_at = '2026-09-10'", [("recomputed", None, "119.00", *moved("119", "19"))]),
    (PENDING, "shipping = 1", []),
    ({}, "currency = 'USD'", [
        ("recomputed", "119.00", None, *moved("-119", "-19")), ("recomputed", None, "119.00", *moved("119", "19")),
    ]),
    ({}, "final_total = 118", [("recomputed", "119.00", "118.00", *moved("-1", "0"))]),
    ({}, "country_code = 'FR'", [("recomputed", "DE", "FR", ZERO, ZERO)]),
    ({}, "postal_code = '78266'", [("recomputed", "DE", "DE busingen", ZERO, ZERO)]),
]  # fmt: skip
"""What an order was when its month was closed, what is read otherwise, and the rows of that."""


def test_what_is_read_otherwise_after_a_closing(connection: Connection) -> None:
    """As after a rebuild by a release that reads more. Planted: each condition of the recomputed rows left out or
    turned round; credits of an account taken for debits; the first entry of an order in place of its last."""
    states = [order(number, **fields) for number, (fields, _, _) in enumerate(READ_OTHERWISE, 1)]
    # One of August, and one that was booked to August until its payment had another date.
    in_august = PAID - timedelta(31)
    august = [order(101, paid_at=in_august), order(102, paid_at=in_august), order(103, order_id="102")]
    store_states(connection, [*august, *(replace(state, document_id=200 + state.document_id) for state in states)])
    close(connection, MAIN, SEPTEMBER, CLOSED)
    for number, (_, what, _) in enumerate(READ_OTHERWISE, 1):
        connection.execute(
            text(f"UPDATE sales.order_status_history SET {what} WHERE platform_order_id = :id"), {"id": str(number)}
        )
    connection.execute(text("UPDATE sales.order_status_history SET final_total = 118 WHERE document_id = 103"))
    expected = {number: rows for number, (_, _, rows) in enumerate(READ_OTHERWISE, 1) if rows}
    expected[102] = [("recomputed", "119.00", "118.00", *moved("-1", "0"))]
    assert changes(connection) == expected
    seen = text("SELECT DISTINCT seen_at FROM reports.period_changes")
    assert connection.scalars(seen).all() == [None]
    book(connection, "main", LATER)
    assert changes(connection) == expected
    assert connection.scalars(seen).all() == [LATER]
    assert changes(connection, AUGUST) == {}


def test_other_tax_settings(connection: Connection) -> None:
    """Planted: a kind of tax without a movement that is no change."""
    store_states(connection, [order(1)])
    close(connection, MAIN, SEPTEMBER, CLOSED)
    set_taxes(connection, "main", TaxSettings("DE", "standard", False, "bricklink"), LATER)
    row: Row = ("recomputed", "unclear 19 % 19.00", "standard 19 % 19.00", ZERO, ZERO)
    assert changes(connection) == {1: [row]}


def test_each_closing_knows_what_came_before_it(connection: Connection) -> None:
    """Planted: the answer or the entry that a closing knew last counted as a change; what came between two closings
    left out; the first booking of what is read otherwise in place of the last."""
    september = datetime(2026, 9, 6, tzinfo=UTC)
    in_august = datetime(2026, 8, 10, tzinfo=UTC)
    store_states(connection, [order(number, paid_at=in_august, observed_at=in_august) for number in (1, 2)])
    close(connection, MAIN, AUGUST, september)
    store_states(
        connection,
        [
            order(3, order_id="1", paid_at=in_august, **costs("100")),
            order(4),
            order(5, order_id="4", **costs("90")),
        ],
    )
    read_otherwise = "UPDATE sales.order_status_history SET final_total = :total WHERE document_id = 2"
    connection.execute(text(read_otherwise), {"total": 118})
    book(connection, "main", SEEN)
    close(connection, MAIN, SEPTEMBER, CLOSED)
    amount: Row = ("amount", "119.00", "100.00", *moved("-19", "0"))
    assert changes(connection, AUGUST) == {1: [amount], 2: [("recomputed", "119.00", "118.00", *moved("-1", "0"))]}
    connection.execute(text(read_otherwise), {"total": 117})
    book(connection, "main", LATER)
    # A new answer is a change of its own.
    store_states(connection, [order(6, order_id="2", paid_at=in_august, observed_at=LATER, **costs("90"))])
    book(connection, "main", LATER + timedelta(1))
    recomputed: Row = ("recomputed", "119.00", "117.00", *moved("-2", "0"))
    assert changes(connection, AUGUST) == {
        1: [amount],
        2: [("amount", "117.00", "90.00", *moved("-27", "0")), recomputed],
    }
    assert changes(connection, SEPTEMBER) == {}
    seen = text("SELECT what, seen_at FROM reports.period_changes ORDER BY 1, 2")
    assert connection.execute(seen).all() == [("amount", SEEN), ("amount", LATER), ("recomputed", LATER)]


def test_another_time_zone_moves_orders_at_the_ends_of_months(connection: Connection) -> None:
    """Planted: only orders that were booked again; the months of today's time zone on both sides; the time of the
    first booking given as that of the change."""
    end_of_august, end_of_september = (
        datetime(2026, month, day, 22, 30, tzinfo=UTC) for month, day in ((8, 31), (9, 30))
    )
    store_states(
        connection,
        [order(number, paid_at=at) for number, at in enumerate((end_of_august, PAID, end_of_september), 1)],
    )
    close(connection, MAIN, SEPTEMBER, CLOSED)
    connection.execute(text("UPDATE sync.stores SET timezone = 'UTC'"))
    leaves: Row = ("recomputed", "119.00", None, *moved("-119", "-19"))
    comes: Row = ("recomputed", None, "119.00", *moved("119", "19"))
    assert changes(connection) == {1: [leaves], 3: [comes]}
    assert connection.scalars(text("SELECT DISTINCT seen_at FROM reports.period_changes")).all() == [None]


def test_a_store_whose_time_zone_was_never_noted(books: Warehouse) -> None:
    """Planted: its closings left out."""
    with books.engine.begin() as connection:
        note_sync(connection, CLOSED)
        store_states(connection, [order(1)])
        close(connection, MAIN, SEPTEMBER, CLOSED)
        store_states(connection, [order(2, order_id="1", observed_at=LATER, **costs("100"))])
        assert list(changes(connection)) == [1]

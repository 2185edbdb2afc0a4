"""Which rate the books take for each state of an order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from bl_pipeline.reports.taxes import set_taxes
from bl_pipeline.tax_settings import TaxRate, TaxSettings
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.support.journal_model import ZERO, OrderState
from bl_pipeline_tests.support.order_lives import set_zone, store_states

RATES = (
    TaxRate("DE", Decimal(16), date(2026, 7, 1)),
    TaxRate("DE", Decimal(19), date(2026, 9, 1)),
    TaxRate("DE", Decimal(21), date(2026, 10, 1)),
    TaxRate("FR", Decimal(10), date(2026, 7, 1)),
    TaxRate("FR", Decimal(20), date(2026, 9, 1)),
    TaxRate("FR", Decimal(25), date(2026, 10, 1)),
)
END_OF_AUGUST, END_OF_SEPTEMBER = (datetime(2026, month, day, 22, tzinfo=UTC) for month, day in ((8, 31), (9, 30)))
"""In Berlin the first moments of a month."""
SEEN = datetime(2026, 10, 6, tzinfo=UTC)


def order(number: int, paid_at: datetime | None, country: str = "DE", **fields: Any) -> OrderState:
    """An order of 100 EUR, placed in July."""
    price, july = Decimal(100), datetime(2026, 7, 1, tzinfo=UTC)
    values: dict[str, Any] = {"status": "processing", "shipped_at": None, "status_changed_at": july, **fields}
    return OrderState(
        order_id=str(number), document_id=number, observed_at=SEEN, payment_status="Received", order_date=july,
        paid_at=paid_at, currency="EUR", country=country, subtotal=price, shipping=ZERO, total=price,
        final_total=price, **values,
    )  # fmt: skip


def taxed(connection: Connection, *states: OrderState) -> list[Any]:
    """The kind of tax, the rate and the VAT of each order, with these rates in Germany."""
    set_zone(connection, "Europe/Berlin")
    set_taxes(connection, "main", TaxSettings("DE", "standard", True, "computed", RATES), SEEN)
    store_states(connection, states)
    rows = connection.execute(
        text("SELECT tax_kind, vat_rate, output_vat FROM reports.book_states ORDER BY platform_order_id")
    )
    return [(row.tax_kind, row.vat_rate, row.output_vat) for row in rows]


def test_the_rate_is_that_of_the_day_of_the_tax_point(books: Warehouse) -> None:
    """In the country of the seller and in that of the buyer. Planted: the first rate, or the last one; a rate that
    begins a day later; the day of the order; the day in UTC."""
    with books.engine.begin() as connection:
        found = taxed(
            connection,
            order(1, END_OF_AUGUST),
            order(2, END_OF_SEPTEMBER),
            order(3, END_OF_AUGUST, "FR"),
            order(4, END_OF_SEPTEMBER, "FR"),
            # Sent before it was paid; and not paid, so the day of the order.
            order(5, END_OF_SEPTEMBER, status="shipped", shipped_at=END_OF_AUGUST),
            order(6, None),
            # Of before the first rate.
            order(7, datetime(2026, 6, 1, tzinfo=UTC)),
        )
    assert found == [
        ("standard", 19, Decimal("15.97")), ("standard", 21, Decimal("17.36")), ("oss", 20, Decimal("16.67")),
        ("oss", 25, Decimal("20.00")), ("standard", 19, Decimal("15.97")), ("standard", 16, Decimal("13.79")),
        ("unclear", None, ZERO),
    ]  # fmt: skip


def test_the_date_of_a_change_is_one_between_the_two_answers(books: Warehouse) -> None:
    """Else it is about an earlier change, or of a clock that is ahead. Planted: each limit left out, or moved."""
    first, moment = SEEN - timedelta(days=1), timedelta(microseconds=1)
    dates = [first - moment, first, SEEN, SEEN + moment, None]
    with books.engine.begin() as connection:
        for number, changed_at in enumerate(dates):
            state = replace(order(number, None), status_changed_at=changed_at)
            before = replace(state, document_id=100 + number, observed_at=first, status_changed_at=first)
            store_states(connection, [before, replace(state, document_id=200 + number)])
        # The first answer has none before it.
        store_states(connection, [replace(order(9, None), status_changed_at=first - moment)])
        shown = connection.scalars(
            text(
                "SELECT changed_at FROM reports.book_states WHERE document_id >= 200 OR platform_order_id = '9' "
                "ORDER BY platform_order_id"
            )
        )
        assert list(shown) == [None, first, SEEN, None, None, first - moment]

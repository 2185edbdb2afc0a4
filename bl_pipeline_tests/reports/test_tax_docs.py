"""The queries of docs/books.md give the figures of a return, for sales whose figures were worked out by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.reports.test_taxes import fill
from bl_pipeline_tests.support.taxes import Taxes

PAGE = (Path(__file__).parents[2] / "docs" / "books.md").read_text(encoding="utf-8")
TAX = PAGE.partition("\n## Tax\n")[2].partition("\n## ")[0]
BOXES, KENNZAHLEN, ONE_STOP_SHOP, UNCLEAR = re.findall(r"```sql\n(.*?)```", TAX, re.DOTALL)

SINCE = date(2021, 1, 1)
GERMAN = Taxes(
    "DE", oss=True, rates=tuple((code, SINCE, Decimal(rate)) for code, rate in (("DE", 19), ("FR", 20), ("XI", 20)))
)
GERMAN_WITHOUT_OSS = Taxes("DE", rates=GERMAN.rates)
GERMAN_BOOKS_OF_BRICKLINK = Taxes("DE", source="bricklink")
BRITISH = Taxes("GB", rates=(("GB", SINCE, Decimal(20)),))


def sale(country: str, postal_code: str | None, total: str, **other: Any) -> dict[str, Any]:
    """An order of the quarter that was paid."""
    paid = datetime(2026, 2, 10, 12, tzinfo=UTC)
    return {
        "status": "completed", "currency": "EUR", "order_date": paid, "paid_at": paid, "payment_status": "Received",
        "shipped_at": None, "total": Decimal(total), "final_total": Decimal(total), "tax": None, "vat_amount": None,
        "vat_rate": None, "sales_tax_collected_by_bricklink": None, "vat_collected_by_bricklink": None,
        "country_code": country, "postal_code": postal_code, **other,
    }  # fmt: skip


APRIL = datetime(2026, 4, 1, tzinfo=UTC)
SALES = [
    sale("DE", "10115", "119.00"),
    sale("DE", "10115", "11.90"),
    sale("FR", "75001", "120.00"),
    sale("MC", None, "12.00"),
    sale("GB", "BT1 1AA", "60.00"),
    sale("GB", "SW1A 1AA", "240.00"),
    sale("US", "10001", "50.00"),
    sale("DE", "27498", "7.00"),
    sale("AT", "1010", "33.00"),  # no rate of Austria
    sale("DE", "10115", "59.50", currency="USD"),
    sale("DE", "10115", "1190.00", status="cancelled"),
    # Dispatched in the quarter and paid later; ordered in it and paid later; neither paid nor sent.
    sale("DE", "10115", "23.80", paid_at=APRIL, shipped_at=datetime(2026, 3, 31, 12, tzinfo=UTC)),
    sale("DE", "10115", "99.99", paid_at=APRIL),
    sale("DE", "10115", "99.99", paid_at=None, payment_status=None),
    sale("NO", None, "125.00", final_total=Decimal(100), vat_amount=Decimal(25), vat_rate=Decimal(25),
         vat_collected_by_bricklink=True),
    sale("NO", None, "125.00", vat_amount=Decimal(25), vat_rate=Decimal(25), vat_collected_by_bricklink=True),
]  # fmt: skip


@pytest.fixture
def connection(blank: Warehouse) -> Iterator[Connection]:
    with blank.engine.connect() as connection:
        yield connection
        connection.rollback()


def asked(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    """What a query gives."""
    return [tuple(row) for row in connection.execute(text(query))]


def test_the_kennzahlen_of_germany(connection: Connection) -> None:
    """Planted: all standard rates in Kz 81; marketplace sales as exports, or nowhere; the month of the order."""
    fill(connection, GERMAN, SALES)
    # 119 + 11.90 + 23.80 at 19 %; 240 + 50 + 7 leave the VAT area; BrickLink has the tax of the first of Norway, the
    # second is unclear, as is Austria's rate.
    assert asked(connection, KENNZAHLEN) == [
        ("EUR", Decimal("130.00"), None, None, None, Decimal("297.00"), Decimal("100.00"), 2, Decimal("158.00")),
        ("USD", Decimal("50.00"), None, None, None, None, None, None, None),
    ]


def test_without_the_one_stop_shop_sales_to_the_union_are_at_the_rate_of_the_home_country(
    connection: Connection,
) -> None:
    fill(connection, GERMAN_WITHOUT_OSS, [sale("FR", "75001", "119.00"), sale("AT", "1010", "11.90")])
    assert asked(connection, KENNZAHLEN) == [("EUR", Decimal("110.00"), *[None] * 7)]
    assert asked(connection, ONE_STOP_SHOP) == []


def test_the_reduced_rate_of_germany_and_any_other(connection: Connection) -> None:
    """Planted: no Kz 35, so that a rate of 20 % is in no line at all."""
    books = [{"vat_amount": Decimal(rate), "vat_rate": Decimal(rate)} for rate in (7, 20)]
    fill(
        connection, GERMAN_BOOKS_OF_BRICKLINK, [sale("DE", "10115", str(100 + tax["vat_rate"]), **tax) for tax in books]
    )
    assert asked(connection, KENNZAHLEN) == [("EUR", None, 100, 100, 20, None, None, None, None)]


def test_the_lines_of_the_one_stop_shop(connection: Connection) -> None:
    """Monaco is declared as France. Planted: no such line for Northern Ireland."""
    fill(connection, GERMAN, SALES)
    assert asked(connection, ONE_STOP_SHOP) == [
        ("FR", 20, "EUR", Decimal("110.00"), Decimal("22.00")),
        ("XI", 20, "EUR", Decimal("50.00"), Decimal("10.00")),
    ]


def test_the_boxes_of_the_united_kingdom(connection: Connection) -> None:
    """Box 6 has all sales. Planted: only those with VAT, as the query of before had it."""
    fill(connection, BRITISH, SALES)
    # At home 60 and 240: VAT 10 and 40. All others are exports, but for Norway: one is 100 net, one is unclear.
    exports = Decimal("119.00") + Decimal("11.90") + 120 + 12 + 50 + 7 + 33 + Decimal("23.80")
    assert asked(connection, BOXES) == [
        ("EUR", Decimal("50.00"), Decimal("250.00") + exports + 100, 1, Decimal("125.00")),
        ("USD", None, Decimal("59.50"), None, None),
    ]


def test_the_orders_that_are_unclear_are_listed(connection: Connection) -> None:
    fill(connection, GERMAN, SALES)
    found = [(row[0], row[2], row[-1]) for row in asked(connection, UNCLEAR)]
    assert found == [
        ("9", "AT", "BL_TAX_FILE has no rate of the country for this day"),
        ("16", "NO", "BrickLink collects the VAT, and its amounts do not show that it keeps it"),
    ]

"""The reports of taxes, whatever the orders and the tax settings are, against plain Python."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, insert, text

from bl_pipeline.reports.files import BASES
from bl_pipeline.reports.reading import find_report
from bl_pipeline.reports.views import set_timezone
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.tables import orders, tax_rates, tax_settings
from bl_pipeline_tests.reports.test_against_the_store import by_grain
from bl_pipeline_tests.reports.test_properties import read
from bl_pipeline_tests.support.report_rows_of_taxes import added_up_for_a_return, sales_by_state
from bl_pipeline_tests.support.report_store import BOUNDARIES, ZONES
from bl_pipeline_tests.support.report_sums import Row, money
from bl_pipeline_tests.support.taxes import Facts, Tax, Taxes, tax_of
from bl_pipeline_tests.support.us_states import state_of_sale

RATES = [Decimal(rate) for rate in ("19", "20", "25.5")]
PLACES = [
    ("DE", "10115"), ("DE", "10115"), ("DE", "27498"), ("DE", None), ("FR", "75001"), ("FR", "75001"),
    ("FR", "F-97400"), ("MC", None), ("ES", "28013"), ("ES", "es 35 001"), ("GB", "SW1A 1AA"), ("GB", "bt1 1aa"),
    ("GB", "JE2 3XX"), ("IM", None), ("PT", "9000-123"), ("PT", "1000-001"), ("US", "10001"), ("CH", "8001"),
    ("LI", None), ("IE", "D02 AF30"), (None, None), ("", "1"), ("US", "00501-0001"), ("US", "96799"),
    ("PR", "00901"), ("US", "2139"),
]  # fmt: skip
STATES = ["NY", "New York", " ny ", "N.Y.", "US-NY", "d.c.", "Guam", "AE", "Nowhere", None, None]
SETTINGS = [
    None, ("DE", "standard", True, "computed"), ("DE", "standard", True, "bricklink"),
    ("DE", "standard", False, "computed"), ("DE", "standard", False, "bricklink"), ("DE", "cash", True, "computed"),
    ("DE", "small", False, "computed"), ("DE", "margin", True, "computed"), ("FR", "standard", True, "bricklink"),
    ("FR", "cash", True, "computed"), ("PT", "standard", True, "computed"), ("PT", "standard", True, "bricklink"),
    ("XI", "standard", True, "computed"), ("GB", "standard", False, "computed"), ("GB", "cash", False, "bricklink"),
    ("GB", "margin", False, "bricklink"), ("CH", "standard", False, "computed"), ("US", "none", False, "bricklink"),
]  # fmt: skip
"""Home country, scheme, One-Stop Shop and source of VAT, a case each."""
CASES = range(len(SETTINGS))
NOT_COUNTED = ("cancelled", "problem")
Case = tuple[Taxes | None, list[dict[str, Any]], str]
"""Settings, orders and a time zone."""


def draw_rates(rng: random.Random) -> tuple[tuple[str, date, Decimal], ...]:
    """Rates of some countries, from some days on."""
    days = [date(2000, 1, 1), date(2024, 12, 1), date(2025, 11, 1), date(2026, 1, 1), date(2026, 4, 1)]
    return tuple(
        (country, since, rng.choice(RATES))
        for country in ("DE", "FR", "GB", "PT", "XI", "IE", "CH")
        for since in rng.sample(days, 3)
        if rng.randrange(4)
    )


def draw_moment(rng: random.Random) -> datetime:
    """A moment around the end of a day, a month, a year or a rate in some time zone."""
    return rng.choice(BOUNDARIES) + timedelta(days=rng.choice([0, 0, -365, -334]), hours=rng.randint(-2, 2))


def draw_order(rng: random.Random) -> dict[str, Any]:
    """An order whose final_total may or may not be less by a tax that BrickLink collects."""

    def amount(most: int, places: int) -> Decimal:
        return Decimal(rng.randrange(most * 10**places)).scaleb(-places)

    country, postal_code = rng.choice(PLACES)
    total = rng.choice([amount(5000, 4), amount(300, 2), amount(20, 2), -amount(50, 4)])
    tax = rng.choice([None, Decimal(0), amount(40, 2)])
    vat = rng.choice([None, Decimal(0), amount(400, 2), amount(400, 4)])
    by_bricklink, vat_by_bricklink = (rng.choices([None, False, True], [2, 4, 1])[0] for _ in range(2))
    kept = tax if by_bricklink and tax else Decimal(0)
    off = rng.choice(["0", "0", "0", "0.01", "0.0101", "-0.01", "-5"])
    final = total - kept - Decimal(off) - (vat or 0) * rng.choice([0, 1])
    return {
        "status": rng.choice(["pending", "completed", "completed", "cancelled", "problem", "unknown"]),
        "currency": rng.choice(["EUR", "GBP"]),
        "order_date": draw_moment(rng),
        "paid_at": rng.choice([None, draw_moment(rng)]),
        "payment_status": rng.choice(["Received", "Returned", None]),
        "shipped_at": rng.choice([None, draw_moment(rng)]),
        "total": None if not rng.randrange(30) else total,
        "final_total": rng.choice([final, final, None]),
        "tax": tax,
        "vat_amount": vat,
        "vat_rate": rng.choice([None, Decimal(0), *RATES]),
        "sales_tax_collected_by_bricklink": by_bricklink,
        "vat_collected_by_bricklink": vat_by_bricklink,
        "country_code": country,
        "postal_code": postal_code,
        "address_state": rng.choice(STATES),
    }


def draw_case(number: int) -> Case:
    """The same for the same number."""
    rng = random.Random(number)
    chosen = SETTINGS[number]
    taxes = chosen and Taxes(*chosen, rates=draw_rates(rng))
    return taxes, [draw_order(rng) for _ in range(300)], rng.choice(ZONES)


def fill(connection: Connection, taxes: Taxes | None, drawn: list[dict[str, Any]]) -> None:
    """Put settings and orders into the warehouse."""
    if taxes:
        connection.execute(
            insert(tax_settings).values(
                store="main", home_country=taxes.home, vat_scheme=taxes.scheme, oss=taxes.oss, vat_source=taxes.source,
                noted_at=text("now()"),
            )
        )  # fmt: skip
        for country, since, rate in taxes.rates:
            connection.execute(
                insert(tax_rates).values(store="main", country_code=country, valid_from=since, rate=rate)
            )
    connection.execute(
        insert(orders),
        [
            {
                **sale, "store": "main", "platform": "bricklink", "platform_order_id": str(number),
                "subtotal": sale["total"], "display_id": f"BL-{number}", "first_order_date": sale["order_date"],
                "platform_status": sale["status"].upper(), "total_count": 1, "order_document_id": number,
                "fetched_at": sale["order_date"],
            }
            for number, sale in enumerate(drawn, start=1)
        ],
    )  # fmt: skip


def worked_out(taxes: Taxes | None, sale: dict[str, Any], zone: str) -> tuple[Facts, Tax]:
    """What the order is, and its tax."""
    paid = None if sale["payment_status"] == "Returned" else sale["paid_at"]
    at = min((at for at in (paid, sale["shipped_at"]) if at), default=sale["order_date"])
    facts = Facts(
        sale["country_code"], sale["postal_code"], at.astimezone(ZoneInfo(zone)).date(), sale["total"],
        sale["final_total"], sale["vat_rate"], sale["vat_amount"], sale["vat_collected_by_bricklink"], sale["tax"],
        sale["sales_tax_collected_by_bricklink"],
    )  # fmt: skip
    return facts, tax_of(taxes, facts)


def fill_case(connection: Connection, case: Case) -> None:
    """Put a case into the warehouse."""
    taxes, drawn, zone = case
    set_timezone(connection, "main", zone)
    fill(connection, taxes, drawn)


def compare_orders(connection: Connection, case: Case) -> None:
    """Each order has the tax that plain Python gives it."""
    taxes, drawn, zone = case
    rows = {row["platform_order_id"]: row for row in read(connection, "tax_orders")}
    counted = {str(place): sale for place, sale in enumerate(drawn, 1) if sale["status"] not in NOT_COUNTED}
    assert rows.keys() == counted.keys()
    for order_id, sale in counted.items():
        facts, tax = worked_out(taxes, sale, zone)
        row = rows[order_id]
        assert (row["tax_date"], row["special_territory"], row["region"]) == (facts.day, tax.territory, tax.region)
        assert (row["tax_kind"], row["unclear"], row["bricklink_vat"]) == (tax.kind, tax.unclear, tax.bricklink_vat)
        assert (row["rate"], row["rate_source"]) == (tax.rate, tax.source)
        assert (row["gross"], row["net"], row["vat"]) == (sale["total"], tax.net, tax.vat)
        if tax.unclear is None:
            assert row["gross"] == row["net"] + row["vat"] + row["other_tax"]


def compare_sums(connection: Connection, case: Case) -> None:
    """The orders added up, for a return and for the states, and nothing is lost."""
    orders, dated, shown, states = (
        read(connection, name) for name in ("tax_orders", "revenue_dates", "tax_return", "sales_tax_by_state")
    )
    taxed = {row["platform_order_id"]: row for row in orders}
    by_basis: list[Row] = [{**taxed[row["platform_order_id"]], **row} for row in dated]
    grain = find_report("tax_return").grain
    assert by_grain(shown, grain) == by_grain(added_up_for_a_return(by_basis), grain)
    for basis in BASES:
        for currency in ("EUR", "GBP"):
            of: Row = {"basis": basis, "currency": currency}
            assert total(shown, "gross", of) == total(dated, "total", of)
            assert total(shown, "revenue", of) == total(dated, "revenue", of)
            assert total(shown, "orders", of) == sum(of.items() <= row.items() for row in dated)

    sold = []
    for row in dated:
        sale = case[1][int(row["platform_order_id"]) - 1]
        state = state_of_sale(sale["country_code"], sale["address_state"], sale["postal_code"], sale["tax"])
        if state:
            is_facilitated = sale["sales_tax_collected_by_bricklink"]
            sold.append({**row, "state": state, "is_facilitated": is_facilitated})
    grain = find_report("sales_tax_by_state").grain
    assert by_grain(states, grain) == by_grain(sales_by_state(sold), grain)
    assert {row["state"] for row in states} > {"NY", "PR"}
    for row in states:
        assert row["gross_sales"] == row["facilitated_sales"] + row["seller_taxed_sales"] + row["untaxed_sales"]


@pytest.mark.parametrize("number", CASES)
def test_each_order_has_the_right_tax_or_says_why_not(blank: Warehouse, number: int) -> None:
    """Planted: all of test_tax_faults.py."""
    with blank.engine.connect() as connection:
        fill_case(connection, draw_case(number))
        compare_orders(connection, draw_case(number))
        connection.rollback()


@pytest.mark.parametrize("number", CASES)
def test_a_return_and_the_states_are_these_orders_added_up(blank: Warehouse, number: int) -> None:
    """And on each basis, the gross of all rows is what the buyers pay. Planted: all of test_tax_faults.py."""
    with blank.engine.connect() as connection:
        fill_case(connection, draw_case(number))
        compare_sums(connection, draw_case(number))
        connection.rollback()


def total(rows: list[Row], name: str, of: Row) -> Decimal | int:
    """The sum of a column over the rows that are so."""
    return sum(money(row[name]) for row in rows if of.items() <= row.items() and row[name] is not None)


def test_the_orders_drawn_have_every_kind_of_tax() -> None:
    """What is compared above is there, and each of it several times."""
    found: Counter[tuple[str, str, str | None]] = Counter()
    for number in CASES:
        taxes, drawn, zone = draw_case(number)
        for sale in drawn:
            _, tax = worked_out(taxes, sale, zone)
            found[tax.kind, tax.source, tax.unclear] += sale["status"] not in NOT_COUNTED
    assert len(found) == 18, "\n".join(map(str, found))
    assert min(found.values()) > 2, found

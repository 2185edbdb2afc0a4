"""Whatever the orders are, the parts of a breakdown add up to the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, text

from bl_pipeline.reports.files import read_reports
from bl_pipeline.reports.views import set_timezone
from bl_pipeline.settings import load_settings
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline.warehouse.tables import order_items, order_status_history, orders
from bl_pipeline_tests.support.report_store import BOUNDARIES, ZONES
from bl_pipeline_tests.support.servers import Postgres

SUMS = (
    "items_total", "shipping", "fees", "tax_collected_by_bricklink", "revenue", "charges", "discounts",
    "sales_tax_by_seller", "sales_tax_by_bricklink", "vat_by_seller", "turnover",
)  # fmt: skip
STATUSES = ("pending", "processing", "shipped", "completed", "on_hold", "problem", "cancelled", "unknown", "novel")

amounts = st.decimals(min_value=-50, max_value=5000, places=4, allow_nan=False)
moments = st.sampled_from(BOUNDARIES).flatmap(
    lambda moment: st.integers(-2, 2).map(lambda hours: moment + timedelta(hours=hours))
)
lines = st.fixed_dictionaries(
    {
        "item_number": st.sampled_from(["3001", "3002", None]),
        "item_type": st.sampled_from(["PART", "SET"]),
        "category_id": st.sampled_from([5, 6, None]),
        "color_id": st.sampled_from([0, 11]),
        "condition": st.sampled_from(["N", "U"]),
        "quantity": st.integers(1, 9),
        "total_price": amounts,
        "currency": st.sampled_from([None, "EUR", "USD"]),
    }
)
sales = st.fixed_dictionaries(
    {
        "status": st.sampled_from(STATUSES),
        "currency": st.sampled_from(["EUR", "USD", "GBP"]),
        "order_date": moments,
        "paid_at": st.none() | moments,
        "shipped_at": st.none() | moments,
        "subtotal": amounts,
        "shipping": st.none() | amounts,
        "fees": st.none() | amounts,
        "total": amounts,
        "final_total": st.none() | amounts,
        "tax": st.none() | amounts,
        "vat_amount": st.none() | amounts,
        "vat_rate": st.none() | st.sampled_from([Decimal("19"), Decimal("8.875")]),
        "sales_tax_collected_by_bricklink": st.none() | st.booleans(),
        "vat_collected_by_bricklink": st.none() | st.booleans(),
        "country_code": st.none() | st.sampled_from(["DE", "US"]),
        "payment_method": st.none() | st.sampled_from(["IBAN", "PayPal"]),
        "buyer_username": st.none() | st.sampled_from(["anna", "bram"]),
        "payment_status": st.sampled_from([None, "None", "Received", "Completed", "Clearing", "Returned", "Bounced"]),
        "credit": st.none() | amounts,
        "lines": st.lists(lines, max_size=3),
    }
)


def fill(connection: Connection, drawn: list[dict[str, Any]]) -> None:
    """Put the orders into the warehouse."""
    for number, sale in enumerate(drawn, start=1):
        key = {"store": "main", "platform": "bricklink", "platform_order_id": str(number)}
        values = {name: value for name, value in sale.items() if name != "lines"}
        connection.execute(
            insert(orders).values(
                **key,
                **values,
                display_id=f"BL-{number}",
                first_order_date=sale["order_date"],
                platform_status=sale["status"].upper(),
                total_count=sum(line["quantity"] for line in sale["lines"]),
                order_document_id=number,
                fetched_at=sale["order_date"],
            )
        )
        for place, line in enumerate(sale["lines"], start=1):
            connection.execute(insert(order_items).values(**key, **line, batch_number=1, line_number=place))
        same = ("currency", "order_date", "total", "final_total", "credit")
        connection.execute(
            insert(order_status_history).values(
                **key,
                **{name: sale[name] for name in same},
                document_id=number,
                observed_at=sale["order_date"] + timedelta(days=1),
                status_changed_at=sale["order_date"] + timedelta(hours=2),
                status=sale["status"],
                platform_status=sale["status"].upper(),
            )
        )


def read(connection: Connection, report: str, where: str = "true") -> list[dict[str, Any]]:
    """The rows of a report."""
    found = connection.execute(text(f"SELECT * FROM reports.{report} WHERE {where}"))
    return [dict(row) for row in found.mappings()]


def totals(rows: Iterable[dict[str, Any]], keys: tuple[str, ...], names: tuple[str, ...]) -> dict[Any, Any]:
    """Sums by keys; what is not known adds nothing."""
    found: dict[Any, Counter[str]] = {}
    for row in rows:
        sums = found.setdefault(tuple(row[key] for key in keys), Counter())
        for name in names:
            sums[name] += row[name] or 0
    return {key: {name: sums[name] for name in names} for key, sums in found.items()}


@settings(max_examples=40, deadline=None)
@given(drawn=st.lists(sales, min_size=1, max_size=12), zone=st.sampled_from(ZONES))
def test_the_parts_add_up_to_the_whole(blank: Warehouse, drawn: list[dict[str, Any]], zone: str) -> None:
    with blank.engine.connect() as connection:
        check(connection, drawn, zone)
        connection.rollback()


@pytest.mark.slow
def test_they_do_on_postgres_15(postgres_15: Postgres) -> None:
    orders = st.lists(sales, min_size=12, max_size=12)
    with (
        postgres_15.database() as url,
        open_warehouse(load_settings(env_file=None, bl_database_url=url, bl_store="main")) as warehouse,
        warehouse.engine.connect() as connection,
    ):
        assert str(connection.scalar(text("SHOW server_version"))).startswith("15")

        @settings(max_examples=3, deadline=None)
        @given(drawn=orders)
        def parts_add_up(drawn: list[dict[str, Any]]) -> None:
            check(connection, drawn, "Europe/Berlin")
            for report in read_reports():
                read(connection, report.name)
            connection.rollback()

        parts_add_up()


def check(connection: Connection, drawn: list[dict[str, Any]], zone: str) -> None:
    """Fill the warehouse, and see what the reports make of it."""
    set_timezone(connection, "main", zone)
    fill(connection, drawn)
    whole = read(connection, "revenue_by_month")
    counted = [sale for sale in drawn if sale["status"] not in {"cancelled", "problem"}]

    # The whole is what Python makes of the orders.
    local = ZoneInfo(zone)
    for basis, dated in (("order_date", "order_date"), ("paid_date", "paid_at")):
        mine = totals(
            (
                {
                    "month": sale[dated].astimezone(local).date().replace(day=1),
                    "currency": sale["currency"],
                    "orders": 1,
                    "revenue": sale["total"] if sale["final_total"] is None else sale["final_total"],
                }
                for sale in counted
                if sale[dated] is not None and (basis == "order_date" or counts(sale["payment_status"]))
            ),
            ("month", "currency"),
            ("orders", "revenue"),
        )
        rows = [row for row in whole if row["basis"] == basis]
        assert totals(rows, ("month", "currency"), ("orders", "revenue")) == mine

    # Whatever is not given, revenue and turnover are the sum of their parts.
    for row in whole:
        parts = row["items_total"] + (row["shipping"] or 0) + row["charges"] - row["discounts"]
        taxes = row["sales_tax_by_seller"] + row["sales_tax_by_bricklink"] - row["tax_collected_by_bricklink"]
        assert row["revenue"] == parts + taxes
        assert row["turnover"] == row["revenue"] - row["vat_by_seller"] - row["sales_tax_by_seller"]

    check_bases(connection, whole)
    reasons = {row["platform_order_id"]: row["reason"] for row in read(connection, "payments_to_check")}
    assert reasons == {str(number): why for number, sale in enumerate(drawn, 1) if (why := reason(sale))}

    # Broken down by anything, it stays the same.
    keys = ("basis", "month", "currency")
    expected = totals(whole, keys, ("orders", *SUMS))
    for report in ("revenue_by_country", "revenue_by_payment_method"):
        assert totals(read(connection, report), keys, ("orders", *SUMS)) == expected, report
    days = [{**row, "month": row["day"].replace(day=1)} for row in read(connection, "revenue_by_day")]
    assert totals(days, keys, ("orders", *SUMS)) == expected
    years = [{**row, "year": row["month"].year} for row in whole]
    yearly = ("basis", "year", "currency")
    assert totals(read(connection, "revenue_by_year"), yearly, ("orders", *SUMS)) == totals(
        years, yearly, ("orders", *SUMS)
    )
    taxes = ("orders", "tax_collected_by_bricklink", "revenue")
    assert totals(read(connection, "tax_by_rate_and_country"), keys, taxes) == totals(whole, keys, taxes)

    # Lines in another currency than their order are in no amount of it.
    for row in read(connection, "revenue_items", "line_number IS NOT NULL"):
        sale = drawn[int(row["platform_order_id"]) - 1]
        assert sale["lines"][row["line_number"] - 1]["currency"] in (None, row["currency"])
    for row in read(connection, "missing"):
        sale = drawn[int(row["platform_order_id"]) - 1]
        known = [line for line in sale["lines"] if line["currency"] in (None, sale["currency"])]
        assert row["missing_total"] == sale["subtotal"] - sum(line["total_price"] for line in known)

    by_order_date = [row for row in whole if row["basis"] == "order_date"]
    monthly = ("month", "currency")
    for report in ("item_type", "color", "category", "item", "condition"):
        parts = totals(read(connection, f"revenue_by_{report}"), monthly, ("items_total",))
        assert not_zero(parts) == not_zero(totals(by_order_date, monthly, ("items_total",))), report
    sums = ("orders", "revenue", "turnover")
    assert totals(read(connection, "new_and_returning_buyers"), monthly, sums) == totals(by_order_date, monthly, sums)

    # What counts and what does not are all there is; an unheard-of status counts.
    lost = sum(row["orders"] for row in read(connection, "cancellations_by_month"))
    assert lost + sum(row["orders"] for row in by_order_date) == len(drawn)

    # Every order is in one status at the end of this month.
    month = datetime.now(UTC).astimezone(local).date().replace(day=1)
    stock = read(connection, "statuses_by_month", f"month = '{month}'")
    assert sum(row["orders"] for row in stock) == len(drawn)


def counts(payment_status: str | None) -> bool:
    """Whether a payment of this status is money that the seller has."""
    return payment_status not in {"Clearing", "Returned", "Bounced"}


def reason(sale: dict[str, Any]) -> str | None:
    """Why the payment of an order has to be checked. Planted: `NOT IN` a status that BrickLink has not given."""
    status, goes_on = sale["payment_status"], sale["status"] in {"processing", "shipped", "completed"}
    if sale["status"] == "cancelled":
        return None
    if status in {"Returned", "Bounced"} or (status == "Clearing" and (sale["paid_at"] or goes_on)):
        return str(status).lower()
    is_paid = sale["paid_at"] is not None or status in {"Received", "Completed"}
    if sale["status"] == "problem":
        return "paid_problem" if is_paid else None
    return "no_payment_date" if sale["paid_at"] is None and (is_paid or goes_on) else None


def check_bases(connection: Connection, whole: list[dict[str, Any]]) -> None:
    """A basis and the steps after it come to the next one, and each is what the other reports say."""
    sums = ("orders", "revenue", "turnover")
    keys = ("month", "currency")
    steps = read(connection, "bases_reconciliation")
    for number, basis in enumerate(("order_date", "paid_date", "shipped_date", "tax_point"), start=1):
        expected = totals((row for row in whole if row["basis"] == basis), keys, sums)
        shown = totals((row for row in steps if row["step"].startswith(f"{number}0 ")), keys, sums)
        assert shown == expected, basis
        before = totals((row for row in steps if row["step"].startswith(str(number - 1))), keys, sums)
        if number > 1:
            assert not_zero(before) == not_zero(expected), basis


def not_zero(sums: dict[Any, Any]) -> dict[Any, Any]:
    """Orders whose items cost nothing need no row of items."""
    return {key: amounts for key, amounts in sums.items() if any(amounts.values())}

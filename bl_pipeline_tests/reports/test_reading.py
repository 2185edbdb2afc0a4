"""A report is read in part, in order, and added up over its period."""

from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal

import pytest

from bl_pipeline.questions import QuestionError, parse_day
from bl_pipeline.reports.reading import ReportQuestion, ReportRows, find_report, read_report, stream_report, summable
from bl_pipeline_tests.conftest import Sync
from bl_pipeline_tests.reports.conftest import Kept


def read(kept: Kept, name: str, **asked: object) -> ReportRows:
    """A report, or part of it."""
    with kept.warehouse.engine.connect() as connection:
        return read_report(connection, kept.warehouse.store, find_report(name), ReportQuestion(**asked))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "first", "last"),
    [
        ("2026", date(2026, 1, 1), date(2026, 12, 31)),
        ("2026-02", date(2026, 2, 1), date(2026, 2, 28)),
        ("2024-2", date(2024, 2, 1), date(2024, 2, 29)),
        (" 2026-02-14 ", date(2026, 2, 14), date(2026, 2, 14)),
    ],
)
def test_a_year_and_a_month_begin_and_end(written: str, first: date, last: date) -> None:
    assert (parse_day(written), parse_day(written, last=True)) == (first, last)


@pytest.mark.parametrize("written", ["", "26", "2026-13", "2026-02-30", "Feb 2026", "2026-01-01T00:00"])
def test_anything_else_is_no_day(written: str) -> None:
    with pytest.raises(QuestionError, match="no year, month or day"):
        parse_day(written)


def test_months_that_a_period_touches_are_in_it(kept: Kept) -> None:
    rows = read(kept, "revenue_by_month", since=date(2025, 10, 31), until=date(2026, 1, 1), basis="order_date")
    assert set(rows.values("month")) == {date(2025, 10, 1), date(2025, 11, 1), date(2025, 12, 1), date(2026, 1, 1)}
    assert set(rows.values("basis")) == {"order_date"}


def test_days_and_years_are_cut_too(kept: Kept) -> None:
    days = read(kept, "revenue_by_day", since=date(2026, 3, 1), until=date(2026, 3, 31))
    assert {day.month for day in days.values("day")} == {3}
    years = read(kept, "revenue_by_year", since=date(2025, 6, 1), until=date(2025, 12, 31))
    assert set(years.values("year")) == {2025}


def test_the_period_is_that_of_the_rows(kept: Kept) -> None:
    months = read(kept, "revenue_by_month", since=date(2025, 11, 1), until=date(2026, 1, 31), basis="order_date")
    assert months.period == (date(2025, 11, 1), date(2026, 1, 1))
    added_up = read(kept, "revenue_by_country", since=date(2025, 11, 1), until=date(2026, 1, 31), total=True)
    assert added_up.period == (date(2025, 11, 1), date(2026, 1, 1))
    assert read(kept, "open_orders_by_age").period is None
    assert read(kept, "revenue_by_month", since=date(2030, 1, 1)).period is None
    assert months.store == "main"


def test_one_currency(kept: Kept) -> None:
    assert set(read(kept, "revenue_by_month", currency="usd").values("currency")) == {"USD"}


def test_rows_are_sorted_by_basis_and_time(kept: Kept) -> None:
    rows = read(kept, "revenue_by_month")
    keys = list(zip(rows.values("basis"), rows.values("month"), rows.values("currency"), strict=True))
    assert keys == sorted(keys)
    assert len(keys) == len(set(keys))


def test_what_adds_up_is_added_up_the_largest_first(kept: Kept) -> None:
    monthly = read(kept, "revenue_by_item", currency="EUR", since=date(2025, 1, 1))
    total = read(kept, "revenue_by_item", currency="EUR", since=date(2025, 1, 1), total=True)
    assert total.place("month") is None
    assert [column.name for column in total.columns] == [
        column.name for column in monthly.columns if column.name != "month"
    ]
    expected: Counter[str | None] = Counter()
    for number, amount in zip(monthly.values("item_number"), monthly.values("items_total"), strict=True):
        expected[number] += amount
    found = dict(zip(total.values("item_number"), total.values("items_total"), strict=True))
    assert found == dict(expected)
    assert total.values("items_total") == sorted(total.values("items_total"), reverse=True)
    assert all(isinstance(amount, Decimal) for amount in total.values("items_total"))
    assert all(isinstance(orders, int) for orders in total.values("orders"))
    assert all(total.values("item_name")[place] for place, number in enumerate(total.values("item_number")) if number)


def test_what_does_not_add_up_stays_as_it_is(kept: Kept) -> None:
    assert read(kept, "revenue_by_month", total=True).rows == read(kept, "revenue_by_month").rows


def by_currency(rows: ReportRows) -> dict[str | None, list[dict[str, object]]]:
    """The rows of each currency."""
    found: dict[str | None, list[dict[str, object]]] = {}
    for row in rows.dicts():
        found.setdefault(row.get("currency"), []).append(row)
    return found


@pytest.mark.parametrize("name", ["revenue_by_item", "revenue_by_month", "tax_by_rate_and_country", "fulfilment_times"])
def test_a_limit_reads_some_rows_of_each_currency_and_knows_all_of_them(kept: Kept, name: str) -> None:
    asked: dict[str, object] = {"total": True, "since": date(2025, 11, 1)}
    asked["basis"] = "order_date" if find_report(name).has("basis") else None
    every, some = read(kept, name, **asked), read(kept, name, **asked, limit=2)
    whole, shown = by_currency(every), by_currency(some)
    assert shown == {
        currency: rows[:2] if find_report(name).is_ranking else rows[-2:] for currency, rows in whole.items()
    }
    assert some.left_out == len(every.rows) - len(some.rows) > 0
    assert some.period == every.period
    assert some.sections.keys() == whole.keys()
    for currency, rows in whole.items():
        assert some.sections[currency].count == len(rows)
        assert some.sections[currency].totals == {
            column.name: sum(row[column.name] for row in rows)  # type: ignore[misc]
            for column in summable(find_report(name))
        }


def test_only_what_adds_up_has_a_total(kept: Kept) -> None:
    columns = {name: [column.name for column in summable(find_report(name))] for name in (
        "revenue_by_item", "revenue_by_country", "new_and_returning_buyers", "fulfilment_times", "statuses_by_month",
    )}  # fmt: skip
    assert columns == {
        # An order with two items is in two rows, and a buyer who comes back is, too.
        "revenue_by_item": ["lots", "quantity", "items_total", "items_net"],
        "revenue_by_country": [
            "orders", "items_total", "shipping", "fees", "tax_collected_by_bricklink", "revenue", "charges",
            "discounts", "sales_tax_by_seller", "sales_tax_by_bricklink", "vat_by_seller", "turnover",
        ],
        "new_and_returning_buyers": ["orders", "revenue", "turnover"],
        "fulfilment_times": [],
        "statuses_by_month": [],
    }  # fmt: skip
    # The same orders are in all bases.
    assert not read(kept, "revenue_by_month", limit=2).sections["EUR"].totals


def test_the_last_rows_of_a_list_are_read_and_the_others_counted(kept: Kept) -> None:
    every = read(kept, "revenue_items")
    some = read(kept, "revenue_items", limit=7)
    assert some.rows == every.rows[-7:]
    assert some.left_out == len(every.rows) - 7
    assert some.period == every.period
    assert read(kept, "revenue_items", limit=10**6).left_out == 0


@pytest.mark.parametrize("name", ["revenue_by_item", "revenue_items"])
def test_a_long_report_is_read_in_parts(kept: Kept, name: str) -> None:
    asked = ReportQuestion(since=date(2025, 11, 1), total=True)
    with kept.warehouse.engine.connect() as connection:
        columns, rows = stream_report(connection, kept.warehouse.store, find_report(name), asked)
        found = [tuple(row) for row in rows]
    every = read(kept, name, since=date(2025, 11, 1), total=True)
    assert (columns, found) == (every.columns, every.rows)


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("fulfilment_times", {"currency": "EUR"}, "has no currency"),
        ("revenue_by_item", {"basis": "paid_date"}, "has no basis"),
        ("open_orders_by_age", {"since": date(2026, 1, 1)}, "not about a period"),
        ("revenue_by_month", {"currency": "E\0"}, "no currency E"),
        ("revenue_by_month", {"basis": "invoice_date"}, "There are: order_date, paid_date, shipped_date"),
    ],
)
def test_what_a_report_cannot_answer_is_said(kept: Kept, name: str, asked: dict[str, object], message: str) -> None:
    with pytest.raises(QuestionError, match=message):
        read(kept, name, **asked)


def test_there_is_no_such_report() -> None:
    with pytest.raises(QuestionError, match="There are: adjustments, "):
        find_report("profit")


def test_only_the_own_store_is_read(synced: Sync) -> None:
    from bl_pipeline.warehouse.database import open_warehouse

    with (
        open_warehouse(synced.settings.model_copy(update={"bl_store": "other"})) as warehouse,
        warehouse.engine.connect() as connection,
    ):
        assert not read_report(connection, warehouse.store, find_report("revenue_by_month")).rows


def test_orders_left_by_a_sync_are_missing_and_say_why(sync: Sync) -> None:
    from bl_pipeline.warehouse.database import open_warehouse

    sync(settings=sync.settings.model_copy(update={"bl_daily_call_limit": 20, "bl_call_reserve": 0}))
    sync(
        include_items=False, settings=sync.settings.model_copy(update={"bl_daily_call_limit": 30, "bl_call_reserve": 0})
    )
    with open_warehouse(sync.settings) as warehouse, warehouse.engine.connect() as connection:
        rows = read_report(connection, warehouse.store, find_report("missing"))
    found = Counter(zip(rows.values("missing"), rows.values("reason"), strict=True))
    assert found["order", "not_fetched"] > 0
    assert found["items", "not_fetched"] > 0
    assert sum(found.values()) < 24, "some were loaded in full"

"""What charts show, and that every one is drawn whatever the rows are."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from PIL import Image

from bl_pipeline.reports.files import Report, read_reports
from bl_pipeline.reports.pictures import (
    BARS,
    can_draw,
    caption,
    draw,
    in_full,
    month_labels,
    on_axis,
    panels,
    short,
    title,
    year_labels,
)
from bl_pipeline.reports.reading import ReportRows, find_report
from bl_pipeline_tests.support.slow import some_slow

CHARTED = [report for report in read_reports() if report.chart]


def rows_of(name: str, *rows: dict[str, Any]) -> ReportRows:
    """Rows of a report, with nothing in the columns that are not given."""
    report = find_report(name)
    return ReportRows(
        report,
        report.columns,
        [tuple(row.get(column.name) for column in report.columns) for row in rows],
        timezone="UTC",
    )


def month(name: str, number: int, currency: str, revenue: str, basis: str = "order_date") -> dict[str, Any]:
    """A row of revenue."""
    return {"basis": basis, name: date(2026, number, 1), "currency": currency, "revenue": Decimal(revenue)}


def size(png: bytes) -> tuple[int, int]:
    """Width and height."""
    with Image.open(io.BytesIO(png)) as image:
        return image.size


def test_each_currency_has_a_panel_the_one_of_most_orders_first() -> None:
    rows = rows_of(
        "revenue_by_month",
        {**month("month", 1, "PLN", "500"), "orders": 1},
        {**month("month", 1, "EUR", "20"), "orders": 3},
        {**month("month", 2, "EUR", "30"), "orders": 2},
        {**month("month", 1, "PLN", "99", basis="paid_date"), "orders": 9},
    )
    assert [(panel.name, panel.orders) for panel in panels(rows)] == [("EUR", 5), ("PLN", 1)]
    assert panels(rows)[0].values == {date(2026, 1, 1): {"": 20}, date(2026, 2, 1): {"": 30}}


def test_numbers_of_orders_of_all_currencies_are_one_panel() -> None:
    rows = rows_of(
        "open_orders_by_age",
        {"age": "00-02 days", "status": "pending", "currency": "EUR", "orders": 2},
        {"age": "00-02 days", "status": "pending", "currency": "USD", "orders": 1},
        {"age": "00-02 days", "status": "on_hold", "currency": "USD", "orders": 4},
    )
    (panel,) = panels(rows)
    assert panel.values == {"00-02 days": {"pending": 3.0, "on hold": 4.0}}


def test_what_is_over_is_left_out_of_the_stock_of_statuses() -> None:
    january = {"month": date(2026, 1, 1), "currency": "EUR"}
    rows = rows_of(
        "statuses_by_month",
        {**january, "status": "completed", "orders": 100},
        {**january, "status": "shipped", "orders": 3},
    )
    assert panels(rows)[0].values == {date(2026, 1, 1): {"shipped": 3.0}}


def test_amounts_are_added_up_exactly() -> None:
    rows = rows_of("revenue_by_country", *(month("month", 1, "EUR", amount) for amount in ("0.1", "0.2")))
    assert panels(rows)[0].values == {"no address": {"": Decimal("0.3")}}


def test_codes_are_drawn_with_their_names() -> None:
    same = {"currency": "EUR", "items_total": Decimal(1), "revenue": Decimal(1)}
    for name, column, values in (
        ("revenue_by_country", "country_code", {"DE": "Germany", "GB": "Britain (UK)", "QQ": "QQ", None: "no address"}),
        ("revenue_by_condition", "condition", {"N": "new", "U": "used", None: "not known"}),
        ("revenue_by_category", "category_id", {5: "category 5", None: "not known"}),
    ):
        rows = rows_of(name, *({**same, column: code} for code in values))
        assert list(panels(rows)[0].values) == list(values.values())


def test_why_items_are_not_known_is_below_the_picture() -> None:
    known = {"currency": "EUR", "items_total": Decimal(1), "item_name": "Brick"}
    rows = rows_of("revenue_by_item", known, {**known, "item_name": None})
    assert caption(rows, rows.report.column("items_total")).endswith(
        "\nnot known: BrickLink purged these items before they were fetched, or they were not fetched yet: "
        "see the report missing"
    )
    assert "not known" not in caption(rows_of("revenue_by_item", known), rows.report.column("items_total"))


def test_a_picture_of_the_past_says_so() -> None:
    """In the store's time zone, and in which. Planted: UTC; the time zone of reports with days only."""
    rows = rows_of("revenue_by_country", {"currency": "EUR", "country_code": "DE", "revenue": Decimal(1)})
    amount = rows.report.column("revenue")
    assert "as known at" not in caption(rows, amount)
    then = replace(rows, as_of=datetime(2026, 9, 30, 22, tzinfo=UTC), timezone="Europe/Berlin")
    assert "as known at 2026-10-01 00:00 · time zone Europe/Berlin" in caption(then, amount)
    stock = rows_of("open_orders_by_age", {"currency": "EUR", "status": "pending", "age": "0 to 2 days", "orders": 1})
    orders = stock.report.column("orders")
    assert "time zone" not in caption(stock, orders), "it has no days"
    assert "as known at 2026-09-30 22:00 · time zone UTC" in caption(replace(stock, as_of=then.as_of), orders)


def test_the_median_is_explained() -> None:
    rows = rows_of("fulfilment_times", {"month": date(2026, 1, 1), "step": "1", "median_hours": Decimal(1)})
    assert "the time in the middle (median)" in caption(rows, rows.report.column("median_hours"))


@pytest.mark.parametrize(
    ("name", "period", "expected"),
    [
        ("revenue_by_year", (2025, 2026), "Revenue by year, store main, 2025 to 2026"),
        ("revenue_by_month", (date(2026, 1, 1), date(2026, 3, 1)), "Revenue by month, store main, 2026-01 to 2026-03"),
        ("revenue_by_month", (date(2026, 1, 1), date(2026, 1, 1)), "Revenue by month, store main, 2026-01"),
        (
            "revenue_by_day",
            (date(2026, 1, 1), date(2026, 1, 9)),
            "Revenue by day, store main, 2026-01-01 to 2026-01-09",
        ),
        ("open_orders_by_age", None, "Open orders by age, store main"),
    ],
)
def test_store_and_period_are_in_the_title(name: str, period: Any, expected: str) -> None:
    assert title(replace(rows_of(name), store="main", period=period)) == expected


@pytest.mark.parametrize(
    ("first", "last", "named"),
    [(2025, 2026, [2025, 2026]), (2026, 2026, [2026]), (2000, 2026, list(range(2000, 2027, 2)))],
)
def test_only_years_with_bars_are_named(first: int, last: int, named: list[int]) -> None:
    assert year_labels(first, last) == named


def test_amounts_are_in_full_if_they_fit() -> None:
    assert in_full(Decimal("1135.8845")) == "1,135.88"
    assert [on_axis(value) for value in (0, 5.5, 2000, 950_000, 2_000_000)] == ["0", "5.5", "2,000", "950,000", "2M"]


def test_no_time_at_all_is_a_point_of_a_line() -> None:
    january = {"month": date(2026, 1, 1)}
    rows = rows_of(
        "fulfilment_times",
        {**january, "step": "1 placed to paid", "median_hours": Decimal(0)},
        {**january, "step": "2 paid to shipped", "median_hours": None},
    )
    assert panels(rows)[0].values == {date(2026, 1, 1): {"1 placed to paid": 0}}


@pytest.mark.parametrize(
    ("first", "last", "named"),
    [
        ((2025, 11), (2026, 2), ["Nov 2025", "Dec", "Jan 2026", "Feb"]),
        (
            (2025, 2),
            (2026, 12),
            ["Mar 2025", "May", "Jul", "Sep", "Nov", "Jan 2026", "Mar", "May", "Jul", "Sep", "Nov"],
        ),
        ((2010, 3), (2026, 1), [str(year) for year in range(2011, 2027)]),
        ((2026, 2), (2026, 2), ["Feb 2026"]),
    ],
)
def test_months_are_named_below_their_bars(first: tuple[int, int], last: tuple[int, int], named: list[str]) -> None:
    labels = month_labels(date(*first, 1), date(*last, 1))
    assert [label.replace("\n", " ") for label in labels.values()] == named


def test_without_rows_there_is_nothing_to_draw() -> None:
    rows = rows_of("revenue_by_month")
    assert not can_draw(rows)
    with pytest.raises(ValueError, match="nothing to draw"):
        draw(rows)
    assert not can_draw(rows_of("missing", {"missing": "items"}))


@pytest.mark.parametrize("report", some_slow(CHARTED, CHARTED[:2]), ids=lambda report: report.name)
@pytest.mark.parametrize("small", [False, True])
def test_every_chart_is_drawn_of_one_row_and_of_many(report: Report, small: bool) -> None:
    spec = report.chart
    assert spec is not None
    values: list[Any] = ["a" * 60, "$x_1$ & <b>", "大阪", None, *(f"name {number}" for number in range(BARS))]
    if spec.along == "year":
        values = list(range(2019, 2027))
    elif spec.over_time:
        values = [date(2025 + number // 12, number % 12 + 1, 1) for number in range(20)]
    rows = [
        {
            "basis": "order_date",
            "currency": currency,
            spec.along: value,
            **({spec.split: f"part {number % 4}"} if spec.split else {}),
            spec.amount: Decimal(number * 100 - 50),
        }
        for currency in ("EUR", "USD", "GBP", "PLN")
        for number, value in enumerate(values)
    ]
    for shown in (rows[:1], rows):
        width, height = size(draw(rows_of(report.name, *shown), small=small))
        assert (width <= 600) is small
        assert 60 < height < 2000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.05, "0.05"),
        (4.55, "4.5"),
        (12, "12"),
        (950, "950"),
        (1250, "1.2k"),
        (34_000, "34k"),
        (5_600_000, "5.6M"),
        (-1250, "-1.2k"),
        (2e9, "2G"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text

"""How the asset of a report previews its rows: which come first, and how each kind of value is written."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from bl_pipeline.defs.report_assets import PREVIEW_ROWS, preview
from bl_pipeline.reports.files import DAY, MONEY, PERCENT, TIME, ChartSpec, Report, ReportColumn
from bl_pipeline.reports.reading import ReportRows

CHART = ChartSpec("amount", over_time=False, along="name", split=None)


def previewed(
    units: dict[str, str | None], *rows: tuple[Any, ...], period: str | None = None, chart: ChartSpec | None = None
) -> list[str]:
    """The lines of the preview of a report that has these columns."""
    columns = tuple(ReportColumn(name, unit, name) for name, unit in units.items())
    report = Report(
        name="r", title="R", text="", question="", group="", grain=(), columns=columns, caveats=(), period=period,
        adds_up=True, basis=None, chart=chart, sql="", reads=(),
    )  # fmt: skip
    return preview(ReportRows(report, columns, rows, "UTC")).splitlines()


def test_each_kind_of_value_is_written_so_that_it_can_be_read() -> None:
    """Planted: None as a word; a number without its thousands, a key with them; a text that ends its cell."""
    units = {"name": None, "year": None, "at": TIME, "on": DAY, "sum": MONEY, "lots": "lots", "share": PERCENT}
    moment = datetime(2026, 6, 15, 12, 30, 59, tzinfo=UTC)
    assert previewed(
        units,
        (None,) * 7,
        ("a|b\nc", 2026, moment, date(2026, 6, 15), Decimal("1234.5"), 12345, Decimal("12.345")),
        (None, None, None, None, Decimal("0.0125"), None, None),
    ) == [
        "| name | year | at | on | sum | lots | share |",
        "| --- | --- | --- | --- | ---: | ---: | --- |",
        "|  |  |  |  | 0.0125 |  |  |",
        r"| a\|b c | 2026 | 2026-06-15 12:30 | 2026-06-15 | 1,234.50 | 12,345 | 12.34 |",
        "|  |  |  |  |  |  |  |",
    ]


def test_the_store_is_not_shown() -> None:
    """It is the same in each row. Planted: shown; the values of other columns below a head."""
    assert previewed({"a": None, "store": None, "b": None}, (1, "main", 2)) == [
        "| a | b |", "| --- | --- |", "| 1 | 2 |",
    ]  # fmt: skip


def test_the_latest_come_first_and_a_ranking_stays_as_it_is() -> None:
    """Planted: each kind of report in the order of another; the steps of a month turned round."""

    def names(*rows: tuple[int, str], period: str | None = None, chart: ChartSpec | None = None) -> str:
        lines = previewed({"year": None, "name": None}, *rows, period=period, chart=chart)
        return "".join(line.split(" | ")[1].removesuffix(" |") for line in lines[2:])

    rows = [(2024, "a"), (2026, "b"), (2026, "c"), (2025, "d")]
    assert names(*rows, period="year") == names(*rows, period="year", chart=CHART) == "bcda"
    assert names(*rows) == names(*rows, period="not shown") == "dcba"
    assert names(*rows, chart=CHART) == "abcd"


def test_it_has_some_rows_or_says_that_there_are_none() -> None:
    """Planted: all rows; the oldest of them; a head without a word."""
    lines = previewed({"a": None}, *((number,) for number in range(PREVIEW_ROWS + 1)))
    assert lines[2:] == [f"| {number} |" for number in range(PREVIEW_ROWS, 0, -1)]
    assert previewed({"a": None}) == ["| a |", "| --- |", "", "No rows."]

"""Reports in the terminal: the list of them, one as tables with bars, and as CSV, JSON or a picture."""

from __future__ import annotations

import csv
import sys
from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from bl_pipeline.settings import Settings
from bl_pipeline.terminal.console import Column, FittedTable, clean, plural
from bl_pipeline.warehouse.database import open_warehouse
from bl_pipeline.warehouse.report_files import Report, ReportColumn
from bl_pipeline.warehouse.report_views import bring_up_to_date
from bl_pipeline.warehouse.reports import (
    BASES,
    ReportQuestion,
    ReportQuestionError,
    ReportRows,
    find_report,
    parse_day,
    read_report,
)

RANKED_ROWS = 15
"""Of a ranking, so many are shown, and the rest in one line."""

LATEST_ROWS = 36
"""Of what runs over time, so many are shown: the latest."""

_BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"
_SHORTER = {
    "tax_collected_by_bricklink": "tax by BrickLink",
    "platform_order_id": "order",
    "platform_status": "BrickLink's status",
}
_LONG = {"item_name", "payment_method"}
_ALWAYS = {"currency", "status", "amount", "items_total", "total", "revenue"}
"""What a list of single orders is about: these columns stay where it is narrow."""

_NOT_SHOWN = {"store", "platform", "basis", "timezone", "currency"}
"""Columns that are in the heading, or the same everywhere."""


def list_view(reports: Iterable[Report]) -> RenderableType:
    """The reports by name, with what each one answers."""
    rows = [(report.name, report.question) for report in sorted(reports, key=lambda report: report.name)]
    return FittedTable([Column("report"), Column("answers", least=30)], rows)


def list_json(reports: Iterable[Report]) -> list[dict[str, Any]]:
    """The reports with all that their headers say."""
    return [
        {
            "name": report.name,
            "title": report.title,
            "question": report.question,
            "grain": list(report.grain),
            "columns": {column.name: column.comment for column in report.columns},
            "caveats": list(report.caveats),
        }
        for report in sorted(reports, key=lambda report: report.name)
    ]


@dataclass(frozen=True)
class Wanted:
    """A report as it was asked for in a terminal: days as they were written, and where the rows go."""

    name: str
    since: str | None = None
    until: str | None = None
    currency: str | None = None
    basis: str | None = None
    to_look_at: bool = True

    def read(self, settings: Settings) -> tuple[ReportRows, str | None]:
        """The rows, and what there is to say about the period.

        Who looks at a report sees one basis; files have them all, unless one is asked for. Raises
        ReportQuestionError.
        """
        report = find_report(self.name)
        basis = self.basis or (BASES[0] if self.to_look_at and report.has("basis") else None)
        since = parse_day(self.since) if self.since else None
        until = parse_day(self.until, last=True) if self.until else None
        # A list of single orders or lines may be a million long.
        latest = LATEST_ROWS if self.to_look_at and report.chart is None else None
        asked = ReportQuestion(since, until, self.currency, basis, total=True, latest=latest)
        with open_warehouse(settings) as warehouse:
            bring_up_to_date(warehouse.engine, report)
            with warehouse.engine.connect() as connection:
                rows = read_report(connection, warehouse, report, asked)
        return rows, whole_periods(report, since, until)


def whole_periods(report: Report, since: date | None, until: date | None) -> str | None:
    """What to say where the days asked for cut through a month or a year, which has only one row."""
    if report.period == "month":
        whole = (since is None or since.day == 1) and (
            until is None or until.day == monthrange(until.year, until.month)[1]
        )
    elif report.period == "year":
        whole = (since is None or (since.month, since.day) == (1, 1)) and (
            until is None or (until.month, until.day) == (12, 31)
        )
    else:
        whole = True
    return None if whole else f"{report.name} has whole {report.period}s: the first and the last are shown in full."


def report_view(rows: ReportRows) -> RenderableType:
    """A report as a table for each currency, with a bar in each row where it has a chart."""
    report = rows.report
    parts: list[RenderableType] = [Text(report.title, "bold"), Text(_subtitle(rows), "dim")]
    if not rows.rows:
        return Group(*parts, Text("\nNo rows."))
    place = rows.place("currency")
    sections: list[tuple[str | None, list[tuple[Any, ...]]]] = [(None, list(rows.rows))]
    if place is not None and report.chart:
        by_currency = sorted(rows.rows, key=lambda row: row[place] or "")
        sections = [(key, list(members)) for key, members in groupby(by_currency, key=itemgetter(place))]
    for currency, members in sections:
        parts += [Text(""), *([Text(clean(currency), "bold")] if currency else []), _table(rows, members)]
    return Group(*parts)


def _subtitle(rows: ReportRows) -> str:
    basis = rows.values("basis")
    facts = [
        rows.report.question,
        f"By {basis[0].replace('_', ' ')}." if basis and basis[0] else "",
        f"Days in {rows.timezone}." if rows.report.period else "",
        f"As of {rows.stored_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC." if rows.stored_at else "",
    ]
    return " ".join(filter(None, facts))


@dataclass(frozen=True)
class _Fitted:
    """A table, and below it what is said of other rows, and which columns there was no room for."""

    table: FittedTable
    said: str

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.table
        if self.said:
            yield Text(self.said, "dim")
        if left_out := self.table.left_out(options.max_width):
            yield Text(f"no room for {', '.join(left_out)}; see --csv", "dim")


def _table(rows: ReportRows, members: list[tuple[Any, ...]]) -> RenderableType:
    spec = rows.report.chart
    hidden = _NOT_SHOWN if spec else _NOT_SHOWN - {"currency"}
    places = [place for place, column in enumerate(rows.columns) if column.name not in hidden]
    amount = rows.place(spec.amount) if spec else None
    said = ""
    if spec is None or spec.over_time:
        earlier = rows.earlier + max(len(members) - LATEST_ROWS, 0)
        if earlier:
            said = f"and {plural(earlier, 'row')} before; see {'--from, ' if rows.report.period else ''}--csv"
        members = members[-LATEST_ROWS:]
    elif len(members) > RANKED_ROWS + 1:
        said = _rest(rows, members[RANKED_ROWS:])
        members = members[:RANKED_ROWS]
    columns = [_column(rows.report, rows.columns[place]) for place in places]
    cells: list[list[str | Text]] = [[_cell(row[place], rows.columns[place]) for place in places] for row in members]
    if amount is not None:
        columns.append(Column())
        largest = max((row[amount] or 0 for row in members), default=0)
        for row, line in zip(members, cells, strict=True):
            line.append(Text(bar(row[amount] or 0, largest), "blue"))
    return _Fitted(FittedTable(columns, cells), said)


def _rest(rows: ReportRows, members: list[tuple[Any, ...]]) -> str:
    """What is left out of a ranking; all of it is in one currency."""
    spec = rows.report.chart
    assert spec is not None
    place, column = rows.place(spec.amount), rows.report.column(spec.amount)
    assert place is not None
    total = sum((row[place] for row in members if row[place] is not None), Decimal(0) if column.is_money else 0)
    currency = rows.place("currency")
    unit = members[0][currency] if column.is_money and currency is not None else column.unit
    return f"and {len(members):,} more, together {_number(total)} {clean(unit)}"


def _column(report: Report, column: ReportColumn) -> Column:
    """What tells rows apart stays, and what it is about; the rest goes where it is narrow."""
    if report.chart:
        optional = column.is_amount and column.name not in {report.chart.amount, "orders"}
    else:
        optional = column.name not in {*report.grain, *_ALWAYS, *_LONG}
    return Column(
        _SHORTER.get(column.name, column.name.replace("_", " ")),
        right=column.is_amount,
        least=12 if column.name in _LONG else None,
        optional=optional,
    )


def bar(value: Decimal | int, largest: Decimal | int, width: int = _BAR) -> str:
    """A bar of blocks and eighths of them; none for what is not above zero."""
    if largest <= 0 or value <= 0:
        return ""
    eighths = max(round(value / largest * width * 8), 1)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _number(value: Decimal | float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _cell(value: Any, column: ReportColumn) -> str:
    if value is None:
        return "" if column.is_amount else "-"
    if column.is_amount:
        return _number(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    if isinstance(value, date):
        return f"{value:%Y-%m}" if column.name == "month" else value.isoformat()
    return clean(value)


def report_json(rows: ReportRows) -> list[dict[str, Any]]:
    """The rows for JSON: amounts exact and as text, days as 2026-03-01."""
    return [
        {name: value.isoformat() if type(value) is date else value for name, value in row.items()}
        for row in rows.dicts()
    ]


def write_csv(rows: ReportRows, file: IO[str]) -> None:
    """The rows as CSV, with a line of names: amounts exact, times as ISO 8601 in UTC, nothing for null."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.name for column in rows.columns])
    writer.writerows([_plain(value) for value in row] for row in rows.rows)


def save_csv(rows: ReportRows, path: Path) -> None:
    """The rows into a CSV file; - is standard output."""
    if str(path) == "-":
        write_csv(rows, sys.stdout)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        write_csv(rows, file)


def save_png(rows: ReportRows, path: Path) -> None:
    """The report's chart into a PNG file. Raises ReportQuestionError where there is none."""
    from bl_pipeline.pictures import can_draw, draw  # noqa: PLC0415  (half a second, and only who draws needs it)

    if rows.report.chart is None:
        raise ReportQuestionError(f"{rows.report.name} has no picture; look at its rows without --png.")
    if not can_draw(rows):
        raise ReportQuestionError(f"{rows.report.name} has no rows to draw: {_subtitle(rows)}")
    path.write_bytes(draw(rows))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return value

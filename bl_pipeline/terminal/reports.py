"""Reports in the terminal: the list of them, one as tables with bars, and as CSV, JSON or a picture."""

from __future__ import annotations

import io
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bl_pipeline.clock import utc_now
from bl_pipeline.questions import QuestionError, parse_day
from bl_pipeline.reports.as_of import parse_moment
from bl_pipeline.reports.csv_rows import write_csv
from bl_pipeline.reports.files import Report, ReportColumn, grouped
from bl_pipeline.reports.labels import IN_HEADING, ITEMS, WHY_ITEMS_ARE_NOT_KNOWN, cell, heading
from bl_pipeline.reports.reading import ReportQuestion, ReportRows, find_report, read_report, whole_periods
from bl_pipeline.reports.views import are_installed
from bl_pipeline.settings import Settings
from bl_pipeline.terminal import console as c
from bl_pipeline.terminal.console import amounts, clean, is_unicode
from bl_pipeline.terminal.reading import no_orders
from bl_pipeline.terminal.tables import Column, FittedTable
from bl_pipeline.warehouse.database import OutdatedWarehouse, read_warehouse
from bl_pipeline.warehouse.new_file import replaced_file
from bl_pipeline.warehouse.stores import stores_with_orders
from bl_pipeline.wording import number, plural

RANKED_ROWS = 15
"""Rows of a ranking that are shown; the rest is in one line."""

LATEST_ROWS = 36
"""Rows over time that are shown: the latest."""

_LEAST = {"item_name": 12, "payment_method": 12, "country_code": 8, "color_name": 8}
"""Columns of text that may be cut, and to how many characters."""

_ADD_UP = {
    "items_total", "shipping", "charges", "discounts", "total", "tax_collected_by_bricklink", "net",
    "vat_by_bricklink", "sales_tax_by_seller", "sales_tax_by_bricklink",
}  # fmt: skip
"""Amounts that are parts of another one: if there is no room for all of them, none is shown."""

_LISTED = {
    "status", "kind", "missing", "reason", "what", "day", "currency", "amount", "items_total", "item_number",
    "item_name", "booking_date", "account_key", "debit", "credit", "revenue_movement", "vat_movement", "left_to_check",
}  # fmt: skip
"""The main columns of a list of single orders or lots, besides those that identify a row."""

_SAYS_MORE = ("unclear", "rate_source", "special_territory", "region")
"""Columns that identify a row and go early all the same: the kind of tax says what is most important of them."""

_GOES_EARLY = (
    "country_before", "country_after", "counted", "order_month",
    *_SAYS_MORE, "state_number", "batch_number", "line_number", "line_no", "color_id", "year", "at", "month",
    "is_filed", "is_current", "valid_from_is", "not_before", "observed_at", "counts_as_revenue", "shipped_at",
    "paid_at", "buyer_key",
    "order_date", "payment_status", "credit", "coupon", "final_total", "vat_rate", "vat_by_seller", "lots",
    "items_net", "unexplained", "unexplained_orders", "country_code", "payment_method", "paid_orders",
    "oldest_order_date", "missing_count", "total_count", "average_hours", "platform_status", "category_id",
    "item_type", "color_name", "condition", "source_document_id", "previous_document_id", "booked_at", "tax_point",
    "period", "corrects_period", "seen_at", "tax_kind", "is_reversal", "event",
)  # fmt: skip
"""Columns to leave out if a table is too narrow, in this order; never those that identify a row or are charted."""


def list_view(reports: Collection[Report]) -> RenderableType:
    """The reports in their groups, with what each one answers."""
    parts: list[RenderableType] = []
    width = max(len(report.name) for report in reports)
    for group, members in grouped(reports):
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, min_width=width)
        table.add_column()
        for report in members:
            table.add_row(report.name, report.question)
        parts += [Text(""), Text(clean(group), "bold"), table]
    return Group(*parts[1:], Text("\nShow one with its name: bl report revenue_by_month", "dim"))


def list_json(reports: Iterable[Report]) -> list[dict[str, Any]]:
    """The reports with all that their headers say."""
    return [
        {
            "name": report.name,
            "title": report.title,
            "question": report.question,
            "group": report.group,
            "grain": list(report.grain),
            "columns": {column.name: column.comment for column in report.columns},
            "caveats": list(report.caveats),
        }
        for report in sorted(reports, key=lambda report: report.name)
    ]


@dataclass(frozen=True)
class Wanted:
    """A report as it was asked for in a terminal: days as they were written, and the form of the output."""

    name: str
    since: str | None = None
    until: str | None = None
    currency: str | None = None
    basis: str | None = None
    as_of: str | None = None
    to_look_at: bool = True

    def read(self, settings: Settings) -> tuple[ReportRows, str | None]:
        """The rows, and what there is to say about the period, or about a store without orders.

        A report in the terminal has one basis; files have all of them, unless one is asked for. Raises
        QuestionError.
        """
        report = find_report(self.name)
        basis = self.basis or (report.basis if self.to_look_at else None)
        since = parse_day(self.since) if self.since else None
        until = parse_day(self.until, last=True) if self.until else None
        # A list of single orders or lots may be a million long.
        limit = LATEST_ROWS if self.to_look_at and report.chart is None else None
        with read_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
            if not are_installed(connection):
                raise OutdatedWarehouse("its reports are not those of the folder sql/")
            c.show_times_in(warehouse.timezone)
            as_of = parse_moment(self.as_of, warehouse.timezone, utc_now()) if self.as_of else None
            asked = ReportQuestion(since, until, self.currency, basis, total=True, limit=limit, as_of=as_of)
            rows = read_report(connection, warehouse.store, report, asked)
            if not rows.rows and warehouse.store not in (stores := stores_with_orders(connection)):
                return rows, no_orders(settings, stores)
        return rows, whole_periods(report, since, until)


def report_view(rows: ReportRows) -> RenderableType:
    """A report as a table for each currency, with a bar in each row if it has a chart."""
    report = rows.report
    parts: list[RenderableType] = [Text(report.title, "bold"), Text(_subtitle(rows), "dim")]
    complete = [Text(f"\n{rows.completeness.in_words(rows.timezone)}", "dim")] if rows.completeness else []
    if not rows.rows:
        return Group(*parts, Text("\nNo rows."), *complete)
    place = rows.place("currency")
    sections: list[tuple[str | None, list[tuple[Any, ...]]]] = [(None, list(rows.rows))]
    if place is not None and report.chart:
        by_currency = sorted(rows.rows, key=lambda row: row[place] or "")
        sections = [(key, list(members)) for key, members in groupby(by_currency, key=itemgetter(place))]
    for currency, members in sections:
        parts += [Text(""), *([Text(clean(currency), "bold")] if currency else []), _table(rows, members)]
    return Group(*parts, *complete)


def _subtitle(rows: ReportRows) -> str:
    basis = rows.values("basis")
    facts = [
        rows.report.question,
        f"By {basis[0].replace('_', ' ')}." if basis and basis[0] else "",
        f"Days in {rows.timezone}." if rows.report.period else "",
        f"As known at {c.when(rows.as_of)}." if rows.as_of else "",
    ]
    return " ".join(filter(None, facts))


def _table(rows: ReportRows, members: list[tuple[Any, ...]]) -> RenderableType:
    spec = rows.report.chart
    hidden = IN_HEADING | {"currency"} if spec else IN_HEADING
    places = [
        place for place, column in enumerate(rows.columns) if column.name not in hidden and not column.is_deprecated
    ]
    said = ""
    if spec is None or spec.over_time:
        earlier = rows.left_out + max(len(members) - LATEST_ROWS, 0)
        if earlier:
            said = f"and {plural(earlier, 'row')} before; see {'--from, ' if rows.report.period else ''}--csv"
        members = members[-LATEST_ROWS:]
    elif len(members) > RANKED_ROWS + 1:
        said = _rest(rows, members[RANKED_ROWS:])
        members = members[:RANKED_ROWS]
    values = {place: [row[place] for row in members] for place in places}
    columns = [_column(rows, rows.columns[place], values[place]) for place in places]
    cells = [_cells(rows.columns[place], values[place]) for place in places]
    charted = rows.place(spec.amount) if spec else None
    bars = [] if charted is None else [row[charted] or 0 for row in members]
    unknown = any(rows.columns[place].name in ITEMS and None in values[place] for place in places)
    said = "\n".join(filter(None, [said, WHY_ITEMS_ARE_NOT_KNOWN if unknown else ""]))
    table = FittedTable(columns, zip(*cells, strict=True), bars, see="--csv")
    return Group(table, *([Text(said, "dim")] if said else []))


def _rest(rows: ReportRows, members: list[tuple[Any, ...]]) -> str:
    """What is left out of a ranking; all of it is in one currency."""
    spec = rows.report.chart
    assert spec is not None
    place, column = rows.place(spec.amount), rows.report.column(spec.amount)
    assert place is not None
    total = sum((row[place] for row in members if row[place] is not None), Decimal(0) if column.is_money else 0)
    currency = rows.place("currency")
    unit = members[0][currency] if column.is_money and currency is not None else column.unit
    return f"and {len(members):,} more, together {number(total)} {clean(unit)}"


def _column(rows: ReportRows, column: ReportColumn, values: Sequence[Any]) -> Column:
    """The column of a table. Those that identify rows and the main ones stay; the rest is left out if it is narrow."""
    report, name = rows.report, column.name
    if report.chart:
        stays = {*report.grain, report.chart.amount, "orders", "revenue", "turnover", "net", "amount"}
        # Of tax, revenue is only a by-product.
        stays -= {"revenue"} if report.has("net") else set()
    else:
        stays = {*_LISTED, *report.grain}
        if not report.has("amount"):
            stays |= {"revenue", "turnover"} if report.has("revenue") else {"total"}
        stays -= {"state_number", "batch_number", "line_number", "line_no"}
        if report.has("revenue"):
            stays -= {"items_total"}
        if not any(report.has(day) for day in ("day", "valid_from", "booking_date")):
            stays |= {"order_date"}
    if name in stays.difference(_SAYS_MORE):
        optional = 0
    elif column.is_amount and not any(values):
        optional = len(_GOES_EARLY) + 3
    elif name in _GOES_EARLY:
        optional = len(_GOES_EARLY) + 2 - _GOES_EARLY.index(name)
    elif report.has("net") and name in {"revenue", "tax_collected_by_bricklink"}:
        optional = 2
    else:
        optional = 1 if name in _ADD_UP or report.chart is None else 2
    return Column(heading(name), right=column.is_amount, least=_LEAST.get(name), optional=optional)


def _cells(column: ReportColumn, values: Sequence[Any]) -> list[str]:
    """A column's cells: amounts in full, with their decimal points below each other."""
    if column.is_amount and any(isinstance(value, Decimal) for value in values):
        return amounts(values)
    return [_cell(value, column) for value in values]


def _cell(value: Any, column: ReportColumn) -> str:
    return c.when(value) if isinstance(value, datetime) else clean(cell(column, value))


def report_json(rows: ReportRows) -> list[dict[str, Any]]:
    """The rows for JSON: amounts exact and as text, days as 2026-03-01."""
    return [
        {name: value.isoformat() if type(value) is date else value for name, value in row.items()}
        for row in rows.dicts()
    ]


def save_csv(rows: ReportRows, path: Path) -> None:
    """The rows into a CSV file; - is standard output."""
    if str(path) == "-":
        if isinstance(sys.stdout, io.TextIOWrapper) and not is_unicode(sys.stdout):
            # A file is UTF-8, whatever the terminal is.
            sys.stdout.reconfigure(encoding="utf-8")
        write_csv(rows.columns, rows.rows, sys.stdout)
        return
    with replaced_file(path) as written:
        file = io.TextIOWrapper(written, encoding="utf-8", newline="")
        write_csv(rows.columns, rows.rows, file)
        file.detach()  # with all that it has kept back


def save_png(rows: ReportRows, path: Path) -> None:
    """The report's chart into a PNG file. Raises QuestionError if there is none."""
    from bl_pipeline.reports.pictures import can_draw, draw  # noqa: PLC0415  (takes half a second)

    if rows.report.chart is None:
        raise QuestionError(f"{rows.report.name} has no picture; look at its rows without --png.")
    if not can_draw(rows):
        raise QuestionError(f"{rows.report.name} has no rows to draw: {_subtitle(rows)}")
    picture = draw(rows)
    with replaced_file(path) as written:
        written.write(picture)

"""The reports: the list of them, and each one with its picture, its table and its CSV."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated, Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from markupsafe import Markup
from sqlalchemy import Connection

from bl_pipeline.desk.failures import Refused
from bl_pipeline.desk.pages import page
from bl_pipeline.desk.state import DeskOf, Desks, View, desks_of, find_desk, view_of
from bl_pipeline.desk.words import exact, has_fractions, when
from bl_pipeline.questions import QuestionError, parse_day
from bl_pipeline.reports import pictures
from bl_pipeline.reports.as_of import parse_moment
from bl_pipeline.reports.completeness import read_completeness
from bl_pipeline.reports.csv_rows import write_csv
from bl_pipeline.reports.files import BASES, DAY, TIME, Report, ReportColumn, grouped, read_reports, reports_as_of
from bl_pipeline.reports.labels import IN_HEADING, ITEMS, WHY_ITEMS_ARE_NOT_KNOWN, cell, heading
from bl_pipeline.reports.reading import (
    ReportQuestion,
    ReportRows,
    find_report,
    read_currencies,
    read_report,
    stream_report,
    whole_periods,
)
from bl_pipeline.warehouse.stores import stores_with_orders

router = APIRouter(prefix="/reports")

ROWS = 100
"""Rows of a table on a page: the latest, or the largest."""

_IN_MEMORY = 1_000_000  # characters of a CSV; a longer one is in a temporary file until it is sent
_CHUNK = 65_536


@dataclass(frozen=True)
class Day:
    """A field for a day: its name, value and type. What was written and is no day stays as it is, as text."""

    name: str
    value: str
    kind: str = "date"

    @classmethod
    def read(cls, name: str, written: str, *, last: bool = False) -> Day:
        """The field of a day that was written so; it may be empty."""
        try:
            return cls(name, parse_day(written, last=last).isoformat() if written else "")
        except QuestionError:
            return cls(name, written, "text")


@dataclass(frozen=True)
class Asked:
    """What the form of a report asks for, as it was written; empty is no limit."""

    since: str
    until: str
    currency: str
    basis: str
    as_of: str
    store: str = ""

    def question(self, request: Request, view: View, report: Report, limit: int | None = None) -> ReportQuestion:
        """The question of this report: by its own basis if none is given. Raises QuestionError."""
        return ReportQuestion(
            parse_day(self.since) if self.since else None,
            parse_day(self.until, last=True) if self.until else None,
            self.currency or None,
            self.basis or report.basis,
            total=True,
            limit=limit,
            as_of=parse_moment(self.as_of, view.zone, desks_of(request).all[0].clock()) if self.as_of else None,
            stores=view.stores if view.is_of_all else (),
        )

    def days(self) -> tuple[Day, Day]:
        """First and last day, for the fields of the form."""
        return Day.read("from", self.since), Day.read("to", self.until, last=True)

    def address(self, path: str, **other: str) -> str:
        """The address of a page that asks the same, but for what is given."""
        given = {
            "from": self.since,
            "to": self.until,
            "currency": self.currency,
            "basis": self.basis,
            "as_of": self.as_of,
            "store": self.store,
        }
        query = urlencode({name: value for name, value in (given | other).items() if value})
        return f"{path}?{query}" if query else path


def _asked(
    since: Annotated[str, Query(alias="from")] = "",
    until: Annotated[str, Query(alias="to")] = "",
    currency: str = "",
    basis: str = "",
    as_of: str = "",
    store: str = "",
) -> Asked:
    return Asked(*(part.strip() for part in (since, until, currency, basis, as_of, store)))


AskedOf = Annotated[Asked, Depends(_asked)]


@dataclass(frozen=True)
class Table:
    """The rows of one currency, or all rows (`currency` is None). `head` has each column with its unit.

    `total` has a cell for each column, or none at all; `count` is of all rows, shown or not. `roots` are what the
    addresses of the pages of each row's store begin with.
    """

    currency: str | None
    head: Sequence[tuple[ReportColumn, str]]
    rows: Sequence[Sequence[str | Markup]]
    total: Sequence[str | Markup]
    count: int
    order_place: int | None
    roots: Sequence[str]


def named_periods(today: date) -> list[tuple[str, str, str]]:
    """The periods that are a link: name, first day and last day; no days is all there is."""
    month = today.replace(day=1)
    last_month = (month - timedelta(days=1)).replace(day=1)
    next_month = (month + timedelta(days=31)).replace(day=1)
    year = today.year
    return [
        ("All", "", ""),
        ("This month", f"{month}", f"{next_month - timedelta(days=1)}"),
        ("Last month", f"{last_month}", f"{month - timedelta(days=1)}"),
        ("This year", f"{year}-01-01", f"{year}-12-31"),
        ("Last year", f"{year - 1}-01-01", f"{year - 1}-12-31"),
    ]


def _find(name: str) -> Report:
    try:
        return find_report(name)
    except QuestionError as error:
        raise Refused(404, "There is no such report", str(error)) from None


@router.get("")
def list_reports(request: Request) -> HTMLResponse:
    """All reports, in their groups."""
    return page(request, "reports", groups=grouped(read_reports()))


@router.get("/{name}.png")
def picture(desk: DeskOf, request: Request, name: str, asked: AskedOf) -> Response:
    """The report's picture, which is of one store."""
    report, view = _find(name), view_of(request, None)
    with desk.source.reading() as (connection, warehouse):
        rows = read_report(connection, warehouse.store, report, asked.question(request, view, report))
    if not pictures.can_draw(rows):
        raise Refused(404, "There is no picture", "The report has none, or it has no rows to draw.")
    return Response(pictures.draw(rows), media_type="image/png")


@router.get("/{name}.csv")
def as_csv(request: Request, name: str, asked: AskedOf) -> StreamingResponse:
    """All rows, exactly. They are complete before the first is sent: what fails is an error, and no shorter file."""
    report, view = _find(name), view_of(request, asked.store)
    question = asked.question(request, view, report)
    with ExitStack() as opened:
        file: IO[str] = opened.enter_context(SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8", newline=""))
        with view.source.reading() as (connection, warehouse):
            write_csv(*stream_report(connection, warehouse.store, report, question), file)
        file.seek(0)
        opened.pop_all()  # _chunks closes it
    days = "".join(f"_{day}" for day in (question.since, question.until) if day)
    days += f"_as_of_{question.as_of:%Y%m%dT%H%M%SZ}" if question.as_of else ""
    return StreamingResponse(
        _chunks(file),
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}{days}.csv"'},
    )


def _chunks(file: IO[str]) -> Iterator[str]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk


@router.get("/{name}")
def show_report(request: Request, name: str, asked: AskedOf) -> HTMLResponse:
    """One report, of the store or of all; a question that cannot be answered is shown with the form as it was."""
    report = _find(name)
    rows, refusal, has_orders, completeness = None, "", True, ""
    view = view_of(request, None)
    with view.source.reading() as (connection, warehouse):
        currencies = read_currencies(connection, view.stores) if report.has("currency") else []
        try:
            view = view_of(request, asked.store)
            question = asked.question(request, view, report, ROWS)
            rows = read_report(connection, warehouse.store, report, question)
            if not rows.rows:
                has_orders = not {*view.stores}.isdisjoint(stores_with_orders(connection))
            if rows.completeness:
                completeness = rows.completeness.in_words(rows.timezone)
            elif view.is_of_all:
                rows = replace(rows, timezone=view.zone)
                completeness = _completeness(connection, view, question.as_of)
        except QuestionError as error:
            refusal = str(error)
    unknown = rows is not None and any(None in rows.values(column) for column in ITEMS if report.has(column))
    desks, desk = desks_of(request), find_desk(request)
    today = desks.all[0].clock().astimezone(ZoneInfo(view.zone)).date()
    path = f"{desk.root if desk else ''}/reports/{report.name}"
    can_draw = rows is not None and not view.is_of_all and pictures.can_draw(rows)
    return page(
        request,
        "report",
        status=422 if refusal else 200,
        report=report,
        refusal=refusal,
        asked=asked,
        days=asked.days(),
        currencies=sorted({*currencies, *filter(None, [asked.currency.upper()])}),
        bases=BASES,
        as_of=Day.read("as_of", asked.as_of) if report in reports_as_of(read_reports()) else None,
        periods=[
            (
                each,
                asked.address(path, **{"from": first, "to": last}),
                [first, last] == [day.value for day in asked.days()],
            )
            for each, first, last in named_periods(today)
        ],
        is_limited=bool(replace(asked, store="").address("")),
        has_orders=has_orders,
        whole_time=replace(asked, since="", until="", currency="", basis="", as_of="").address(path),
        stores=() if desk else tuple(each.store for each in desks.all),
        of_all=view.is_of_all,
        rows=rows,
        tables=[] if rows is None else _tables(rows, desks, is_of_all=view.is_of_all),
        completeness=completeness,
        note="" if rows is None else whole_periods(report, question.since, question.until) or "",
        why_unknown=WHY_ITEMS_ARE_NOT_KNOWN if unknown else "",
        picture=asked.address(f"{path}.png") if can_draw else "",
        picture_title=pictures.title(rows) if rows and can_draw else "",
        csv=asked.address(f"{path}.csv"),
        limit=ROWS,
    )


def _completeness(connection: Connection, view: View, as_of: datetime | None) -> str:
    """What is missing from the figures of several stores: a line for each of which something is, or may be."""
    found = {store: read_completeness(connection, store, as_of) for store in view.stores}
    lines = [f"{store}: {one.in_words(view.zone)}" for store, one in found.items() if as_of or not one.is_complete]
    return "\n".join(lines) or "Every order in BrickLink's lists of these stores is stored."


def _tables(rows: ReportRows, desks: Desks, *, is_of_all: bool) -> list[Table]:
    """A table for each currency if the report has a chart, else one of all rows; of all stores with their keys."""
    place = rows.place("currency")
    if not rows.rows:
        return []
    hidden = IN_HEADING - {"store"} if is_of_all else IN_HEADING
    if place is None or rows.report.chart is None:
        only = rows.sections.get(None)
        count = len(rows.rows) + rows.left_out
        return [_table(rows, desks, hidden, None, rows.rows, count, only.totals if only else {})]
    by_currency = sorted(rows.rows, key=lambda row: row[place] or "")
    tables = []
    for currency, members in groupby(by_currency, key=lambda row: row[place]):
        section = rows.sections[currency]
        of_currency = hidden | {"currency"}
        tables.append(_table(rows, desks, of_currency, currency, list(members), section.count, section.totals))
    return tables


def _table(
    rows: ReportRows,
    desks: Desks,
    hidden: Collection[str],
    currency: str | None,
    members: Sequence[tuple[Any, ...]],
    count: int,
    totals: Mapping[str, Any],
) -> Table:
    places = [
        place for place, column in enumerate(rows.columns) if column.name not in hidden and not column.is_deprecated
    ]
    # The total is a row below the others, with its decimal points below theirs.
    below = [*members, tuple(totals.get(column.name) for column in rows.columns)] if totals else members
    cells = [_cells(rows.columns[place], [row[place] for row in below], currency, rows.timezone) for place in places]
    lines = list(zip(*cells, strict=True))
    order, store = rows.place("platform_order_id"), rows.place("store")
    assert store is not None, "every report has it in its key"
    return Table(
        currency,
        [(rows.columns[place], _unit(rows.columns[place], currency, rows.timezone)) for place in places],
        lines[: len(members)],
        [text if rows.columns[place].name in totals else "" for place, text in zip(places, lines[-1], strict=True)]
        if totals
        else [],
        count,
        None if order is None else places.index(order),
        [desks.root(row[store]) for row in members],
    )


def _unit(column: ReportColumn, currency: str | None, zone: str) -> str:
    """The unit as it stands below the column's name."""
    if column.is_money:
        return currency or ""
    if column.unit == TIME:
        return zone
    return "" if column.unit in {None, DAY, heading(column.name)} else str(column.unit)


def _cells(column: ReportColumn, values: Sequence[Any], currency: str | None, zone: str) -> list[str | Markup]:
    """A column's cells; amounts with their decimal points below each other."""
    fine = any(has_fractions(value) for value in values if isinstance(value, Decimal))
    return [
        when(value, zone)
        if isinstance(value, datetime)
        else exact(value, currency if column.is_money else column.unit, fine=fine)
        if isinstance(value, Decimal) and column.is_amount
        else cell(column, value)
        for value in values
    ]

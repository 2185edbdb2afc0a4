"""Reads the rows of a report: those that were asked for, in their order, with what a limit leaves out."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from bl_pipeline.questions import QuestionError, one_of
from bl_pipeline.reports import views
from bl_pipeline.reports.as_of import known_at
from bl_pipeline.reports.completeness import Completeness, read_completeness
from bl_pipeline.reports.files import BASES, MONEY, SCHEMA, Report, ReportColumn, read_reports
from bl_pipeline.reports.labels import ITEMS

_STREAMED = 1_000
"""Rows that are in memory at a time."""


@dataclass(frozen=True, slots=True)
class ReportQuestion:
    """Which rows of a report; None is no limit. Days are the store's, `until` is included.

    `total` adds the rows of a ranking up over the period. `limit` is how many rows are read at most: the last ones;
    if the report has a chart, of each currency, and of a ranking the largest. `as_of` is the moment whose knowledge is
    asked for; None is now. `stores` are the stores whose rows are read, if they are several.
    """

    since: date | None = None
    until: date | None = None
    currency: str | None = None
    basis: str | None = None
    total: bool = False
    limit: int | None = None
    as_of: datetime | None = None
    stores: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """All rows of one currency, read or not: how many they are, and their amounts that may be added, by column."""

    count: int
    totals: Mapping[str, Decimal | int | None]


@dataclass(frozen=True, slots=True)
class ReportRows:
    """Rows of a report, in the order of its columns.

    `timezone` is that of the days. `left_out` is how many rows a limit has left out. `sections` are by currency (None
    if the report has none), and empty without a limit or a chart. `period` is the first and the last day, month or
    year that was asked about; None if the report is about no period, or if there are no rows. `as_of` is that of the
    question. `completeness` is of all figures as of that moment; None if it was not asked for, or if several stores
    were.
    """

    report: Report
    columns: tuple[ReportColumn, ...]
    rows: Sequence[tuple[Any, ...]]
    timezone: str
    store: str = ""
    left_out: int = 0
    sections: Mapping[str | None, Section] = field(default_factory=dict)
    period: tuple[Any, Any] | None = None
    as_of: datetime | None = None
    completeness: Completeness | None = None

    def place(self, name: str) -> int | None:
        """The position of a column in a row; None if it is not shown."""
        for place, column in enumerate(self.columns):
            if column.name == name:
                return place
        return None

    def values(self, name: str) -> list[Any]:
        """The values of a column, row by row; all None if it is not shown."""
        place = self.place(name)
        return [None if place is None else row[place] for row in self.rows]

    def dicts(self) -> list[dict[str, Any]]:
        """The rows by column name."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


def find_report(name: str) -> Report:
    """The report of this name. Raises QuestionError."""
    found = {report.name: report for report in read_reports()}
    return found[one_of(name, "report", found)]


@dataclass(frozen=True, slots=True)
class _Select:
    """A statement in parts.

    `by` is what its rows are sorted by, `keys` are what identifies one, `ends` are the first and the last period of a
    row; none if the report has no period.
    """

    report: Report
    columns: tuple[ReportColumn, ...]
    source: str
    by: tuple[str, ...]
    keys: tuple[str, ...]
    ends: tuple[str, ...]
    values: dict[str, Any]

    @property
    def fields(self) -> str:
        """What is selected."""
        return ", ".join(column.name for column in self.columns)

    def all(self, *others: str) -> str:
        """Every row, with other fields at its end."""
        return f"SELECT {', '.join([self.fields, *others])} {self.source} ORDER BY {', '.join(self.by)}"


def _select(connection: Connection, store: str, report: Report, asked: ReportQuestion) -> _Select:
    """What is asked of a report, as the parts of a SELECT: its rows, or if they are added up, one for all periods.

    Raises QuestionError.
    """
    stores = asked.stores or (store,)
    where, values = _conditions(report, asked)
    if asked.currency:
        _check_currency(connection, stores, asked.currency)
    # With an equals sign Postgres looks for the rows of one store in every table that the report reads.
    of_stores, values["stores"] = ("= :stores", stores[0]) if len(stores) == 1 else ("= ANY(:stores)", list(stores))
    source = f"FROM {SCHEMA}.{report.name} WHERE store {of_stores}{where}"
    if not (asked.total and report.is_ranking):
        keys = tuple(dict.fromkeys([*filter(report.has, ("basis", report.period or "")), *report.grain]))
        ends = (report.period, report.period) if report.period else ()
        return _Select(report, report.columns, source, keys, keys, ends, values)
    columns = tuple(column for column in report.columns if column.name != report.period)
    keys = tuple(name for name in report.grain if name != report.period)
    added_up = ", ".join(
        column.name
        if column.name in keys
        else f"sum({column.name})::{'numeric' if column.is_money else 'bigint'} AS {column.name}"
        if column.is_amount
        else f"max({column.name}) AS {column.name}"
        for column in columns
    )
    largest = [f"{report.chart.amount} DESC NULLS LAST"] if report.chart else []
    by = tuple(dict.fromkeys([*(name for name in ("basis", "currency") if name in keys), *largest, *keys]))
    # In a query of its own: ORDER BY would take a column of the view for the sum of the same name.
    source = (
        f"FROM (SELECT {added_up}, min({report.period}) AS period_begins, max({report.period}) AS period_ends {source} "
        f"GROUP BY {', '.join(keys)}) AS added_up"
    )
    return _Select(report, columns, source, by, keys, ("period_begins", "period_ends"), values)


def read_report(connection: Connection, store: str, report: Report, asked: ReportQuestion | None = None) -> ReportRows:
    """The store's rows of a report, sorted: by time, or the largest first if they are added up.

    Raises QuestionError if the report has no such column, if nothing was ever sold in that currency, or if it is about
    now only and asked for as of another moment.
    """
    asked = asked or ReportQuestion()
    with known_at(connection, asked.stores or (store,), report, asked.as_of):
        return _read(connection, store, report, asked)


def _read(connection: Connection, store: str, report: Report, asked: ReportQuestion) -> ReportRows:
    """The rows that were asked for, with the count and the sums of what a limit leaves out."""
    select = _select(connection, store, report, asked)
    sections: Mapping[str | None, Section] = {}
    left_out = 0
    period: tuple[Any, Any] | None
    if asked.limit is None:
        rows, period = _every(connection, select)
    elif report.chart is None:
        rows, left_out, period = _last(connection, select, asked.limit)
    else:
        rows, sections, period = _first_of_each_currency(connection, select, asked)
        left_out = sum(section.count for section in sections.values()) - len(rows)
    return ReportRows(
        report=report,
        columns=select.columns,
        rows=rows,
        timezone=views.read_timezone(connection, store),
        store=store,
        left_out=left_out,
        sections=sections,
        period=period if rows and select.ends else None,
        as_of=asked.as_of,
        completeness=None if asked.stores else read_completeness(connection, store, asked.as_of),
    )


def stream_report(
    connection: Connection, store: str, report: Report, asked: ReportQuestion
) -> tuple[tuple[ReportColumn, ...], Iterator[Sequence[Any]]]:
    """The columns and rows of a report that may be too long for the memory; the limit of the question is not used.

    Raises QuestionError as `read_report`. The rows are read from the connection while they are used.
    """
    select = _select(connection, store, report, asked)
    options = {"yield_per": _STREAMED}

    def rows() -> Iterator[Sequence[Any]]:
        with (
            known_at(connection, asked.stores or (store,), report, asked.as_of),
            connection.execute(text(select.all()), select.values, execution_options=options) as found,
        ):
            yield from found

    return select.columns, rows()


def _every(connection: Connection, select: _Select) -> tuple[list[tuple[Any, ...]], tuple[Any, Any] | None]:
    """All rows, and their period."""
    found = connection.execute(text(select.all(*select.ends)), select.values).all()
    width = len(select.columns)
    rows = [tuple(row[:width]) for row in found]
    return rows, (min(row[-2] for row in found), max(row[-1] for row in found)) if found and select.ends else None


def _last(
    connection: Connection, select: _Select, limit: int
) -> tuple[list[tuple[Any, ...]], int, tuple[Any, Any] | None]:
    """The last rows, how many come before, and the period of all."""
    backwards = ", ".join(f"{key} DESC" for key in select.keys)
    sql = f"SELECT {select.fields} {select.source} ORDER BY {backwards} LIMIT :limit"
    rows = [tuple(row) for row in connection.execute(text(sql), select.values | {"limit": limit})]
    rows.reverse()
    begin, end = select.ends or ("NULL", "NULL")
    sql = f"SELECT count(*), min({begin}), max({end}) {select.source}"
    count, first, last = connection.execute(text(sql), select.values).one()
    return rows, count - len(rows), (first, last)


def _first_of_each_currency(
    connection: Connection, select: _Select, asked: ReportQuestion
) -> tuple[list[tuple[Any, ...]], dict[str | None, Section], tuple[Any, Any] | None]:
    """The largest or the last rows of each currency, what there is to say about all of them, and their period."""
    report = select.report
    part = "PARTITION BY currency" if report.has("currency") else ""
    is_ranking = asked.total and report.is_ranking
    order = ", ".join(select.by if is_ranking else [f"{key} DESC" for key in select.by])
    # Those of different bases are the same orders.
    added = summable(report) if asked.basis or not report.has("basis") else []
    sums = "".join(f", sum({column.name}) OVER ({part}) AS sum_{column.name}" for column in added)
    begin, end = select.ends or ("NULL", "NULL")
    sql = (
        f"SELECT * FROM (SELECT {select.fields}, row_number() OVER ({part} ORDER BY {order}) AS place, "
        f"min({begin}) OVER () AS first_period, max({end}) OVER () AS last_period, "
        f"count(*) OVER ({part}) AS rows_in_all{sums} {select.source}) AS numbered "
        f"WHERE place <= :limit ORDER BY {', '.join(select.by)}"
    )
    rows = []
    sections: dict[str | None, Section] = {}
    period: tuple[Any, Any] | None = None
    width = len(select.columns)
    currency = next((place for place, column in enumerate(select.columns) if column.name == "currency"), None)
    for row in connection.execute(text(sql), select.values | {"limit": asked.limit}):
        rows.append(tuple(row[:width]))
        _place, first, last, count, *sums_of_all = row[width:]
        period = first, last
        totals = {
            column.name: value if value is None or column.is_money else int(value)
            for column, value in zip(added, sums_of_all, strict=True)
        }
        sections[None if currency is None else row[currency]] = Section(count, totals)
    return rows, sections, period


def summable(report: Report) -> list[ReportColumn]:
    """The columns whose amounts may be added over all rows of a currency; none if the report does not add up."""
    if not report.adds_up:
        return []
    # An order with several kinds of items is in several rows; buyers come back.
    units = {MONEY, "pieces", "lots"} | (set() if ITEMS & set(report.grain) else {"orders"})
    return [column for column in report.columns if column.unit in units]


def whole_periods(report: Report, since: date | None, until: date | None) -> str | None:
    """What to say if the days asked for are part of a month or a year, which has only one row."""
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


def count_rows(connection: Connection, store: str, report: Report) -> int:
    """How many rows the store's report has."""
    count: int | None = connection.scalar(
        text(f"SELECT count(*) FROM {SCHEMA}.{report.name} WHERE store = :store"), {"store": store}
    )
    return count or 0


def _conditions(report: Report, asked: ReportQuestion) -> tuple[str, dict[str, Any]]:
    """The conditions of a question, in SQL that continues a WHERE, and their values. Raises QuestionError."""
    conditions, values = list[str](), dict[str, Any]()
    if asked.since and asked.until and asked.since > asked.until:
        raise QuestionError(f"The period begins on {asked.since}, after its end on {asked.until}. Swap the two days.")
    if asked.since or asked.until:
        if report.period is None:
            raise QuestionError(f"{report.name} is not about a period: leave the days out.")
        by_year = report.period == "year"
        # A row is about its whole period, so one that has begun is shown.
        begin = {"month": "date_trunc('month', CAST(:since AS date))"}.get(report.period, ":since")
        if asked.since:
            conditions.append(f"{report.period} >= {begin}")
            values["since"] = asked.since.year if by_year else asked.since
        if asked.until:
            conditions.append(f"{report.period} <= :until")
            values["until"] = asked.until.year if by_year else asked.until
    for name, wanted in (("currency", asked.currency and asked.currency.upper()), ("basis", asked.basis)):
        if wanted is None:
            continue
        if not report.has(name):
            raise QuestionError(f"{report.name} has no {name}: leave the {name} out.")
        conditions.append(f"{name} = :{name}")
        values[name] = one_of(wanted, "basis", BASES) if name == "basis" else wanted
    return "".join(f" AND {condition}" for condition in conditions), values


def read_currencies(connection: Connection, stores: Sequence[str]) -> list[str]:
    """The currencies in which the stores have or had orders."""
    known = connection.scalars(
        text("SELECT DISTINCT currency FROM sales.order_status_history WHERE store = ANY(:stores) ORDER BY currency"),
        {"stores": list(stores)},
    )
    return list(known)


def _check_currency(connection: Connection, stores: Sequence[str], currency: str) -> None:
    """Raise QuestionError if the stores have orders, and none in this currency; or if it cannot be one."""
    known = read_currencies(connection, stores)
    if known or not currency.isalpha():
        one_of(currency, "currency", known)

"""Reading a report: which rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from bl_pipeline.reports import views
from bl_pipeline.reports.files import SCHEMA, Report, ReportColumn, read_reports
from bl_pipeline.reports.questions import QuestionError, one_of

BASES = ("order_date", "paid_date", "shipped_date")


@dataclass(frozen=True, slots=True)
class ReportQuestion:
    """Which rows of a report; None is no limit. Days are the store's, `until` is included.

    `total` adds the rows up over the period, if the report allows that; else `latest` is how many of the last rows.
    """

    since: date | None = None
    until: date | None = None
    currency: str | None = None
    basis: str | None = None
    total: bool = False
    latest: int | None = None


@dataclass(frozen=True, slots=True)
class ReportRows:
    """Rows of a report, in the order of its columns.

    `timezone` is that of the days. `earlier` is how many rows come before those that were asked for. `period` is the
    first and the last day, month or year that the rows are about; None if they are about no period, or if there are
    no rows.
    """

    report: Report
    columns: tuple[ReportColumn, ...]
    rows: Sequence[tuple[Any, ...]]
    timezone: str
    store: str = ""
    earlier: int = 0
    period: tuple[Any, Any] | None = None

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


def read_report(connection: Connection, store: str, report: Report, asked: ReportQuestion | None = None) -> ReportRows:
    """The store's rows of a report, sorted: by time, or the largest first if they are added up.

    Raises QuestionError if the report has no such column, or if nothing was ever sold in that currency.
    """
    asked = asked or ReportQuestion()
    where, values = _conditions(report, asked)
    values["store"] = store
    columns = report.columns
    backwards = False
    if asked.total and report.adds_up:
        columns = tuple(column for column in columns if column.name != report.period)
        keys = [name for name in report.grain if name != report.period]
        select = ", ".join(
            column.name
            if column.name in keys
            else f"sum({column.name})::{'numeric' if column.is_money else 'bigint'} AS {column.name}"
            if column.is_amount
            else f"max({column.name}) AS {column.name}"
            for column in columns
        )
        largest = f", sum({report.chart.amount}) DESC NULLS LAST" if report.chart else ""
        first = [name for name in ("basis", "currency") if name in keys]
        order = f"GROUP BY {', '.join(keys)} ORDER BY {', '.join(first)}{largest}, {', '.join(keys)}"
    else:
        select = ", ".join(column.name for column in columns)
        keys = list(dict.fromkeys([*filter(report.has, ("basis", report.period or "")), *report.grain]))
        backwards = asked.latest is not None
        order = f"ORDER BY {', '.join(f'{key} DESC' if backwards else key for key in keys)}"
    limit = f" LIMIT {asked.latest}" if backwards else ""
    source = f"FROM {SCHEMA}.{report.name} WHERE {where}"
    rows = [tuple(row) for row in connection.execute(text(f"SELECT {select} {source} {order}{limit}"), values)]
    if not rows and asked.currency:
        _check_currency(connection, store, asked.currency)
    earlier = 0
    if backwards:
        rows.reverse()
        earlier = (connection.scalar(text(f"SELECT count(*) {source}"), values) or 0) - len(rows)
    return ReportRows(
        report=report,
        columns=columns,
        rows=rows,
        timezone=views.read_timezone(connection, store),
        store=store,
        earlier=earlier,
        period=_period(connection, report, columns, rows, source, values),
    )


def _period(
    connection: Connection,
    report: Report,
    columns: tuple[ReportColumn, ...],
    rows: Sequence[tuple[Any, ...]],
    source: str,
    values: dict[str, Any],
) -> tuple[Any, Any] | None:
    if report.period is None or not rows:
        return None
    for place, column in enumerate(columns):
        if column.name == report.period:
            days = [row[place] for row in rows]
            return min(days), max(days)
    # The rows are added up over it.
    ends = connection.execute(text(f"SELECT min({report.period}), max({report.period}) {source}"), values).one()
    return ends[0], ends[1]


def count_rows(connection: Connection, store: str, report: Report) -> int:
    """How many rows the store's report has."""
    count: int | None = connection.scalar(
        text(f"SELECT count(*) FROM {SCHEMA}.{report.name} WHERE store = :store"), {"store": store}
    )
    return count or 0


def _conditions(report: Report, asked: ReportQuestion) -> tuple[str, dict[str, Any]]:
    conditions, values = ["store = :store"], dict[str, Any]()
    if asked.since and asked.until and asked.since > asked.until:
        raise QuestionError(f"--from {asked.since} is after --to {asked.until}.")
    if asked.since or asked.until:
        if report.period is None:
            raise QuestionError(f"{report.name} is not about a period: leave --from and --to out.")
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
            raise QuestionError(f"{report.name} has no {name}: leave --{name} out.")
        conditions.append(f"{name} = :{name}")
        values[name] = one_of(wanted, "basis", BASES) if name == "basis" else wanted
    return " AND ".join(conditions), values


def _check_currency(connection: Connection, store: str, currency: str) -> None:
    """Raise QuestionError if the store has orders, and none in this currency."""
    known = connection.scalars(
        text("SELECT DISTINCT currency FROM sales.order_status_history WHERE store = :store"),
        {"store": store},
    ).all()
    if known:
        one_of(currency, "currency", known)

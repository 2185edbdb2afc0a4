"""Reading a report: which rows, and of which moment."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from bl_pipeline.warehouse import report_views
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.report_files import SCHEMA, Report, ReportColumn, read_reports

BASES = ("order_date", "paid_date", "shipped_date")
_PERIOD = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")


class ReportQuestionError(ValueError):
    """What was asked of a report cannot be answered; the message says what can."""


@dataclass(frozen=True, slots=True)
class ReportQuestion:
    """Which rows of a report; None is no limit. Days are the store's, `until` is included.

    `total` adds the rows up over the period, where the report allows that; else `latest` is how many of the last rows.
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

    `stored_at` is the moment they show where they are stored, None where they are of now. `timezone` is where days
    begin and end. `earlier` is how many rows come before those that were asked for.
    """

    report: Report
    columns: tuple[ReportColumn, ...]
    rows: Sequence[tuple[Any, ...]]
    timezone: str
    stored_at: datetime | None
    earlier: int = 0

    def place(self, name: str) -> int | None:
        """Where in a row a column is; None where it is not shown."""
        for place, column in enumerate(self.columns):
            if column.name == name:
                return place
        return None

    def values(self, name: str) -> list[Any]:
        """The values of a column, row by row; all None where it is not shown."""
        place = self.place(name)
        return [None if place is None else row[place] for row in self.rows]

    def dicts(self) -> list[dict[str, Any]]:
        """The rows by column name."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


def find_report(name: str) -> Report:
    """The report of this name. Raises ReportQuestionError."""
    for report in read_reports():
        if report.name == name:
            return report
    raise ReportQuestionError(f"There is no report {name}. There are: {', '.join(sorted(names()))}")


def names() -> list[str]:
    """The names of all reports."""
    return [report.name for report in read_reports()]


def parse_day(written: str, *, last: bool = False) -> date:
    """2026, 2026-03 or 2026-03-14 as its first day, or its last. Raises ReportQuestionError."""
    found = _PERIOD.fullmatch(written.strip())
    try:
        if found is None:
            raise ValueError
        year, month, day = (int(part) if part else None for part in found.groups())
        assert year is not None
        month = month or (12 if last else 1)
        return date(year, month, day or (monthrange(year, month)[1] if last else 1))
    except ValueError:
        raise ReportQuestionError(f"{written!r} is no year, month or day such as 2026, 2026-03 or 2026-03-14") from None


def read_report(
    connection: Connection, warehouse: Warehouse, report: Report, asked: ReportQuestion | None = None
) -> ReportRows:
    """The store's rows of a report, sorted: by time, or the largest first where they are added up.

    Raises ReportQuestionError where the report has no such column.
    """
    asked = asked or ReportQuestion()
    where, values = _conditions(report, asked)
    values["store"] = warehouse.store
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
    earlier = 0
    if backwards:
        rows.reverse()
        earlier = (connection.scalar(text(f"SELECT count(*) {source}"), values) or 0) - len(rows)
    return ReportRows(
        report=report,
        columns=columns,
        rows=rows,
        timezone=_timezone(connection, warehouse),
        stored_at=None if report_views.is_outdated(connection, report) else report_views.stored_at(connection, report),
        earlier=earlier,
    )


def count_rows(connection: Connection, warehouse: Warehouse, report: Report) -> int:
    """How many rows the store's report has."""
    count: int | None = connection.scalar(
        text(f"SELECT count(*) FROM {SCHEMA}.{report.name} WHERE store = :store"), {"store": warehouse.store}
    )
    return count or 0


def _conditions(report: Report, asked: ReportQuestion) -> tuple[str, dict[str, Any]]:
    conditions, values = ["store = :store"], dict[str, Any]()
    if asked.since and asked.until and asked.since > asked.until:
        raise ReportQuestionError(f"--from {asked.since} is after --to {asked.until}.")
    if asked.since or asked.until:
        if report.period is None:
            raise ReportQuestionError(f"{report.name} is not about a period: leave --from and --to out.")
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
            raise ReportQuestionError(f"{report.name} has no {name}: leave --{name} out.")
        if name == "basis" and wanted not in BASES:
            raise ReportQuestionError(f"There is no basis {wanted}. There are: {', '.join(BASES)}")
        conditions.append(f"{name} = :{name}")
        values[name] = wanted
    return " AND ".join(conditions), values


def _timezone(connection: Connection, warehouse: Warehouse) -> str:
    zone: str | None = connection.scalar(
        text("SELECT timezone FROM sync.stores WHERE store = :store"), {"store": warehouse.store}
    )
    return zone or "UTC"

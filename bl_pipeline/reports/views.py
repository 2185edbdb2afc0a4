"""The reports as views in the schema `reports`, made again whenever sql/ has changed.

A view computes its rows when it is read, so it is always as new as the sales.
"""

from __future__ import annotations

from psycopg.errors import DependentObjectsStillExist
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from bl_pipeline.reports.files import SCHEMA, Report, digest, read_reports


class ReportViewsError(Exception):
    """The views could not be made; the message says why and what to do."""


def install_reports(connection: Connection) -> None:
    """Make the views say what sql/ says, in the caller's transaction; nothing is written if they do.

    Raises ReportViewsError.
    """
    if are_installed(connection):
        return
    # Two processes may come at once: the second finds the work done.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('bl_pipeline.migrate', 0))"))
    if not are_installed(connection):
        reports = read_reports()
        _make_all(connection, reports, digest(reports))


def are_installed(connection: Connection) -> bool:
    """Whether the views are those of sql/."""
    reports = read_reports()
    return _is_installed(connection, reports, digest(reports))


def set_timezone(connection: Connection, store: str, timezone: str) -> str | None:
    """Set the time zone of the store's days, in the caller's transaction.

    Returns the time zone that it had, None if it is the same or the store is new. Raises ReportViewsError.
    """
    before = _stored_timezone(connection, store)
    if timezone == before:
        return None
    try:
        with connection.begin_nested():
            connection.execute(text("SELECT now() AT TIME ZONE :timezone"), {"timezone": timezone})
    except DBAPIError:
        raise ReportViewsError(f"BL_TIMEZONE: this Postgres knows no time zone {timezone}.") from None
    connection.execute(
        text(
            """
            INSERT INTO sync.stores (store, timezone) VALUES (:store, :timezone)
            ON CONFLICT (store) DO UPDATE SET timezone = excluded.timezone
            """
        ),
        {"store": store, "timezone": timezone},
    )
    return before


def read_timezone(connection: Connection, store: str) -> str:
    """The time zone of the store's days."""
    return _stored_timezone(connection, store) or "UTC"


def _stored_timezone(connection: Connection, store: str) -> str | None:
    zone: str | None = connection.scalar(
        text("SELECT timezone FROM sync.stores WHERE store = :store"), {"store": store}
    )
    return zone


def _is_installed(connection: Connection, reports: tuple[Report, ...], wanted: str) -> bool:
    # After a restore without these schemas, sync.report_views has the names, but the views are not there.
    rows = connection.execute(
        text("SELECT name, digest FROM sync.report_views WHERE to_regclass(:schema || '.' || name) IS NOT NULL"),
        {"schema": SCHEMA},
    )
    installed = {row.name: row.digest for row in rows}
    return installed == dict.fromkeys((report.name for report in reports), wanted)


def _make_all(connection: Connection, reports: tuple[Report, ...], wanted: str) -> None:
    if not connection.scalar(text("SELECT to_regnamespace(:schema) IS NOT NULL"), {"schema": SCHEMA}):
        connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
    old = [name for (name,) in connection.execute(text("SELECT name FROM sync.report_views"))]
    try:
        with connection.begin_nested():
            for report in reports:
                _make(connection, report)
            _drop(connection, [name for name in old if name not in {report.name for report in reports}])
    except DBAPIError:
        # A view cannot be replaced by one of other columns.
        _drop(connection, old)
        for report in reports:
            _make(connection, report)
    connection.execute(text("DELETE FROM sync.report_views"))
    connection.execute(
        text("INSERT INTO sync.report_views (name, digest) VALUES (:name, :digest)"),
        [{"name": report.name, "digest": wanted} for report in reports],
    )


def _drop(connection: Connection, names: list[str]) -> None:
    """Drop views of ours; never what a user has built on them."""
    if not names:
        return
    try:
        with connection.begin_nested():
            connection.execute(text(f"DROP VIEW IF EXISTS {', '.join(f'{SCHEMA}.{name}' for name in names)}"))
    except DBAPIError as error:
        if not isinstance(error.orig, DependentObjectsStillExist):
            raise
        raise ReportViewsError(
            f"The reports have changed, but something of your own is built on them:\n{error.orig.diag.message_detail}\n"
            "Drop it, start again, and make it again on the new reports."
        ) from None


def _make(connection: Connection, report: Report) -> None:
    """The view, and the header of its file as comments, which BI tools show."""
    view = f"{SCHEMA}.{report.name}"
    _execute(connection, f"CREATE OR REPLACE VIEW {view} AS\n{report.sql}")
    _execute(connection, f"COMMENT ON VIEW {view} IS {_literal(report.description)}")
    for column in report.columns:
        _execute(connection, f"COMMENT ON COLUMN {view}.{column.name} IS {_literal(report.comment_of(column))}")


def _execute(connection: Connection, statement: str) -> None:
    # Without SQLAlchemy's and the driver's parameters: a report may have colons and per cent signs.
    connection.exec_driver_sql(statement.replace("%", "%%"))


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def column_types(connection: Connection, report: Report) -> dict[str, str]:
    """Postgres's type of each column of the report."""
    rows = connection.execute(
        text(
            """
            SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
            WHERE attrelid = CAST(:view AS regclass) AND attnum > 0
            """
        ),
        {"view": f"{SCHEMA}.{report.name}"},
    )
    return {row.attname: row.format_type for row in rows}

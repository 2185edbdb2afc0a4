"""The reports as views in the schema `reports`, made again whenever sql/ has changed.

A view computes its rows when it is read, so it is always as new as the sales. In a warehouse of very many orders
that takes too long for some reports. Their assets then store the rows in the schema `stored`, and the view reads
the stored rows. When a sync ends, these are outdated: the view computes its rows again, slowly, until its asset or
the end of `bl sync` has stored the new ones.
"""

from __future__ import annotations

from datetime import datetime

from psycopg.errors import DependentObjectsStillExist
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from bl_pipeline.reports.files import SCHEMA, Report, digest, read_reports

STORED_ABOVE = 20_000
"""With more orders than this in the warehouse, the reports that allow it are stored: the slowest takes a second."""

STORED_SCHEMA = "stored"

_OUTDATED = """(
    SELECT EXISTS (
        SELECT FROM sync.report_views v JOIN sync.runs r ON r.finished_at > v.stored_at WHERE v.name = '{name}'
    )
)"""


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
    if before is not None:
        # Stored rows have the days of the old time zone.
        make_live(connection)
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
    for schema in (SCHEMA, STORED_SCHEMA):
        if not connection.scalar(text("SELECT to_regnamespace(:schema) IS NOT NULL"), {"schema": schema}):
            connection.execute(text(f"CREATE SCHEMA {schema}"))
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
    gone = connection.execute(
        text("SELECT tablename FROM pg_tables WHERE schemaname = :schema"), {"schema": STORED_SCHEMA}
    )
    for (name,) in gone.all():
        connection.execute(text(f"DROP TABLE {STORED_SCHEMA}.{name}"))


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


def make_live(connection: Connection) -> None:
    """Let every report be computed when it is read: its stored rows are outdated. In the caller's transaction."""
    reports = read_reports()
    if any(stored_at(connection, report) for report in reports):
        _make_all(connection, reports, digest(reports))


def is_large(connection: Connection) -> bool:
    """Whether the warehouse has more orders than STORED_ABOVE, so that reports are stored."""
    return bool(
        connection.scalar(text("SELECT EXISTS (SELECT FROM sales.orders OFFSET :above)"), {"above": STORED_ABOVE})
    )


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


def stored_at(connection: Connection, report: Report) -> datetime | None:
    """When the report's rows were stored; None if they are computed when read."""
    moment: datetime | None = connection.scalar(
        text("SELECT stored_at FROM sync.report_views WHERE name = :name"), {"name": report.name}
    )
    return moment


def is_outdated(connection: Connection, report: Report) -> bool:
    """Whether a sync has ended since the report's rows were stored."""
    return bool(connection.scalar(text(f"SELECT {_OUTDATED.format(name=report.name)}")))


def bring_up_to_date(engine: Engine, report: Report, *, always: bool = False) -> datetime | None:
    """Refresh the report if it is outdated, or always, after the outdated ones that it reads. Returns `stored_at`.

    Each in a transaction of its own: a transaction that changed two views could wait for a reader of both that waits
    for it (a deadlock).
    """
    with engine.connect() as connection:
        if not always and not is_outdated(connection, report):
            return stored_at(connection, report)
    above = _above(report)
    for other in read_reports():
        if other.name in above:
            with engine.begin() as connection:
                if is_outdated(connection, other):
                    refresh(connection, other)
    with engine.begin() as connection:
        return refresh(connection, report)


def _above(report: Report) -> set[str]:
    """The reports that it reads, itself or through others."""
    above: set[str] = set()
    for other in (report, *reversed(read_reports())):
        if other is report or other.name in above:
            above |= {name for schema, name in other.reads if schema == SCHEMA}
    return above


def refresh(connection: Connection, report: Report) -> datetime | None:
    """Store the report's rows again if it is to be stored, else let them be computed when read.

    In the caller's transaction; readers see the earlier rows until it ends. Returns `stored_at`.
    """
    if not report.stored_when_large:
        return None
    # Only one report at a time: two could wait for each other through a reader.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('bl_pipeline.reports', 0))"))
    if not is_large(connection):
        if stored_at(connection, report) is not None:
            _make(connection, report)
            connection.execute(text(f"DROP TABLE IF EXISTS {STORED_SCHEMA}.{report.name}"))
            _note(connection, report, stored=False)
        return None
    table = f"{STORED_SCHEMA}.{report.name}"
    _execute(connection, f"CREATE TABLE {table}__new AS\n{report.sql}")
    if report.has("platform_order_id"):
        connection.execute(text(f"CREATE INDEX ON {table}__new (store, platform, platform_order_id)"))
    connection.execute(text(f"ANALYZE {table}__new"))
    columns = ", ".join(column.name for column in report.columns)
    outdated = _OUTDATED.format(name=report.name)
    # Evaluated once for each reading; Postgres runs only the half of the union whose condition is true.
    _execute(
        connection,
        f"CREATE OR REPLACE VIEW {SCHEMA}.{report.name} AS\n"
        f"SELECT {columns} FROM {table}__new WHERE NOT {outdated}\n"
        f"UNION ALL\nSELECT {columns} FROM (\n{report.sql}\n) AS live WHERE {outdated}",
    )
    connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
    connection.execute(text(f"ALTER TABLE {table}__new RENAME TO {report.name}"))
    _note(connection, report, stored=True)
    return stored_at(connection, report)


def _note(connection: Connection, report: Report, *, stored: bool) -> None:
    connection.execute(
        text("UPDATE sync.report_views SET stored_at = CASE WHEN :stored THEN now() END WHERE name = :name"),
        {"name": report.name, "stored": stored},
    )

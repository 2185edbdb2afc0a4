"""The reports as views in the schema `reports`, made again whenever sql/ has changed.

A view computes its rows when it is read, so it is always as new as the sales. The schema `store_reports` has the same
reports once more: of each only the rows of the stores that sync.store_readers gives to the role that reads.
"""

from __future__ import annotations

from psycopg.errors import DependentObjectsStillExist
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from bl_pipeline.reports.files import SCHEMA, STORE_SCHEMA, Report, digest, read_reports, reports_as_of


class ReportViewsError(Exception):
    """The views could not be made; the message says why and what to do."""


def install_reports(connection: Connection) -> None:
    """Make the views say what sql/ says, in the caller's transaction; nothing is written if they do.

    Raises ReportViewsError.
    """
    if are_installed(connection):
        return
    wait_for_turn(connection)
    if not are_installed(connection):
        reports = read_reports()
        _make_all(connection, reports, digest(reports))


def wait_for_turn(connection: Connection) -> None:
    """Keep others from making tables and views until the caller's transaction ends; waits for them first.

    Two processes may come at once: the second has to look again, and finds the work done.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('bl_pipeline.migrate', 0))"))


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
    """Make the views of all reports anew, for all stores and for one, and note from which files they are."""
    for schema in (SCHEMA, STORE_SCHEMA):
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
    for report in reports_as_of(reports):
        for schema in (SCHEMA, STORE_SCHEMA):
            _make_as_of(connection, schema, report)
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
            views = [f"{schema}.{name}" for schema in (SCHEMA, STORE_SCHEMA) for name in names]
            for view in views:
                connection.execute(text(f"DROP FUNCTION IF EXISTS {view}_as_of"))
            connection.execute(text(f"DROP VIEW IF EXISTS {', '.join(views)}"))
    except DBAPIError as error:
        if not isinstance(error.orig, DependentObjectsStillExist):
            raise
        raise ReportViewsError(
            f"The reports have changed, but something of your own is built on them:\n{error.orig.diag.message_detail}\n"
            "Drop it, start again, and make it again on the new reports."
        ) from None


def _make(connection: Connection, report: Report) -> None:
    """The views, and the header of the file as comments, which BI tools show.

    Both are read with the rights of their owner. With security_barrier no function of the reader's own gets a row
    before the condition on the store has let it through.
    """
    _execute(connection, f"CREATE OR REPLACE VIEW {SCHEMA}.{report.name} AS\n{report.sql}")
    _execute(
        connection,
        f"""
        CREATE OR REPLACE VIEW {STORE_SCHEMA}.{report.name} WITH (security_barrier) AS
        SELECT * FROM {SCHEMA}.{report.name}
        WHERE store = ANY(ARRAY(SELECT r.store FROM sync.store_readers r WHERE r.role_name = current_user::text))
        """,
    )
    for view in (f"{SCHEMA}.{report.name}", f"{STORE_SCHEMA}.{report.name}"):
        _execute(connection, f"COMMENT ON VIEW {view} IS {_literal(report.description)}")
        for column in report.columns:
            _execute(connection, f"COMMENT ON COLUMN {view}.{column.name} IS {_literal(report.comment_of(column))}")


def _make_as_of(connection: Connection, schema: str, report: Report) -> None:
    """The function that has the rows of the schema's report as of a moment; none as of no moment.

    It has only the rights of its reader.
    """
    _execute(
        connection,
        f"""
        CREATE OR REPLACE FUNCTION {schema}.{report.name}_as_of(moment timestamptz)
        RETURNS SETOF {schema}.{report.name} LANGUAGE plpgsql STRICT AS $$
        DECLARE
            before text := coalesce(pg_catalog.current_setting('bl_pipeline.as_of', true), '');
        BEGIN
            -- As JSON writes it: a date style may write IST for the time of India, which is read as that of Israel.
            PERFORM pg_catalog.set_config('bl_pipeline.as_of', pg_catalog.to_json(moment) #>> '{{}}', true);
            RETURN QUERY SELECT * FROM {schema}.{report.name};
            PERFORM pg_catalog.set_config('bl_pipeline.as_of', before, true);
        END
        $$
        """,
    )
    comment = f"{report.title}, as the warehouse knew it at a moment"
    _execute(connection, f"COMMENT ON FUNCTION {schema}.{report.name}_as_of IS {_literal(comment)}")


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

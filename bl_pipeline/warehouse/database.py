"""The warehouse's connection: the Postgres given, or the embedded one, with its tables up to date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

from bl_pipeline.settings import Settings
from bl_pipeline.warehouse import embedded
from bl_pipeline.warehouse.report_views import ReportViewsError, install_reports

PLATFORM = "bricklink"
# With the kernel's own keepalive Postgres would hold the lock of a machine that lost its power for two hours.
_OPTIONS = "-c timezone=UTC -c tcp_keepalives_idle=60 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
_MIGRATIONS = Path(__file__).parent / "migrations"


class WarehouseError(Exception):
    """The warehouse cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Warehouse:
    """One store's warehouse: an engine (SQLAlchemy, psycopg 3) and the store's key in every table."""

    engine: Engine
    store: str


def psycopg_url(url: str) -> URL:
    """The URL with its driver named: without, SQLAlchemy's default driver would decide."""
    return make_url(url).set(drivername="postgresql+psycopg")


@contextmanager
def postgres_url(settings: Settings) -> Iterator[str]:
    """The warehouse's URL: the one set, else the embedded server's, which runs as long as the context is open.

    Raises WarehouseError where the embedded server cannot be had.
    """
    if settings.postgres_url:
        yield settings.postgres_url
        return
    try:
        lease = embedded.acquire(settings.bl_home, binaries=settings.bl_postgres_bin)
    except embedded.EmbeddedPostgresError as error:
        raise WarehouseError(str(error)) from error
    with closing(lease):
        yield lease.url


@contextmanager
def open_warehouse(settings: Settings) -> Iterator[Warehouse]:
    """The store's warehouse, its tables up to date.

    Raises WarehouseError where Postgres is not reached, refuses, or holds tables of a newer release.
    """
    with postgres_url(settings) as url:
        # One connection a request in flight, one for the batch that is loaded, one to look.
        engine = create_engine(
            psycopg_url(url),
            pool_size=settings.bl_max_parallel_requests + 2,
            pool_pre_ping=True,
            # An error that quotes its parameters quotes a buyer.
            hide_parameters=True,
            connect_args={"connect_timeout": 10, "options": _OPTIONS, "application_name": "bl_pipeline"},
        )
        try:
            try:
                with engine.begin() as connection:
                    upgrade(connection)
                    install_reports(connection, settings.bl_store, settings.explicit_timezone)
            except ReportViewsError as error:
                raise WarehouseError(str(error)) from None
            except DBAPIError as error:
                # Without a statement it is the connection that failed.
                say = unreachable if error.statement is None or error.connection_invalidated else _unusable
                raise WarehouseError(say(engine.url, error.orig)) from None
            yield Warehouse(engine, settings.bl_store)
        finally:
            engine.dispose()


def unreachable(url: URL, error: BaseException | None) -> str:
    """What a user reads when the Postgres of the settings cannot be reached."""
    return (
        f"The warehouse at {_place(url)} cannot be reached: {_reason(error)}\n"
        "Check BL_DATABASE_URL (host, port, database, user, password) and that Postgres runs there; "
        "or unset it to use the embedded Postgres."
    )


def _unusable(url: URL, error: BaseException | None) -> str:
    message = f"The tables of the warehouse at {_place(url)} could not be made or changed: {_reason(error)}"
    if isinstance(error, InsufficientPrivilege):
        message += (
            "\nThe user of BL_DATABASE_URL needs the right to make schemas there, once: "
            f'GRANT CREATE ON DATABASE "{url.database}" TO "{url.username}". Where another user has made them '
            "already, give that one in BL_DATABASE_URL."
        )
    return message


def _place(url: URL) -> str:
    return f"{url.host}:{url.port or 5432}/{url.database}"


def _reason(error: BaseException | None) -> str:
    # The first line: what follows is the statement.
    lines = str(error or "").strip().splitlines()
    return lines[0] if lines else "no answer"


def upgrade(connection: Connection) -> None:
    """Bring the tables up to date, in the caller's transaction; nothing is done where they are."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    head = ScriptDirectory.from_config(config).get_current_head()
    if _current_revision(connection) == head:
        return
    # Two processes may come at once: the second finds the work done.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('bl_pipeline.migrate', 0))"))
    current = _current_revision(connection)
    if current == head:
        return
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise WarehouseError(
            f"The warehouse was made by a newer bl_pipeline (revision {current}); update this installation."
        )
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS sync"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _current_revision(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table_schema": "sync"})
    return context.get_current_revision()

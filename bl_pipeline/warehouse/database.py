"""The warehouse's connection: the Postgres given, or the embedded one, with its tables up to date."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg.errors import (
    DuplicateTable,
    InsufficientPrivilege,
    InvalidTableDefinition,
    LockNotAvailable,
    ProtocolViolation,
    QueryCanceled,
)
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

from bl_pipeline.home import open_folder
from bl_pipeline.postgres import embedded
from bl_pipeline.postgres.cluster import Cluster, EmbeddedPostgresError
from bl_pipeline.reports.views import ReportViewsError, install_reports, read_timezone, wait_for_turn
from bl_pipeline.settings import Settings, SettingsError
from bl_pipeline.warehouse.completeness import missing
from bl_pipeline.warehouse.connections import READING_LOCK_TIMEOUT, open_engine, shares_sessions
from bl_pipeline.warehouse.preconditions import POOLER, SMALL_POOL, Problem, Server, look
from bl_pipeline.warehouse.refusals import read_refusal

PLATFORM = "bricklink"
_WRONG_PARAMETER = re.compile(
    r"(invalid (\S+ )?value\b|bad value for|invalid (SSL protocol version range|port number)).*"
)
"""What is said of a value in the URL's parameters that no connection takes."""

_NAMED = 10
"""Missing tables and columns that a message names."""

_MIGRATIONS = Path(__file__).parent / "migrations"


class WarehouseError(Exception):
    """The warehouse cannot be used; the message says why and what to do."""


class PreconditionsFailed(WarehouseError):
    """This Postgres is not what the pipeline relies on; `problems` says of each what to do."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(f"{problem.finding}\n{problem.repair}" for problem in problems))


class NothingStored(WarehouseError):
    """There are no tables: nothing was ever synced into this warehouse."""

    def __init__(self) -> None:
        super().__init__("The warehouse is empty: nothing was synced yet.")


class OutdatedWarehouse(WarehouseError):
    """An older release, or another sql/, has made the tables or views; a command that reads leaves them as they are."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            "The warehouse is not up to date with this release of bl_pipeline, so it cannot be read yet; a command "
            "that reads changes nothing.\nBring it up to date with: bl doctor. The next bl sync or bl up does it too.\n"
            f"({detail})"
        )


class DamagedWarehouse(WarehouseError):
    """Tables or columns are missing that this release has made."""

    def __init__(self, names: list[str]) -> None:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        super().__init__(
            f"Tables or columns of the warehouse are missing: {', '.join(names[:_NAMED])}{more}. They were dropped by "
            "hand, or by another program. Nothing was changed.\n"
            "Restore your last backup: bl restore --replace FILE\n"
            "If that is refused, or without a backup: set BL_DATABASE_URL to an empty database, or BL_HOME to another "
            "folder. Then restore there, or fetch all that BrickLink still has with: bl sync. Keep the damaged "
            "warehouse: the items of old orders and the history of statuses may be only in there."
        )


@dataclass(frozen=True)
class Warehouse:
    """One store's warehouse: an engine (SQLAlchemy, psycopg 3) and the store's key in every table.

    `timezone` is the time zone of the store's days when it was opened, `address` says in words which Postgres it is.
    """

    engine: Engine
    store: str
    timezone: str = "UTC"
    address: str = ""


@contextmanager
def postgres_url(settings: Settings) -> Iterator[URL]:
    """The warehouse's URL: the one set, else the embedded server's, which runs while the context is open.

    Raises WarehouseError if the embedded server cannot run, or ends because its disk is full, and SettingsError if this
    account cannot use BL_HOME.
    """
    if settings.postgres_url:
        yield settings.postgres_url
        return
    open_folder(settings.bl_home / "postgres", settings.bl_home)
    try:
        lease = embedded.acquire(settings.bl_home, binaries=settings.bl_postgres_bin)
    except EmbeddedPostgresError as error:
        raise WarehouseError(str(error)) from error
    with closing(lease):
        try:
            yield make_url(lease.url)
        except Exception as error:
            refusal = read_refusal(error)
            if refusal and refusal.is_lost and (full := embedded.full_disk(Cluster.of(settings.bl_home))):
                raise WarehouseError(full) from None
            raise


def refuse_unmade(settings: Settings) -> None:
    """Raise NothingStored if the warehouse is an embedded Postgres that was never made: whoever asks makes none."""
    # If it cannot be read or is damaged, the command that opens it says why.
    with suppress(PermissionError, NotADirectoryError, EmbeddedPostgresError):
        if settings.postgres_url is None and not embedded.exists(settings.bl_home):
            raise NothingStored


@contextmanager
def open_warehouse(settings: Settings, *, for_writing: bool = False) -> Iterator[Warehouse]:
    """The store's warehouse, its tables up to date; `for_writing` if something will be stored.

    Raises WarehouseError if Postgres is not reached, refuses, or has tables of a newer release, and
    PreconditionsFailed if it is not what the pipeline relies on, and DamagedWarehouse if tables were dropped.
    """
    with postgres_url(settings) as url, _engine(settings, url) as engine:
        owners: list[str] = []
        with refused_clearly(url, owners):
            refuse_poolers(settings, engine)
            with engine.begin() as connection:
                owners += check_preconditions(connection, for_writing=for_writing).owners
                upgrade(connection)
                _refuse_damaged(connection)
                install_reports(connection)
                timezone = read_timezone(connection, settings.bl_store)
        yield Warehouse(engine, settings.bl_store, timezone, address(settings))


@contextmanager
def read_warehouse(settings: Settings) -> Iterator[Warehouse]:
    """The store's warehouse for a command that only reads: nothing is made or changed, and Postgres itself refuses it.

    Raises as `open_warehouse`, and NothingStored or OutdatedWarehouse if there are no tables that it could read.
    """
    refuse_unmade(settings)
    with postgres_url(settings) as url, _engine(settings, url, lock_timeout=READING_LOCK_TIMEOUT) as engine:
        engine = engine.execution_options(postgresql_readonly=True)  # noqa: PLW2901
        with refused_clearly(url):
            refuse_poolers(settings, engine)
        with refused_clearly(url), engine.connect() as connection:
            problems = look(connection).reading_problems()
            if problems:
                raise PreconditionsFailed(problems)
            current, head = read_revision(connection), _head()
            if current is None:
                raise NothingStored
            if current != head:
                _refuse_newer(current)
                raise OutdatedWarehouse(f"tables of revision {current}, this release has {head}")
            _refuse_damaged(connection)
            timezone = read_timezone(connection, settings.bl_store)
        yield Warehouse(engine, settings.bl_store, timezone, address(settings))


@contextmanager
def _engine(settings: Settings, url: URL, **options: Any) -> Iterator[Engine]:
    # One connection for each request under way, one for the batch that is loaded, one to read.
    engine = open_engine(url, pool_size=settings.bl_max_parallel_requests + 2, pool_pre_ping=True, **options)
    try:
        yield engine
    finally:
        engine.dispose()


def refuse_poolers(settings: Settings, engine: Engine) -> None:
    """Raise PreconditionsFailed if a pooler between us and Postgres gives our session to others."""
    # What we set for a session would not be set for the next statement.
    if settings.postgres_url and shares_sessions(engine):
        raise PreconditionsFailed([POOLER])


@contextmanager
def refused_clearly(url: URL, owners: list[str] | None = None) -> Iterator[None]:
    """Around the first use of a connection: what Postgres refuses becomes a WarehouseError, or a SettingsError if it is
    the value of a parameter in the URL.

    `owners` are those of the tables, once they are known.
    """
    try:
        yield
    except ReportViewsError as error:
        raise WarehouseError(str(error)) from None
    except DBAPIError as error:
        if isinstance(error.orig, ProtocolViolation):
            # From a pooler that allows no transaction at all, or that has no connection.
            raise PreconditionsFailed([SMALL_POOL if "query_wait_timeout" in str(error.orig) else POOLER]) from None
        if isinstance(error.orig, LockNotAvailable | QueryCanceled) and (refusal := read_refusal(error)):
            raise WarehouseError(refusal.message) from None
        # Without a statement it is the connection that failed.
        if error.statement is None or error.connection_invalidated:
            if wrong := _WRONG_PARAMETER.search(_reason(error.orig)):
                raise SettingsError(f"Settings to correct:\n  BL_DATABASE_URL: {wrong[0]}") from None
            raise WarehouseError(unreachable(url, error.orig)) from None
        raise WarehouseError(_unusable(url, error.orig, owners or [])) from None


def check_preconditions(connection: Connection, *, for_writing: bool) -> Server:
    """How the database is set up. Raises PreconditionsFailed if the pipeline cannot work with it.

    Whoever only reads needs no right to write, unless the tables have to be made or changed first.
    """
    server = look(connection)
    problems = server.reading_problems()
    if not problems and (for_writing or read_revision(connection) != _head()):
        problems = server.writing_problems()
    if problems:
        raise PreconditionsFailed(problems)
    return server


def unreachable(url: URL, error: BaseException | None) -> str:
    """What a user reads when the Postgres of the settings cannot be reached."""
    if os.strerror(errno.ENOSPC) in str(error):  # before a session is there, Postgres gives no SQLSTATE
        return (
            f"The Postgres of the warehouse at {place(url)} has no room left: {_reason(error)}\n"
            "What was stored is kept. Make room, and try again."
        )
    message = (
        f"The warehouse at {place(url)} cannot be reached: {_reason(error)}\n"
        "Check BL_DATABASE_URL (host, port, database, user, password) and that Postgres runs there; "
        "or unset it to use the embedded Postgres."
    )
    if "CONNECT privilege" in str(error):
        rights = f'GRANT CONNECT, CREATE, TEMPORARY ON DATABASE "{url.database}" TO "{url.username}";'
        message += f"\nIts user may not connect to this database. As the database's owner or a superuser: {rights}"
    return message


def _unusable(url: URL, error: BaseException | None, owners: list[str]) -> str:
    """The message for tables that could not be made or changed; `owners` are those of the tables there are."""
    message = f"The tables of the warehouse at {place(url)} could not be made or changed: {_reason(error)}"
    if isinstance(error, InsufficientPrivilege) and owners:
        message += (
            f"\nThey belong to {', '.join(owners)}, and only their owner may change them: give that user in "
            "BL_DATABASE_URL, or let ours act for it: "
            + " ".join(f'GRANT "{owner}" TO "{url.username}";' for owner in owners)
        )
    if isinstance(error, DuplicateTable | InvalidTableDefinition):
        message += (
            "\nTables or views of another program, or of your own, have the names that ours need. Nothing was changed: "
            "give another database in BL_DATABASE_URL, or rename what is there."
        )
    return message


def address(settings: Settings) -> str:
    """Which Postgres has the warehouse, in words and without its password."""
    if settings.postgres_url is None:
        return f"embedded Postgres in {settings.bl_home}"
    return f"Postgres at {place(settings.postgres_url)}"


def place(url: URL) -> str:
    """The address of a Postgres, as host:port/database."""
    # The host of a Unix socket is a parameter, and so may be the port.
    return (
        f"{url.host or url.query.get('host') or 'localhost'}:{url.port or url.query.get('port') or 5432}/{url.database}"
    )


def _reason(error: BaseException | None) -> str:
    """What an error of Postgres says; what follows the first line may quote a statement or a row."""
    lines = str(error or "").strip().splitlines()
    return lines[0] if lines else "no answer"


def known_revisions() -> list[str]:
    """The revisions of the tables that this release can bring up to date, the oldest first.

    They are the names of the migrations' files: asking Alembic would cost every command a tenth of a second.
    """
    return sorted(path.name[:4] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def _head() -> str:
    return known_revisions()[-1]


def _refuse_newer(current: str | None) -> None:
    if current is not None and current not in known_revisions():
        raise WarehouseError(
            f"The warehouse was made by a newer bl_pipeline (revision {current}); update this installation."
        )


def _refuse_damaged(connection: Connection) -> None:
    if names := missing(connection):
        raise DamagedWarehouse(names)


def upgrade(connection: Connection) -> None:
    """Bring the tables up to date, in the caller's transaction; nothing is done if they are."""
    if read_revision(connection) == _head():
        return
    wait_for_turn(connection)
    current = read_revision(connection)
    if current == _head():
        return
    _refuse_newer(current)
    from alembic import command  # noqa: PLC0415  (only here, as it takes long to import)
    from alembic.config import Config  # noqa: PLC0415

    connection.execute(text("CREATE SCHEMA IF NOT EXISTS sync"))
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def read_revision(connection: Connection) -> str | None:
    """The revision of the tables, which Alembic has noted; None if there are none."""
    if not connection.scalar(text("SELECT to_regclass('sync.alembic_version') IS NOT NULL")):
        return None
    current: str | None = connection.scalar(text("SELECT version_num FROM sync.alembic_version"))
    return current

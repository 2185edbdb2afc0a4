"""Connections to the warehouse's Postgres: each session with the settings that our SQL and the drivers rely on.

A server, a database, a role or the user's own URL may set them otherwise. They are set by a statement after
connecting and not by start-up options, which a pooler such as PgBouncer does not pass on.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url

_LOCK_TIMEOUT = "10min"
"""No lock of ours is kept for this long: a session that keeps one hangs, and a command must end."""
READING_LOCK_TIMEOUT = "10s"
"""For commands that only read: nothing of ours keeps a lock on a table that they read for longer."""

_SETTINGS = {
    # Counting calls and adding one is right only if a statement sees what was committed while it waited for a lock.
    "default_transaction_isolation": "read committed",
    # The drivers read dates, times and intervals only in these forms, and bytes fastest in this one.
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    # What a statement means.
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    # A name is compared as it is.
    "quote_all_identifiers": "off",
    # A savepoint must be able to undo an error.
    "exit_on_error": "off",
    # With the kernel's own keepalive Postgres would keep the lock of a machine that lost its power for two hours.
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
_CLIENT = {
    "connect_timeout": "10",
    "application_name": "bl_pipeline",
    # The same for our side: if the network says nothing any more, a command ends, and does not wait for hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""Parameters of libpq; those that the user's own URL has are kept. Times are in seconds, the last in milliseconds."""

_SILENCE_SECONDS = 60
"""For so long a server that gave no answer is not asked again."""

_TIMEOUTS = {  # those that the user's own URL or PGOPTIONS sets are kept
    # A large rebuild or a large report takes as long as it takes.
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # The lock of a sync is kept by a session that is idle meanwhile.
    "idle_session_timeout": "0",
}


def session_statement(
    version: int,
    *,
    search_path: str = "public",
    lock_timeout: str = _LOCK_TIMEOUT,
    asked: Collection[str] = (),
) -> str:
    """The statement that sets all of them, in one round trip. It works whatever the settings were before.

    `version` is the server's number, such as 150004; `asked` are the settings that the user gave in the URL.
    """
    wanted = {"search_path": search_path, **_SETTINGS}
    timeouts = {**_TIMEOUTS, "lock_timeout": lock_timeout}
    wanted |= {name: value for name, value in timeouts.items() if name not in asked}
    if version < 170000:
        wanted.pop("transaction_timeout", None)
    values = {name: f"'{value}'" for name, value in wanted.items()}
    # A crash of the server must not forget a call that was counted; the stronger levels stay.
    values["synchronous_commit"] = "coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on')"
    return "SELECT " + ", ".join(f"pg_catalog.set_config('{name}', {value}, false)" for name, value in values.items())


def settings_in(options: str) -> set[str]:
    """The names of the settings in libpq's `options`, such as `-c statement_timeout=60s --work-mem=4MB`."""
    found = re.findall(r"(?:^|\s)(?:-c\s*|--)([A-Za-z0-9_.-]+)\s*=", options)
    return {name.lower().replace("-", "_") for name in found}


def with_driver(url: URL | str, driver: str) -> URL:
    """The URL for SQLAlchemy, the driver named, and with our parameters; the user's own go before them.

    `driver` is psycopg or psycopg2. Without a name SQLAlchemy's default driver would decide.
    """
    url = make_url(url)
    url = url.set(drivername=f"postgresql+{driver}", query={**_CLIENT, **url.query})
    # Needed before the first statement: a driver reads no text from a database without an encoding.
    return url.update_query_dict({"client_encoding": "UTF8"})


def pin_sessions(engine: Engine, search_path: str = "public", lock_timeout: str = _LOCK_TIMEOUT) -> None:
    """Set each new session of the engine up, before anything else is done with it."""

    def pin(connection: Any, _record: object) -> None:
        _pin(connection, search_path, lock_timeout)

    # Before SQLAlchemy's own first questions.
    event.listen(engine, "connect", pin, insert=True)


def leave_silent_server(engine: Engine) -> None:
    """If Postgres gave no answer at all, let the engine ask again only after a minute, and say so at once until then.

    Dagster tries six times for each event: a command would end only after many minutes.
    """
    silent_until = 0.0  # seconds

    def connect(dialect: Any, _record: object, arguments: Any, parameters: dict[str, Any]) -> Any:
        nonlocal silent_until
        began = time.monotonic()
        if began < silent_until:
            raise dialect.loaded_dbapi.OperationalError("Postgres gave no answer a moment ago")
        try:
            return dialect.connect(*arguments, **parameters)
        except dialect.loaded_dbapi.OperationalError:
            # libpq waits for two seconds at least; 0 is for ever. A server that refuses answers at once.
            if time.monotonic() - began >= max(int(parameters["connect_timeout"]), 2) - 0.5:  # seconds
                silent_until = time.monotonic() + _SILENCE_SECONDS
            raise

    event.listen(engine, "do_connect", connect)


def _pin(connection: Any, search_path: str = "public", lock_timeout: str = _LOCK_TIMEOUT) -> None:
    info = connection.info
    asked = settings_in(info.options or "")
    # For both drivers; in a transaction, a rollback would undo the settings.
    autocommit, connection.autocommit = connection.autocommit, True
    with connection.cursor() as cursor:
        cursor.execute(
            session_statement(info.server_version, search_path=search_path, lock_timeout=lock_timeout, asked=asked)
        )
    connection.autocommit = autocommit


def conninfo_of(url: URL) -> str:
    """The URL as libpq reads it: in a URL it takes the plus sign, with which SQLAlchemy writes a blank, for itself."""
    parameters: dict[str, Any] = {**url.translate_connect_args(username="user", database="dbname"), **url.query}
    return make_conninfo("", **parameters)


def open_connection(url: URL | str) -> psycopg.Connection[Any]:
    """A connection of psycopg 3 itself, its session set up. Raises psycopg.OperationalError."""
    connection = psycopg.connect(conninfo_of(with_driver(url, "psycopg")))
    _pin(connection)
    return connection


def open_engine(url: URL | str, *, lock_timeout: str = _LOCK_TIMEOUT, **options: Any) -> Engine:
    """An engine (psycopg 3) whose sessions are set up, and that leaves a silent server; `options` are SQLAlchemy's."""
    # An error that quotes its parameters quotes a buyer.
    engine = create_engine(with_driver(url, "psycopg"), hide_parameters=True, **options)
    pin_sessions(engine, lock_timeout=lock_timeout)
    leave_silent_server(engine)
    return engine


def shares_sessions(engine: Engine) -> bool:
    """Whether a pooler between us and Postgres gives a session to others as soon as a transaction has ended.

    A connection that has a session of its own keeps its server process, and no other connection has the same.
    """
    process = text("SELECT pg_backend_pid()")
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as first:
        own = first.scalar(process)
        # If sessions are shared, this transaction has the idle one of `first`, which then needs another. Three times:
        # another client may be quicker.
        for _ in range(3):
            with engine.begin() as second:
                if second.scalar(process) == own or first.scalar(process) != own:
                    return True
    return False

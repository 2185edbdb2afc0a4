"""Connections to the warehouse's Postgres: each session with the settings that our SQL and the drivers rely on.

A server, a database, a role or the user's own URL may set them otherwise. They are set by a statement after
connecting and not by start-up options, which a pooler such as PgBouncer does not pass on.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url

_LOCK_TIMEOUT = "10min"

_SETTINGS = {
    # Counting calls and adding one is right only if a statement sees what was committed while it waited for a lock.
    "default_transaction_isolation": "read committed",
    # The drivers read dates, times and intervals in these forms only, and bytes quickest in this one.
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    # What a statement means.
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    # A savepoint must be able to take an error back.
    "exit_on_error": "off",
    # With the kernel's own keepalive Postgres would keep the lock of a machine that lost its power for two hours.
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
_TIMEOUTS = {
    # A large rebuild or a large report takes as long as it takes.
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # The lock of a sync is kept by a session that is idle meanwhile.
    "idle_session_timeout": "0",
    # No lock of ours is kept so long: whoever keeps one has forgotten it, and a command must end.
    "lock_timeout": _LOCK_TIMEOUT,
}


def _pin(search_path: str) -> str:
    """The statement that sets it all: one round trip, right under any settings before it."""
    always = {**_SETTINGS, "search_path": search_path}
    # A setting that this version of Postgres does not know is not in pg_settings.
    return f"""
        SELECT pg_catalog.set_config(wanted.name, wanted.value, false)
        FROM (VALUES {_rows(always, "always")}, {_rows(_TIMEOUTS, "unless asked")},
            ('synchronous_commit', 'on', 'if off')) AS wanted (name, value, how)
        JOIN pg_catalog.pg_settings AS s ON s.name = wanted.name
        WHERE wanted.how = 'always'
           -- The user's own time-outs, from the URL or PGOPTIONS, are kept.
           OR wanted.how = 'unless asked' AND s.source <> 'client'
           -- A crash of the server must not forget a call that was counted; the stronger levels stay.
           OR wanted.how = 'if off' AND s.setting = 'off'
    """


def _rows(settings: dict[str, str], how: str) -> str:
    return ", ".join(f"('{name}', '{value}', '{how}')" for name, value in settings.items())


def with_driver(url: URL | str, driver: str) -> URL:
    """The URL for SQLAlchemy, the driver named, and with our parameters; the user's own go before them.

    `driver` is psycopg or psycopg2. Without a name SQLAlchemy's default driver would decide.
    """
    url = make_url(url)
    ours = {"connect_timeout": "10", "application_name": "bl_pipeline"}
    url = url.set(drivername=f"postgresql+{driver}", query={**ours, **url.query})
    # Needed before the first statement: a driver reads no text from a database without an encoding.
    return url.update_query_dict({"client_encoding": "UTF8"})


def pin_sessions(engine: Engine, search_path: str = "public") -> None:
    """Set each new session of the engine up, before anything else is done with it."""
    statement = _pin(search_path)

    def pin(connection: Any, _record: object) -> None:
        # Both drivers; in a transaction the settings would be taken back with it.
        autocommit, connection.autocommit = connection.autocommit, True
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.autocommit = autocommit

    # Before SQLAlchemy's own first questions.
    event.listen(engine, "connect", pin, insert=True)


def open_engine(url: URL | str, **options: Any) -> Engine:
    """An engine (psycopg 3) whose sessions are set up; `options` are those of SQLAlchemy."""
    # An error that quotes its parameters quotes a buyer.
    engine = create_engine(with_driver(url, "psycopg"), hide_parameters=True, **options)
    pin_sessions(engine)
    return engine


def shares_sessions(engine: Engine) -> bool:
    """Whether a pooler between us and Postgres gives a session to others as soon as a transaction has ended.

    A connection that has a session of its own keeps its server process, and no other connection has the same.
    """
    process = text("SELECT pg_backend_pid()")
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as first:
        before = first.scalar(process)
        with engine.begin() as second:
            # If sessions are shared, this transaction has the idle one of `first`, which then needs another.
            return bool(second.scalar(process) == before or first.scalar(process) != before)

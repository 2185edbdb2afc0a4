"""Each session has the settings that the SQL relies on, whatever the database says, and the user's own time-outs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from bl_pipeline.defs.storage import _PLUGIN, WarehouseStorage
from bl_pipeline.warehouse.connections import (
    open_connection,
    open_engine,
    settings_in,
    shares_sessions,
    with_driver,
)
from bl_pipeline_tests.support.bouncer import bouncer
from bl_pipeline_tests.support.servers import Postgres

ODD = {
    "default_transaction_isolation": ("serializable", "read committed"),
    "datestyle": ("German, DMY", "ISO, MDY"),
    "intervalstyle": ("iso_8601", "postgres"),
    "timezone": ("Asia/Kolkata", "UTC"),
    "client_encoding": ("LATIN1", "UTF8"),
    "bytea_output": ("escape", "hex"),
    "extra_float_digits": ("-15", "1"),
    "standard_conforming_strings": ("off", "on"),
    "transform_null_equals": ("on", "off"),
    "array_nulls": ("off", "on"),
    "exit_on_error": ("on", "off"),
    "statement_timeout": ("7s", "0"),
    "idle_in_transaction_session_timeout": ("7s", "0"),
    "idle_session_timeout": ("7s", "0"),
    "lock_timeout": ("7s", "10min"),
    "synchronous_commit": ("off", "on"),
}
"""Setting: what the database says, and what a session of ours has."""


@pytest.fixture(params=["18", "15"])
def odd_url(request: pytest.FixtureRequest) -> Iterator[str]:
    server: Postgres = request.getfixturevalue("postgres" if request.param == "18" else "postgres_15")
    with server.database() as url, psycopg.connect(url, autocommit=True) as admin:
        database = make_url(url).database
        for name, (odd, _) in ODD.items():
            admin.execute(f'ALTER DATABASE "{database}" SET {name} = {odd if name == "datestyle" else repr(odd)}')
        yield url


def settings_of(connection: Connection) -> dict[str, str]:
    return {name: str(connection.scalar(text(f"SHOW {name}"))) for name in (*ODD, "search_path")}


WANTED = {name: wanted for name, (_, wanted) in ODD.items()}


def test_sessions_of_the_warehouse(odd_url: str) -> None:
    engine = open_engine(odd_url)
    with engine.connect() as connection:
        connection.rollback()
        assert settings_of(connection) == {**WANTED, "search_path": "public"}
        version = int(str(connection.scalar(text("SHOW server_version_num"))))
        if version >= 170000:
            assert connection.scalar(text("SHOW transaction_timeout")) == "0"
    engine.dispose()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("", set()),
        ("-c statement_timeout=60s", {"statement_timeout"}),
        ("-cStatement_Timeout=60s --lock-timeout=5s", {"statement_timeout", "lock_timeout"}),
        ("-c deadlock_timeout=2s", {"deadlock_timeout"}),
    ],
)
def test_which_settings_the_options_have(options: str, names: set[str]) -> None:
    """Planted: a name found in a part of another one; one written with capitals or a hyphen not found."""
    assert settings_in(options) == names


@pytest.mark.parametrize(("query", "wait"), [("", 60_000), ("?tcp_user_timeout=5000", 5_000)])
def test_a_network_that_says_nothing_ends_a_session(database_url: str, query: str, wait: int) -> None:
    """Else a command would wait for hours. Planted: the same without our parameters; the user's own lost."""
    with open_connection(database_url + query) as connection, socket.socket(fileno=os.dup(connection.fileno())) as own:
        assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == wait
        assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        kept = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT]
        assert [own.getsockopt(socket.IPPROTO_TCP, option) for option in kept] == [30, 10, 3]


def engine_of_dagster(url: str) -> Engine:
    """As Dagster makes one of our URL."""
    return create_engine(with_driver(url, "psycopg2"), plugins=[_PLUGIN])


@pytest.mark.parametrize("make_engine", [open_engine, engine_of_dagster])
def test_a_server_that_gives_no_answer_is_not_asked_again_at_once(make_engine: Callable[[str], Engine]) -> None:
    """Planted: asked each time, so that six attempts take a minute; an error of the server's own taken for silence."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, ExitStack() as stack:
        port = deaf.getsockname()[1]
        # Nobody accepts them: once the queue is full, the kernel answers no one any more.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        engine = make_engine(f"postgresql://u@127.0.0.1:{port}/d?connect_timeout=2")
        seconds = []
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(OperationalError):
                engine.connect()
            seconds.append(time.monotonic() - began)
        assert seconds[0] > 1.5 > max(seconds[1:])


def test_a_server_that_refuses_is_asked_each_time() -> None:
    """Planted: its own words lost, and a server that is there again not asked, if the URL has no time-out."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    engine = open_engine(f"postgresql://u@127.0.0.1:{port}/d?connect_timeout=0")
    for _ in range(2):
        with pytest.raises(OperationalError, match="refused"):
            engine.connect()


@pytest.mark.slow
def test_sessions_of_dagster(odd_url: str, isolated: pytest.MonkeyPatch) -> None:
    """Those of the web server too, which has a time-out of its own."""
    isolated.setenv("BL_DATABASE_URL", odd_url)
    storage = WarehouseStorage.from_config_value(None, {})
    with storage._run_storage.connect() as connection:
        assert settings_of(connection) == {**WANTED, "search_path": "dagster"}
    storage._run_storage.optimize_for_webserver(statement_timeout=5000, pool_recycle=60, max_overflow=1)
    with storage._run_storage.connect() as connection:
        assert settings_of(connection) == {**WANTED, "search_path": "dagster", "statement_timeout": "5s"}
    storage._run_storage._engine.dispose()


@pytest.mark.slow
def test_what_the_user_asks_for_in_the_url_is_kept(odd_url: str, isolated: pytest.MonkeyPatch) -> None:
    """But not if the SQL would mean something else."""
    url = (
        odd_url
        + "?options=-c%20statement_timeout%3D9s%20-c%20work_mem%3D5MB%20-c%20timezone%3DCET&application_name=mine"
    )
    isolated.setenv("BL_DATABASE_URL", url)
    storage = WarehouseStorage.from_config_value(None, {})
    engine = open_engine(url)
    for each in (engine, storage._run_storage._engine):
        with each.connect() as connection:
            shown = [connection.scalar(text(f"SHOW {name}")) for name in ("work_mem", "application_name")]
            assert shown == ["5MB", "mine"]
            assert {**WANTED, "statement_timeout": "9s"}.items() <= settings_of(connection).items()
    engine.dispose()


@pytest.mark.parametrize(("mode", "shared"), [("session", False), ("transaction", True)])
def test_shared_sessions_are_noticed_however_busy_the_pooler_is(
    empty_database_url: str, mode: str, *, shared: bool
) -> None:
    with bouncer(empty_database_url, mode) as url:
        busy = [open_engine(url) for _ in range(3)]
        for other in busy:
            with other.connect() as connection:
                connection.scalar(text("SELECT 1"))
        engine = open_engine(url)
        assert shares_sessions(engine) is shared
        for each in (engine, *busy):
            each.dispose()

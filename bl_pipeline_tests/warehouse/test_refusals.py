"""What a user reads if Postgres refuses something: by the kind of the error, and never a value of a row."""

from __future__ import annotations

import psycopg
import psycopg.errors
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.refusals import read_refusal

NO_ROOM = "Postgres has no room left: why\n"
ENDED = "Postgres ended a statement before it was done: why\n"
LOST = "The connection to the warehouse was lost: why\n"
REFUSES = "The warehouse refuses: why"


@pytest.mark.parametrize(
    ("kind", "begin", "is_lost"),
    [
        (psycopg.errors.DiskFull, NO_ROOM, False),
        (psycopg.errors.OutOfMemory, NO_ROOM, False),
        (psycopg.errors.QueryCanceled, ENDED, False),
        (psycopg.errors.LockNotAvailable, ENDED, False),
        (psycopg.errors.IdleInTransactionSessionTimeout, LOST, True),
        (psycopg.errors.AdminShutdown, LOST, True),
        (psycopg.errors.IdleSessionTimeout, LOST, True),
        (psycopg.OperationalError, LOST, True),
        (psycopg.InterfaceError, LOST, True),
        (psycopg.errors.InsufficientPrivilege, REFUSES, False),
        (psycopg.errors.UndefinedTable, REFUSES, False),
    ],
)
def test_each_kind_of_refusal(kind: type[psycopg.Error], begin: str, is_lost: bool) -> None:
    """Bare, or as SQLAlchemy hands it on; only the first line."""
    error = kind(" why\nDETAIL: a buyer")
    for each in (error, DBAPIError("SELECT", {}, error)):
        refusal = read_refusal(each)
        assert refusal is not None
        assert refusal.message.startswith(begin)
        assert refusal.is_lost is is_lost
        assert "buyer" not in refusal.message


def test_a_right_that_is_missing_is_named_by_the_doctor() -> None:
    refusal = read_refusal(psycopg.errors.InsufficientPrivilege("permission denied"))
    assert refusal is not None
    assert refusal.message.splitlines() == [
        "The warehouse refuses: permission denied",
        "Which right is missing, and how to give it: bl doctor",
    ]


def test_an_error_that_quotes_a_value_or_is_none_of_postgres_says_nothing() -> None:
    quoting = psycopg.errors.InvalidTextRepresentation('invalid input "a buyer"')
    assert read_refusal(quoting) is read_refusal(DBAPIError("SELECT", {}, quoting)) is None
    assert read_refusal(ValueError("why")) is None


def test_an_error_that_dagster_wraps_or_without_words() -> None:
    class DagsterPostgresException(Exception):
        """Of this name only: Dagster is not imported for it."""

    error = DagsterPostgresException("Dagster's words")
    assert read_refusal(error) is None
    error.__cause__ = psycopg.errors.DiskFull("why")
    refusal = read_refusal(error)
    assert refusal is not None
    assert refusal.message.startswith(NO_ROOM)
    assert read_refusal(psycopg.errors.UndefinedTable(" ")) == (
        "The warehouse refuses: no reason given",
        False,
    )


def test_the_words_of_a_trigger_may_quote_a_row(warehouse: Warehouse) -> None:
    """Its name and line do not. Planted: its words."""

    def raised(connection: Connection) -> DBAPIError:
        with pytest.raises(DBAPIError) as caught:
            connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'a buyer'; END $$"))
        return caught.value

    with warehouse.engine.connect() as connection:
        refusal = read_refusal(raised(connection))
    assert refusal is not None
    assert "buyer" not in refusal.message
    assert refusal.message == (
        "The warehouse refuses: raised by PL/pgSQL function inline_code_block line 1 at RAISE; "
        "the log of Postgres has its words"
    )

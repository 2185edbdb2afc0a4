"""What Postgres and its drivers say when something is wrong, as a message for the user: never a value of a row."""

from __future__ import annotations

from typing import NamedTuple

import psycopg
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError

_NO_ROOM = {"53100", "53200"}
"""SQLSTATE of a full disk, and of no memory."""

_NO_RIGHT = "42501"
"""SQLSTATE of a right that the user does not have."""

_TIMED_OUT = {"57014", "55P03"}
"""SQLSTATE of a statement that was canceled, and of a lock that was not given in time."""

_ENDED = {"25P03", "57P01", "57P05"}
"""SQLSTATE of a session that a time-out, or somebody, has ended."""


class Refusal(NamedTuple):
    """Why Postgres did not do something, what it means and what to do; `is_lost` if the connection has ended."""

    message: str
    is_lost: bool = False


def read_refusal(error: BaseException) -> Refusal | None:
    """What an error of Postgres means for the user; None if it is none, or if its own words quote a value."""
    if type(error).__name__ == "DagsterPostgresException" and error.__cause__:
        error = error.__cause__
    if isinstance(error, DBAPIError) and isinstance(error.orig, psycopg.Error):
        error = error.orig
    if not isinstance(error, psycopg.Error | DBAPIError) or isinstance(error, psycopg.DataError | DataError):
        return None
    cause = getattr(error, "orig", error)
    reason = _reason(cause)
    # psycopg's name for it, and that of psycopg2, which Dagster speaks to.
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if state in _NO_ROOM:
        return Refusal(f"Postgres has no room left: {reason}\nWhat was stored is kept. Make room, and try again.")
    if state in _TIMED_OUT:
        return Refusal(
            f"Postgres ended a statement before it was done: {reason}\n"
            "What was stored is kept, and you can try again. If it happens again: another session keeps a lock, "
            "such as an open transaction in psql; or a time-out in BL_DATABASE_URL is too short."
        )
    if state in _ENDED or isinstance(
        error, psycopg.OperationalError | psycopg.InterfaceError | OperationalError | InterfaceError
    ):
        return Refusal(
            f"The connection to the warehouse was lost: {reason}\n"
            "What was stored is kept. Check that Postgres runs, and try again: bl doctor",
            is_lost=True,
        )
    missing_right = "\nWhich right is missing, and how to give it: bl doctor" if state == _NO_RIGHT else ""
    return Refusal(f"The warehouse refuses: {reason}{missing_right}")


def _reason(cause: object) -> str:
    """Postgres' own words, the first line only: what follows may quote rows, and with them buyers."""
    diag = getattr(cause, "diag", None)
    if diag is not None and diag.source_function == "exec_stmt_raise":
        # The words of a trigger that somebody has made may quote a row, too; its name and line do not.
        return f"raised by {(diag.context or 'PL/pgSQL').splitlines()[0]}; the log of Postgres has its words"
    return (str(cause).strip().splitlines() or ["no reason given"])[0]

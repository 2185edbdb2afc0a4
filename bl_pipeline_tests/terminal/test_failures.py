"""What goes wrong with Postgres and the system, as the message and the exit code of `bl`."""

from __future__ import annotations

import errno

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import OperationalError, ProgrammingError

from bl_pipeline.defs.step_errors import StepFailed
from bl_pipeline.sync.session import RunLost
from bl_pipeline.terminal.failures import explain

ROW = "\nDETAIL:  Failing row contains (Jane Roe, jane@example.com)."


class DiskFullOfPsycopg2(Exception):
    """As Dagster's storage meets it: psycopg2 has another name for the SQLSTATE."""

    pgcode = "53100"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (errors.DiskFull("could not extend file" + ROW), 1, "Postgres has no room left: could not extend file\n"),
        (errors.OutOfMemory("out of memory" + ROW), 1, "Postgres has no room left: out of memory\n"),
        (errors.AdminShutdown("terminating connection" + ROW), 6, "The connection to the warehouse was lost: termin"),
        (
            errors.QueryCanceled("statement timeout" + ROW),
            1,
            "Postgres ended a statement before it was done: statement t",
        ),
        (
            errors.LockNotAvailable("lock timeout" + ROW),
            1,
            "Postgres ended a statement before it was done: lock timeout",
        ),
        (errors.InterfaceError("the connection is closed"), 6, "The connection to the warehouse was lost: the connec"),
        (errors.InsufficientPrivilege("permission denied" + ROW), 1, "The warehouse refuses: permission denied"),
        (errors.CheckViolation("check violated" + ROW), 1, "The warehouse refuses: check violated"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_of_postgres_are_reported_without_the_row_they_quote(
    error: psycopg.Error, code: int, message: str
) -> None:
    wrapper = OperationalError if isinstance(error, psycopg.OperationalError) else ProgrammingError
    for each in (error, wrapper("INSERT ...", {"name": "Jane Roe"}, error)):
        explained = explain(each)
        assert explained is not None
        assert explained[0] == code
        assert explained[1].startswith(message)
        assert "Jane" not in explained[1]
        assert "INSERT" not in explained[1]


def test_a_full_disk_is_reported_as_such_if_dagster_meets_it() -> None:
    explained = explain(OperationalError("INSERT ...", {}, DiskFullOfPsycopg2("could not extend file")))
    assert explained is not None
    assert explained[0] == 1
    assert explained[1].startswith("Postgres has no room left: could not extend file\n")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1, "There is no room left for the output."),
        (OSError(errno.ENOSPC, "No space left on device", "/x/picture.png"), 1, "There is no room left for /x/pictur"),
        (OSError(errno.ENOENT, "No such file or directory", "/x/y"), 1, "/x/y: No such file or directory."),
        (OSError(errno.EACCES, "Permission denied", "/"), 2, "/ belongs to root, and this account ("),
        (OSError(errno.EMFILE, "Too many open files"), 1, "The system refuses: Too many open files."),
    ],
    ids=str,
)
def test_the_terminal_and_dagster_say_the_same_of_what_the_system_refuses(
    error: OSError, code: int, message: str
) -> None:
    """Caught: Dagster said less of a full disk and of a file of another account."""
    explained = explain(error)
    assert explained is not None
    assert explained[0] == code
    assert explained[1].startswith(message)
    assert StepFailed(error).description == explained[1]


def test_an_unexpected_error_is_not_explained_away() -> None:
    assert explain(ZeroDivisionError()) is None


def test_a_run_that_has_lost_its_store_is_no_database_that_cannot_be_reached() -> None:
    """Caught: its exit code was that of a warehouse that does not answer."""
    explained = explain(RunLost())
    assert explained is not None
    assert (explained[0], explained[1].startswith("This run does not have the store any more: ")) == (1, True)

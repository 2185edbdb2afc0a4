"""`bl` in real processes that run into something at a chosen stage, and how they end."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bl_pipeline.warehouse.connections import with_driver
from bl_pipeline_tests.support.clusters import answers_at, cluster, postmaster
from bl_pipeline_tests.support.processes import start
from bl_pipeline_tests.support.waiting import wait_until

SECONDS = 100
"""In which a command has to end once it has met its fault; on a quiet machine it takes one or two."""

_GATE = 4711
_PLANT = """
CREATE SCHEMA planted;
CREATE FUNCTION planted.wait() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock_shared({gate}); RETURN NEW; END $$;
CREATE TRIGGER gate BEFORE {when} EXECUTE FUNCTION planted.wait();
"""
STAGES = {
    "lists": "INSERT ON sync.call_reservations FOR EACH ROW",
    "plan": "INSERT ON sync.run_orders FOR EACH ROW",
    "write": "INSERT ON sync.writes FOR EACH ROW",
    "fetch": "INSERT ON landing.documents FOR EACH ROW",
    "load": "INSERT ON sales.orders FOR EACH ROW",
    "finish": "UPDATE ON sync.runs FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL)",
    "history": "INSERT ON dagster.event_logs FOR EACH ROW WHEN (NEW.dagster_event_type = 'STEP_SUCCESS')",
}
"""The statement at which a command waits, by stage; of the history, the end of the first step, before all loads."""

_OURS = "datname = current_database() AND application_name LIKE 'bl_pipeline%'"


@dataclass
class Process:
    """A `bl` that runs."""

    process: Any
    folder: Path

    def end(self) -> Ended:
        """Wait for its end, which has to come."""
        self.process.join(SECONDS)
        alive = self.process.is_alive()
        self.process.kill()
        self.process.join()
        out, err = ((self.folder / name).read_text() for name in ("out", "err"))
        assert not alive, f"it does not end: {err}"
        return Ended(self.process.exitcode, out, err)


@dataclass(frozen=True)
class Ended:
    """How a `bl` has ended."""

    exit_code: int
    out: str
    err: str

    def assert_says(self, exit_code: int, reason: str) -> None:
        """The right exit code, the true reason as the first word on what went wrong, and no traceback."""
        assert self.exit_code == exit_code, self
        assert "Traceback" not in self.err + self.out, self
        errors = [line for line in self.err.splitlines() if line.startswith("Error: ")]
        assert len(errors) == 1, self
        assert reason in self.err[self.err.index(errors[0]) :], self


def bl_process(folder: Path, *arguments: str, plant: str = "", stdout: str = "", **changed: str) -> Process:
    """Start `bl`; `plant` names a function, as module:name, that raises an unexpected error."""
    environment = {**os.environ, **changed}
    return Process(start(_main, arguments, environment, folder, plant, stdout or str(folder / "out")), folder)


def _main(arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path, plant: str, stdout: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    (folder / "out").touch()
    for number, path in ((1, stdout), (2, str(folder / "err"))):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    sys.argv = ["bl", *arguments]
    if plant:
        module, _, name = plant.partition(":")
        setattr(importlib.import_module(module), name, _broken)
    from bl_pipeline.terminal.cli import main

    main()


def _broken(*_: object, **__: object) -> None:
    raise ZeroDivisionError("jane@example.com")


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A session that is none of the pipeline's."""
    plain = with_driver(url, "psycopg").set(drivername="postgresql")
    plain = plain.update_query_dict({"application_name": "test"})
    with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as connection:
        yield connection


@contextmanager
def stopped_at(stage: str, url: str, running: Callable[[], Process]) -> Iterator[Process]:
    """A command that waits at a stage, or, if there is none, for a table that it reads; it goes on after the block.

    It may have ended before that.
    """
    with connected(url) as keeper:
        if stage in STAGES:
            keeper.execute(_PLANT.format(gate=_GATE, when=STAGES[stage]).encode())
            keeper.execute(f"SELECT pg_advisory_lock({_GATE})".encode())
        else:
            keeper.execute("BEGIN")
            keeper.execute(f"LOCK TABLE {stage} IN ACCESS EXCLUSIVE MODE".encode())
        process = running()
        with connected(url) as looking:
            wait_until(lambda: _waits(looking) or not process.process.is_alive())
        yield process
        keeper.close()  # and nothing is asked of a server that may be another by now


def _waits(connection: psycopg.Connection[Any]) -> bool:
    query = f"SELECT FROM pg_stat_activity WHERE {_OURS} AND wait_event_type = 'Lock'"
    return bool(connection.execute(query.encode()).fetchall())


def remove_gate(url: str) -> None:
    """Nothing waits any more."""
    with connected(url) as connection:
        connection.execute("DROP SCHEMA IF EXISTS planted CASCADE")


def end_sessions(url: str) -> None:
    """As an administrator does it, or a server that is restarted."""
    with connected(url) as admin:
        ended = admin.execute(f"SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OURS}".encode())
        pids = [pid for pid, _ in ended]
        assert pids
        alive = "SELECT FROM pg_stat_activity WHERE pid = ANY(%s)"
        wait_until(lambda: not admin.execute(alive, [pids]).fetchall())


def restart_server(home: Path, url: str) -> None:
    """As an upgrade of the system does it to the embedded Postgres of this home."""
    noted = postmaster(home)
    os.kill(noted, signal.SIGINT)
    wait_until(lambda: (cluster(home).postmaster() or (noted,))[0] != noted and answers_at(url))


def end_session_of_lock(url: str) -> None:
    """Only the session that has the lock of the sync."""
    with connected(url) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND (classid::bigint << 32 | objid::bigint) = hashtextextended('bl_pipeline.sync:main', 0)"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchall()
        assert ended == [(True,)]


def wait_until_none_is_idle(url: str) -> None:
    """Until Postgres itself has ended every session that waits for its client.

    Those that were used since are not waited for: a run asks each second if it is canceled.
    """
    idle = f"SELECT pid, state_change FROM pg_stat_activity WHERE {_OURS} AND state = 'idle'"
    with connected(url) as looking:
        waiting = {*looking.execute(idle.encode()).fetchall()}
        wait_until(lambda: waiting.isdisjoint(looking.execute(idle.encode()).fetchall()))

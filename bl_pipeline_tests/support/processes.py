"""Syncs in processes of their own, which can be killed for real, at any commit; and what has to be equal afterwards."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier, Event
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine

from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import SyncRequest, SyncResult
from bl_pipeline.settings import Settings
from bl_pipeline.sync.planning import BATCH_SIZE
from bl_pipeline.sync.run import run_sync
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.tables import parts
from bl_pipeline_tests.support.sales_rows import Row, dump
from bl_pipeline_tests.support.sessions import session_at
from bl_pipeline_tests.support.waiting import PATIENCE

_PROCESSES = multiprocessing.get_context("forkserver")
# The server imports this once; each child is then there within milliseconds, and single-threaded at its start.
_PROCESSES.set_forkserver_preload([__name__, "bl_pipeline.definitions"])

EVERYTHING = SyncRequest()

PROVENANCE = {
    "sales.orders": {"order_document_id", "items_document_id", "fetched_at"},
    **{table.fullname: set() for table in parts.values()},
    "sales.replaced_items": {"items_document_id", "known_from", "replaced_at"},
    "sales.order_status_history": {"document_id", "observed_at"},
    "sync.order_state": {
        "first_listed_at", *(f"{kind}_{name}" for kind in AnswerKind for name in ("document_id", "fetched_at")),
    },
}  # fmt: skip
"""Columns that say when and from which answer a row was made: they differ if an answer came again later."""


def run_steps(session: SyncSession, request: SyncRequest = EVERYTHING, *, batch_size: int | None = None) -> SyncResult:
    """One run as Dagster runs it, step by step, but without its overhead."""
    return run_sync(session, request, run_id=uuid4().hex, batch_size=batch_size or BATCH_SIZE)


def run_job(session: SyncSession, job: str = "sync_orders", **config: Any) -> str:
    """One run by Dagster itself, with a history that is forgotten; returns Dagster's word for how it ended."""
    import dagster as dg

    from bl_pipeline.definitions import defs
    from bl_pipeline.defs.resources import OpenedSession

    asked = {"config": config}
    with dg.DagsterInstance.ephemeral() as instance:
        run = defs.resolve_job_def(job).execute_in_process(
            run_config={
                "ops": {"sync": asked} if job == "sync_orders" else asked,
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            resources={"sync": OpenedSession(session)},
            instance=instance,
            raise_on_error=False,
        )
        return run.dagster_run.status.value


@dataclass(frozen=True)
class Task:
    """One run: everything another process has to know of it."""

    settings: Settings
    now: datetime
    request: SyncRequest = EVERYTHING
    batch_size: int | None = None

    def clock(self) -> datetime:
        """Time stands still."""
        return self.now

    def run(self, at_commits: Commits | None = None) -> SyncResult:
        """Do it, in this process."""
        with session_at(self.settings, self.clock) as session:
            if at_commits is not None:
                at_commits.watch(session.warehouse.engine)
            return run_steps(session, self.request, batch_size=self.batch_size)


@dataclass
class Commits:
    """Counts the commits of an engine; at the `kill_at`-th, from 0, the process is killed as by kill -9.

    `after` says on which side of the commit.
    """

    kill_at: int | None = None
    after: bool = False
    count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def watch(self, engine: Engine) -> None:
        """Count from now on."""
        commit = engine.dialect.do_commit

        def counted(connection: Any) -> None:
            with self._lock:
                number = self.count
                self.count += 1
            if number == self.kill_at and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            commit(connection)
            if number == self.kill_at and self.after:
                os.kill(os.getpid(), signal.SIGKILL)

        engine.dialect.do_commit = counted  # type: ignore[assignment, method-assign]


def start(target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """A process of its own that runs the function."""
    process = _PROCESSES.Process(target=target, args=arguments)
    process.start()
    return process


def event() -> Event:
    """What one process can send to another."""
    return _PROCESSES.Event()


def barrier(parties: int) -> Barrier:
    """The point at which this number of processes wait for one another."""
    return _PROCESSES.Barrier(parties)


def _doomed(task: Task, kill_at: int, after: bool) -> None:
    task.run(Commits(kill_at, after))


def run_and_kill(task: Task, kill_at: int, *, after: bool) -> bool:
    """Run it in a process that is killed at one of its commits; False if it came to its end before."""
    process = start(_doomed, task, kill_at, after)
    process.join(PATIENCE)
    assert process.exitcode in (0, -signal.SIGKILL), f"the process ended by itself: {process.exitcode}"
    return process.exitcode != 0


def contents(warehouse: Warehouse) -> dict[str, dict[str, list[Row]]]:
    """`sales` and sync.order_state by table and order, but for provenance."""
    found: dict[str, dict[str, list[Row]]] = {}
    for table, rows in dump(warehouse, *PROVENANCE).items():
        of_table = found.setdefault(table, {})
        for row in rows:
            kept = {name: value for name, value in row.items() if name not in PROVENANCE[table]}
            of_table.setdefault(row["platform_order_id"], []).append(kept)
    return found

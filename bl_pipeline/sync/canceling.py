"""Stopping the running sync of a store, wherever it runs, and withdrawing a full sync that is still open."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bl_pipeline.clock import utc_now
from bl_pipeline.dagster_names import WRITE_JOBS
from bl_pipeline.records import RunStatus
from bl_pipeline.warehouse import runs
from bl_pipeline.warehouse.cancellation import request_cancel
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.full_syncs import withdraw_full_syncs
from bl_pipeline.warehouse.lease import DIED
from bl_pipeline.warehouse.lock import is_syncing
from bl_pipeline.warehouse.runs import Run
from bl_pipeline.wording import plural

STOP_TIMEOUT = 30.0
"""Seconds to wait for the run to end: it sees the request within one, unless it waits for the database."""
START_TIMEOUT = 20.0
"""Seconds to wait for a run to be noted if the store's lock is taken: a sync takes it some seconds before."""


@dataclass(frozen=True)
class Cancellation:
    """What was stopped. `run` is the one that was asked to stop; `busy`: the store's lock is taken, by no run."""

    run: Run | None
    ended: bool
    busy: bool
    full_syncs: int

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "run_id": self.run.run_id if self.run else None,
            "ended": self.ended,
            "full_syncs_withdrawn": self.full_syncs,
        }

    def message(self, moment: Callable[[datetime], str]) -> str:
        """What a user reads; `moment` writes a time."""
        lines = []
        if self.run is not None:
            name = f"{self.run.job}, started {moment(self.run.started_at)}"
            if self.run.job in WRITE_JOBS:
                kept = "What BrickLink has done stays, and nothing more is sent. Ask again for what is left."
            elif self.full_syncs:
                kept = "What was stored is kept, and the next sync fetches what is new or has changed."
            else:
                kept = "What was stored is kept, and the next sync goes on from there."
            lines.append(
                f"Canceled: {name}. {kept}"
                if self.ended
                else f"Asked to stop: {name}. It makes no further call, and ends with its step."
            )
        elif self.busy:
            lines.append(
                "No sync is running, but another command uses the store, such as bl rebuild. Wait until it ends."
            )
        if self.full_syncs:
            were = "was" if self.full_syncs == 1 else "were"
            lines.append(f"Withdrawn: {plural(self.full_syncs, 'full sync')} that {were} still open.")
        return "\n".join(lines) or "Nothing to cancel: no sync is running, and no full sync is open."


def cancel_store(
    warehouse: Warehouse,
    *,
    waiting: Callable[[], None] = lambda: None,
    clock: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], None] = time.sleep,
) -> Cancellation:
    """Ask the running sync to stop, wait for its end, and withdraw the open full syncs.

    `waiting` is called once if the store's lock is taken, but no run has begun.
    """

    def withdraw() -> int:
        with warehouse.engine.begin() as connection:
            return len(withdraw_full_syncs(connection, warehouse, clock()))

    run, busy = _ask(warehouse, None, clock)
    withdrawn = withdraw()
    until = time.monotonic() + (START_TIMEOUT if run is None else STOP_TIMEOUT)
    has_waited = False
    while True:
        ended = run is not None and run.status != RunStatus.STARTED
        if ended or (run is None and not busy) or time.monotonic() > until:
            # The run may have asked for a full sync just before it saw that it was canceled.
            return Cancellation(run, ended=ended, busy=busy, full_syncs=withdrawn + withdraw())
        if run is None and not has_waited:
            has_waited = True
            waiting()
        sleep(0.2)
        before = run
        run, busy = _ask(warehouse, before, clock)
        if run is not None and (before is None or run.run_id != before.run_id):
            until = time.monotonic() + STOP_TIMEOUT


def _ask(warehouse: Warehouse, before: Run | None, clock: Callable[[], datetime]) -> tuple[Run | None, bool]:
    """Ask the started run to stop; returns it (None if there is none), and whether the store's lock is taken.

    `before` is the run that was asked before, which is returned when it has ended. If it turns out to have died long
    ago, the run that found it dead is asked in its place.
    """

    with warehouse.engine.begin() as connection:
        busy = is_syncing(connection, warehouse.store)
        run = None if before is None else runs.read_run(connection, before.run_id)
        had_died = run is not None and run.message == DIED
        if run is not None and not had_died and run.status != RunStatus.STARTED:
            return run, busy
        # A started run while none is running has died: there is nothing to stop.
        run_id = request_cancel(connection, warehouse, clock()) if busy else None
        if run_id is None and run is not None and not had_died:
            run_id = run.run_id  # it has ended since it was read
        return (None if run_id is None else runs.read_run(connection, run_id)), busy

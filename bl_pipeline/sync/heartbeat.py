"""The lease of a run whose steps are in several processes, renewed by a thread while a step works."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from bl_pipeline.warehouse.lease import LeaseTimes, renew


class Heartbeat:
    """Renews the lease of a run from now on, and calls `beat` each time. Stop it at the end of the step.

    What `beat` raises is ignored: if Dagster's storage does not answer for a while, the run keeps its store. If the
    lease has expired it ends: the run sees that by itself, in its row, before it calls or stores anything.
    """

    def __init__(self, engine: Engine, run_id: str, times: LeaseTimes, beat: Callable[[], None]) -> None:
        self._engine = engine
        self._run_id = run_id
        self._times = times
        self._beat = beat
        self._stopped = Event()
        self._thread = Thread(target=self._work, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Renew it for the last time, for as long as the next step may take to begin."""
        self._stopped.set()
        self._thread.join()
        self._renew(self._times.between_steps_seconds)

    def _work(self) -> None:
        while self._renew(self._times.working_seconds):
            with suppress(Exception):
                self._beat()
            if self._stopped.wait(self._times.renewal_seconds):
                return

    def _renew(self, seconds: float) -> bool:
        """False if the lease has expired. Without an answer of the database it may not have: nothing is stored."""
        with suppress(SQLAlchemyError), self._engine.begin() as connection:
            return renew(connection, self._run_id, seconds)
        return True

"""What the steps of a sync share: the warehouse, the lock, the API client, the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from threading import Event
from typing import Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from bl_pipeline.bricklink import BrickLinkClient, RetryPolicy
from bl_pipeline.clock import utc_now
from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import Outcome, RunStatus, Stop, StopReason, SyncResult
from bl_pipeline.reports.taxes import set_taxes
from bl_pipeline.reports.views import ReportViewsError, set_timezone
from bl_pipeline.settings import Settings, SettingsError, Store
from bl_pipeline.sync.heartbeat import Heartbeat
from bl_pipeline.sync.interruptions import Interrupted, interruption_behind, set_by_signals
from bl_pipeline.sync.run_errors import LockTaken
from bl_pipeline.sync.unexpected import summary
from bl_pipeline.warehouse import run_orders, runs, stores
from bl_pipeline.warehouse.database import Warehouse, WarehouseError, open_warehouse
from bl_pipeline.warehouse.future_times import correct_future_times
from bl_pipeline.warehouse.lease import LeaseStatus, LeaseTimes, lease_status, lock_row
from bl_pipeline.warehouse.ledger import CallLedger
from bl_pipeline.warehouse.lock import SyncLock, try_for_transaction
from bl_pipeline.warehouse.sales import count_rows
from bl_pipeline.warehouse.usage import KeyHashes, Usage, count_run_calls, hash_key, ledger_key, read_usage

CANCEL_SEEN_WITHIN = 1
"""Seconds until a run that waits sees that `bl cancel` was asked for."""
_CANCEL_ASKED_WITHIN = 0.1  # seconds
"""Before a call that only reads, the run's row is read again if it was read longer ago."""


class RunLost(WarehouseError):
    """The run is not the one of its store any more."""

    def __init__(self) -> None:
        super().__init__(
            "This run does not have the store any more: for a while nothing was heard of it, or somebody has noted its "
            "end. Another sync may be running, so this run makes no further call and stores nothing more. What was "
            "stored is kept, and the next sync goes on from there."
        )


class ProgressListener(Protocol):
    """What is called as a sync makes progress, to show it."""

    def planned(self, total: int) -> None:
        """`total` orders are to be fetched."""

    def fetched(self, order_id: str) -> None:
        """An order's answers have come; they are stored, and loaded with those of its batch."""

    def done(self, order_id: str, outcome: Outcome) -> None:
        """An order is done, and this is how it went."""


class NoProgress:
    """Shows no progress."""

    def planned(self, total: int) -> None:
        """Ignored."""

    def fetched(self, order_id: str) -> None:
        """Ignored."""

    def done(self, order_id: str, outcome: Outcome) -> None:
        """Ignored."""


@dataclass
class SyncSession:
    """Everything one run of a sync needs; `clock` and `sleep` are handed in, so that a test can set the time.

    Make it with `open_session`. `run_id` is empty until `begin` was called, `result` None until the run ended.
    `lease` is that of a run whose steps may be in several processes. `is_terminated` says whether whoever has launched
    the run has given it up; such a run asks it each time it renews its lease. `timezone_before` is the time zone that
    the reports had, if the run has changed it.
    """

    store: Store
    warehouse: Warehouse
    lock: SyncLock
    clock: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] | None = None
    progress: ProgressListener = field(default_factory=NoProgress)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    run_id: str = ""
    result: SyncResult | None = None
    canceled: Event = field(default_factory=Event)
    cancel_requested: bool = False
    lost: bool = False
    lease: LeaseTimes | None = None
    is_terminated: Callable[[], bool] = lambda: False
    timezone_before: str | None = None
    _asked_at_seconds: float = field(default=-inf, init=False)
    _heartbeat: Heartbeat | None = field(default=None, init=False)

    def usage(self) -> Usage:
        """How much of the call budget is used."""
        with self.warehouse.engine.connect() as connection:
            key = ledger_key(connection, self.store)
            return read_usage(connection, key, self.store.budget, self.clock())

    def check_store(self, order_ids: Collection[str] = ()) -> None:
        """Raise SettingsError if the store's orders, such as these, are in the warehouse under another name."""
        store = self.store.key
        with self.warehouse.engine.connect() as connection:
            if order_ids:
                other = stores.other_name_of_orders(connection, store, order_ids)
            else:
                key = hash_key(connection, self.store.known_credentials().consumer_key)
                other = stores.other_name_of_key(connection, store, key)
        if other is not None:
            raise SettingsError(stores.same_store_message(self.store, other))

    @contextmanager
    def calling(self, run_id: str) -> Iterator[tuple[BrickLinkClient, CallLedger]]:
        """A client, and the ledger that counts its every attempt; `run_id` is the run that the ledger notes.

        Raises SettingsError without credentials.
        """
        credentials = self.store.known_credentials()
        with self.warehouse.engine.connect() as connection:
            key = hash_key(connection, credentials.consumer_key)
        with (
            _Calls(self, key=key, run_id=run_id) as ledger,
            BrickLinkClient(
                credentials,
                ledger,
                base_url=self.store.api_url,
                timeout=self.store.request_timeout,
                retry=self.retry,
                clock=self.clock,
                sleep=self.wait,
            ) as client,
        ):
            yield client, ledger

    def check_canceled(self, *, unless_within_seconds: float = 0) -> None:
        """Raise Interrupted if the run was canceled, in whatever process, and RunLost if it has lost its store.

        The database is not asked if it was in the last `unless_within_seconds`.
        """
        if not self.canceled.is_set() and time.monotonic() - self._asked_at_seconds >= unless_within_seconds:
            with self.warehouse.engine.connect() as connection:
                self._read_lease(connection, lock=False)
        if self.canceled.is_set():
            raise RunLost if self.lost else Interrupted

    def lock_run(self, connection: Connection) -> None:
        """Let nobody end the run until the caller's transaction has ended: it stores something, or reserves calls.

        Sets `canceled` if `bl cancel` was asked for. Raises Interrupted if the run has been noted as canceled, and
        RunLost if it has lost its store.
        """
        self._read_lease(connection, lock=True)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction in which the run stores something; raises as `lock_run`."""
        with self.warehouse.engine.begin() as connection:
            self.lock_run(connection)
            yield connection

    def _read_lease(self, connection: Connection, *, lock: bool) -> None:
        """Note what the run's row says; raises RunLost or Interrupted if it must not go on. `lock`: see `lock_run`."""
        if not self.run_id:
            return  # what is done is of no run, such as a rebuild
        asked_at = time.monotonic()
        found = lease_status(connection, self.run_id, lock=lock)
        self.cancel_requested |= found is LeaseStatus.CANCEL_REQUESTED
        self.lost |= found is LeaseStatus.LOST
        if found is not LeaseStatus.GOES_ON:
            self.canceled.set()
        if found is LeaseStatus.LOST:
            raise RunLost
        if found is LeaseStatus.CANCELED:
            raise Interrupted
        self._asked_at_seconds = asked_at

    def wait(self, seconds: float) -> None:
        """Wait; raises Interrupted if the run is canceled meanwhile."""
        if self.sleep is not None:
            self.sleep(seconds)
            return
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.canceled.wait(min(left, CANCEL_SEEN_WITHIN)):
                raise Interrupted
            self.check_canceled()

    def take_lock(self, waiting: Callable[[], None]) -> None:
        """Take the store's lock, unless it is taken already; `waiting` is called once if another sync has it."""
        if not self.lock.taken:
            self.lock.acquire(waiting=waiting, sleep=self._wait_for_store)

    def _wait_for_store(self, seconds: float) -> None:
        if self.canceled.wait(seconds):
            raise Interrupted

    def take_lock_now(self, meaning: str) -> None:
        """Take the store's lock, or raise LockTaken; `meaning` is what a user reads that this means."""
        if not self.lock.try_acquire():
            raise LockTaken(
                f"A sync or another command of this store is running, so {meaning}.\n"
                f"Look at it with: {self.store.command('status')}, or in the Dagster UI. Then try again."
            )

    def begin(
        self, run_id: str, *, job: str, of_all_orders: bool = True, waiting: Callable[[], None] = lambda: None
    ) -> None:
        """Take the store's lock, wait for it if necessary, and note the start of the run and what it is about.

        All steps of the run are in this process.
        """
        self.take_lock(waiting)
        self.run_id = run_id
        with self.warehouse.engine.begin() as connection:
            self._note_start(connection, run_id, job, lease=None, of_all_orders=of_all_orders)

    def try_begin_distributed(self, run_id: str, *, job: str, of_all_orders: bool = True) -> bool:
        """Note the start of a run whose next steps `attach`, in whatever process; False if another sync is running."""
        self.run_id = run_id
        with self.warehouse.engine.begin() as connection:
            if not try_for_transaction(connection, self.warehouse.store):
                return False
            self._note_start(connection, run_id, job, lease=self.lease, of_all_orders=of_all_orders)
        self._renew_lease()
        return True

    def _note_start(
        self, connection: Connection, run_id: str, job: str, *, lease: LeaseTimes | None, of_all_orders: bool
    ) -> None:
        """Store the row of a run that begins, and what its settings change; `lease` is None if the run has the lock."""
        self.timezone_before = self._set_timezone(connection)
        set_taxes(connection, self.warehouse.store, self.store.taxes, self.clock())
        key = ledger_key(connection, self.store)
        correct_future_times(connection, self.warehouse, key, self.clock())
        runs.start_run(
            connection,
            self.warehouse,
            run_id=run_id,
            job=job,
            now=self.clock(),
            of_all_orders=of_all_orders,
            lease_seconds=lease.working_seconds if lease else None,
        )

    def _renew_lease(self) -> None:
        assert self.lease is not None, "all steps of this run are in one process"
        self._heartbeat = Heartbeat(self.warehouse.engine, self.run_id, self.lease, self._look_for_termination)

    def _look_for_termination(self) -> None:
        if self.is_terminated():
            self.canceled.set()

    def check_lock(self) -> None:
        """Raise WarehouseError if the run has lost the store's lock; a distributed run has none, but a lease."""
        if self._heartbeat is None:
            self.lock.check()

    def _set_timezone(self, connection: Connection) -> str | None:
        try:
            return set_timezone(connection, self.warehouse.store, self.store.timezone)
        except ReportViewsError as error:
            raise SettingsError(str(error)) from None

    def attach(self, run_id: str) -> bool:
        """Join a run that another process has begun: some executors run each step in a process of its own.

        Returns False, and does nothing, if no process has begun it. If it has ended, the next `step` raises.
        """
        with self.warehouse.engine.connect() as connection:
            if runs.read_run(connection, run_id) is None:
                return False
        self.run_id = run_id
        self._renew_lease()
        return True

    def stop(self, stop: Stop) -> None:
        """Note that the run cannot go on; the first reason stays."""
        with self.warehouse.engine.begin() as connection:
            runs.stop_run(connection, self.run_id, stop)

    def is_stopped(self) -> bool:
        """Whether something has stopped the run."""
        with self.warehouse.engine.connect() as connection:
            return runs.read_stop(connection, self.run_id) is not None

    def has_failed(self) -> bool:
        """Whether something other than the budget has stopped the run."""
        with self.warehouse.engine.connect() as connection:
            stopped = runs.read_stop(connection, self.run_id)
        return stopped is not None and stopped.reason is not StopReason.BUDGET

    def count_rows(self, kinds: Sequence[AnswerKind]) -> tuple[int, ...]:
        """Rows of the tables of `sales` that these kinds of answers become."""
        with self.warehouse.engine.connect() as connection:
            return count_rows(connection, self.warehouse, kinds)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around each step: an error or an interruption that ends it ends the run, and is noted."""
        try:
            self.check_canceled()
            yield
        except GeneratorExit:
            # An interruption came before the step was entered: whoever catches it notes the end of the run.
            raise
        except BaseException as error:
            interruption = interruption_behind(error)
            if interruption is None:
                self.fail(error)
                raise
            # Terminate in the UI, or Ctrl-C.
            self.cancel()
            raise interruption from None

    def cancel(self) -> bool:
        """Note that the run was canceled, if it has begun and not ended; returns whether this call noted it."""
        self.canceled.set()
        return self._note_end(RunStatus.CANCELED)

    def fail(self, error: BaseException) -> None:
        """Note that the run failed, and why, if it has begun and not ended."""
        self._note_end(RunStatus.FAILED, Stop(StopReason.ERROR, summary(error)))

    def close(self) -> None:
        """Release the lock, or leave the lease to the next step."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
        self.lock.release()

    def _note_end(self, status: RunStatus, stop: Stop | None = None) -> bool:
        """Store how the run ended, with the counts until then; returns whether it was stored now."""
        # If the warehouse is gone, nothing can be stored; the next run marks this one as dead.
        with suppress(DBAPIError), self.warehouse.engine.begin() as connection:
            lock_row(connection, self.run_id)
            run = runs.read_run(connection, self.run_id)
            if run is None or run.status is not RunStatus.STARTED:
                return False
            runs.finish_run(
                connection,
                self.run_id,
                status=status,
                counts=run_orders.count_outcomes(connection, self.run_id),
                api_calls=count_run_calls(connection, self.run_id),
                detected_by=run_orders.count_reasons(connection, self.run_id),
                now=self.clock(),
                stop=stop,
            )
            return True
        return False


class _Calls(CallLedger):
    """The ledger of a session: a run that was canceled or has lost its store makes no call."""

    def __init__(self, session: SyncSession, *, key: KeyHashes, run_id: str) -> None:
        super().__init__(
            session.warehouse.engine, key=key, store=session.warehouse.store, run_id=run_id, budget=session.store.budget
        )
        self._session = session

    def begin(self, method: str, path: str, now: datetime) -> int:
        if method == "GET":
            # It was asked a moment ago, when the thread's last answer was stored.
            self._session.check_canceled(unless_within_seconds=_CANCEL_ASKED_WITHIN)
        else:
            self._session.check_canceled()
            # A process that has slept may have lost it, and another run may have sent the same.
            self._session.check_lock()
        return super().begin(method, path, now)

    def check(self, connection: Connection) -> None:
        self._session.lock_run(connection)


@contextmanager
def open_session(settings: Settings) -> Iterator[SyncSession]:
    """A session on the store's warehouse; the lock is taken by `begin`, or beforehand by the caller.

    Raises WarehouseError if the warehouse cannot be used, or cannot be written.
    """
    with open_warehouse(settings, for_writing=True) as warehouse:
        session = SyncSession(settings.store, warehouse, SyncLock(warehouse))
        with set_by_signals(session.canceled), closing(session):
            yield session

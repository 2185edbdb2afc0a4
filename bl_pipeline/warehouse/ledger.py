"""The call ledger: every attempt counted before it is sent, by all processes that use the API key.

Calls are reserved in small blocks, which count as made from the commit that reserves them: a row of
sync.call_reservations for each run that makes calls. Each attempt that has ended becomes a row of sync.api_calls, in
the transaction that stores its answer, and leaves the reservation. At the end of a run what was not used is given back.
A reservation that remains belongs to a process that died: the calls that it may have sent count as made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Lock
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from bl_pipeline.records import Budget
from bl_pipeline.warehouse.usage import KeyHashes, read_usage

BLOCK = 25
"""Calls reserved at a time: half a percent of a usual budget, which is what a process that dies may cost."""

_SHARE = 8
"""Nobody reserves more than this part of the calls that are left, so that others can use the end of the budget too."""

USABLE = timedelta(seconds=10)
"""A reserved call is sent within this time, or reserved anew. So 24 hours later it is not in any window any more."""

_CLOSE_TIMEOUT = 2.0
"""Seconds that `close` waits for a thread that is in the middle of a transaction."""


class BudgetExhausted(Exception):
    """No call is left; `next_reset_at` (UTC) is when a sync can go on."""

    def __init__(self, next_reset_at: datetime | None) -> None:
        self.next_reset_at = next_reset_at
        super().__init__("the call budget of the last 24 hours is used up")


@dataclass(slots=True)
class _Call:
    """An attempt of this process; `call_id` is that of its row once it has one, `outcome` None until it is known."""

    method: str
    path: str
    started_at: datetime
    finished_at: datetime | None = None
    outcome: str | None = None
    call_id: int | None = None


class CallLedger:
    """The ledger of one API key, written for one run of a store by any number of threads. Close it after use."""

    def __init__(self, engine: Engine, *, key: KeyHashes, store: str, run_id: str, budget: Budget) -> None:
        self._engine = engine
        self._key = key
        self._store = store
        self._run_id = run_id
        self._budget = budget
        self._lock = Lock()
        """Guards what has begun and ended; never kept while Postgres is asked."""
        self._numbers = count(1)
        self._open: dict[int, _Call] = {}
        self._ended: list[_Call] = []
        self._reserving = Lock()
        """Guards the reservation."""
        self._reservation_id: int | None = None
        self._free = 0
        """Calls reserved and not begun; they may begin from `_reserved_at` until `_usable_until`."""
        self._reserved_at = self._usable_until = datetime.min.replace(tzinfo=UTC)
        self._committing = Lock()
        """One transaction at a time notes what has ended, so that each call is noted once."""
        self._closed = False

    def begin(self, method: str, path: str, now: datetime) -> int:
        """Count an attempt that is about to be sent; `end` gets the number that is returned.

        A write has its own row, with its time, before it is sent. Raises BudgetExhausted, and counts nothing, if no
        call is left.
        """
        with self._reserving:
            assert not self._closed, "no call is made after the end of a run"
            if not (self._free and self._reserved_at <= now <= self._usable_until):
                self._reserve(now, at_most=BLOCK if method == "GET" else 1)
            self._free -= 1
            with self._lock:
                number = next(self._numbers)
                call = self._open[number] = _Call(method, path, now)
        if method != "GET":
            with self._engine.begin() as connection:
                [call.call_id] = self._note(connection, [call])
        return number

    def end(self, number: int, outcome: str, now: datetime) -> None:
        """Take note of how the attempt ended; `transaction` stores it, of a write it is stored at once."""
        with self._lock:
            call = self._open.pop(number, None)
            if call is None:
                return  # the ledger was closed before: nobody waited for this answer
            call.finished_at, call.outcome = now, outcome
            if call.call_id is None:
                self._ended.append(call)
        if call.call_id is not None:
            with self._engine.begin() as connection:
                connection.execute(
                    text("UPDATE sync.api_calls SET finished_at = :now, outcome = :outcome WHERE call_id = :call_id"),
                    {"now": now, "outcome": outcome, "call_id": call.call_id},
                )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction for what has been answered: it notes the calls that have ended, too.

        One thread has it at a time. If it is not committed, the next one notes the calls.
        """
        with self._committing:
            with self._lock:
                ended, self._ended = self._ended, []
            try:
                with self._engine.begin() as connection:
                    yield connection
                    self._note(connection, ended)
            except BaseException:
                with self._lock:
                    self._ended = ended + self._ended
                raise

    def close(self) -> None:
        """Note the calls that are not noted yet, those under way without an outcome, and give back what was not used.

        If a thread is in the middle of a transaction that does not end, the reservation stays: it counts as spent.
        """
        if not self._reserving.acquire(timeout=_CLOSE_TIMEOUT):
            return
        try:
            if self._closed or not self._committing.acquire(timeout=_CLOSE_TIMEOUT):
                return
            try:
                self._closed = True
                if self._reservation_id is not None:
                    self._give_back()
            finally:
                self._committing.release()
        finally:
            self._reserving.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # If the warehouse is gone, what is raised already says so; and what is reserved stays spent.
        with suppress(*[DBAPIError] if error is not None else []):
            self.close()

    def check(self, connection: Connection) -> None:
        """Called in each transaction that reserves calls; what it raises lets nothing be reserved."""

    def _give_back(self) -> None:
        with self._lock:
            left = [*self._ended, *(call for call in self._open.values() if call.call_id is None)]
            self._ended, self._open = [], {}
        with self._engine.begin() as connection:
            self._note(connection, left)
            connection.execute(
                text("DELETE FROM sync.call_reservations WHERE reservation_id = :id"), {"id": self._reservation_id}
            )

    def _reserve(self, now: datetime, *, at_most: int) -> None:
        """Reserve a block of calls in place of the free ones, which are too old if there are any.

        Raises BudgetExhausted if no call is left.
        """
        unused, self._free = self._free, 0
        reservation_id = self._reservation_id
        with self._engine.begin() as connection:
            self.check(connection)
            # Counting and adding must be one step for all processes: else two could use the same last call.
            connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended('bl_pipeline.ledger:' || :own, 0))"),
                {"own": self._key[0]},
            )
            if unused:
                connection.execute(text(_LESS), {"id": self._reservation_id, "calls": unused})
            usage = read_usage(connection, self._key, self._budget, now)
            block = min(at_most, max(usage.left // _SHARE, 1), usage.left)
            values = {
                "id": self._reservation_id,
                "own": self._key[0],
                "store": self._store,
                "run_id": self._run_id,
                "calls": block,
                "until": now + USABLE,
            }
            if block and self._reservation_id is not None:
                connection.execute(_MORE, values)
            elif block:
                reservation_id = connection.scalar(_RESERVE, values)
        if not block:
            raise BudgetExhausted(usage.next_reset_at)
        self._reservation_id = reservation_id
        self._free, self._reserved_at, self._usable_until = block, now, now + USABLE

    def _note(self, connection: Connection, calls: Sequence[_Call]) -> list[int]:
        """Make reserved calls rows of sync.api_calls; returns their call ids, in no certain order."""
        if not calls:
            return []
        values = {
            "id": self._reservation_id,
            "own": self._key[0],
            "store": self._store,
            "run_id": self._run_id,
            "calls": len(calls),
            "started_at": [call.started_at for call in calls],
            "finished_at": [call.finished_at for call in calls],
            "method": [call.method for call in calls],
            "path": [call.path for call in calls],
            "outcome": [call.outcome for call in calls],
        }
        return list(connection.scalars(_NOTE, values))


_RESERVE = text("""
    INSERT INTO sync.call_reservations (key_hash, store, run_id, calls, usable_until)
    VALUES (:own, :store, :run_id, :calls, :until) RETURNING reservation_id
""")
_MORE = text("""
    UPDATE sync.call_reservations SET calls = calls + :calls, usable_until = :until, counted_at = NULL
    WHERE reservation_id = :id
""")
_LESS = "UPDATE sync.call_reservations SET calls = calls - :calls WHERE reservation_id = :id"
_NOTE = text(f"""
    WITH noted AS (
        INSERT INTO sync.api_calls (key_hash, store, run_id, started_at, finished_at, method, path, outcome)
        SELECT CAST(:own AS text), CAST(:store AS text), CAST(:run_id AS text), * FROM unnest(
            CAST(:started_at AS timestamptz[]), CAST(:finished_at AS timestamptz[]), CAST(:method AS text[]),
            CAST(:path AS text[]), CAST(:outcome AS text[])
        )
        RETURNING call_id
    ), used AS (
        {_LESS}
    )
    SELECT call_id FROM noted
""")

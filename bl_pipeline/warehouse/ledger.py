"""The call ledger: every attempt counted before it is sent, over the rolling 24 hours, by all processes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text

WINDOW = timedelta(hours=24)
"""BrickLink does not say when its day begins: any 24 hours hold every calendar day."""

CALLS_WORTH_STARTING = 4
"""Two lists, an order and its items: with fewer calls left a sync gets nothing done."""


class BudgetExhausted(Exception):
    """No call is left; `next_reset_at` (UTC) is when a sync can go on."""

    def __init__(self, next_reset_at: datetime | None) -> None:
        self.next_reset_at = next_reset_at
        super().__init__("the call budget of the last 24 hours is used up")


@dataclass(frozen=True, slots=True)
class Budget:
    """Calls allowed in any 24 hours, and of these how many are left for other tools on the same key."""

    limit: int
    reserve: int

    @property
    def allowed(self) -> int:
        """Calls the pipeline may make in any 24 hours."""
        return max(self.limit - self.reserve, 0)


@dataclass(frozen=True, slots=True)
class Usage:
    """How the budget stands. `next_reset_at` (UTC) is when enough calls for a sync are free: None when they are."""

    used: int
    left: int
    limit: int
    reserve: int
    next_reset_at: datetime | None


class CallLedger:
    """The ledger of one store, written for one run."""

    def __init__(self, engine: Engine, *, store: str, run_id: str, budget: Budget) -> None:
        self._engine = engine
        self._store = store
        self._run_id = run_id
        self._budget = budget

    def begin(self, method: str, path: str, now: datetime) -> int:
        """Count an attempt that is about to be sent, and return its call id.

        Raises BudgetExhausted, and counts nothing, where no call is left.
        """
        with self._engine.begin() as connection:
            # Counting and adding must be one step for all processes, or two would share the last call.
            connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended('bl_pipeline.ledger:' || :store, 0))"),
                {"store": self._store},
            )
            call_id = connection.scalar(
                text(
                    """
                    INSERT INTO sync.api_calls (store, run_id, started_at, method, path)
                    SELECT :store, :run_id, :now, :method, :path
                    WHERE (SELECT count(*) FROM sync.api_calls WHERE store = :store AND started_at > :since) < :allowed
                    RETURNING call_id
                    """
                ),
                {
                    "store": self._store,
                    "run_id": self._run_id,
                    "now": now,
                    "since": now - WINDOW,
                    "method": method,
                    "path": path,
                    "allowed": self._budget.allowed,
                },
            )
            if call_id is None:
                raise BudgetExhausted(read_usage(connection, self._store, self._budget, now).next_reset_at)
            return int(call_id)

    def end(self, call_id: int, outcome: str, now: datetime) -> None:
        """Say how the attempt went."""
        with self._engine.begin() as connection:
            connection.execute(
                text("UPDATE sync.api_calls SET finished_at = :now, outcome = :outcome WHERE call_id = :call_id"),
                {"now": now, "outcome": outcome, "call_id": call_id},
            )


def read_usage(connection: Connection, store: str, budget: Budget, now: datetime) -> Usage:
    """How many calls the last 24 hours hold, how many are left, and when enough are free again."""
    since = now - WINDOW
    used = connection.scalar(
        text("SELECT count(*) FROM sync.api_calls WHERE store = :store AND started_at > :since"),
        {"store": store, "since": since},
    )
    assert used is not None
    left = max(budget.allowed - used, 0)
    needed = min(CALLS_WORTH_STARTING, budget.allowed)
    next_reset_at: datetime | None = None
    if left < needed:
        # When the call that stands in the way, counted from the oldest, is 24 hours old.
        oldest = connection.scalar(
            text(
                """
                SELECT started_at FROM sync.api_calls WHERE store = :store AND started_at > :since
                ORDER BY started_at OFFSET :offset LIMIT 1
                """
            ),
            {"store": store, "since": since, "offset": used - budget.allowed + needed - 1},
        )
        next_reset_at = oldest + WINDOW if oldest is not None else None
    return Usage(used, left, budget.limit, budget.reserve, next_reset_at)


def count_run_calls(connection: Connection, run_id: str) -> int:
    """Calls made by one run, failed ones included."""
    return (
        connection.scalar(text("SELECT count(*) FROM sync.api_calls WHERE run_id = :run_id"), {"run_id": run_id}) or 0
    )

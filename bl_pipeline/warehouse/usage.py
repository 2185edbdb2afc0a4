"""How much of the call budget is used: what counts, over the rolling 24 hours, and when it is free again.

The budget is that of the API key, whatever the stores are called that use it. The key itself is never stored: the
ledger knows it by a hash with a salt of the warehouse. A call whose key is not known counts for every key. A warehouse
that was restored over another one has the salts of both, with a blank between: it knows the calls of both.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from bl_pipeline.records import Budget
from bl_pipeline.settings import Store

WINDOW = timedelta(hours=24)
"""BrickLink does not say when its day begins. A limit for any 24 hours keeps the limit of every day."""

CLOCKS_DIFFER = timedelta(minutes=1)
"""The clocks of two machines may differ by this much. A time further in the future is of a clock that was ahead."""

_CORRECTION_HOLDS = timedelta(days=30)

CALLS_WORTH_STARTING = 4
"""Two lists, an order and its items: with fewer calls left a sync gets nothing done."""


KeyHashes = list[str]
"""An API key as the ledger knows it: its hash with each salt, the warehouse's own first; empty if it is not known."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of the budget is used. `next_reset_at` (UTC) is when enough calls for a sync are free, None if now.

    Calls that a run has reserved, and may still make, are not used, but are not left for others either.
    """

    used: int
    left: int
    limit: int
    reserve: int
    next_reset_at: datetime | None
    dated_ahead: int = 0
    """Of the calls used those that are dated in the future: the clock was ahead when they were made."""

    @property
    def allowed(self) -> int:
        """Calls the pipeline may make in any 24 hours."""
        return Budget(self.limit, self.reserve).allowed


def hash_key(connection: Connection, consumer_key: str) -> KeyHashes:
    """An API key as the ledger knows it."""
    salts = str(connection.scalar(text("SELECT salt FROM sync.api_key_salt"))).split()
    return [hashlib.blake2b(consumer_key.encode(), key=salt.encode(), digest_size=16).hexdigest() for salt in salts]


def ledger_key(connection: Connection, store: Store) -> KeyHashes:
    """The store's API key; without credentials, the key of its last call."""
    if store.credentials is not None:
        return hash_key(connection, store.credentials.consumer_key)
    last = connection.scalars(
        text(
            """
            SELECT key_hash FROM sync.api_calls WHERE store = :store AND key_hash IS NOT NULL
            ORDER BY call_id DESC LIMIT 1
            """
        ),
        {"store": store.key},
    )
    return list(last)


# What counts: calls that were made, and those that are reserved and may have been made until `usable_until`.
# A call dated in the future counts as made when a run first saw it, so for a day from then. That correction is ignored
# if the run's own clock was far behind when it made the correction: then the call has the right date.
_COUNTED = """
    SELECT calls, started_at, counts_from, is_reserved FROM (
        SELECT 1 AS calls, started_at, counted_at, false AS is_reserved, key_hash FROM sync.api_calls
        UNION ALL
        SELECT calls, usable_until, counted_at, true, key_hash FROM sync.call_reservations
    ) spent CROSS JOIN LATERAL (
        SELECT CASE
            WHEN counted_at IS NULL OR (started_at <= :now AND counted_at <= :too_long_ago) THEN least(started_at, :now)
            ELSE counted_at
        END AS counts_from
    ) corrected
    WHERE (key_hash = ANY(CAST(:key AS text[])) OR key_hash IS NULL) AND started_at > :since AND counts_from > :since
"""


def _counted(key: KeyHashes, now: datetime) -> dict[str, object]:
    return {"key": key, "now": now, "since": now - WINDOW, "too_long_ago": now - _CORRECTION_HOLDS}


def read_usage(connection: Connection, key: KeyHashes, budget: Budget, now: datetime) -> Usage:
    """The calls of the API key in the last 24 hours, how many are left, and when enough are free.

    Without a key only the calls count whose key is not known.
    """
    values = {**_counted(key, now), "latest": now + CLOCKS_DIFFER}
    spent, ahead, reserved = connection.execute(
        text(
            f"""
            SELECT coalesce(sum(calls), 0), coalesce(sum(calls) FILTER (WHERE started_at > :latest), 0),
                coalesce(sum(calls) FILTER (WHERE is_reserved AND started_at BETWEEN :now AND :latest), 0)
            FROM ({_COUNTED}) counted
            """
        ),
        values,
    ).one()
    left = max(budget.allowed - spent, 0)
    needed = min(CALLS_WORTH_STARTING, budget.allowed)
    next_reset_at: datetime | None = None
    if left < needed:
        # Enough calls are free when the last of the oldest ones that must expire is 24 hours old.
        oldest = connection.scalar(
            text(
                f"""
                SELECT counts_from FROM (
                    SELECT counts_from, sum(calls) OVER (ORDER BY counts_from) AS free FROM ({_COUNTED}) counted
                ) by_age WHERE free >= :too_many ORDER BY 1 LIMIT 1
                """
            ),
            {**values, "too_many": spent - budget.allowed + needed},
        )
        next_reset_at = oldest + WINDOW if oldest is not None else None
    return Usage(int(spent - reserved), int(left), budget.limit, budget.reserve, next_reset_at, int(ahead))


def correct_future_calls(connection: Connection, key: KeyHashes, now: datetime) -> None:
    """Let calls that are dated in the future, by a clock that was ahead, count from now: for a day, not for longer."""
    for table, dated in (("sync.api_calls", "started_at"), ("sync.call_reservations", "usable_until")):
        connection.execute(
            text(
                f"""
                UPDATE {table} SET counted_at = :now
                WHERE (key_hash = ANY(CAST(:key AS text[])) OR key_hash IS NULL) AND {dated} > :latest
                  AND coalesce(counted_at, {dated}) > :latest
                """
            ),
            {"key": key, "now": now, "latest": now + CLOCKS_DIFFER},
        )


def count_run_calls(connection: Connection, run_id: str) -> int:
    """Calls made by one run, failed ones included; those under way are counted when they have ended."""
    return (
        connection.scalar(text("SELECT count(*) FROM sync.api_calls WHERE run_id = :run_id"), {"run_id": run_id}) or 0
    )


def last_write_at(connection: Connection, run_id: str) -> datetime | None:
    """When a run sent a request that changes something, the last time; None if it sent none."""
    sent_at: datetime | None = connection.scalar(
        text("SELECT max(started_at) FROM sync.api_calls WHERE run_id = :run_id AND method <> 'GET'"),
        {"run_id": run_id},
    )
    return sent_at

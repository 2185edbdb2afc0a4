"""Times that are in the future because a clock was ahead: without a correction they would count until then."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, text

from bl_pipeline.columns import PARTS, AnswerKind
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.usage import CLOCKS_DIFFER, KeyHashes, correct_future_calls

_FETCHED_AT = [f"{kind}_fetched_at" for kind in (AnswerKind.ORDER, *PARTS)]


def _not_after_now(columns: Iterable[str]) -> str:
    # `least` would take no time at all, which is NULL, for a later one.
    return ", ".join(f"{column} = CASE WHEN {column} > :now THEN :now ELSE {column} END" for column in columns)


_CORRECTIONS = (
    f"""
    UPDATE sync.runs SET {_not_after_now(("started_at", "finished_at", "listed_at"))}
    WHERE store = :store AND greatest(started_at, finished_at, listed_at) > :latest
    """,
    """
    UPDATE sync.full_syncs SET requested_at = :now
    WHERE store = :store AND completed_at IS NULL AND requested_at > :latest
    """,
    f"""
    UPDATE sync.order_state SET {_not_after_now(_FETCHED_AT)}
    WHERE store = :store AND greatest({", ".join(_FETCHED_AT)}) > :latest
    """,
)


def correct_future_times(connection: Connection, warehouse: Warehouse, key: KeyHashes, now: datetime) -> None:
    """Set stored times that are in the future to `now`: of calls of the API key, of the store's runs,
    of open full syncs, and when orders were fetched.

    An order whose last failure is in the future is tried again anyway.
    """
    correct_future_calls(connection, key, now)
    for statement in _CORRECTIONS:
        connection.execute(text(statement), {"store": warehouse.store, "now": now, "latest": now + CLOCKS_DIFFER})

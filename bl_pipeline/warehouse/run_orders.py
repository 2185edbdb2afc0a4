"""sync.run_orders: which orders each run fetches and why, in batches, and their outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from bl_pipeline.columns import PARTS
from bl_pipeline.records import Fetch, Outcome, Reason, ReportedError
from bl_pipeline.warehouse.database import Warehouse

UNKNOWN_ORDER = "BrickLink lists no such sale of this store. Give the order's number as BrickLink shows it."
"""The error of an order that was asked for by its number and is in no list."""

_FORCE = {f"force_{kind}": kind for kind in PARTS}
"""Column → the part that is fetched whether it is due or not."""


def save_plan(
    connection: Connection, run_id: str, planned: Iterable[Fetch], deferred: Iterable[Fetch],
    unknown: Iterable[Fetch] = (), *, skipped: int
) -> None:  # fmt: skip
    """Store what a run fetches, what it defers, and what it cannot know; `skipped` orders are unchanged."""
    connection.execute(text("DELETE FROM sync.run_orders WHERE run_id = :run_id"), {"run_id": run_id})
    rows = [
        {
            "run_id": run_id,
            "order_id": order.order_id,
            "batch_number": order.batch_number,
            "position": position,
            "reason": order.reason,
            "fetch_order": order.fetch_order,
            "outcome": outcome,
            **{name: kind in order.force for name, kind in _FORCE.items()},
        }
        for position, (order, outcome) in enumerate(
            [
                *((order, None) for order in planned),
                *((order, Outcome.DEFERRED) for order in deferred),
                *((order, Outcome.FAILED) for order in unknown),
            ],
            start=1,
        )
    ]
    if rows:
        connection.execute(
            text(
                f"""
                INSERT INTO sync.run_orders (
                    run_id, platform_order_id, batch_number, position, reason, fetch_order, outcome, {", ".join(_FORCE)}
                ) VALUES (
                    :run_id, :order_id, :batch_number, :position, :reason, :fetch_order, :outcome,
                    {", ".join(f":{name}" for name in _FORCE)}
                )
                """
            ),
            rows,
        )
    connection.execute(
        text("UPDATE sync.runs SET orders_skipped = :skipped WHERE run_id = :run_id"),
        {"run_id": run_id, "skipped": skipped},
    )


def count_planned_calls(connection: Connection, warehouse: Warehouse, reason: Reason, *, since: datetime) -> int:
    """Calls that runs since then have planned for this reason: one for the order, one for each part of `force`."""
    return (
        connection.scalar(
            text(
                f"""
                SELECT count(*) + {" + ".join(f"count(*) FILTER (WHERE {name})" for name in _FORCE)}
                FROM sync.run_orders JOIN sync.runs USING (run_id)
                WHERE store = :store AND started_at > :since AND reason = :reason
                """
            ),
            {"store": warehouse.store, "since": since, "reason": reason},
        )
        or 0
    )


def read_batch(connection: Connection, run_id: str, batch_number: int) -> list[Fetch]:
    """The orders of one batch that are not done yet, most urgent first."""
    rows = connection.execute(
        text(
            f"""
            SELECT platform_order_id AS order_id, batch_number, reason, fetch_order, {", ".join(_FORCE)}
            FROM sync.run_orders
            WHERE run_id = :run_id AND batch_number = :batch_number AND outcome IS NULL
            ORDER BY position
            """
        ),
        {"run_id": run_id, "batch_number": batch_number},
    )
    return [
        Fetch(
            row.order_id,
            Reason(row.reason),
            row.fetch_order,
            frozenset(kind for name, kind in _FORCE.items() if row._mapping[name]),
            row.batch_number,
        )
        for row in rows
    ]


def save_outcomes(connection: Connection, run_id: str, outcomes: Mapping[str, Outcome]) -> None:
    """Note the outcomes of planned orders, by order id."""
    if outcomes:
        connection.execute(
            text(
                """
                UPDATE sync.run_orders SET outcome = :outcome
                WHERE run_id = :run_id AND platform_order_id = :order_id
                """
            ),
            [{"run_id": run_id, "order_id": order_id, "outcome": outcome} for order_id, outcome in outcomes.items()],
        )


def count_outcomes(connection: Connection, run_id: str) -> Counter[Outcome]:
    """Planned orders by outcome; those without one were left undone, so they count as deferred."""
    rows = connection.execute(
        text(
            """
            SELECT coalesce(outcome, 'deferred') AS outcome, count(*) AS orders FROM sync.run_orders
            WHERE run_id = :run_id GROUP BY 1
            """
        ),
        {"run_id": run_id},
    )
    return Counter({Outcome(row.outcome): row.orders for row in rows})


def count_reasons(connection: Connection, run_id: str) -> dict[str, int]:
    """Planned orders whose content had changed, by the way that was detected."""
    rows = connection.execute(
        text(
            """
            SELECT reason, count(*) AS orders FROM sync.run_orders
            WHERE run_id = :run_id AND outcome IN ('created', 'updated') GROUP BY 1 ORDER BY 1
            """
        ),
        {"run_id": run_id},
    )
    return {row.reason: row.orders for row in rows}


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run is: orders that are planned, and fetched; the order that is asked for now; API calls.

    `is_stopping`: the run was asked to stop.
    """

    planned: int
    fetched: int
    current: str | None
    calls: int
    is_stopping: bool


def read_progress(connection: Connection, run_id: str) -> RunProgress:
    """How far a run is, by the orders of its plan and its calls; of a run that is not there, nothing."""
    row = connection.execute(
        text(
            """
            WITH calls AS (
                SELECT split_part(path, '/', 3) AS order_id, finished_at, call_id
                FROM sync.api_calls WHERE run_id = :run_id
            )
            SELECT
                (SELECT count(*) FROM sync.run_orders WHERE run_id = :run_id AND outcome IS DISTINCT FROM 'deferred'
                    AND batch_number > 0) AS planned,
                (SELECT count(DISTINCT order_id) FROM calls WHERE order_id <> '' AND finished_at IS NOT NULL)
                    AS fetched,
                (SELECT order_id FROM calls WHERE order_id <> '' ORDER BY call_id DESC LIMIT 1) AS current,
                (SELECT count(*) FROM calls) AS calls,
                EXISTS (SELECT FROM sync.runs WHERE run_id = :run_id AND cancel_requested_at IS NOT NULL)
                    AS is_stopping
            """
        ),
        {"run_id": run_id},
    ).one()
    return RunProgress(**row._mapping)


def run_errors(connection: Connection, warehouse: Warehouse, run_id: str) -> list[ReportedError]:
    """The orders that failed in this run, and, of one that asked the lists, those that wait for another try."""
    rows = connection.execute(
        text(
            """
            SELECT s.platform_order_id, coalesce(s.error, 'not known')
            FROM sync.order_state s
            WHERE s.store = :store AND s.failed_at IS NOT NULL AND (
                EXISTS (SELECT FROM sync.runs WHERE run_id = :run_id AND orders_listed IS NOT NULL)
                OR EXISTS (
                    SELECT FROM sync.run_orders r
                    WHERE r.run_id = :run_id AND r.platform_order_id = s.platform_order_id AND r.outcome = 'failed'
                )
            )
            ORDER BY s.failed_at, s.platform_order_id
            """
        ),
        {"run_id": run_id, "store": warehouse.store},
    )
    unknown = connection.scalars(
        text(
            """
            SELECT platform_order_id FROM sync.run_orders r
            WHERE run_id = :run_id AND outcome = 'failed' AND NOT EXISTS (
                SELECT FROM sync.order_state s
                WHERE s.store = :store AND s.platform_order_id = r.platform_order_id
            )
            ORDER BY position
            """
        ),
        {"run_id": run_id, "store": warehouse.store},
    )
    return [
        *(ReportedError(order_id=order_id, error=error) for order_id, error in rows),
        *(ReportedError(order_id=order_id, error=UNKNOWN_ORDER) for order_id in unknown),
    ]


def run_order_ids(connection: Connection, run_id: str, outcome: Outcome, *, limit: int) -> list[str]:
    """The first orders of a run with this outcome, most urgent first."""
    rows = connection.scalars(
        text(
            """
            SELECT platform_order_id FROM sync.run_orders WHERE run_id = :run_id AND outcome = :outcome
            ORDER BY position LIMIT :limit
            """
        ),
        {"run_id": run_id, "outcome": outcome, "limit": limit},
    )
    return list(rows)


def only_order(connection: Connection, run_id: str) -> str | None:
    """The order that a run was about, if it was asked for one order only."""
    found = connection.scalars(
        text(
            """
            SELECT platform_order_id FROM sync.run_orders JOIN sync.runs USING (run_id)
            WHERE run_id = :run_id AND scope = 'some' LIMIT 2
            """
        ),
        {"run_id": run_id},
    ).all()
    return found[0] if len(found) == 1 else None

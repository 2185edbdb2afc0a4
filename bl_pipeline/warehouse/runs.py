"""sync.runs: what each run is about, how it ended, and its counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from bl_pipeline.records import COMPLETE, Outcome, RunStatus, Stop, StopReason
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lease import end_dead_runs
from bl_pipeline.warehouse.tables.schema import sql_list

_OF_THE_CONNECTION = "coalesce(stop_reason IN ('credentials', 'unreachable', 'settings'), false)"


@dataclass(frozen=True, slots=True)
class Run:
    """One row of sync.runs: times in UTC, counts in orders."""

    run_id: str
    job: str
    started_at: datetime
    finished_at: datetime | None
    status: RunStatus
    orders_listed: int | None
    orders_created: int | None
    orders_updated: int | None
    orders_skipped: int | None
    orders_deferred: int | None
    orders_failed: int | None
    api_calls: int | None
    duration_seconds: float | None
    stop_reason: StopReason | None
    message: str | None


def start_run(
    connection: Connection,
    warehouse: Warehouse,
    *,
    run_id: str,
    job: str,
    now: datetime,
    of_all_orders: bool,
    lease_seconds: float | None = None,
) -> None:
    """Note that a run has started, and mark as failed the runs that dead processes left as started.

    `lease_seconds` is None if all steps of the run are in this process. The caller has the store's lock, so no
    other run without a lease is alive.
    """
    end_dead_runs(connection, warehouse, run_id=run_id, now=now)
    connection.execute(
        text(
            """
            INSERT INTO sync.runs (run_id, store, job, started_at, status, scope, lease_until)
            VALUES (
                :run_id, :store, :job, :now, 'started', :scope,
                clock_timestamp() + CAST(:lease AS float) * interval '1 second'
            )
            ON CONFLICT (run_id) DO UPDATE SET status = 'started', finished_at = NULL, stop_reason = NULL,
                message = NULL, cancel_requested_at = NULL, lease_until = excluded.lease_until
            """
        ),
        {
            "run_id": run_id,
            "store": warehouse.store,
            "job": job,
            "now": now,
            "scope": "all" if of_all_orders else "some",
            "lease": lease_seconds,
        },
    )


def save_orders_listed(connection: Connection, run_id: str, count: int | None, *, listed_at: datetime | None) -> None:
    """Note how many orders BrickLink's lists had (None if the run is about some orders only), and when both were
    asked (None if only one was).
    """
    connection.execute(
        text("UPDATE sync.runs SET orders_listed = :count, listed_at = :listed_at WHERE run_id = :run_id"),
        {"run_id": run_id, "count": count, "listed_at": listed_at},
    )


def last_listed_at(connection: Connection, warehouse: Warehouse) -> datetime | None:
    """When both lists were last asked, by any run."""
    listed_at: datetime | None = connection.scalar(
        text("SELECT max(listed_at) FROM sync.runs WHERE store = :store"), {"store": warehouse.store}
    )
    return listed_at


def stop_run(connection: Connection, run_id: str, stop: Stop) -> None:
    """Stop a run before its end; the first reason stays."""
    connection.execute(
        text(
            """
            UPDATE sync.runs SET stop_reason = :reason, message = :message
            WHERE run_id = :run_id AND stop_reason IS NULL
            """
        ),
        {"run_id": run_id, "reason": stop.reason, "message": stop.message},
    )


def read_stop(connection: Connection, run_id: str) -> Stop | None:
    """What stopped the run; None if nothing did."""
    row = connection.execute(
        text("SELECT stop_reason, message FROM sync.runs WHERE run_id = :run_id AND stop_reason IS NOT NULL"),
        {"run_id": run_id},
    ).one_or_none()
    return None if row is None else Stop(StopReason(row.stop_reason), row.message)


def read_run(connection: Connection, run_id: str) -> Run | None:
    """One run; None if it is not known."""
    rows = _read_runs(connection, "run_id = :run_id", {"run_id": run_id}, limit=1)
    return rows[0] if rows else None


def last_runs(connection: Connection, warehouse: Warehouse, *, limit: int) -> list[Run]:
    """The latest runs of the store, the newest first."""
    return _read_runs(connection, "store = :store", {"store": warehouse.store}, limit=limit)


def judging_run(connection: Connection, warehouse: Warehouse, *, syncing: bool) -> Run | None:
    """The latest run from which the store's indicator comes; None if there is none.

    These are runs about all orders, except canceled ones, and the runs that had a fault of the connection. Such a
    fault is over when a later run has made calls and had no such fault, whatever else it left undone. A started run
    counts only if no sync is running (`syncing`): then it has died.
    """
    rows = _read_runs(
        connection,
        f"""
        store = :store AND status <> 'canceled' AND (status <> 'started' OR NOT :syncing)
        AND (scope = 'all' OR status = 'started' OR {_OF_THE_CONNECTION})
        AND NOT ({_OF_THE_CONNECTION} AND EXISTS (
            SELECT FROM sync.runs later WHERE later.store = :store AND later.started_at > runs.started_at
              AND later.status IN ({sql_list((*COMPLETE, RunStatus.STOPPED_AT_BUDGET))}) AND later.api_calls > 0
        ))
        """,
        {"store": warehouse.store, "syncing": syncing},
        limit=1,
    )
    return rows[0] if rows else None


def _read_runs(connection: Connection, where: str, values: Mapping[str, object], *, limit: int) -> list[Run]:
    """Rows of sync.runs, the newest first; `where` is a condition in SQL, with its `values`."""
    rows = connection.execute(
        text(
            f"""
            SELECT run_id, job, started_at, finished_at, status, orders_listed, orders_created, orders_updated,
                orders_skipped, orders_deferred, orders_failed, api_calls,
                CAST(duration_seconds AS double precision) AS duration_seconds, stop_reason, message
            FROM sync.runs WHERE {where} ORDER BY started_at DESC LIMIT :limit
            """
        ),
        {**values, "limit": limit},
    )
    return [
        Run(
            **{
                **row._mapping,
                "status": RunStatus(row.status),
                "stop_reason": StopReason(row.stop_reason) if row.stop_reason else None,
            }
        )
        for row in rows
    ]


def last_synced_at(connection: Connection, warehouse: Warehouse) -> datetime | None:
    """The end of the last run that asked the lists and fetched every change, except orders that failed."""
    finished_at: datetime | None = connection.scalar(
        text(
            f"""
            SELECT max(finished_at) FROM sync.runs
            WHERE store = :store AND orders_listed IS NOT NULL AND status IN ({sql_list(COMPLETE)})
            """
        ),
        {"store": warehouse.store},
    )
    return finished_at


def last_change(connection: Connection, warehouse: Warehouse) -> datetime | None:
    """The end of the store's last run that stored a new or changed order; None if there was none."""
    finished_at: datetime | None = connection.scalar(
        text(
            """
            SELECT finished_at FROM sync.runs
            WHERE store = :store AND finished_at IS NOT NULL AND (orders_created > 0 OR orders_updated > 0)
            ORDER BY started_at DESC LIMIT 1
            """
        ),
        {"store": warehouse.store},
    )
    return finished_at


def finish_run(
    connection: Connection,
    run_id: str,
    *,
    status: RunStatus,
    counts: Counter[Outcome],
    api_calls: int,
    detected_by: Mapping[str, int],
    now: datetime,
    stop: Stop | None = None,
) -> timedelta:
    """Note the end of a run, and return how long it took; `counts` are orders by outcome."""
    if stop is not None:
        stop_run(connection, run_id, stop)
    elapsed: timedelta | None = connection.scalar(
        text(
            """
            UPDATE sync.runs SET status = :status, finished_at = :now, orders_created = :created,
                orders_updated = :updated, orders_skipped = :skipped, orders_deferred = :deferred,
                orders_failed = :failed, api_calls = :api_calls, detected_by = CAST(:detected_by AS jsonb),
                duration_seconds = extract(epoch FROM CAST(:now AS timestamptz) - started_at)
            WHERE run_id = :run_id RETURNING finished_at - started_at
            """
        ),
        {
            "run_id": run_id,
            "status": status,
            "now": now,
            "created": counts[Outcome.CREATED],
            "updated": counts[Outcome.UPDATED],
            "skipped": counts[Outcome.SKIPPED],
            "deferred": counts[Outcome.DEFERRED],
            "failed": counts[Outcome.FAILED],
            "api_calls": api_calls,
            "detected_by": json.dumps(dict(detected_by)),
        },
    )
    assert elapsed is not None
    return elapsed

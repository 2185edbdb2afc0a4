"""A run owns its row of sync.runs by the store's lock (one process) or by a lease (several processes).

Times are those of Postgres's clock. Whatever a run calls or stores, it does in a transaction that looks at its row by
`lease_status(..., lock=True)`: until that transaction has ended nobody can end the run, and afterwards no other begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, auto
from typing import Any

from sqlalchemy import Connection, text

from bl_pipeline.warehouse.database import Warehouse

DIED = "The process ended before it could report; the next run goes on from what was stored."
"""The message of a run whose process was killed, or whose machine lost its power."""

_EXPIRED = "lease_until <= clock_timestamp()"
_SESSION = "'bl_pipeline ' || run_id"
"""The application_name of a session while it stores something for a run."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds for which a lease is good: while a step works and renews it, and from its end until the next one begins.

    An executor may take a minute to start a step, in a new process or container.
    """

    working_seconds: int = 60
    renewal_seconds: float = 10
    between_steps_seconds: int = 300


class LeaseStatus(StrEnum):
    """Whether a run may go on."""

    GOES_ON = auto()
    CANCEL_REQUESTED = auto()
    """By `bl cancel`; no other run can begin yet."""
    CANCELED = auto()
    LOST = auto()
    """Its lease has expired, or somebody has ended it, or it is not there."""


def lease_status(connection: Connection, run_id: str, *, lock: bool = False) -> LeaseStatus:
    """How a run stands; with `lock` it stays so until the caller's transaction has ended."""
    found = connection.scalar(_LOCKED if lock else _UNLOCKED, {"run_id": run_id})
    return LeaseStatus.LOST if found is None else LeaseStatus(found)


_STATUS = """
    SELECT CASE
        WHEN status = 'canceled' THEN 'canceled'
        WHEN status <> 'started' OR {expired} THEN 'lost'
        WHEN cancel_requested_at IS NOT NULL THEN 'cancel_requested'
        ELSE 'goes_on'
    END{locked}
"""
_UNLOCKED = text(_STATUS.format(expired=_EXPIRED, locked="") + "FROM sync.runs WHERE run_id = :run_id")
# The weakest lock: it keeps out those who end the run (FOR UPDATE), and neither other steps of it nor a renewal.
_LOCKED = text(
    _STATUS.format(expired=_EXPIRED, locked=f", set_config('application_name', {_SESSION}, true)")
    + "FROM sync.runs WHERE run_id = :run_id FOR KEY SHARE"
)


def lock_row(connection: Connection, run_id: str) -> None:
    """Wait until nothing is being stored for the run, and let nothing begin; until the transaction has ended."""
    connection.execute(text("SELECT FROM sync.runs WHERE run_id = :run_id FOR UPDATE"), {"run_id": run_id})


def renew(connection: Connection, run_id: str, seconds: float) -> bool:
    """Let the run's lease be good for this time from now; False if it has expired."""
    renewed = connection.execute(
        text(
            """
            UPDATE sync.runs SET lease_until = clock_timestamp() + CAST(:seconds AS float) * interval '1 second'
            WHERE run_id = :run_id AND status = 'started' AND lease_until > clock_timestamp()
            """
        ),
        {"run_id": run_id, "seconds": seconds},
    )
    return renewed.rowcount == 1


def leased_run(connection: Connection, store: str) -> str | None:
    """The run of the store whose lease is good; None if there is none."""
    run_id: str | None = connection.scalar(_LEASED, {"store": store})
    return run_id


_LEASED = text(
    "SELECT run_id FROM sync.runs WHERE store = :store AND status = 'started' AND lease_until > clock_timestamp()"
)


def end_lost_leases(connection: Connection, warehouse: Warehouse) -> None:
    """Note that the runs of the store have failed whose lease has expired. The caller has the store's lock."""
    _end(connection, _EXPIRED, {"store": warehouse.store, "now": None})


def end_dead_runs(connection: Connection, warehouse: Warehouse, *, run_id: str, now: datetime) -> None:
    """Note that all started runs of the store have failed, but this one and one that has a lease.

    The caller has the store's lock, so a run without a lease is not alive.
    """
    which = f"run_id <> :run_id AND (lease_until IS NULL OR {_EXPIRED})"
    _end(connection, which, {"store": warehouse.store, "run_id": run_id, "now": now})


def _end(connection: Connection, which: str, values: dict[str, Any]) -> None:
    """Note that the started runs of the store have failed for which `which`, a condition in SQL, is true.

    Before that it ends their sessions that are in a transaction, so that none of them can still commit.
    """
    which = f"store = :store AND status = 'started' AND {which}"
    values["dead"] = list(connection.scalars(text(f"SELECT run_id FROM sync.runs WHERE {which}"), values))
    if not values["dead"]:
        return
    # A process that was stopped in the middle of a transaction would keep its row for as long as it is stopped.
    connection.execute(
        text(
            f"""
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN sync.runs ON application_name = {_SESSION}
            WHERE run_id = ANY(:dead) AND datname = current_database() AND usename = current_user
            """
        ),
        values,
    )
    connection.execute(text("SELECT FROM sync.runs WHERE run_id = ANY(:dead) FOR UPDATE"), values)
    connection.execute(
        text(
            f"""
            UPDATE sync.runs SET status = 'failed', finished_at = coalesce(lease_until, :now), stop_reason = 'error',
                message = :died,
                api_calls = (SELECT count(*) FROM sync.api_calls c WHERE c.run_id = runs.run_id)
            WHERE run_id = ANY(:dead) AND {which}
            """
        ),
        {**values, "died": DIED},
    )

"""How the warehouse stands, read at one moment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from bl_pipeline.settings import Settings
from bl_pipeline.sync.indicator import Indicator, indicator
from bl_pipeline.sync.result import RunStatus, StopReason
from bl_pipeline.warehouse import full_syncs, runs, sales, state
from bl_pipeline.warehouse.database import Warehouse, place
from bl_pipeline.warehouse.full_syncs import OpenFullSync
from bl_pipeline.warehouse.ledger import Budget, Usage, ledger_key, read_usage
from bl_pipeline.warehouse.lock import is_syncing
from bl_pipeline.warehouse.runs import Run

_RUNS_LOOKED_AT = 20
_ABOUT_SOME_ORDERS = ("refresh_order", "retry_failed_orders", "full_sync")
"""Jobs that say nothing of the other orders: a typo in one is no error of the store, and its success mends none."""
_OF_THE_CONNECTION = (StopReason.CREDENTIALS, StopReason.UNREACHABLE)


@dataclass(frozen=True)
class Status:
    """The indicator and what it comes from; counts are of orders, times are UTC."""

    store: str
    warehouse: str
    indicator: Indicator
    orders: int
    items: int
    last_synced_at: datetime | None
    last_run: Run | None
    failed_orders: int
    calls: Usage
    open_full_syncs: list[OpenFullSync]
    now: datetime

    def as_dict(self) -> dict[str, Any]:
        """All of it under the fields' own names."""
        return asdict(self)


def read_status(settings: Settings, warehouse: Warehouse, now: datetime | None = None) -> Status:
    """The status of the store, from the warehouse alone: no call is made."""
    now = now or datetime.now(UTC)
    with warehouse.engine.connect() as connection:
        orders, items = sales.count_rows(connection, warehouse)
        latest, syncing = _look(connection, warehouse)
        last_synced_at = runs.last_synced_at(connection, warehouse)
        failed_orders = len(state.failed_orders(connection, warehouse))
        return Status(
            store=warehouse.store,
            warehouse=where(settings),
            indicator=indicator(
                syncing=syncing,
                last_ended=_last_ended(latest, syncing=syncing, failed_orders=failed_orders),
                last_synced_at=last_synced_at,
                now=now,
            ),
            orders=orders,
            items=items,
            last_synced_at=last_synced_at,
            last_run=latest[0] if latest else None,
            failed_orders=failed_orders,
            calls=read_usage(
                connection,
                ledger_key(connection, settings, warehouse.store),
                Budget(settings.bl_daily_call_limit, settings.bl_call_reserve),
                now,
            ),
            open_full_syncs=full_syncs.open_full_syncs(connection, warehouse),
            now=now,
        )


def indicator_after_runs(connection: Connection, warehouse: Warehouse, now: datetime) -> Indicator:
    """The word for what the runs that have ended leave behind, whether or not another is running."""
    latest, syncing = _look(connection, warehouse)
    return indicator(
        syncing=False,
        last_ended=_last_ended(
            latest,
            syncing=syncing,
            failed_orders=len(state.failed_orders(connection, warehouse)),
        ),
        last_synced_at=runs.last_synced_at(connection, warehouse),
        now=now,
    )


def _look(connection: Connection, warehouse: Warehouse) -> tuple[list[Run], bool]:
    """The latest runs, and whether one is under way."""
    before = {run.run_id for run in runs.last_runs(connection, warehouse, limit=_RUNS_LOOKED_AT)}
    syncing = is_syncing(connection, warehouse.store)
    # Read after the lock: a run that has just ended has noted its end before it gave the lock back. One that
    # has begun since has the lock by now, and is left to the next look.
    latest = runs.last_runs(connection, warehouse, limit=_RUNS_LOOKED_AT)
    return [run for run in latest if run.run_id in before], syncing


def _last_ended(latest: list[Run], *, syncing: bool, failed_orders: int) -> RunStatus | None:
    """How the last run ended that tells of the store; one that is started while none is running has died."""
    for run in latest:
        if run.status == RunStatus.STARTED and not syncing:
            return RunStatus.FAILED
        if run.status in (RunStatus.STARTED, RunStatus.CANCELED):
            continue
        if run.status == RunStatus.COMPLETED_WITH_ERRORS:
            # What has been mended since is no error any more.
            return RunStatus.COMPLETED_WITH_ERRORS if failed_orders else RunStatus.SUCCEEDED
        if run.job not in _ABOUT_SOME_ORDERS or run.stop_reason in _OF_THE_CONNECTION:
            return RunStatus(run.status)
    return None


def where(settings: Settings) -> str:
    """Which Postgres has the warehouse, in words and without its password."""
    if settings.postgres_url is None:
        return f"embedded Postgres in {settings.bl_home}"
    return f"Postgres at {place(settings.postgres_url)}"

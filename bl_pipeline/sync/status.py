"""The status of the warehouse, read at one moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from bl_pipeline.clock import utc_now
from bl_pipeline.records import FullSync, RunStatus, StopReason
from bl_pipeline.rules.indicator import Facts, Indicator, LastRun, Remedies, StoreState, in_a_terminal, store_state
from bl_pipeline.settings import Store
from bl_pipeline.warehouse import full_syncs, runs, sales, state
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lease import DIED
from bl_pipeline.warehouse.lock import is_syncing
from bl_pipeline.warehouse.runs import Run
from bl_pipeline.warehouse.usage import Usage, ledger_key, read_usage


@dataclass(frozen=True)
class Status:
    """The indicator, its reason, and what they come from; counts are of orders, times are UTC."""

    store: str
    warehouse: str
    indicator: Indicator
    reason: str
    orders: int
    items: int
    last_synced_at: datetime | None
    last_run: Run | None
    failed_orders: int
    calls: Usage
    open_full_syncs: list[FullSync]
    now: datetime

    def as_dict(self) -> dict[str, Any]:
        """All of it under the fields' own names."""
        return asdict(self)


def read_status(
    store: Store, warehouse: Warehouse, now: datetime | None = None, remedies: Remedies | None = None
) -> Status:
    """The status of the store, from the warehouse alone: no call is made. Its reason says what to do: the remedies, or
    what to type.
    """
    now = now or utc_now()
    with warehouse.engine.connect() as connection:
        orders, items = sales.count_rows(connection, warehouse)
        latest, syncing = _latest_run(connection, warehouse)
        facts = _facts(store, connection, warehouse, now, latest, syncing=syncing)
        stands = store_state(facts, remedies or _what_to_type(store))
        return Status(
            store=warehouse.store,
            warehouse=warehouse.address,
            indicator=stands.indicator,
            reason=stands.reason,
            orders=orders,
            items=items,
            last_synced_at=facts.last_synced_at,
            last_run=latest,
            failed_orders=facts.failed_orders,
            calls=read_usage(connection, ledger_key(connection, store), store.budget, now),
            open_full_syncs=full_syncs.open_full_syncs(connection, warehouse),
            now=now,
        )


def read_statuses(stores: Iterable[Store], warehouse: Warehouse, now: datetime | None = None) -> list[Status]:
    """The status of each of these stores, which are in one warehouse; no call is made."""
    return [read_status(store, replace(warehouse, store=store.key, timezone=store.timezone), now) for store in stores]


def status_of_nothing(store: Store, address: str) -> Status:
    """The status of a warehouse without tables, at this address, into which nothing was ever synced."""
    now = utc_now()
    stands = state_of_nothing(store, now)
    return Status(
        store=store.key,
        warehouse=address,
        indicator=stands.indicator,
        reason=stands.reason,
        orders=0,
        items=0,
        last_synced_at=None,
        last_run=None,
        failed_orders=0,
        calls=Usage(0, store.budget.allowed, store.budget.limit, store.budget.reserve, None),
        open_full_syncs=[],
        now=now,
    )


def state_of_nothing(store: Store, now: datetime) -> StoreState:
    """The indicator and its reason if nothing was ever synced."""
    return store_state(Facts(now, connected=store.credentials is not None), _what_to_type(store))


def state_after_runs(store: Store, connection: Connection, warehouse: Warehouse, now: datetime) -> StoreState:
    """The indicator and its reason after the runs that have ended, whether or not another is running."""
    latest, syncing = _latest_run(connection, warehouse)
    facts = _facts(store, connection, warehouse, now, latest, syncing=syncing)
    return store_state(replace(facts, syncing=False), _what_to_type(store))


def _what_to_type(store: Store) -> Remedies:
    return in_a_terminal(store.command)


def _latest_run(connection: Connection, warehouse: Warehouse) -> tuple[Run | None, bool]:
    """The latest run, and whether one is under way."""
    before = runs.last_runs(connection, warehouse, limit=1)
    syncing = is_syncing(connection, warehouse.store)
    # Read after the lock: a run that has just ended noted its end before it released the lock. One that has begun
    # since has the lock by now.
    latest = runs.last_runs(connection, warehouse, limit=1)
    begun = latest[:1] and latest[0].run_id not in {run.run_id for run in before}
    return latest[0] if latest else None, syncing or (bool(begun) and latest[0].status == RunStatus.STARTED)


def _facts(
    store: Store, connection: Connection, warehouse: Warehouse, now: datetime, latest: Run | None, *,
    syncing: bool
) -> Facts:  # fmt: skip
    """What the store's state word comes from; `latest` is its last run of whatever kind."""
    run = runs.judging_run(connection, warehouse, syncing=syncing)
    return Facts(
        now=now,
        connected=store.credentials is not None,
        syncing=syncing,
        judged_by=None if run is None else _last_run(run),
        canceled=latest is not None and latest.status == RunStatus.CANCELED,
        last_synced_at=runs.last_synced_at(connection, warehouse),
        failed_orders=len(state.failed_orders(connection, warehouse)),
        open_full_syncs=len(full_syncs.open_full_syncs(connection, warehouse)),
    )


def _last_run(run: Run) -> LastRun:
    died = run.status == RunStatus.STARTED
    return LastRun(
        # The runs of the UI's button have a name that Dagster gives them.
        job="Materialize" if run.job.startswith("__") else run.job,
        started_at=run.started_at,
        status=RunStatus.FAILED if died else RunStatus(run.status),
        stop_reason=StopReason(run.stop_reason) if run.stop_reason else None,
        message=DIED if died else run.message,
        orders_deferred=run.orders_deferred or 0,
    )

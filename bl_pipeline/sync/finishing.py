"""The last step of a sync: book what it has loaded, and note how the run ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from bl_pipeline.records import Outcome, ReportedError, RunStatus, Stop, StopReason, SyncResult
from bl_pipeline.rules.changes import full_sync_waits_for
from bl_pipeline.sync.bookkeeping import book_changes
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.sync.stops import stop_for
from bl_pipeline.warehouse import full_syncs, run_orders, runs, state
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.ledger import BudgetExhausted
from bl_pipeline.warehouse.usage import count_run_calls, ledger_key, read_usage


def finish(session: SyncSession, errors_of_writes: Sequence[ReportedError] = ()) -> SyncResult:
    """Note the end of the run and report it; `errors_of_writes` say which writes were not done.

    What the run has loaded is booked first.
    """
    if unbooked := book_changes(session):
        session.stop(Stop(StopReason.ERROR, unbooked))
    warehouse, run_id, now = session.warehouse, session.run_id, session.clock()
    with session.transaction() as connection:
        run = runs.read_run(connection, run_id)
        assert run is not None
        counts = run_orders.count_outcomes(connection, run_id)
        counts[Outcome.SKIPPED] += run.orders_skipped or 0
        errors = [*errors_of_writes, *run_orders.run_errors(connection, warehouse, run_id)]
        counts[Outcome.FAILED] = len(errors)
        calls = count_run_calls(connection, run_id)
        if counts[Outcome.DEFERRED]:
            key = ledger_key(connection, session.store)
            usage = read_usage(connection, key, session.store.budget, now)
            # Orders that failed have used fewer calls than planned: if some are left, the next run can go on at once.
            free_at = usage.next_reset_at or (now if usage.left else None)
            runs.stop_run(connection, run_id, stop_for(BudgetExhausted(free_at), now))
        stopped = runs.read_stop(connection, run_id)
        _complete_full_syncs(connection, warehouse, now)
        result = SyncResult(
            orders_created=counts[Outcome.CREATED],
            orders_updated=counts[Outcome.UPDATED],
            orders_skipped=counts[Outcome.SKIPPED],
            orders_deferred=counts[Outcome.DEFERRED],
            errors=errors,
            api_calls=calls,
            stop_reason=stopped.reason if stopped else None,
            message=stopped.message if stopped else None,
        )
        elapsed = runs.finish_run(
            connection,
            run_id,
            status=result.run_status,
            counts=counts,
            api_calls=calls,
            detected_by=run_orders.count_reasons(connection, run_id),
            now=now,
        )
        last_synced_at = runs.last_synced_at(connection, warehouse)
    return replace(result, last_synced_at=last_synced_at, duration_seconds=elapsed.total_seconds())


def _complete_full_syncs(connection: Connection, warehouse: Warehouse, now: datetime) -> None:
    """Close the full syncs that wait for no order any more."""
    asked = full_syncs.open_full_syncs(connection, warehouse)
    if asked:
        states = state.read_states(connection, warehouse).values()
        complete = [each for each in asked if not any(full_sync_waits_for(each, order) for order in states)]
        full_syncs.complete_full_syncs(connection, complete, now)


def read_result(warehouse: Warehouse, run_id: str) -> SyncResult:
    """What sync.runs says of a run: of one that did not reach its end, never a success."""
    with warehouse.engine.connect() as connection:
        run = runs.read_run(connection, run_id)
        if run is None:
            return SyncResult(stop_reason=StopReason.ERROR)
        has_ended = run.status not in (RunStatus.STARTED, RunStatus.FAILED, RunStatus.CANCELED)
        return SyncResult(
            orders_created=run.orders_created or 0,
            orders_updated=run.orders_updated or 0,
            orders_skipped=run.orders_skipped or 0,
            orders_deferred=run.orders_deferred or 0,
            errors=run_orders.run_errors(connection, warehouse, run_id),
            api_calls=run.api_calls or 0,
            last_synced_at=runs.last_synced_at(connection, warehouse),
            duration_seconds=run.duration_seconds or 0.0,
            stop_reason=run.stop_reason or (None if has_ended else StopReason.ERROR),
            message=run.message or ("Canceled." if run.status is RunStatus.CANCELED else None),
        )

"""The metadata of a sync that has ended: its SyncResult, and what the warehouse has to show around it."""

from __future__ import annotations

from typing import Any

from bl_pipeline.defs import metadata
from bl_pipeline.defs.session import SyncSession
from bl_pipeline.status import standing_after_runs
from bl_pipeline.sync.result import RunStatus, StopReason, SyncResult
from bl_pipeline.warehouse import runs, trends
from bl_pipeline.warehouse.ledger import ledger_key, read_usage


def sync_report(session: SyncSession, result: SyncResult) -> dict[str, Any]:
    """What the UI shows of the `orders` asset; the indicator is the word `bl status` says once the run is over."""
    warehouse, now = session.warehouse, session.clock()
    with warehouse.engine.connect() as connection:
        key = ledger_key(connection, session.settings, warehouse.store)
        usage = read_usage(connection, key, session.budget, now)
        created = trends.run_order_ids(connection, session.run_id, "created", limit=metadata.ORDERS_LINKED)
        detected_by = runs.count_reasons(connection, session.run_id)
        report = {
            **standing_after_runs(session.settings, connection, warehouse, now).as_metadata,
            **metadata.result_metadata(result),
            "time_zone": session.settings.bl_timezone,
            **metadata.usage_metadata(usage),
            "calls_by_hour": metadata.calls_chart(trends.calls_by_hour(connection, key, now), usage),
            "orders_by_day": metadata.orders_chart(trends.orders_by_day(connection, warehouse, now), now),
            "last_runs": metadata.runs_table(runs.last_runs(connection, warehouse, limit=metadata.RUNS_SHOWN)),
        }
    if session.timezone_before:
        report["time_zone_before"] = session.timezone_before
    if created:
        report["new_orders"] = metadata.order_links(created, total=result.orders_created)
    if detected_by:
        report["detected_by"] = metadata.detected_by_table(detected_by)
    return report


def noted_result(session: SyncSession) -> SyncResult:
    """What sync.runs has of a run that did not come to its end: never a success."""
    with session.warehouse.engine.connect() as connection:
        run = runs.read_run(connection, session.run_id)
        if run is None:
            return SyncResult(stop_reason=StopReason.ERROR)
        return SyncResult(
            orders_created=run.orders_created or 0,
            orders_updated=run.orders_updated or 0,
            orders_skipped=run.orders_skipped or 0,
            orders_deferred=run.orders_deferred or 0,
            errors=runs.run_errors(connection, session.warehouse, session.run_id),
            api_calls=run.api_calls or 0,
            last_synced_at=runs.last_synced_at(connection, session.warehouse),
            duration_seconds=run.duration_seconds or 0.0,
            stop_reason=StopReason(run.stop_reason or StopReason.ERROR),
            message=run.message or ("Canceled." if run.status == RunStatus.CANCELED else None),
        )

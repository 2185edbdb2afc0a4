"""The metadata of a sync that has ended: its SyncResult, and what the warehouse has to show around it."""

from __future__ import annotations

from typing import Any

from bl_pipeline.defs import metadata
from bl_pipeline.defs.session import SyncSession
from bl_pipeline.status import indicator_after_runs
from bl_pipeline.sync.result import SyncResult
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
            "indicator": str(indicator_after_runs(connection, warehouse, now)),
            **metadata.result_metadata(result),
            **metadata.usage_metadata(usage),
            "calls_by_hour": metadata.calls_chart(trends.calls_by_hour(connection, key, now), usage),
            "orders_by_day": metadata.orders_chart(trends.orders_by_day(connection, warehouse, now), now),
            "last_runs": metadata.runs_table(runs.last_runs(connection, warehouse, limit=metadata.RUNS_SHOWN)),
        }
    if created:
        report["new_orders"] = metadata.order_links(created, total=result.orders_created)
    if detected_by:
        report["detected_by"] = metadata.detected_by_table(detected_by)
    return report

"""What a sync shows in the Dagster UI: its SyncResult under its own names, and tables where there is more to see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from bl_pipeline.sync.changes import Plan
from bl_pipeline.sync.result import SyncResult
from bl_pipeline.warehouse.ledger import Usage

if TYPE_CHECKING:
    from bl_pipeline.defs.rebuild import RebuildResult

_ERRORS_SHOWN = 100


def table(rows: Sequence[dict[str, Any]], columns: Sequence[tuple[str, str]]) -> dg.MetadataValue[Any]:
    """A table of rows; columns are names and Dagster's types for them."""
    return dg.MetadataValue.table(
        records=[dg.TableRecord(row) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns]),
    )


def result_metadata(result: SyncResult) -> dict[str, Any]:
    """The SyncResult; numbers plot over time in the UI."""
    values = result.as_dict()
    seconds_per_call = result.duration_seconds / result.api_calls if result.api_calls else None
    metadata: dict[str, Any] = {
        "success": values["success"],
        "orders_processed": values["orders_processed"],
        "orders_created": values["orders_created"],
        "orders_updated": values["orders_updated"],
        "orders_skipped": values["orders_skipped"],
        "orders_deferred": values["orders_deferred"],
        "orders_failed": len(result.errors),
        "errors": table(
            result.errors[:_ERRORS_SHOWN],
            [("order_id", "string"), ("error", "string")],
        ),
        "api_calls": values["api_calls"],
        "duration_seconds": values["duration_seconds"],
    }
    if seconds_per_call is not None:
        metadata["seconds_per_call"] = round(seconds_per_call, 3)
    if result.last_synced_at:
        metadata["last_synced_at"] = dg.MetadataValue.timestamp(result.last_synced_at)
    if result.message:
        metadata["message"] = result.message
    return metadata


def usage_metadata(usage: Usage) -> dict[str, Any]:
    """How the call budget stands."""
    metadata: dict[str, Any] = {"calls_used_24h": usage.used, "calls_left_24h": usage.left}
    if usage.next_reset_at:
        metadata["next_reset_at"] = dg.MetadataValue.timestamp(usage.next_reset_at)
    return metadata


def plan_metadata(plan: Plan) -> dict[str, Any]:
    """What is fetched, by reason, and what is deferred."""
    reasons: dict[str, int] = {}
    for fetch in plan.fetches:
        reasons[str(fetch.reason)] = reasons.get(fetch.reason, 0) + 1
    return {"orders_to_fetch": len(plan.fetches), "orders_deferred": len(plan.deferred), **reasons}


def rebuild_metadata(result: RebuildResult) -> dict[str, Any]:
    """What a rebuild did."""
    failures = [{"order_id": failed.order_id, "error": failed.error} for failed in result.failures]
    return {
        "orders_rebuilt": result.orders,
        "orders_failed": len(failures),
        "errors": table(failures[:_ERRORS_SHOWN], [("order_id", "string"), ("error", "string")]),
    }

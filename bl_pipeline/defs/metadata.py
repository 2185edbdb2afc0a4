"""What a sync shows in the Dagster UI: its SyncResult under its own names, tables, links and small charts.

Each event keeps a copy, so it is a few kB at most. Orders are named by their id; nothing names a buyer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import dagster as dg

from bl_pipeline.defs.charts import chart
from bl_pipeline.records import ReportedError, SyncResult
from bl_pipeline.reports.order_facts import order_page

if TYPE_CHECKING:
    from sqlalchemy import Table

    from bl_pipeline.rules.changes import Plan
    from bl_pipeline.sync.rebuild import RebuildResult
    from bl_pipeline.warehouse.runs import Run
    from bl_pipeline.warehouse.usage import Usage
    from bl_pipeline.warehouse.writes import Write

ERRORS_SHOWN = 50
ORDERS_LINKED = 12
RUNS_SHOWN = 10
_ERROR_LENGTH = 300


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str]]) -> dg.TableMetadataValue:
    """A table of rows; columns are names and Dagster's types for them. Of an enum it has the value."""
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: _plain(row[name]) for name, _ in columns}) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns]),
    )


def _plain(value: Any) -> Any:
    """Dagster stores no enum that it does not know."""
    return value.value if isinstance(value, Enum) else value


def order_links(order_ids: Sequence[str], *, total: int) -> dg.MarkdownMetadataValue:
    """Links to the orders at BrickLink, as many as are given, and how many more there are."""
    links = [f"[{order_id}]({order_page(order_id)})" for order_id in order_ids]
    more = [f"and {total - len(links)} more"] if total > len(links) else []
    return dg.MetadataValue.md(" · ".join([*links, *more]))


def result_metadata(result: SyncResult) -> dict[str, Any]:
    """The SyncResult; numbers plot over time in the UI."""
    values = result.as_dict()
    failed = result.errors
    metadata: dict[str, Any] = {
        **{
            name: values[name]
            for name in (
                "success",
                "orders_processed",
                "orders_created",
                "orders_updated",
                "orders_skipped",
                "orders_deferred",
            )
        },
        "orders_failed": len(failed),
        "errors": _errors_table(failed),
        "api_calls": values["api_calls"],
        "duration_seconds": values["duration_seconds"],
    }
    if failed:
        linked = [error["order_id"] for error in failed[:ORDERS_LINKED]]
        metadata["failed_orders"] = order_links(linked, total=len(failed))
    if result.api_calls:
        metadata["seconds_per_call"] = round(result.duration_seconds / result.api_calls, 3)
    if result.last_synced_at:
        metadata["last_synced_at"] = dg.MetadataValue.timestamp(result.last_synced_at)
    if result.message:
        metadata["message"] = result.message
    return metadata


def _errors_table(errors: Sequence[ReportedError]) -> dg.TableMetadataValue:
    rows = [{"order_id": error["order_id"], "error": error["error"][:_ERROR_LENGTH]} for error in errors[:ERRORS_SHOWN]]
    return table(rows, [("order_id", "string"), ("error", "string")])


def usage_metadata(usage: Usage) -> dict[str, Any]:
    """How much of the call budget is used."""
    metadata: dict[str, Any] = {"calls_used_24h": usage.used, "calls_left_24h": usage.left}
    if usage.next_reset_at:
        metadata["next_reset_at"] = dg.MetadataValue.timestamp(usage.next_reset_at)
    return metadata


def calls_chart(by_hour: Sequence[int], usage: Usage) -> dg.MarkdownMetadataValue:
    """When the calls of the last 24 hours were made: a day later each is free again."""
    text = f"{usage.used:,} of {usage.allowed:,} calls in the last 24 hours; at most {max(by_hour):,} an hour"
    return chart(by_hour, name="API calls by hour", text=text)


def orders_chart(by_day: Sequence[int], today: datetime) -> dg.MarkdownMetadataValue:
    """Orders by the day they were placed."""
    text = f"{sum(by_day):,} orders in {len(by_day)} days up to {today:%Y-%m-%d}; at most {max(by_day):,} a day"
    return chart(by_day, name="Orders by day", text=text)


def runs_table(runs: Sequence[Run]) -> dg.TableMetadataValue:
    """The latest runs of whatever job, the newest first."""
    rows = [
        {
            "started (UTC)": f"{run.started_at:%Y-%m-%d %H:%M}",
            "job": "Materialize" if run.job.startswith("__") else run.job,
            "status": str(run.status),
            "created": run.orders_created or 0,
            "updated": run.orders_updated or 0,
            "deferred": run.orders_deferred or 0,
            "failed": run.orders_failed or 0,
            "calls": run.api_calls or 0,
            "seconds": round(run.duration_seconds or 0, 1),
        }
        for run in runs
    ]
    texts, numbers = ("started (UTC)", "job", "status"), ("created", "updated", "deferred", "failed", "calls")
    columns = [(name, "string") for name in texts] + [(name, "int") for name in numbers] + [("seconds", "float")]
    return table(rows, columns)


def plan_metadata(plan: Plan) -> dict[str, Any]:
    """What is fetched, by reason, and what is deferred."""
    reasons: dict[str, int] = {}
    for fetch in plan.fetches:
        reasons[str(fetch.reason)] = reasons.get(fetch.reason, 0) + 1
    metadata = {"orders_to_fetch": len(plan.fetches), "orders_deferred": len(plan.deferred), **reasons}
    if plan.fetches:
        first = [fetch.order_id for fetch in plan.fetches[:ORDERS_LINKED]]
        return {**metadata, "orders": order_links(first, total=len(plan.fetches))}
    return metadata


def detected_by_table(counts: Mapping[str, int]) -> dg.TableMetadataValue:
    """How it was detected that orders were new or changed."""
    rows = [{"detected_by": reason, "orders": count} for reason, count in counts.items()]
    return table(rows, [("detected_by", "string"), ("orders", "int")])


def writes_metadata(writes: Sequence[Write], already: Sequence[str]) -> dict[str, Any]:
    """What a run has written to an order: the names of the fields and what became of each request, and no value."""
    rows = [
        {
            "order_id": write.order_id,
            "request": write.kind,
            "fields": ", ".join(write.asked),
            "outcome": write.outcome or "unknown",
        }
        for write in writes
    ]
    columns = [(name, "string") for name in ("order_id", "request", "fields", "outcome")]
    return {"writes": table(rows, columns), "already_as_asked": ", ".join(already)}


def rebuild_metadata(result: RebuildResult) -> dict[str, Any]:
    """What a rebuild did."""
    failures = [failed.reported for failed in result.failures]
    return {
        "orders_rebuilt": result.orders,
        "orders_failed": len(failures),
        "errors": _errors_table(failures),
    }


def table_metadata(table: Table) -> dict[str, Any]:
    """A table's name and columns, with the comments they have in Postgres."""
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    key = set(table.primary_key.columns.keys())
    columns = [
        dg.TableColumn(
            column.name,
            type=column.type.compile(dialect=dialect).lower(),
            # It is shown as Markdown.
            description=(column.comment or "").replace("<", "&lt;"),
            constraints=dg.TableColumnConstraints(
                nullable=bool(column.nullable), other=["primary key"] if column.name in key else None
            ),
        )
        for column in table.columns
    ]
    return {
        "dagster/table_name": table.fullname,
        "dagster/column_schema": dg.TableSchema(columns=columns),
    }

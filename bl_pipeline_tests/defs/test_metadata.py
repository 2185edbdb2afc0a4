"""What runs show in the Dagster UI, from their results alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from bl_pipeline.defs import metadata
from bl_pipeline.records import FailedOrder, Fetch, Reason, ReportedError, RunStatus, SyncResult
from bl_pipeline.rules.changes import Plan
from bl_pipeline.rules.writes import Fields, WriteKind, WriteOutcome
from bl_pipeline.sync.rebuild import RebuildResult
from bl_pipeline.warehouse.runs import Run
from bl_pipeline.warehouse.tables import orders
from bl_pipeline.warehouse.usage import Usage
from bl_pipeline.warehouse.writes import Write

T = datetime(2026, 6, 15, 12, 34, tzinfo=UTC)


def rows(value: dg.TableMetadataValue) -> list[dict[str, Any]]:
    return [dict(record.data) for record in value.records]


def columns(value: dg.TableMetadataValue) -> dict[str, str]:
    return {column.name: column.type for column in value.schema.columns}


def test_links_say_how_many_more_there_are() -> None:
    def links(*order_ids: str, total: int) -> str | None:
        return metadata.order_links(order_ids, total=total).md_str

    page = "https://www.bricklink.com/orderDetail.asp?ID="
    assert links("31", "32", total=2) == f"[31]({page}31) · [32]({page}32)"
    assert links("31", total=3) == f"[31]({page}31) · and 2 more"
    assert links(total=0) == ""


def test_a_good_run_shows_its_numbers_and_nothing_else() -> None:
    shown = metadata.result_metadata(SyncResult(orders_created=1, orders_updated=2, orders_skipped=3))
    errors = shown.pop("errors")
    assert rows(errors) == []
    assert columns(errors) == {"order_id": "string", "error": "string"}
    assert shown == {
        "success": True, "orders_processed": 6, "orders_created": 1, "orders_updated": 2, "orders_skipped": 3,
        "orders_deferred": 0, "orders_failed": 0, "api_calls": 0, "duration_seconds": 0.0,
    }  # fmt: skip


def test_a_run_with_errors_names_the_first_of_them() -> None:
    """As many as are shown in place, and long messages cut off: each event keeps a copy."""
    errors = [ReportedError(order_id=str(number), error="x" * 301) for number in range(51)]
    result = SyncResult(errors=errors, api_calls=3, duration_seconds=1.0, last_synced_at=T, message="why")
    shown = metadata.result_metadata(result)
    assert (shown["success"], shown["orders_failed"], len(rows(shown["errors"]))) == (False, 51, 50)
    assert rows(shown["errors"])[49] == {"order_id": "49", "error": "x" * 300}
    assert shown["failed_orders"].md_str.count("](") == 12
    assert shown["failed_orders"].md_str.endswith("and 39 more")
    assert (shown["seconds_per_call"], shown["message"]) == (0.333, "why")
    assert shown["last_synced_at"] == dg.MetadataValue.timestamp(T)


def test_the_budget() -> None:
    usage = Usage(used=1_234, left=2_766, limit=5_000, reserve=1_000, next_reset_at=None)
    assert metadata.usage_metadata(usage) == {"calls_used_24h": 1_234, "calls_left_24h": 2_766}
    used_up = Usage(used=4_000, left=0, limit=5_000, reserve=1_000, next_reset_at=T)
    assert metadata.usage_metadata(used_up)["next_reset_at"] == dg.MetadataValue.timestamp(T)
    text = "1,234 of 4,000 calls in the last 24 hours; at most 1,200 an hour\n"
    assert (metadata.calls_chart([34, 1_200], usage).md_str or "").startswith(text)
    text = "1,003 orders in 2 days up to 2026-06-15; at most 1,000 a day\n"
    assert (metadata.orders_chart([3, 1_000], T).md_str or "").startswith(text)


def run(job: str, **more: Any) -> Run:
    names = ("listed", "created", "updated", "skipped", "deferred", "failed")
    values = {f"orders_{name}": None for name in names} | {"api_calls": None, "duration_seconds": None}
    return Run("id", job, T, None, RunStatus.STARTED, stop_reason=None, message=None, **{**values, **more})


def test_the_latest_runs() -> None:
    """A run of the UI's button has a name that Dagster gives it, and one that has just begun has no numbers."""
    counts = {"orders_created": 1, "orders_updated": 2, "orders_deferred": 3, "orders_failed": 4, "api_calls": 5}
    shown = metadata.runs_table([run("__ASSET_JOB"), run("sync_orders", duration_seconds=1.26, **counts)])
    zero = dict.fromkeys(("created", "updated", "deferred", "failed", "calls"), 0)
    begun = {"started (UTC)": "2026-06-15 12:34", "job": "Materialize", "status": "started", **zero, "seconds": 0}
    assert rows(shown) == [
        begun,
        {
            **begun,
            "job": "sync_orders",
            "created": 1,
            "updated": 2,
            "deferred": 3,
            "failed": 4,
            "calls": 5,
            "seconds": 1.3,
        },
    ]
    assert columns(shown) == {
        **dict.fromkeys(("started (UTC)", "job", "status"), "string"), **dict.fromkeys(zero, "int"), "seconds": "float",
    }  # fmt: skip


def test_a_plan_counts_its_orders_by_reason() -> None:
    fetches = [Fetch(str(number), Reason.NEW if number else Reason.RECHECK) for number in range(13)]
    shown = metadata.plan_metadata(Plan(fetches, [Fetch("99", Reason.BACKLOG)]))
    links = shown.pop("orders").md_str
    assert shown == {"orders_to_fetch": 13, "orders_deferred": 1, "recheck": 1, "new": 12}
    assert links.count("](") == 12
    assert links.endswith("and 1 more")
    assert metadata.plan_metadata(Plan([], [])) == {"orders_to_fetch": 0, "orders_deferred": 0}
    detected = metadata.detected_by_table({"new": 2})
    assert rows(detected) == [{"detected_by": "new", "orders": 2}]
    assert columns(detected) == {"detected_by": "string", "orders": "int"}


def test_writes_are_shown_without_their_values() -> None:
    asked: Fields = {"remarks": "between us", "tracking_no": "TR1"}
    unknown = Write(1, "31", "run", WriteKind.UPDATE, asked, {}, T, None, None, None, None)
    done = Write(2, "31", "run", WriteKind.STATUS, {"status": "PAID"}, {}, T, None, WriteOutcome.DONE, None, None)
    shown = metadata.writes_metadata([unknown, done], ["shipping", "credit"])
    # Dagster stores text, and no enum of ours.
    assert {type(value) for row in rows(shown["writes"]) for value in row.values()} == {str}
    assert rows(shown["writes"]) == [
        {"order_id": "31", "request": "update", "fields": "remarks, tracking_no", "outcome": "unknown"},
        {"order_id": "31", "request": "status", "fields": "status", "outcome": "done"},
    ]
    assert shown["already_as_asked"] == "shipping, credit"


def test_a_rebuild() -> None:
    shown = metadata.rebuild_metadata(RebuildResult(orders=7, failures=[FailedOrder("31", "why", "E")]))
    assert (shown["orders_rebuilt"], shown["orders_failed"]) == (7, 1)
    assert rows(shown["errors"]) == [{"order_id": "31", "error": "why"}]


def test_a_table_is_shown_as_it_is_in_postgres() -> None:
    shown = metadata.table_metadata(orders)
    assert shown["dagster/table_name"] == "sales.orders"
    found = {column.name: column for column in shown["dagster/column_schema"].columns}
    assert set(found) == {column.name for column in orders.columns}
    number, total = found["platform_order_id"], found["total"]
    assert (number.type, number.constraints.nullable, number.constraints.other) == ("text", False, ["primary key"])
    assert (total.type, total.constraints.nullable, total.constraints.other) == ("numeric(19, 4)", True, [])
    assert all("<" not in (column.description or "") for column in found.values())
    assert total.description

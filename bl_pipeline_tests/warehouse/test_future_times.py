"""Times that lie ahead, because a clock was wrong, become now when a run begins; times that have passed stay."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.future_times import correct_future_times
from bl_pipeline.warehouse.usage import CLOCKS_DIFFER
from bl_pipeline_tests.conftest import NOW

BEFORE, SOON, AHEAD = NOW - timedelta(days=1), NOW + CLOCKS_DIFFER, NOW + CLOCKS_DIFFER + timedelta(seconds=1)
ROWS = {
    "sync.runs (job, status, store, run_id, started_at, finished_at, listed_at)": "'sync_orders', 'succeeded'",
    "sync.full_syncs (include_items, store, requested_at, completed_at)": "true",
    "sync.order_state (platform, order_date, listed_fingerprint, listed_status, first_listed_at, store, "
    "platform_order_id, order_fetched_at, items_fetched_at)": "'bricklink', '2026-01-01', 'f', 'PAID', '2026-01-01'",
}  # fmt: skip


def add(connection: Connection, table: str, *values: datetime | str | None, store: str = "main") -> None:
    begin = next(begin for begin in ROWS if begin.startswith(table))
    places = ", ".join(f":value{number}" for number in range(len(values)))
    connection.execute(
        text(f"INSERT INTO {begin} VALUES ({ROWS[begin]}, :store, {places})"),
        {"store": store, **{f"value{number}": value for number, value in enumerate(values)}},
    )


def read(connection: Connection, columns: str, table: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(text(f"SELECT {columns} FROM {table} ORDER BY 1"))]


def test_only_what_lies_ahead_is_corrected(warehouse: Warehouse) -> None:
    """Planted: least and greatest taken for each other; another store's times; a full sync that is complete."""
    with warehouse.engine.begin() as connection:
        add(connection, "sync.runs", "1", BEFORE, AHEAD, BEFORE)
        add(connection, "sync.runs", "2", AHEAD, None, None)
        add(connection, "sync.runs", "3", BEFORE, SOON, SOON)
        add(connection, "sync.runs", "4", BEFORE, NOW, AHEAD)
        add(connection, "sync.runs", "5", AHEAD, AHEAD, AHEAD, store="other")
        add(connection, "sync.full_syncs", AHEAD, None)
        add(connection, "sync.full_syncs", SOON, None)
        add(connection, "sync.full_syncs", AHEAD, AHEAD)
        add(connection, "sync.order_state", "1", BEFORE, AHEAD)
        add(connection, "sync.order_state", "2", AHEAD, None)
        add(connection, "sync.order_state", "3", SOON, BEFORE)
        correct_future_times(connection, warehouse, ["key"], NOW)
        assert read(connection, "run_id, started_at, finished_at, listed_at", "sync.runs") == [
            ("1", BEFORE, NOW, BEFORE),
            ("2", NOW, None, None),
            ("3", BEFORE, SOON, SOON),
            ("4", BEFORE, NOW, NOW),
            ("5", AHEAD, AHEAD, AHEAD),
        ]
        assert read(connection, "full_sync_id, requested_at", "sync.full_syncs") == [(1, NOW), (2, SOON), (3, AHEAD)]
        assert read(connection, "platform_order_id, order_fetched_at, items_fetched_at", "sync.order_state") == [
            ("1", BEFORE, NOW),
            ("2", NOW, None),
            ("3", SOON, BEFORE),
        ]

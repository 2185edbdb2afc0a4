"""Numbers for the charts: calls of one key by the hour, orders of one store by the day in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.trends import calls_by_hour, orders_by_day

NOW = datetime(2026, 6, 15, 0, 30, tzinfo=UTC)
HOUR, DAY, MOMENT = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)


def test_calls_of_the_last_hours(warehouse: Warehouse) -> None:
    """Planted: the calls of every key; those before the first hour; one of the future."""

    def call(connection: Connection, started_at: datetime, key: str | None = "key") -> None:
        connection.execute(
            text(
                """
                INSERT INTO sync.api_calls (store, run_id, started_at, method, path, key_hash)
                VALUES ('main', 'run', :at, 'GET', '/', :key)
                """
            ),
            {"at": started_at, "key": key},
        )

    with warehouse.engine.begin() as connection:
        for ago in (0 * HOUR, HOUR - MOMENT, HOUR, 3 * HOUR - MOMENT, 3 * HOUR, -MOMENT):
            call(connection, NOW - ago)
        call(connection, NOW, "another")
        call(connection, NOW, None)
        assert calls_by_hour(connection, ["key"], NOW, hours=3) == [1, 1, 3]
        assert calls_by_hour(connection, ["old", "another"], NOW, hours=2) == [0, 2]
        assert calls_by_hour(connection, ["key"], NOW)[-4:] == [1, 1, 1, 3]
        assert len(calls_by_hour(connection, ["key"], NOW)) == 24


def test_orders_of_the_last_days(warehouse: Warehouse) -> None:
    """Planted: the days counted as times of 24 hours; the orders of every store."""
    midnight = NOW.replace(minute=0)

    def order(connection: Connection, order_id: int, ordered: datetime, store: str = "main") -> None:
        connection.execute(
            text(
                """
                INSERT INTO sales.orders (store, platform, platform_order_id, display_id, order_date, first_order_date,
                    status, platform_status, currency, fetched_at, order_document_id)
                VALUES (:store, 'bricklink', :order_id, 'x', :t, :t, 'shipped', 'x', 'EUR', :t, 1)
                """
            ),
            {"store": store, "order_id": str(order_id), "t": ordered},
        )

    with warehouse.engine.begin() as connection:
        times = (NOW, midnight, midnight - MOMENT, midnight - DAY, NOW - 3 * DAY, NOW - 3 * DAY + MOMENT, NOW + MOMENT)
        for number, ordered in enumerate(times):
            order(connection, number, ordered)
        order(connection, 99, NOW, "other")
        assert orders_by_day(connection, warehouse, NOW, days=3) == [0, 2, 2]
        assert orders_by_day(connection, warehouse, NOW)[-4:] == [2, 0, 2, 2]
        assert len(orders_by_day(connection, warehouse, NOW)) == 30
        assert orders_by_day(connection, Warehouse(warehouse.engine, "other"), NOW, days=2) == [0, 1]

"""Numbers over time, for charts: API calls by the hour, orders by the day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.usage import KeyHashes


def calls_by_hour(connection: Connection, key: KeyHashes, now: datetime, *, hours: int = 24) -> list[int]:
    """Calls of the API key in each of the last hours, counted back from `now`; the latest is the last."""
    rows = connection.execute(
        text(
            """
            SELECT floor(extract(epoch FROM CAST(:now AS timestamptz) - started_at) / 3600)::int, count(*)
            FROM sync.api_calls
            WHERE (key_hash = ANY(CAST(:key AS text[])) OR key_hash IS NULL)
              AND started_at > :since AND started_at <= :now
            GROUP BY 1
            """
        ),
        {"key": key, "now": now, "since": now - timedelta(hours=hours)},
    )
    return _counts({row[0]: row[1] for row in rows}, hours)


def orders_by_day(connection: Connection, warehouse: Warehouse, now: datetime, *, days: int = 30) -> list[int]:
    """Orders of each of the last days in UTC, by order_date; today is the last."""
    rows = connection.execute(
        text(
            """
            SELECT CAST(CAST(:now AS timestamptz) AT TIME ZONE 'UTC' AS date)
                 - CAST(order_date AT TIME ZONE 'UTC' AS date), count(*)
            FROM sales.orders WHERE store = :store AND order_date > :since AND order_date <= :now GROUP BY 1
            """
        ),
        {"store": warehouse.store, "now": now, "since": now - timedelta(days=days)},
    )
    return _counts({row[0]: row[1] for row in rows}, days)


def _counts(ages: Mapping[int, int], length: int) -> list[int]:
    return [ages.get(age, 0) for age in reversed(range(length))]

"""The time zone of a store."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from bl_pipeline.warehouse.database import Warehouse


def timezone_of(connection: Connection, warehouse: Warehouse) -> ZoneInfo:
    """Where the store's days, months and years begin and end: what BL_TIMEZONE was last set to, else UTC."""
    zone: str | None = connection.scalar(
        text("SELECT timezone FROM sync.stores WHERE store = :store"), {"store": warehouse.store}
    )
    return ZoneInfo(zone or "UTC")

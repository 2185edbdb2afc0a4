"""sync.full_syncs: requested full syncs, each going on over runs and days until it is complete."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, text

from bl_pipeline.records import FullSync, OrderDates
from bl_pipeline.warehouse.database import Warehouse


def request_full_sync(
    connection: Connection,
    warehouse: Warehouse,
    *,
    include_items: bool,
    dates: OrderDates,
    now: datetime,
) -> None:
    """Record a request; if one for the same orders is not complete, that one goes on, and fetches nothing twice."""
    connection.execute(
        text(
            """
            INSERT INTO sync.full_syncs (store, requested_at, include_items, orders_from, orders_before)
            SELECT :store, :now, :include_items, CAST(:orders_from AS timestamptz), CAST(:orders_before AS timestamptz)
            WHERE NOT EXISTS (
                SELECT FROM sync.full_syncs
                WHERE store = :store AND completed_at IS NULL AND withdrawn_at IS NULL
                  AND include_items = :include_items
                  AND (orders_from, orders_before)
                      IS NOT DISTINCT FROM (CAST(:orders_from AS timestamptz), CAST(:orders_before AS timestamptz))
            )
            """
        ),
        {
            "store": warehouse.store,
            "now": now,
            "include_items": include_items,
            "orders_from": dates.start,
            "orders_before": dates.before,
        },
    )


def open_full_syncs(connection: Connection, warehouse: Warehouse) -> list[FullSync]:
    """The full syncs that are not complete, the oldest first."""
    rows = connection.execute(
        text(
            """
            SELECT full_sync_id, requested_at, include_items, orders_from, orders_before FROM sync.full_syncs
            WHERE store = :store AND completed_at IS NULL AND withdrawn_at IS NULL ORDER BY full_sync_id
            """
        ),
        {"store": warehouse.store},
    )
    return [
        FullSync(row.requested_at, row.include_items, OrderDates(row.orders_from, row.orders_before), row.full_sync_id)
        for row in rows
    ]


def complete_full_syncs(connection: Connection, full_syncs: Iterable[FullSync], now: datetime) -> None:
    """Note that these full syncs are complete."""
    connection.execute(
        text("UPDATE sync.full_syncs SET completed_at = :now WHERE full_sync_id = ANY(:ids)"),
        {"now": now, "ids": [full_sync.full_sync_id for full_sync in full_syncs]},
    )


def withdraw_full_syncs(connection: Connection, warehouse: Warehouse, now: datetime) -> list[FullSync]:
    """Withdraw the full syncs that are not complete, and return them: no later run goes on with them."""
    withdrawn = open_full_syncs(connection, warehouse)
    connection.execute(
        text("UPDATE sync.full_syncs SET withdrawn_at = :now WHERE full_sync_id = ANY(:ids)"),
        {"now": now, "ids": [request.full_sync_id for request in withdrawn]},
    )
    return withdrawn

"""sync.full_syncs: requested full syncs, each going on over runs and days until it is complete."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text

from bl_pipeline.records import FullSync, OrderDates
from bl_pipeline.warehouse.database import PLATFORM, Warehouse


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


def complete_full_syncs(connection: Connection, warehouse: Warehouse, now: datetime) -> None:
    """Close the full syncs whose every order has been fetched, or has failed, since the request."""
    connection.execute(
        text(
            """
            UPDATE sync.full_syncs f SET completed_at = :now
            WHERE store = :store AND completed_at IS NULL AND withdrawn_at IS NULL AND NOT EXISTS (
                SELECT FROM sync.order_state s
                WHERE s.store = f.store AND s.platform = :platform
                  AND (f.orders_from IS NULL OR s.order_date >= f.orders_from)
                  AND (f.orders_before IS NULL OR s.order_date < f.orders_before)
                  AND (
                    s.order_fetched_at IS NULL OR s.order_fetched_at < f.requested_at
                    OR f.include_items AND s.listed_status <> 'PURGED'
                       AND (s.items_fetched_at IS NULL OR s.items_fetched_at < f.requested_at)
                  )
                  AND (s.failed_at IS NULL OR s.failed_at < f.requested_at)
            )
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM, "now": now},
    )


def withdraw_full_syncs(connection: Connection, warehouse: Warehouse, now: datetime) -> list[FullSync]:
    """Withdraw the full syncs that are not complete, and return them: no later run goes on with them."""
    withdrawn = open_full_syncs(connection, warehouse)
    connection.execute(
        text("UPDATE sync.full_syncs SET withdrawn_at = :now WHERE full_sync_id = ANY(:ids)"),
        {"now": now, "ids": [request.full_sync_id for request in withdrawn]},
    )
    return withdrawn

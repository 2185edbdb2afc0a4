"""sync.order_state: per order what the list said, what is stored, and what failed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Connection, text

from bl_pipeline.records import FailedOrder, ListedOrder, OrderState
from bl_pipeline.warehouse.database import PLATFORM, Warehouse


def read_states(
    connection: Connection, warehouse: Warehouse, order_ids: Collection[str] | None = None
) -> dict[str, OrderState]:
    """The state of these orders, or of all, by order id."""
    rows = connection.execute(
        text(
            """
            SELECT s.platform_order_id AS order_id, s.order_date, s.listed_fingerprint, s.listed_status,
                s.listed_status_changed_at, s.listed_filed, s.is_listed, s.stored_fingerprint,
                s.stored_status_changed_at, s.order_document_id, s.order_fingerprint, s.order_fetched_at,
                s.items_fingerprint, s.items_document_id, s.items_fetched_at, s.failed_at, s.attempts, o.status
            FROM sync.order_state s LEFT JOIN sales.orders o USING (store, platform, platform_order_id)
            WHERE s.store = :store AND s.platform = :platform
              AND (CAST(:order_ids AS text[]) IS NULL OR s.platform_order_id = ANY(:order_ids))
            """
        ),
        {
            "store": warehouse.store,
            "platform": PLATFORM,
            "order_ids": None if order_ids is None else list(order_ids),
        },
    )
    return {row.order_id: OrderState(**row._mapping) for row in rows}


def save_listed(connection: Connection, warehouse: Warehouse, listed: Iterable[ListedOrder], now: datetime) -> None:
    """Store what the list says of orders that are new in it, or of which it now says something else."""
    rows = [
        {
            "store": warehouse.store,
            "platform": PLATFORM,
            "order_id": order.order_id,
            "order_date": order.order_date,
            "fingerprint": order.fingerprint,
            "status": order.status,
            "status_changed_at": order.status_changed_at,
            "is_filed": order.is_filed,
            "now": now,
        }
        for order in listed
    ]
    if not rows:
        return
    connection.execute(
        text(
            """
            INSERT INTO sync.order_state AS s (
                store, platform, platform_order_id, order_date, listed_fingerprint, listed_status,
                listed_status_changed_at, listed_filed, first_listed_at
            ) VALUES (
                :store, :platform, :order_id, :order_date, :fingerprint, :status, :status_changed_at, :is_filed, :now
            )
            ON CONFLICT (store, platform, platform_order_id) DO UPDATE SET
                order_date = excluded.order_date,
                listed_fingerprint = excluded.listed_fingerprint,
                listed_status = excluded.listed_status,
                listed_status_changed_at = excluded.listed_status_changed_at,
                listed_filed = excluded.listed_filed,
                is_listed = true,
                -- An order that changed is worth a call at once, however often it failed before.
                attempts = 0
            """
        ),
        rows,
    )


def save_unlisted(connection: Connection, warehouse: Warehouse, order_ids: Collection[str]) -> None:
    """Note that orders are not in the lists any more; what is stored of them stays."""
    connection.execute(
        text(
            """
            UPDATE sync.order_state SET is_listed = false
            WHERE store = :store AND platform = :platform AND platform_order_id = ANY(:order_ids)
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM, "order_ids": list(order_ids)},
    )


def mark_failed(connection: Connection, warehouse: Warehouse, failed: FailedOrder) -> None:
    """Note that an order could not be fetched, read or stored; what is stored of it stays as it is.

    `failed_at` and `attempts` must be set; `attempts` is the number of failures in a row, this one included.
    """
    connection.execute(
        text(
            """
            UPDATE sync.order_state
            SET error = :error, error_class = :error_class, failed_at = :failed_at, attempts = :attempts
            WHERE store = :store AND platform = :platform AND platform_order_id = :order_id
            """
        ),
        {
            "store": warehouse.store,
            "platform": PLATFORM,
            "order_id": failed.order_id,
            "error": failed.error,
            "error_class": failed.error_class,
            "attempts": failed.attempts,
            "failed_at": failed.failed_at,
        },
    )


def failed_orders(connection: Connection, warehouse: Warehouse) -> list[FailedOrder]:
    """The orders that failed and have not been read since, the latest failure first."""
    rows = connection.execute(
        text(
            """
            SELECT platform_order_id AS order_id, error, error_class, failed_at, attempts FROM sync.order_state
            WHERE store = :store AND platform = :platform AND failed_at IS NOT NULL
            ORDER BY failed_at DESC, platform_order_id
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM},
    )
    return [FailedOrder(**row._mapping) for row in rows]

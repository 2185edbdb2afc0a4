"""sync.order_state: per order what the list said, what the warehouse holds, and what failed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from bl_pipeline.warehouse.database import PLATFORM, Warehouse


@dataclass(frozen=True, slots=True)
class StateRow:
    """One row of sync.order_state, with the status of the stored order."""

    order_id: str
    order_date: datetime
    listed_hash: str
    listed_status: str
    listed_status_changed_at: datetime | None
    listed_filed: bool | None
    is_listed: bool
    held_hash: str | None
    held_status_changed_at: datetime | None
    order_document_id: int | None
    order_key: str | None
    order_fetched_at: datetime | None
    items_key: str | None
    items_document_id: int | None
    items_fetched_at: datetime | None
    failed_at: datetime | None
    attempts: int
    status: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """What the list says of one order."""

    order_id: str
    order_date: datetime
    content_hash: str
    status: str
    status_changed_at: datetime | None
    is_filed: bool


@dataclass(frozen=True, slots=True)
class FailedOrder:
    """An order that could not be fetched or read, and why."""

    order_id: str
    error: str
    error_class: str
    failed_at: datetime
    attempts: int


def read_states(
    connection: Connection, warehouse: Warehouse, order_ids: Collection[str] | None = None
) -> dict[str, StateRow]:
    """The state of these orders, or of all, by order id."""
    rows = connection.execute(
        text(
            """
            SELECT s.platform_order_id, s.order_date, s.listed_hash, s.listed_status, s.listed_status_changed_at,
                s.listed_filed, s.is_listed, s.held_hash, s.held_status_changed_at, s.order_document_id,
                s.order_key, s.order_fetched_at, s.items_key, s.items_document_id, s.items_fetched_at,
                s.failed_at, s.attempts, o.status
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
    return {row[0]: StateRow(*row) for row in rows}


def save_listings(connection: Connection, warehouse: Warehouse, listings: Iterable[Listing], now: datetime) -> None:
    """Store what the list says of orders that are new in it, or of which it says something else than before."""
    rows = [
        {
            "store": warehouse.store,
            "platform": PLATFORM,
            "order_id": listing.order_id,
            "order_date": listing.order_date,
            "hash": listing.content_hash,
            "status": listing.status,
            "status_changed_at": listing.status_changed_at,
            "is_filed": listing.is_filed,
            "now": now,
        }
        for listing in listings
    ]
    if not rows:
        return
    connection.execute(
        text(
            """
            INSERT INTO sync.order_state AS s (
                store, platform, platform_order_id, order_date, listed_hash, listed_status,
                listed_status_changed_at, listed_filed, first_listed_at
            ) VALUES (
                :store, :platform, :order_id, :order_date, :hash, :status, :status_changed_at, :is_filed, :now
            )
            ON CONFLICT (store, platform, platform_order_id) DO UPDATE SET
                order_date = excluded.order_date,
                listed_hash = excluded.listed_hash,
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
    """Note that orders have gone from the lists; what is stored of them stays."""
    connection.execute(
        text(
            """
            UPDATE sync.order_state SET is_listed = false
            WHERE store = :store AND platform = :platform AND platform_order_id = ANY(:order_ids)
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM, "order_ids": list(order_ids)},
    )


def mark_failed(
    connection: Connection,
    warehouse: Warehouse,
    order_id: str,
    *,
    error: str,
    error_class: str,
    attempts: int,
    now: datetime,
) -> None:
    """Note that an order could not be fetched or read; what is stored of it stays as it is.

    `attempts`: so many have failed in a row, this one included.
    """
    connection.execute(
        text(
            """
            UPDATE sync.order_state
            SET error = :error, error_class = :error_class, failed_at = :now, attempts = :attempts
            WHERE store = :store AND platform = :platform AND platform_order_id = :order_id
            """
        ),
        {
            "store": warehouse.store,
            "platform": PLATFORM,
            "order_id": order_id,
            "error": error,
            "error_class": error_class,
            "attempts": attempts,
            "now": now,
        },
    )


def failed_orders(connection: Connection, warehouse: Warehouse) -> list[FailedOrder]:
    """The orders that failed and have not been read since, the latest failure first."""
    rows = connection.execute(
        text(
            """
            SELECT platform_order_id, error, error_class, failed_at, attempts FROM sync.order_state
            WHERE store = :store AND platform = :platform AND failed_at IS NOT NULL
            ORDER BY failed_at DESC, platform_order_id
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM},
    )
    return [FailedOrder(*row) for row in rows]

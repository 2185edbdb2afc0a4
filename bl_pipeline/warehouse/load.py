"""Normalised rows into `sales`: staged by COPY, merged, and the orders' state moved in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, text

from bl_pipeline.warehouse.database import PLATFORM, Warehouse
from bl_pipeline.warehouse.tables import order_items, order_status_history, orders

if TYPE_CHECKING:
    import pandas as pd

_KEY = ("store", "platform", "platform_order_id")
_TRACKED = (
    "platform_status", "payment_status", "order_date", "paid_at", "shipped_at", "total", "final_total", "credit",
    "coupon", "is_filed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the warehouse holds of one order once the load is committed; goes to sync.order_state.

    Items fields are None where the load leaves the items as they are.
    """

    order_id: str
    order_date: datetime
    status: str
    listed_hash: str
    listed_status_changed_at: datetime | None
    order_document_id: int
    order_digest: str
    order_key: str
    order_fetched_at: datetime
    items_document_id: int | None = None
    items_digest: str | None = None
    items_fetched_at: datetime | None = None
    items_key: str | None = None


def load(
    connection: Connection,
    warehouse: Warehouse,
    *,
    order_rows: pd.DataFrame,
    item_rows: pd.DataFrame,
    items_replaced: Sequence[str],
    loaded: Iterable[Loaded],
) -> None:
    """Merge a batch, in the caller's transaction; each order at most once in it.

    `order_rows` are the orders whose content changed, `item_rows` the items of the orders in `items_replaced`,
    both with the columns of the `sales` tables except the store and the platform. `loaded` are all orders of
    the batch, changed or not.
    """
    if len(order_rows):
        _merge_orders(connection, warehouse, order_rows)
    if items_replaced:
        connection.execute(
            text(
                """
                DELETE FROM sales.order_items
                WHERE store = :store AND platform = :platform AND platform_order_id = ANY(:order_ids)
                """
            ),
            {"store": warehouse.store, "platform": PLATFORM, "order_ids": list(items_replaced)},
        )
        _copy(connection, warehouse, "sales.order_items", order_items, item_rows)
    _save_states(connection, warehouse, loaded)


def clear_sales(connection: Connection, warehouse: Warehouse) -> None:
    """Empty the store's `sales` tables, in the caller's transaction."""
    for table in (orders, order_items, order_status_history):
        connection.execute(table.delete().where(table.c.store == warehouse.store))


def _merge_orders(connection: Connection, warehouse: Warehouse, rows: pd.DataFrame) -> None:
    connection.execute(text("CREATE TEMP TABLE staged_orders (LIKE sales.orders INCLUDING DEFAULTS) ON COMMIT DROP"))
    _copy(connection, warehouse, "staged_orders", orders, rows)
    columns = [column.name for column in orders.columns]
    updates = ", ".join(_update(name) for name in columns if name not in (*_KEY, "first_order_date"))
    connection.execute(
        text(
            f"""
            INSERT INTO sales.orders AS held ({", ".join(columns)})
            SELECT {", ".join(columns)} FROM staged_orders
            ON CONFLICT (store, platform, platform_order_id) DO UPDATE SET {updates}
            """
        )
    )
    history = [column.name for column in order_status_history.columns]
    selected = ", ".join(
        {"document_id": "held.order_document_id", "observed_at": "held.fetched_at"}.get(name, f"held.{name}")
        for name in history
    )
    connection.execute(
        text(
            f"""
            INSERT INTO sales.order_status_history ({", ".join(history)})
            SELECT {selected}
            FROM staged_orders JOIN sales.orders held USING (store, platform, platform_order_id)
            LEFT JOIN LATERAL (
                SELECT true AS seen, {", ".join(_TRACKED)} FROM sales.order_status_history h
                WHERE (h.store, h.platform, h.platform_order_id)
                    = (held.store, held.platform, held.platform_order_id)
                ORDER BY document_id DESC LIMIT 1
            ) last ON true
            WHERE last.seen IS NULL
               OR ({", ".join(f"held.{name}" for name in _TRACKED)})
                  IS DISTINCT FROM ({", ".join(f"last.{name}" for name in _TRACKED)})
            """
        )
    )
    connection.execute(text("DROP TABLE staged_orders"))


def _update(name: str) -> str:
    if name in ("order_date", "status", "platform_status", "order_document_id", "fetched_at"):
        return f"{name} = excluded.{name}"
    # What BrickLink has purged is gone there, not here.
    return (
        f"{name} = CASE WHEN excluded.platform_status = 'PURGED' "
        f"THEN coalesce(excluded.{name}, held.{name}) ELSE excluded.{name} END"
    )


def _copy(connection: Connection, warehouse: Warehouse, target: str, table: Table, rows: pd.DataFrame) -> None:
    names = [name for name in (column.name for column in table.columns) if name in rows.columns]
    columns: list[list[Any]] = [_values(rows[name]) for name in names]
    driver = connection.connection.driver_connection
    assert driver is not None
    statement = f"COPY {target} (store, platform, {', '.join(names)}) FROM STDIN"
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in zip(*columns, strict=True):
            copy.write_row((warehouse.store, PLATFORM, *row))


def _values(column: pd.Series[Any]) -> list[Any]:
    # By way of Arrow: decimals stay Decimal, times stay aware, and what is absent is None, not NaN.
    values: list[Any] = column.array.__arrow_array__().to_pylist()
    return values


def _save_states(connection: Connection, warehouse: Warehouse, loaded: Iterable[Loaded]) -> None:
    rows = [{"store": warehouse.store, "platform": PLATFORM, **asdict(order)} for order in loaded]
    if not rows:
        return
    connection.execute(
        text(
            """
            INSERT INTO sync.order_state AS s (
                store, platform, platform_order_id, order_date, listed_hash, listed_status,
                listed_status_changed_at, first_listed_at, held_hash, held_status_changed_at, order_document_id,
                order_digest, order_key, order_fetched_at, items_document_id, items_digest, items_fetched_at,
                items_key
            ) VALUES (
                :store, :platform, :order_id, :order_date, :listed_hash, :status,
                :listed_status_changed_at, :order_fetched_at, :listed_hash, :listed_status_changed_at,
                :order_document_id, :order_digest, :order_key, :order_fetched_at, :items_document_id, :items_digest,
                :items_fetched_at, :items_key
            )
            ON CONFLICT (store, platform, platform_order_id) DO UPDATE SET
                held_hash = excluded.held_hash,
                held_status_changed_at = excluded.held_status_changed_at,
                order_document_id = excluded.order_document_id,
                order_digest = excluded.order_digest,
                order_key = excluded.order_key,
                order_fetched_at = excluded.order_fetched_at,
                items_document_id = coalesce(excluded.items_document_id, s.items_document_id),
                items_digest = coalesce(excluded.items_digest, s.items_digest),
                items_fetched_at = coalesce(excluded.items_fetched_at, s.items_fetched_at),
                items_key = coalesce(excluded.items_key, s.items_key),
                error = NULL, error_class = NULL, failed_at = NULL, attempts = 0
            -- Replaying what was loaded before moves nothing.
            WHERE greatest(excluded.order_document_id, excluded.items_document_id)
                > coalesce(greatest(s.order_document_id, s.items_document_id), 0)
            """
        ),
        rows,
    )

"""Normalised rows into `sales`: staged by COPY, merged if they differ, and the state moved in the same transaction.

New rows are compared with the stored ones themselves, so that a load repairs whatever was done to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, text

from bl_pipeline.records import OrderState
from bl_pipeline.warehouse.database import PLATFORM, Warehouse
from bl_pipeline.warehouse.tables import order_items, order_status_history, orders

if TYPE_CHECKING:
    import pandas as pd

_KEY = ("store", "platform", "platform_order_id")
_TRACKED = (
    "platform_status", "payment_status", "order_date", "paid_at", "shipped_at", "total", "final_total", "credit",
    "coupon", "currency", "is_filed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """The ids of the orders that were stored for the first time, and of those that were changed."""

    created: set[str] = field(default_factory=set)
    updated: set[str] = field(default_factory=set)


def load(
    connection: Connection,
    warehouse: Warehouse,
    *,
    order_rows: pd.DataFrame,
    item_rows: pd.DataFrame,
    items_replaced: Sequence[str],
    states: Iterable[OrderState],
) -> Written:
    """Merge a batch, in the caller's transaction; each order at most once in it.

    `order_rows` are the orders, `item_rows` the items of the orders in `items_replaced`, both with the columns of
    the `sales` tables except the store and the platform. `states` are those of all
    orders of the batch, as they will be.
    A row that is stored as it should be is not written.
    """
    other_items = _merge_items(connection, warehouse, item_rows, items_replaced)
    created, updated = _merge_orders(connection, warehouse, order_rows, other_items)
    updated |= _add_history(connection)
    connection.execute(text("DROP TABLE staged_orders"))
    _save_states(connection, warehouse, states)
    return Written(created, updated - created)


def clear_sales(connection: Connection, warehouse: Warehouse) -> None:
    """Empty the store's `sales` tables, in the caller's transaction."""
    for table in (orders, order_items, order_status_history):
        connection.execute(table.delete().where(table.c.store == warehouse.store))


def _merge_items(
    connection: Connection, warehouse: Warehouse, rows: pd.DataFrame, items_replaced: Sequence[str]
) -> set[str]:
    """Replace the items of the orders whose stored items differ; returns the ids of these orders."""
    if not items_replaced:
        return set()
    connection.execute(text("CREATE TEMP TABLE staged_items (LIKE sales.order_items) ON COMMIT DROP"))
    _copy(connection, warehouse, "staged_items", order_items, rows)
    content = [column.name for column in order_items.columns if not column.primary_key]
    differing = connection.scalars(
        text(
            f"""
            SELECT DISTINCT platform_order_id
            FROM staged_items staged FULL JOIN (
                SELECT * FROM sales.order_items
                WHERE store = :store AND platform = :platform AND platform_order_id = ANY(:order_ids)
            ) stored USING (store, platform, platform_order_id, batch_number, line_number)
            WHERE staged.store IS NULL OR stored.store IS NULL
               OR ({_listed(content, "staged")}) IS DISTINCT FROM ({_listed(content, "stored")})
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM, "order_ids": list(items_replaced)},
    ).all()
    if differing:
        values = {"store": warehouse.store, "platform": PLATFORM, "order_ids": differing}
        which = "store = :store AND platform = :platform AND platform_order_id = ANY(:order_ids)"
        connection.execute(text(f"DELETE FROM sales.order_items WHERE {which}"), values)
        names = ", ".join(column.name for column in order_items.columns)
        connection.execute(
            text(f"INSERT INTO sales.order_items ({names}) SELECT {names} FROM staged_items WHERE {which}"), values
        )
    connection.execute(text("DROP TABLE staged_items"))
    return set(differing)


def _merge_orders(
    connection: Connection, warehouse: Warehouse, rows: pd.DataFrame, other_items: set[str]
) -> tuple[set[str], set[str]]:
    """Write the orders that are not stored as they should be; the ids of the new ones, and of the others written.

    `other_items` are the orders whose items were replaced. Leaves `staged_orders` for the history.
    """
    connection.execute(text("CREATE TEMP TABLE staged_orders (LIKE sales.orders INCLUDING DEFAULTS) ON COMMIT DROP"))
    _copy(connection, warehouse, "staged_orders", orders, rows)
    names = [column.name for column in orders.columns]
    merged = {name: _merged(name) for name in names if name not in (*_KEY, "first_order_date")}
    compared = [name for name in merged if name not in ("order_document_id", "fetched_at")]
    written = connection.execute(
        text(
            f"""
            INSERT INTO sales.orders AS stored ({", ".join(names)})
            SELECT {", ".join(_FIRST_ORDER_DATE if name == "first_order_date" else name for name in names)}
            FROM staged_orders staged
            ON CONFLICT (store, platform, platform_order_id) DO UPDATE
            SET {", ".join(f"{name} = {value}" for name, value in merged.items())}
            WHERE ({", ".join(merged[name] for name in compared)}) IS DISTINCT FROM ({_listed(compared, "stored")})
               OR stored.platform_order_id = ANY(:other_items)
            -- What this statement itself writes is not seen here.
            RETURNING platform_order_id, NOT EXISTS (
                SELECT FROM sales.orders before
                WHERE (before.store, before.platform, before.platform_order_id)
                    = (stored.store, stored.platform, stored.platform_order_id)
            ) AS is_new
            """
        ),
        {"other_items": list(other_items)},
    ).all()
    return {row[0] for row in written if row.is_new}, {row[0] for row in written if not row.is_new}


def _add_history(connection: Connection) -> set[str]:
    """Add to the history the staged orders whose state differs from the last one; returns their ids."""
    names = [column.name for column in order_status_history.columns]
    values = {"document_id": "stored.order_document_id", "observed_at": "stored.fetched_at"}
    written = connection.scalars(
        text(
            f"""
            INSERT INTO sales.order_status_history ({", ".join(names)})
            SELECT {", ".join(values.get(name, f"stored.{name}") for name in names)}
            FROM staged_orders JOIN sales.orders stored USING (store, platform, platform_order_id)
            LEFT JOIN LATERAL (
                SELECT true AS seen, {", ".join(_TRACKED)} FROM sales.order_status_history h
                WHERE (h.store, h.platform, h.platform_order_id)
                    = (stored.store, stored.platform, stored.platform_order_id)
                ORDER BY document_id DESC LIMIT 1
            ) last ON true
            WHERE last.seen IS NULL OR ({_listed(_TRACKED, "stored")}) IS DISTINCT FROM ({_listed(_TRACKED, "last")})
            -- The row of this answer is there already if somebody changed it by hand.
            ON CONFLICT (store, platform, platform_order_id, document_id) DO UPDATE
            SET {", ".join(f"{name} = excluded.{name}" for name in names if name not in (*_KEY, "document_id"))}
            RETURNING platform_order_id
            """
        )
    )
    return set(written)


def _listed(names: Iterable[str], table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in names)


# An order whose row was deleted by hand still has a history.
_FIRST_ORDER_DATE = """
    coalesce(
        (
            SELECT h.order_date FROM sales.order_status_history h
            WHERE (h.store, h.platform, h.platform_order_id)
                = (staged.store, staged.platform, staged.platform_order_id)
            ORDER BY document_id LIMIT 1
        ),
        first_order_date
    )
"""


def _merged(name: str) -> str:
    """What a column of an order that is stored already becomes."""
    if name == "items_document_id":
        # The answer that first had the items as they are stored.
        return (
            f"CASE WHEN stored.platform_order_id = ANY(:other_items) THEN excluded.{name} "
            f"ELSE coalesce(stored.{name}, excluded.{name}) END"
        )
    if name in ("order_date", "status", "platform_status", "order_document_id", "fetched_at"):
        return f"excluded.{name}"
    # What BrickLink has purged is gone there, not here.
    return (
        f"CASE WHEN excluded.platform_status = 'PURGED' "
        f"THEN coalesce(excluded.{name}, stored.{name}) ELSE excluded.{name} END"
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
    # Through Arrow: decimals stay Decimal, times stay aware, and what is absent is None, not NaN.
    values: list[Any] = column.array.__arrow_array__().to_pylist()
    return values


def _save_states(connection: Connection, warehouse: Warehouse, states: Iterable[OrderState]) -> None:
    rows = [{"store": warehouse.store, "platform": PLATFORM, **asdict(state)} for state in states]
    if not rows:
        return
    connection.execute(
        text(
            """
            INSERT INTO sync.order_state AS s (
                store, platform, platform_order_id, order_date, listed_fingerprint, listed_status,
                listed_status_changed_at, first_listed_at, stored_fingerprint, stored_status_changed_at,
                order_document_id, order_fingerprint, order_fetched_at, items_document_id, items_fetched_at,
                items_fingerprint
            ) VALUES (
                :store, :platform, :order_id, :order_date, :listed_fingerprint, :listed_status,
                :listed_status_changed_at, :order_fetched_at, :stored_fingerprint, :stored_status_changed_at,
                :order_document_id, :order_fingerprint, :order_fetched_at, :items_document_id,
                :items_fetched_at, :items_fingerprint
            )
            ON CONFLICT (store, platform, platform_order_id) DO UPDATE SET
                stored_fingerprint = excluded.stored_fingerprint,
                stored_status_changed_at = excluded.stored_status_changed_at,
                order_document_id = excluded.order_document_id,
                order_fingerprint = excluded.order_fingerprint,
                order_fetched_at = excluded.order_fetched_at,
                items_document_id = coalesce(excluded.items_document_id, s.items_document_id),
                items_fetched_at = coalesce(excluded.items_fetched_at, s.items_fetched_at),
                items_fingerprint = coalesce(excluded.items_fingerprint, s.items_fingerprint),
                error = NULL, error_class = NULL, failed_at = NULL, attempts = 0
            -- Replaying what was loaded before moves nothing.
            WHERE greatest(excluded.order_document_id, excluded.items_document_id)
                > coalesce(greatest(s.order_document_id, s.items_document_id), 0)
            """
        ),
        rows,
    )

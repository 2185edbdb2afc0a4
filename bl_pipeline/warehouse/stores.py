"""The names of the stores in a warehouse: which have orders, whose an API key is, and a new name for one."""

from __future__ import annotations

import shlex
from collections.abc import Collection

from psycopg import sql
from sqlalchemy import Connection, text

from bl_pipeline.settings import Store
from bl_pipeline.warehouse.database import PLATFORM
from bl_pipeline.warehouse.usage import KeyHashes


def stores_with_orders(connection: Connection) -> list[str]:
    """The stores of which the warehouse has orders."""
    return list(connection.scalars(text("SELECT DISTINCT store FROM sync.order_state ORDER BY 1")))


def other_name_of_key(connection: Connection, store: str, key: KeyHashes) -> str | None:
    """The store that has used this API key and has orders, if `store` itself has none; else None."""
    others = stores_with_orders(connection)
    if store in others:
        return None
    other: str | None = connection.scalar(
        text(
            """
            SELECT store FROM unnest(CAST(:others AS text[])) AS other (store)
            WHERE EXISTS (SELECT FROM sync.api_calls c WHERE c.store = other.store AND c.key_hash = ANY(:key))
            ORDER BY 1 LIMIT 1
            """
        ),
        {"others": others, "key": key},
    )
    return other


def other_name_of_orders(connection: Connection, store: str, order_ids: Collection[str]) -> str | None:
    """The store that has one of these orders already, if `store` itself has none; else None.

    An order id of BrickLink is of one store only.
    """
    if connection.scalar(text("SELECT EXISTS (SELECT FROM sync.order_state WHERE store = :store)"), {"store": store}):
        return None  # without handing over the ids of a large store
    other: str | None = connection.scalar(
        text(
            """
            SELECT store FROM sync.order_state
            WHERE store <> :store AND platform = :platform AND platform_order_id = ANY(:order_ids)
            ORDER BY 1 LIMIT 1
            """
        ),
        {"store": store, "platform": PLATFORM, "order_ids": list(order_ids)},
    )
    return other


def same_store_message(store: Store, other: str) -> str:
    """What a user reads if the orders of `store` are stored already, under the name `other`."""
    old_name = f"name its part in BL_STORES_FILE [{other}]" if store.stores > 1 else f"BL_STORE={shlex.quote(other)}"
    return (
        f"Store {store.key} has no orders yet, and this warehouse has the orders of the same BrickLink store under the "
        f"name {other}. No order was fetched: each one would be stored a second time.\n"
        f"To go on under the old name: {old_name}. To change the name: "
        f"bl rename-store {shlex.quote(other)} {shlex.quote(store.key)}"
    )


def rename_store(connection: Connection, old: str, new: str) -> int:
    """Give all rows of a store the new name, in the caller's transaction; returns how many orders that are.

    The caller has the locks of both names, and has checked that only `old` has orders.
    """
    # The new name's settings are of a store without orders, and its runs were refused for that.
    for table in ("sync.runs", "sync.stores", "books.tax_settings", "books.tax_rates"):
        connection.execute(text(f"DELETE FROM {table} WHERE store = :new"), {"new": new})
    # The journal looks at the orders again under their new name: a trigger notes them as their history moves.
    connection.execute(text("DELETE FROM books.unbooked WHERE store = :old"), {"old": old})
    tables = connection.execute(
        text(
            """
            SELECT n.nspname, c.relname FROM pg_attribute a
            JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE a.attname = 'store' AND NOT a.attisdropped AND c.relkind = 'r'
              AND n.nspname IN ('landing', 'sales', 'sync', 'books')
            """
        )
    ).all()
    for schema, table in tables:
        statement = sql.SQL("UPDATE {} SET store = %(new)s WHERE store = %(old)s").format(sql.Identifier(schema, table))
        connection.exec_driver_sql(statement.as_string(), {"new": new, "old": old})
    return connection.scalar(text("SELECT count(*) FROM sync.order_state WHERE store = :new"), {"new": new}) or 0

"""Normalised rows into `sales`: staged by COPY, merged if they differ, and the state moved in the same transaction.

New rows are compared with the stored ones themselves, so that a load repairs whatever was done to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table, text

from bl_pipeline.columns import PARTS, AnswerKind
from bl_pipeline.records import OrderState
from bl_pipeline.warehouse.copying import copy_rows
from bl_pipeline.warehouse.database import PLATFORM, Warehouse
from bl_pipeline.warehouse.state import save_loaded
from bl_pipeline.warehouse.tables import (
    TRACKED,
    order_items,
    order_search,
    order_status_history,
    orders,
    parts,
    replaced_items,
)

if TYPE_CHECKING:
    import pandas as pd

_KEY = ("store", "platform", "platform_order_id")
_SALES = (orders, *parts.values(), order_status_history, replaced_items)
_HISTORY = {"document_id": "order_document_id", "observed_at": "fetched_at"}
"""Column of the history → column of the order that it comes from, if their names differ."""


@dataclass(frozen=True, slots=True)
class Written:
    """The ids of the orders that were stored for the first time, and of those that were changed."""

    created: set[str] = field(default_factory=set)
    updated: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class PartOfBatch:
    """The rows that one part of these orders now has, in a table of `sales`; an order without a row has none of it."""

    order_ids: Sequence[str]
    rows: pd.DataFrame


def load(
    connection: Connection,
    warehouse: Warehouse,
    *,
    order_rows: pd.DataFrame,
    part_rows: Mapping[AnswerKind, PartOfBatch],
    absent_kept: Collection[str],
    states: Iterable[OrderState],
) -> Written:
    """Merge a batch, in the caller's transaction; each order at most once in it.

    `order_rows` are the orders, `part_rows` the parts that are replaced; all frames have the columns of their `sales`
    table except the store and the platform. What is absent of an order in `absent_kept` keeps its stored value.
    `states` are those of the orders of the batch whose state moves, as they will be.
    A row that is stored as it should be is not written.
    """
    order_ids: list[str] = order_rows["platform_order_id"].tolist()
    if _are_new(connection, warehouse, order_ids):
        add(connection, warehouse, order_rows=order_rows, part_rows=part_rows)
        save_loaded(connection, warehouse, states)
        return Written(set(order_ids))
    _stage(connection, warehouse, "staged_orders", orders, order_rows)
    differing = {kind: _merge_part(connection, warehouse, parts[kind], part) for kind, part in part_rows.items()}
    if absent_kept:
        _keep_absent(connection, absent_kept)
    created, updated = _merge_orders(connection, differing)
    updated |= _add_history(connection)
    connection.execute(text("DROP TABLE staged_orders"))
    save_loaded(connection, warehouse, states)
    return Written(created, updated - created)


def _are_new(connection: Connection, warehouse: Warehouse, order_ids: Sequence[str]) -> bool:
    """Whether nothing is stored of these orders: no row, no part, no history, as of an order that was never loaded."""
    stored = " UNION ALL ".join(
        f"""
        SELECT FROM {table.fullname}
        WHERE store = :store AND platform = :platform AND platform_order_id = ANY(:order_ids)
        """
        for table in _SALES
    )
    values = {"store": warehouse.store, "platform": PLATFORM, "order_ids": order_ids}
    return not connection.scalar(text(f"SELECT EXISTS ({stored})"), values)


def add(
    connection: Connection,
    warehouse: Warehouse,
    *,
    order_rows: pd.DataFrame,
    part_rows: Mapping[AnswerKind, PartOfBatch],
) -> None:
    """As `load`, for orders of which nothing is stored: there is nothing to compare and to merge.

    Raises psycopg.IntegrityError if something of one is stored.
    """
    copy_rows(connection, warehouse, orders.fullname, order_rows)
    for kind, part in part_rows.items():
        copy_rows(connection, warehouse, parts[kind].fullname, part.rows)
    history = order_rows.rename(columns={source: name for name, source in _HISTORY.items()})
    names = [column.name for column in order_status_history.columns if column.name in history.columns]
    copy_rows(connection, warehouse, order_status_history.fullname, history[names])


def clear_sales(connection: Connection, warehouse: Warehouse) -> None:
    """Empty the store's `sales` tables, in the caller's transaction."""
    for table in _SALES:
        connection.execute(table.delete().where(table.c.store == warehouse.store))


def analyze_sales(connection: Connection) -> None:
    """Let Postgres look at the `sales` tables, after many rows have changed.

    It does so by itself about a minute later; until then it may plan a query so badly that it takes minutes.
    """
    connection.execute(text(f"ANALYZE {', '.join(table.fullname for table in (*_SALES, order_search))}"))


def _merge_part(connection: Connection, warehouse: Warehouse, table: Table, part: PartOfBatch) -> set[str]:
    """Replace the rows of the orders whose stored rows differ; returns the ids of these orders.

    `staged_orders` has the orders themselves.
    """
    _stage(connection, warehouse, "staged_part", table, part.rows)
    content = [column.name for column in table.columns if not column.primary_key]
    differing = connection.scalars(
        text(
            f"""
            SELECT DISTINCT platform_order_id
            FROM staged_part staged FULL JOIN (
                SELECT * FROM {table.fullname}
                WHERE store = :store AND platform = :platform AND platform_order_id = ANY(:order_ids)
            ) stored USING ({", ".join(column.name for column in table.primary_key)})
            WHERE staged.store IS NULL OR stored.store IS NULL
               OR ({_listed(content, "staged")}) IS DISTINCT FROM ({_listed(content, "stored")})
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM, "order_ids": list(part.order_ids)},
    ).all()
    if differing:
        values = {"store": warehouse.store, "platform": PLATFORM, "order_ids": differing}
        which = "store = :store AND platform = :platform AND platform_order_id = ANY(:order_ids)"
        if table is order_items:
            _keep_replaced(connection, differing)
        connection.execute(text(f"DELETE FROM {table.fullname} WHERE {which}"), values)
        names = ", ".join(column.name for column in table.columns)
        connection.execute(
            text(f"INSERT INTO {table.fullname} ({names}) SELECT {names} FROM staged_part WHERE {which}"), values
        )
    connection.execute(text("DROP TABLE staged_part"))
    return set(differing)


def _keep_replaced(connection: Connection, order_ids: Sequence[str]) -> None:
    """Keep the stored lots of these orders, which others are about to replace, with the time of their answer.

    Not those that the same answer is to repair.
    """
    lots = [column.name for column in order_items.columns]
    connection.execute(
        text(
            f"""
            INSERT INTO sales.replaced_items ({", ".join(lots)}, items_document_id, known_from, replaced_at)
            SELECT {_listed(lots, "i")}, o.items_document_id, answer.fetched_at,
                coalesce(other_answer.fetched_at, staged.fetched_at)
            FROM staged_orders staged
            -- Order by order, by the key. OFFSET 0 keeps Postgres from any other way: as long as it has not counted the
            -- rows of a store, such as after a restore, it would read all of them again for each order.
            CROSS JOIN LATERAL (
                SELECT items_document_id FROM sales.orders
                WHERE (store, platform, platform_order_id)
                    = (staged.store, staged.platform, staged.platform_order_id)
                OFFSET 0
            ) o
            CROSS JOIN LATERAL (
                SELECT * FROM sales.order_items
                WHERE (store, platform, platform_order_id)
                    = (staged.store, staged.platform, staged.platform_order_id)
                OFFSET 0
            ) i
            JOIN landing.documents answer ON answer.document_id = o.items_document_id
            LEFT JOIN landing.documents other_answer ON other_answer.document_id = staged.items_document_id
            WHERE staged.platform_order_id = ANY(:order_ids)
              AND o.items_document_id IS DISTINCT FROM staged.items_document_id
            ON CONFLICT DO NOTHING
            """
        ),
        {"order_ids": order_ids},
    )


def _keep_absent(connection: Connection, order_ids: Collection[str]) -> None:
    """Give the staged orders of these ids the stored value of what they lack."""
    kept = [column.name for column in orders.columns if column.nullable]
    connection.execute(
        text(
            f"""
            UPDATE staged_orders staged SET {", ".join(f"{name} = coalesce(staged.{name}, s.{name})" for name in kept)}
            FROM sales.orders s
            WHERE (s.store, s.platform, s.platform_order_id)
                = (staged.store, staged.platform, staged.platform_order_id)
              AND staged.platform_order_id = ANY(:order_ids)
            """
        ),
        {"order_ids": list(order_ids)},
    )


def _merge_orders(connection: Connection, differing: Mapping[AnswerKind, set[str]]) -> tuple[set[str], set[str]]:
    """Write the staged orders that are not stored as they should be; the ids of the new ones, and of the others
    written.

    `differing` are the orders of which a part was replaced. Leaves `staged_orders` for the history.
    """
    names = [column.name for column in orders.columns]
    merged = {name: f"excluded.{name}" for name in names if name not in (*_KEY, "first_order_date")}
    for kind in PARTS:
        if (name := f"{kind}_document_id") in merged:
            # The answer that first had the part as it is stored.
            merged[name] = (
                f"CASE WHEN stored.platform_order_id = ANY(:other_{kind}) THEN excluded.{name} "
                f"ELSE coalesce(stored.{name}, excluded.{name}) END"
            )
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
               OR stored.platform_order_id = ANY(:other_parts)
            -- What this statement itself writes is not seen here.
            RETURNING platform_order_id, NOT EXISTS (
                SELECT FROM sales.orders before
                WHERE (before.store, before.platform, before.platform_order_id)
                    = (stored.store, stored.platform, stored.platform_order_id)
            ) AS is_new
            """
        ),
        {
            "other_parts": list(set().union(*differing.values())),
            **{f"other_{kind}": list(differing.get(kind, ())) for kind in PARTS if f"{kind}_document_id" in merged},
        },
    ).all()
    return {row[0] for row in written if row.is_new}, {row[0] for row in written if not row.is_new}


def _add_history(connection: Connection) -> set[str]:
    """Add to the history the staged orders whose state differs from the last one; returns their ids."""
    names = [column.name for column in order_status_history.columns]
    written = connection.scalars(
        text(
            f"""
            INSERT INTO sales.order_status_history ({", ".join(names)})
            SELECT {_listed((_HISTORY.get(name, name) for name in names), "stored")}
            FROM staged_orders JOIN sales.orders stored USING (store, platform, platform_order_id)
            LEFT JOIN LATERAL (
                SELECT true AS seen, {", ".join(TRACKED)} FROM sales.order_status_history h
                WHERE (h.store, h.platform, h.platform_order_id)
                    = (stored.store, stored.platform, stored.platform_order_id)
                ORDER BY document_id DESC LIMIT 1
            ) last ON true
            WHERE last.seen IS NULL OR ({_listed(TRACKED, "stored")}) IS DISTINCT FROM ({_listed(TRACKED, "last")})
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


def _stage(connection: Connection, warehouse: Warehouse, staged: str, table: Table, rows: pd.DataFrame) -> None:
    """Copy the rows into a new temporary table that is like `table`."""
    connection.execute(text(f"CREATE TEMP TABLE {staged} (LIKE {table.fullname} INCLUDING DEFAULTS) ON COMMIT DROP"))
    copy_rows(connection, warehouse, staged, rows)

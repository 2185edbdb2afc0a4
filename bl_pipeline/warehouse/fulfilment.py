"""What is still to be done for orders, and the lots of some of them as they are picked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, text

from bl_pipeline.rules.statuses import IN_WORK, PAYMENT_ARRIVED, PURGED, UNDECIDED
from bl_pipeline.warehouse.database import PLATFORM, Warehouse
from bl_pipeline.warehouse.tables.schema import sql_list

Row = Mapping[str, Any]


class Step(StrEnum):
    """What is to be done next for an order."""

    TO_BE_PAID = "to_be_paid"
    TO_PACK = "to_pack"
    TO_SEND = "to_send"


@dataclass(frozen=True)
class Todo:
    """The orders of one step, the oldest first; `count` is how many there are, of which `orders` may be a part."""

    step: Step
    count: int
    orders: Sequence[Row]


def read_todo(connection: Connection, warehouse: Warehouse, *, limit: int) -> list[Todo]:
    """The orders of every step, at most `limit` of each.

    An order is to be packed once its money has arrived, whether its own status says so already or only its payment's.
    """
    rows = connection.execute(
        text(
            f"""
            WITH open AS (
                SELECT store, platform, platform_order_id, order_date,
                    CASE
                        WHEN platform_status = 'PACKED' THEN 'to_send'
                        WHEN platform_status = 'PAID' OR payment_status IN ({sql_list(PAYMENT_ARRIVED)}) THEN 'to_pack'
                        ELSE 'to_be_paid'
                    END AS step
                FROM sales.order_search
                WHERE store = :store AND platform = :platform AND status IN ({sql_list(IN_WORK)})
                    AND platform_status <> '{PURGED}'
            ),
            numbered AS (
                SELECT *, count(*) OVER (PARTITION BY step) AS of_step,
                    row_number() OVER (PARTITION BY step ORDER BY order_date, platform_order_id) AS place
                FROM open
            )
            SELECT platform_order_id, display_id, o.order_date, buyer_name, buyer_username, platform_status,
                payment_status, unique_count, total_count, total, currency, tracking_number, country_code, step, of_step
            FROM numbered JOIN sales.orders o USING (store, platform, platform_order_id)
            WHERE place <= :limit ORDER BY place
            """
        ),
        {**_of_store(warehouse), "limit": limit},
    )
    found: dict[str, list[Row]] = {step: [] for step in Step}
    for row in rows.mappings():
        found[row["step"]].append(dict(row))
    return [Todo(step, found[step][0]["of_step"] if found[step] else 0, found[step]) for step in Step]


def count_undecided(connection: Connection, warehouse: Warehouse) -> dict[str, int]:
    """How many orders are on hold, or of a status that is not known: a person has to look at these."""
    rows = connection.execute(
        text(
            f"""
            SELECT status, count(*) FROM sales.order_search
            WHERE store = :store AND platform = :platform AND status IN ({sql_list(UNDECIDED)})
                AND platform_status <> '{PURGED}'
            GROUP BY status ORDER BY status
            """
        ),
        _of_store(warehouse),
    )
    return {row[0]: row[1] for row in rows}


def read_chosen(connection: Connection, warehouse: Warehouse, order_ids: Sequence[str]) -> list[Row]:
    """These orders, in this order, each with `stored_pieces` of its lots; one that is not stored is left out."""
    rows = connection.execute(
        text(
            """
            SELECT o.*, (
                SELECT coalesce(sum(i.quantity), 0)::bigint FROM sales.order_items i
                WHERE i.store = o.store AND i.platform = o.platform AND i.platform_order_id = o.platform_order_id
            ) AS stored_pieces
            FROM sales.orders o
            WHERE store = :store AND platform = :platform AND platform_order_id = ANY(:order_ids)
            """
        ),
        {**_of_store(warehouse), "order_ids": list(order_ids)},
    )
    found = {row["platform_order_id"]: dict(row) for row in rows.mappings()}
    return [found[order_id] for order_id in order_ids if order_id in found]


@dataclass(frozen=True)
class PickLine:
    """A lot, and how many pieces of it go into which order: pairs of the order's id and the pieces."""

    lot: Row
    orders: list[tuple[str, int]] = field(default_factory=list)

    @property
    def quantity(self) -> int:
        """Pieces in all."""
        return sum(pieces for _, pieces in self.orders)


def read_pick_list(connection: Connection, warehouse: Warehouse, order_ids: Sequence[str]) -> list[PickLine]:
    """The lots of these orders as they lie in the store: by place, then by item and colour.

    The place is what the seller has written in the lot's remarks. Lots without one are at the end. Equal lots of
    several orders are one line.
    """
    rows = connection.execute(
        text(
            """
            SELECT nullif(btrim(remarks), '') AS place, item_type, item_number, item_name, color_id, color_name,
                condition, completeness, description, platform_order_id AS order_id,
                coalesce(sum(quantity), 0)::bigint AS pieces
            FROM sales.order_items
            WHERE store = :store AND platform = :platform AND platform_order_id = ANY(:order_ids)
            GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
            """
        ),
        {**_of_store(warehouse), "order_ids": list(order_ids)},
    )
    lines: dict[tuple[Any, ...], PickLine] = {}
    places = {order_id: place for place, order_id in enumerate(order_ids)}
    for *lot, order_id, pieces in sorted(rows, key=lambda row: places[row.order_id]):
        line = lines.setdefault(tuple(lot), PickLine(dict(zip(_LOT, lot, strict=True))))
        line.orders.append((order_id, pieces))
    return sorted(lines.values(), key=_way)


_LOT = ("place", "item_type", "item_number", "item_name", "color_id", "color_name", "condition", "completeness",
        "description")  # fmt: skip
_DIGITS = re.compile(r"([0-9]+)")


def _way(line: PickLine) -> tuple[Any, ...]:
    """The place of a line on the way through the store."""
    names = ("place", "item_number", "item_name", "color_name", "item_type", "condition", "completeness", "description")
    return (line.lot["place"] is None, *(natural(line.lot[name]) for name in names))


def natural(written: str | None) -> list[tuple[int, int, str]]:
    """A key that sorts A2 before A10, whatever the case; nothing comes first."""
    parts = _DIGITS.split((written or "").casefold())
    # A number is compared by its length, then by its digits: it may have more of them than int() takes.
    return [
        (0, len(part.lstrip("0")), part.lstrip("0")) if place % 2 else (1, 0, part)
        for place, part in enumerate(parts)
        if part
    ]


def _of_store(warehouse: Warehouse) -> dict[str, str]:
    return {"store": warehouse.store, "platform": PLATFORM}

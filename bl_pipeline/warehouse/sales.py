"""How much is stored of the sales, and one order in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from bl_pipeline.columns import TABLES, AnswerKind, ColumnType
from bl_pipeline.warehouse.database import PLATFORM, Warehouse

_OF_ORDER = "WHERE store = :store AND platform = :platform AND platform_order_id = :order_id"


@dataclass(frozen=True, slots=True)
class PartOfOrder:
    """What is stored of one part of an order; `fetched_at` is None if it was never fetched."""

    fetched_at: datetime | None
    rows: list[dict[str, Any]]


def count_rows(
    connection: Connection,
    warehouse: Warehouse,
    kinds: Sequence[AnswerKind] = (AnswerKind.ORDER, AnswerKind.ITEMS),
) -> tuple[int, ...]:
    """Rows of the tables of `sales` that these kinds of answers become."""
    counts = (f"(SELECT count(*) FROM sales.{TABLES[kind].name} WHERE store = :store)" for kind in kinds)
    return tuple(connection.execute(text(f"SELECT {', '.join(counts)}"), {"store": warehouse.store}).one())


def _key(warehouse: Warehouse, order_id: str) -> dict[str, str]:
    return {"store": warehouse.store, "platform": PLATFORM, "order_id": order_id}


def read_part(connection: Connection, warehouse: Warehouse, order_id: str, kind: AnswerKind) -> PartOfOrder | None:
    """One part of an order, by the columns of its table, in their order; None if the order is not in the warehouse."""
    values = _key(warehouse, order_id)
    state = connection.execute(
        text(
            f"SELECT {kind}_fetched_at FROM sales.orders LEFT JOIN sync.order_state "
            f"USING (store, platform, platform_order_id) {_OF_ORDER}"
        ),
        values,
    ).one_or_none()
    if state is None:
        return None
    table = TABLES[kind]
    names = [column.name for column in table.columns if column.name != "platform_order_id"]
    numbers = [column.name for column in table.columns if column.type is ColumnType.NUMBER]
    rows = connection.execute(
        text(f"SELECT {', '.join(names)} FROM sales.{table.name} {_OF_ORDER} ORDER BY {', '.join(numbers)}"), values
    )
    return PartOfOrder(state[0], [dict(row) for row in rows.mappings()])


def read_order(connection: Connection, warehouse: Warehouse, order_id: str) -> dict[str, Any] | None:
    """One order in full with its `items` and `status_history`; None if it is not in the warehouse."""
    values = _key(warehouse, order_id)
    order = connection.execute(text(f"SELECT * FROM sales.orders {_OF_ORDER}"), values).mappings().one_or_none()
    if order is None:
        return None
    items = connection.execute(
        text(f"SELECT * FROM sales.order_items {_OF_ORDER} ORDER BY batch_number, line_number"),
        values,
    )
    history = connection.execute(
        text(f"SELECT * FROM sales.order_status_history {_OF_ORDER} ORDER BY document_id"),
        values,
    )
    key = ("store", "platform", "platform_order_id")
    return {
        **order,
        "items": [{name: value for name, value in row.items() if name not in key} for row in items.mappings()],
        "status_history": [
            {name: value for name, value in row.items() if name not in key} for row in history.mappings()
        ],
    }


def last_fetched_at(connection: Connection, warehouse: Warehouse, order_id: str) -> datetime | None:
    """When the order was read from BrickLink the last time, changed or not; None if it is not known."""
    found = connection.scalar(
        text(f"SELECT order_fetched_at FROM sync.order_state {_OF_ORDER}"), _key(warehouse, order_id)
    )
    assert found is None or isinstance(found, datetime)
    return found


def read_states(connection: Connection, warehouse: Warehouse, order_id: str) -> list[dict[str, Any]]:
    """The states in which one order was seen, the oldest first: its rows of reports.status_history."""
    rows = connection.execute(
        text(f"SELECT * FROM reports.status_history {_OF_ORDER} ORDER BY state_number"), _key(warehouse, order_id)
    )
    return [dict(row) for row in rows.mappings()]


def read_order_and_ours(connection: Connection, warehouse: Warehouse, order_id: str) -> dict[str, Any] | None:
    """As `read_order`; each entry of the history has `is_ours` too: `bl update` made the change."""
    order = read_order(connection, warehouse, order_id)
    if order is not None:
        for entry, state in zip(order["status_history"], read_states(connection, warehouse, order_id), strict=True):
            entry["is_ours"] = state["is_ours"]
    return order

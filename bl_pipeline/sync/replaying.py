"""The landed answers of many orders, as usual as BrickLink's answers mostly are, as batches that are ready to load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from bl_pipeline.columns import AnswerKind
from bl_pipeline.rules.frames import SCHEMAS, as_frame
from bl_pipeline.rules.kinds import empty_leaves_stored, is_purged, pieces_needed
from bl_pipeline.rules.normalise_columns import ManyRows, rows_of_answers
from bl_pipeline.rules.statuses import group_of
from bl_pipeline.warehouse.landing import Document
from bl_pipeline.warehouse.load import PartOfBatch

if TYPE_CHECKING:
    import pandas as pd

_ITEMS = AnswerKind.ITEMS


@dataclass(frozen=True, slots=True)
class Replay:
    """One state of each of many orders, as `warehouse.load.load` gets it."""

    order_rows: pd.DataFrame
    part_rows: Mapping[AnswerKind, PartOfBatch]
    absent_kept: Sequence[str]


@dataclass(slots=True)
class _State:
    """A state of an order: the answer about it, and the one about its items that came after it.

    `order_row` is the place of its row among those that were read, `items_answer` that of the answer about its items,
    None if they do not replace those that are stored.
    """

    order: Document
    items: Document | None
    order_row: int = 0
    items_answer: int | None = None
    group: str | None = None
    is_purged: bool = False


def replays(landed: Mapping[str, Sequence[Document]]) -> tuple[list[Replay], set[str]]:
    """The orders whose answers are as usual, all first states in one batch, all second ones in the next; and their ids.

    `landed` has the answers by order id, oldest first. The order has the same rows as if `prepare` had read each of
    its answers and found no fault. All of an order is left out if a single answer is unusual.
    """
    found = {order_id: list(_states(documents)) for order_id, documents in landed.items() if _is_usual(documents)}
    orders = _read(AnswerKind.ORDER, [state.order for states in found.values() for state in states])
    items = _read(_ITEMS, [state.items for states in found.values() for state in states if state.items])
    taken = _take(found, orders, items)
    batches = [
        _replay([states[nth] for states in taken.values() if nth < len(states)], orders, items)
        for nth in range(max(map(len, taken.values()), default=0))
    ]
    return batches, set(taken)


def _is_usual(documents: Sequence[Document]) -> bool:
    """Whether the answers begin with an order, and are orders and items only, with at most one of items for each."""
    kinds = [document.kind for document in documents]
    return (
        kinds[0] is AnswerKind.ORDER
        and all(kind in (AnswerKind.ORDER, _ITEMS) for kind in kinds)
        and (_ITEMS, _ITEMS) not in pairwise(kinds)
    )


def _states(documents: Sequence[Document]) -> Iterator[_State]:
    for document, following in zip(documents, [*documents[1:], None], strict=True):
        if document.kind is AnswerKind.ORDER:
            yield _State(document, following if following and following.kind is _ITEMS else None)


def _read(kind: AnswerKind, documents: Sequence[Document]) -> ManyRows:
    return rows_of_answers(kind, [each.order_id for each in documents], [each.body for each in documents])


def _take(found: Mapping[str, list[_State]], orders: ManyRows, items: ManyRows) -> dict[str, list[_State]]:
    """The orders of which every answer was read, their states completed by what was read."""
    order_rows = iter(np.where(orders.usual, np.cumsum(orders.usual) - 1, -1).tolist())
    lots = enumerate(np.where(items.usual, np.bincount(items.answer, minlength=len(items.usual)), -1).tolist())
    statuses, groups, pieces = (
        orders.rows.column(name).to_pylist() for name in ("platform_status", "status", "total_count")
    )
    paid = orders.rows.column("paid_at").is_valid().to_pylist()
    taken: dict[str, list[_State]] = {}
    for order_id, states in found.items():
        previous: str | None = None
        is_usual = True
        for state in states:
            row = state.order_row = next(order_rows)
            answer, lots_of_state = next(lots) if state.items else (None, 0)
            if row < 0 or lots_of_state < 0:
                is_usual = False
                continue
            status = statuses[row]
            state.is_purged = is_purged(status)
            state.group = previous = groups[row] or group_of(status, previous=previous, paid=paid[row])
            if not empty_leaves_stored(status, lots_of_state):
                state.items_answer = answer
            if answer is not None and not lots_of_state and pieces_needed(status, pieces[row]):
                is_usual = False
        if is_usual:
            taken[order_id] = states
    return taken


def _replay(states: Sequence[_State], orders: ManyRows, items: ManyRows) -> Replay:
    """These states, each of another order, as one batch."""
    of_states: dict[str, list[Any]] = {
        "status": [state.group for state in states],
        "order_document_id": [state.order.document_id for state in states],
        "items_document_id": [
            state.items.document_id if state.items and state.items_answer is not None else None for state in states
        ],
        "fetched_at": [state.order.fetched_at for state in states],
    }
    rows = orders.rows.take(pa.array([state.order_row for state in states], pa.int64()))
    schema = SCHEMAS[AnswerKind.ORDER]
    columns: list[Any] = [
        pa.array(of_states[name], schema.field(name).type) if name in of_states else rows.column(name)
        for name in schema.names
    ]
    with_items = [state for state in states if state.items_answer is not None]
    replaced = np.zeros(len(items.usual), bool)
    for state in with_items:
        replaced[state.items_answer] = True
    lots = items.rows.filter(pa.array(replaced[items.answer]))
    return Replay(
        order_rows=as_frame(pa.table(columns, schema=schema)),
        part_rows={_ITEMS: PartOfBatch([state.order.order_id for state in with_items], as_frame(lots))},
        absent_kept=[state.order.order_id for state in states if state.is_purged],
    )

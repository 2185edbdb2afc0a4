"""`sales` again from `landing`, with no call: what a changed normalisation or a damaged table needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection

from bl_pipeline.bricklink import BrickLinkError
from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import UNREADABLE, FailedOrder, OrderState, Outcome
from bl_pipeline.rules.kinds import due_parts, wanted_parts
from bl_pipeline.rules.normalise import NotNormalisable
from bl_pipeline.sync.bookkeeping import book_changes
from bl_pipeline.sync.loading import (
    FetchedOrder,
    PreparedOrder,
    failures_of_parts,
    load_prepared,
    load_replays,
    prepare,
    read_landed_order,
)
from bl_pipeline.sync.replaying import Replay, replays
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.sync.unexpected import log_unexpected
from bl_pipeline.warehouse import landing, state
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.landing import Document
from bl_pipeline.warehouse.load import analyze_sales, clear_sales
from bl_pipeline.wording import plural

ORDERS_AT_A_TIME = 2000
"""So many orders are in memory at a time, twice: while some are loaded, the next are read."""

T = TypeVar("T")

ANSWER_DELETED = "AnswerDeleted"
"""The class of a failure that is no error of Python: somebody has deleted an answer that the order was made of."""


@dataclass
class RebuildResult:
    """Orders rebuilt, and those that could not be, or not with all of their items.

    `lost`: of these, what is stored now and would not be afterwards. `undone` if the warehouse stays as it was.
    `unbooked` is what a user reads if the journal could not be compared with what is stored now.
    """

    orders: int = 0
    failures: list[FailedOrder] = field(default_factory=list)
    lost: list[FailedOrder] = field(default_factory=list)
    undone: bool = False
    unbooked: str | None = None

    @property
    def message(self) -> str:
        """What a user reads."""
        if self.undone:
            first = self.lost[0]
            advice = "Restore a backup that has it" if first.error_class == ANSWER_DELETED else "Please report this"
            return (
                f"Nothing was changed: {plural(len(self.lost), 'order')} that the warehouse has cannot be read any "
                "more from what was received, or not with all items. The first: "
                f"{first.order_id}, {first.error}\n{advice}."
            )
        done = f"{plural(self.orders, 'order')} rebuilt from what was received"
        # No sync could read these, so nothing is missing that was there.
        if self.failures:
            done = f"{done}; {len(self.failures)} cannot be read in full"
        return f"{done}\n{self.unbooked}" if self.unbooked else done

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "orders_rebuilt": self.orders,
            "errors": [
                *([{"order_id": None, "error": self.unbooked}] if self.unbooked else []),
                *(failed.reported for failed in self.failures),
            ],
        }


def rebuild(session: SyncSession) -> RebuildResult:
    """Empty the store's `sales` tables and fill them from `landing`, in one transaction.

    The caller has the store's lock. Answers are replayed in the order they came, so history is the same too.
    If an order that the warehouse has, or a part of it, cannot be read any more, or its answer is not there any more,
    the whole rebuild is undone: better no rebuild than a lost order.

    The journal stays as it is: afterwards it is compared with the states, and what differs is booked as a correction.
    """
    warehouse = session.warehouse
    result = RebuildResult()
    with warehouse.engine.connect() as connection, connection.begin() as transaction:
        if deleted := landing.orders_without_answers(connection, warehouse):
            why = "an answer that it was made of is not in landing.documents any more."
            result.lost = [FailedOrder(order_id, why, ANSWER_DELETED) for order_id in deleted]
            result.undone = True
            return result
        clear_sales(connection, warehouse)
        session.progress.planned(landing.count_landed_orders(connection, warehouse))
        for ready in _ahead(_read_all(warehouse)):
            _load(connection, session, ready, result)
        if result.lost:
            transaction.rollback()
            result.orders, result.undone = 0, True
        else:
            analyze_sales(connection)
    if not result.undone:
        result.unbooked = book_changes(session)
    log_unexpected(result.failures)
    return result


@dataclass
class _Ready:
    """What was read of some orders. `usual` are those of the replays; the others are still to be read, one by one.

    `landed` is by order id.
    """

    landed: dict[str, list[Document]]
    replays: list[Replay]
    usual: set[str]


def _read_all(warehouse: Warehouse) -> Iterator[_Ready]:
    """Every order of which anything has landed, some at a time; what is read does not change meanwhile."""
    with warehouse.engine.connect() as connection:
        last = ""
        while order_ids := landing.landed_order_ids(connection, warehouse, after=last, limit=ORDERS_AT_A_TIME):
            last = order_ids[-1]
            landed = landing.all_landed(connection, warehouse, order_ids)
            newest = state.read_loaded(connection, warehouse, order_ids)
            # Of an order that is loaded to its end nothing is new, and nothing can be lacking.
            loaded = {
                order_id: documents
                for order_id, documents in landed.items()
                if documents[-1].document_id <= newest.get(order_id, 0)
            }
            yield _Ready(landed, *replays(loaded))


def _ahead(chunks: Iterator[T]) -> Iterator[T]:
    """The same, each made by another thread while the one before it is used."""
    with ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(next, chunks, None)
        while (chunk := upcoming.result()) is not None:
            upcoming = thread.submit(next, chunks, None)
            yield chunk


def _load(connection: Connection, session: SyncSession, ready: _Ready, result: RebuildResult) -> None:
    loaded = load_replays(connection, session.warehouse, ready.replays)
    usual = ready.usual if loaded else set()
    others = {order_id: documents for order_id, documents in ready.landed.items() if order_id not in usual}
    if others:
        _replay(connection, session, others, result)
    for order_id in usual:
        session.progress.done(order_id, Outcome.UPDATED)
    result.orders += len(usual)


def _replay(
    connection: Connection,
    session: SyncSession,
    landed: Mapping[str, list[Document]],
    result: RebuildResult,
) -> None:
    """Read each of these orders for itself, and load them."""
    states = state.read_states(connection, session.warehouse, landed)
    ready: list[list[PreparedOrder]] = []
    for order_id, documents in landed.items():
        complete = _complete(documents, states.get(order_id))
        if not complete:
            continue
        row = states.get(order_id)
        prepared = prepare(FetchedOrder(complete), None)
        if _loses(prepared, row) and (loaded := _loaded(complete, row)):
            # If no sync could read an answer, the readable ones before it must not be lost.
            prepared = prepare(FetchedOrder(loaded), None)
        if failed := _loses(prepared, row):
            result.lost.append(failed)
        if isinstance(prepared, FailedOrder):
            result.failures.append(prepared)
        else:
            ready.append(prepared)
        session.progress.done(order_id, Outcome.FAILED if isinstance(prepared, FailedOrder) else Outcome.UPDATED)
    load = load_prepared(connection, session.warehouse, ready)
    result.lost += [failed for failed in load.failures if _is_stored(states.get(failed.order_id))]
    result.failures += [*load.failures, *failures_of_parts(ready, load)]
    result.orders += len(load.outcomes)


def _loses(prepared: list[PreparedOrder] | FailedOrder, row: OrderState | None) -> FailedOrder | None:
    """What is stored of the order now and would not be afterwards, as a failure."""
    if isinstance(prepared, FailedOrder):
        return prepared if _is_stored(row) else None
    if not prepared or row is None:
        return None
    # A part that no sync could read cannot be lost.
    stored = {kind for kind, part in row.parts.items() if part.fetched_at and part.fingerprint != UNREADABLE}
    return next((part.failure for kind, part in prepared[-1].parts.items() if part.failure and kind in stored), None)


def _is_stored(row: OrderState | None) -> bool:
    return row is not None and row.order_document_id is not None


def _loaded(documents: list[Document], row: OrderState | None) -> list[Document]:
    """The answers up to the last one that a sync has loaded."""
    return [document for document in documents if row and document.document_id <= row.loaded_document_id]


def _complete(documents: list[Document], row: OrderState | None) -> list[Document]:
    """The answers without those at the end that were not loaded and lack a part: the next sync asks for these."""
    order = next(document for document in reversed(documents) if document.kind is AnswerKind.ORDER)
    if row and order.document_id <= row.loaded_document_id:
        return documents
    try:
        due = due_parts(read_landed_order(order), row, wanted_parts(include_items=True))
    except (BrickLinkError, NotNormalisable):
        return documents
    landed = [document.kind for document in documents if document.document_id > order.document_id]
    lacking = not set(due) <= set(landed)
    return [document for document in documents if document.document_id < order.document_id] if lacking else documents

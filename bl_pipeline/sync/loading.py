"""From landed answers to rows in `sales`: read, normalise, load what differs from what is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import zip_longest
from typing import Any

import psycopg
import pyarrow as pa
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError

from bl_pipeline.bricklink import BrickLinkError, InvalidResource, Order, read_items, read_order
from bl_pipeline.records import FailedOrder, OrderState, Outcome
from bl_pipeline.rules.normalise import (
    NotNormalisable,
    item_rows,
    order_fingerprint,
    order_items_frame,
    order_row,
    orders_frame,
)
from bl_pipeline.rules.statuses import PURGED, normalise_status
from bl_pipeline.sync.unforeseen import frames
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.landing import Document
from bl_pipeline.warehouse.load import Written, load

# COPY uses psycopg itself, so its errors are not SQLAlchemy's. The others are of values that Arrow or the driver cannot
# convert to the column's type: ArrowInvalid and UnicodeEncodeError are ValueErrors.
_REFUSALS = (
    DataError,
    IntegrityError,
    psycopg.DataError,
    psycopg.IntegrityError,
    ValueError,
    ArithmeticError,
    pa.ArrowTypeError,
)


UNREADABLE = ""
"""The items_fingerprint if the stored items are not those of the order, because some could not be read."""


@dataclass(frozen=True, slots=True)
class FetchedOrder:
    """What is to be loaded of one order: its landed documents, oldest first, the order itself before its items.

    `items_asked_at` is set if the items were asked for and refused, as those of a purged order may be;
    `items_failure` if they could not be fetched.
    """

    documents: list[Document]
    items_asked_at: datetime | None = None
    items_failure: FailedOrder | None = None


@dataclass(frozen=True, slots=True)
class PreparedOrder:
    """One state of an order, ready to be loaded.

    `state` is what sync.order_state will say; `order_row` and `item_rows` are rows of `sales`, in the order of the
    columns of rules/frames.py. `item_rows` None leaves the stored items as they are. `failure` says what of its items
    could not be read or fetched: the order and its other items are loaded anyway, and the order counts as failed.
    """

    state: OrderState
    order_row: tuple[Any, ...]
    item_rows: list[tuple[Any, ...]] | None
    failure: FailedOrder | None = None


def failure(order_id: str, error: Exception) -> FailedOrder:
    """A failure as the seller reads it: what happened, what it means, what to do; the details last."""
    if isinstance(error, InvalidResource | NotNormalisable):
        details = " ".join(str(error).split("\n"))
        return FailedOrder(order_id, f"{unreadable(order_id)}\n{details}", type(error).__name__)
    return FailedOrder(order_id, str(error), type(error).__name__)


def unreadable(order_id: str) -> str:
    """What a user reads of an order that BrickLink sent in a form that nobody foresaw."""
    return (
        f"BrickLink sent order {order_id} in a form that cannot be read, so the reports are without it, or have it as "
        "it was before. The next syncs try again. If it stays like this, report it with the line below."
    )


def read_landed_order(document: Document) -> Order:
    """The order in a landed answer. Raises InvalidResource, or NotNormalisable if it is another order."""
    order = read_order(document.body)
    if str(order.order_id) != document.order_id:
        raise NotNormalisable("order_id: the answer is about another order")
    return order


def prepare(fetched: FetchedOrder, before: OrderState | None) -> list[PreparedOrder] | FailedOrder:
    """Read and normalise an order's documents, one state after the other, so that the history has each state.

    `before` is the order's state now, None if nothing is stored of it. Only the last document has to be readable: an
    earlier one that is not was followed by a better one.
    """
    prepared: list[PreparedOrder] = []
    failed: FailedOrder | None = None
    newest = next((document for document in reversed(fetched.documents) if document.kind == "order"), None)
    for document, items in _pairs(fetched.documents):
        outcome = _prepare_or_fail(document, items, before, items_asked_at=fetched.items_asked_at)
        if isinstance(outcome, FailedOrder) and items:
            # Its items cannot be read; the order itself may be.
            alone = _prepare_or_fail(document, None, before, items_asked_at=None)
            outcome = _without_items(alone, before, outcome) if isinstance(alone, PreparedOrder) else alone
        elif isinstance(outcome, PreparedOrder) and not items and document is newest and fetched.items_failure:
            outcome = _without_items(outcome, before, fetched.items_failure)
        failed = outcome if isinstance(outcome, FailedOrder) else None
        if isinstance(outcome, PreparedOrder):
            prepared.append(outcome)
            before = outcome.state
    return failed or prepared


def _without_items(prepared: PreparedOrder, before: OrderState | None, why: FailedOrder) -> PreparedOrder:
    """An order without its items: the stored ones stay. If they are of another content, the state says so."""
    state = prepared.state
    if state.listed_status != PURGED and not _has_items_of(before, state.order_fingerprint):
        state = replace(state, items_fingerprint=UNREADABLE)
    return replace(prepared, state=state, failure=why)


def _has_items_of(state: OrderState | None, fingerprint: str | None) -> bool:
    """Whether all items are stored of the order as this fingerprint has it."""
    return state is not None and state.items_fingerprint == fingerprint


def _has_items(state: OrderState | None) -> bool:
    """Whether all items are stored of any content of the order."""
    return state is not None and state.items_fingerprint not in (None, UNREADABLE)


def _prepare_or_fail(
    document: Document, items: Document | None, before: OrderState | None, *, items_asked_at: datetime | None
) -> PreparedOrder | FailedOrder:
    """Like `_prepare`, but returns a failure for what that raises, also for an error that nobody foresaw."""
    try:
        return _prepare(document, items, before, items_asked_at=items_asked_at)
    except (BrickLinkError, NotNormalisable) as error:
        return failure(document.order_id, error)
    except Exception as error:
        # Nobody foresaw it. The answer has landed, so the error would end every next run too, and load no order.
        message = (
            "The answer cannot be made a row of the warehouse, by a fault of bl_pipeline itself. It is kept, and every "
            "sync tries again. Please report this with the lines of the run's log that name the order"
        )
        return FailedOrder(document.order_id, message, type(error).__name__, frames(error))


def _pairs(documents: Sequence[Document]) -> Iterator[tuple[Document, Document | None]]:
    """Each order with the items fetched after it: `documents`, oldest first, as pairs of an order and its items.

    o1 i1 o2 i2 i2' o3  ->  (o1, i1) (o2, i2) (o2, i2') (o3, None)

    An order whose items were fetched twice comes twice. Items before the first order are left out.
    """
    order: Document | None = None
    paired = True
    for document in documents:
        if document.kind == "order":
            if order is not None and not paired:
                yield order, None
            order, paired = document, False
        elif order is not None:
            yield order, document
            paired = True
    if order is not None and not paired:
        yield order, None


def _prepare(
    document: Document, items_document: Document | None, before: OrderState | None, *, items_asked_at: datetime | None
) -> PreparedOrder:
    """One order, with its items if `items_document` has them, as rows of `sales` and as its new state.

    Raises BrickLinkError or NotNormalisable if the order cannot be read, or none of its items.
    """
    order = read_landed_order(document)
    fingerprint = order_fingerprint(order)
    purged = order.status == PURGED
    items, fault = None, None
    if items_document is not None:
        found = item_rows(
            document.order_id,
            read_items(items_document.body),
            total_count=None if purged else order.total_count,
        )
        items, fault = found.rows, found.fault
        if purged and (not items or (fault and _has_items(before))):
            # BrickLink has deleted the items; what is stored may be the only copy left.
            items, fault = None, None
        elif fault and _has_items_of(before, fingerprint):
            # All of them are stored already, and they cannot have changed.
            items = None
    status = normalise_status(
        order.status,
        previous=before.status if before else None,
        paid=order.payment is not None and order.payment.date_paid is not None,
    )
    state = replace(
        before or _first_state(document, order),
        stored_fingerprint=document.listed_fingerprint or "",
        stored_status_changed_at=document.listed_status_changed_at,
        order_document_id=document.document_id,
        order_fingerprint=fingerprint,
        order_fetched_at=document.fetched_at,
        status=status,
    )
    if fault:
        # For the plan they count as not fetched: unless all are stored, they are asked for again.
        state = state if items is None else replace(state, items_fingerprint=UNREADABLE)
    elif items_document or items_asked_at:
        state = replace(
            state,
            items_document_id=items_document.document_id if items_document else state.items_document_id,
            items_fetched_at=items_document.fetched_at if items_document else items_asked_at,
            items_fingerprint=fingerprint,
        )
    return PreparedOrder(
        state=state,
        order_row=order_row(
            order,
            status=status,
            order_document_id=document.document_id,
            items_document_id=None if items is None or items_document is None else items_document.document_id,
            fetched_at=document.fetched_at,
        ),
        item_rows=items,
        failure=FailedOrder(document.order_id, fault, InvalidResource.__name__) if fault else None,
    )


def _first_state(document: Document, order: Order) -> OrderState:
    """The state of an order that sync.order_state does not know, from its document."""
    return OrderState(
        order_id=document.order_id,
        order_date=order.date_ordered,
        listed_fingerprint=document.listed_fingerprint or "",
        listed_status=order.status,
        listed_status_changed_at=document.listed_status_changed_at,
    )


@dataclass(frozen=True, slots=True)
class LoadResult:
    """How the orders of a load went: created, updated or skipped by order id, and those that Postgres refused."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    failures: list[FailedOrder] = field(default_factory=list)


def failures_of_items(orders: Sequence[Sequence[PreparedOrder]], loaded: LoadResult) -> list[FailedOrder]:
    """What could not be read or fetched of the items of orders that have been loaded."""
    found = (order[-1].failure for order in orders if order)
    return [failed for failed in found if failed and failed.order_id in loaded.outcomes]


def load_prepared(
    connection: Connection, warehouse: Warehouse, orders: Sequence[Sequence[PreparedOrder]]
) -> LoadResult:
    """Load the states of a batch of orders, in the caller's transaction.

    An order that Postgres refuses is left out, and is among the result's failures; the others are loaded.
    """
    result = LoadResult()
    try:
        with connection.begin_nested():
            # COPY and merge can have each order once: load every order's first state, then every second one, ...
            for nth_states in zip_longest(*orders):
                prepared = [order for order in nth_states if order is not None]
                written = _load(connection, warehouse, prepared)
                for order_id in (order.state.order_id for order in prepared):
                    if order_id in written.created:
                        result.outcomes[order_id] = Outcome.CREATED
                    elif order_id in written.updated and result.outcomes.get(order_id) is not Outcome.CREATED:
                        result.outcomes[order_id] = Outcome.UPDATED
                    else:
                        result.outcomes.setdefault(order_id, Outcome.SKIPPED)
    except _REFUSALS as error:
        if len(orders) == 1:
            # Only the class of Postgres's error: its text may show a value of the order.
            order_id = orders[0][0].state.order_id
            refusal = type(getattr(error, "orig", error)).__name__
            return LoadResult(failures=[FailedOrder(order_id, "The warehouse cannot store a value of it", refusal)])
        result = LoadResult()
        for order in orders:
            alone = load_prepared(connection, warehouse, [order])
            result.outcomes.update(alone.outcomes)
            result.failures.extend(alone.failures)
    return result


def _load(connection: Connection, warehouse: Warehouse, prepared: Sequence[PreparedOrder]) -> Written:
    return load(
        connection,
        warehouse,
        order_rows=orders_frame(order.order_row for order in prepared),
        item_rows=order_items_frame(row for order in prepared for row in order.item_rows or ()),
        items_replaced=[order.state.order_id for order in prepared if order.item_rows is not None],
        states=[order.state for order in prepared],
    )

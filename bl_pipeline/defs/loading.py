"""From landed answers to rows in `sales`: read, normalise, load what differs from what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import zip_longest
from typing import Any

import psycopg
import pyarrow as pa
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError

from bl_pipeline.bricklink import BrickLinkError, InvalidResource, Order, read_items, read_order
from bl_pipeline.sync.normalise import (
    NotNormalisable,
    item_rows,
    order_items_frame,
    order_key,
    order_row,
    orders_frame,
)
from bl_pipeline.sync.statuses import PURGED, normalise_status
from bl_pipeline.unforeseen import frames, log_failed_orders
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.landing import Document
from bl_pipeline.warehouse.load import UNREADABLE, Loaded, Written, load

# COPY speaks to psycopg itself, so its refusals are not SQLAlchemy's. The others are of values that neither Arrow nor
# the driver can turn into what a column has: ArrowInvalid and UnicodeEncodeError are ValueErrors.
_REFUSALS = (
    DataError,
    IntegrityError,
    psycopg.DataError,
    psycopg.IntegrityError,
    ValueError,
    ArithmeticError,
    pa.ArrowTypeError,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an order could not be fetched or loaded; the message shows no value of the order."""

    order_id: str
    error: str
    error_class: str
    frames: tuple[str, ...] = ()
    """Where an error that nobody foresaw was raised."""


def log_unforeseen(failures: Iterable[Failure]) -> None:
    """Log where the errors were raised that nobody foresaw, for whoever repairs them."""
    log_failed_orders((failed.order_id, failed.error_class, failed.frames) for failed in failures if failed.frames)


@dataclass(frozen=True, slots=True)
class Answers:
    """The landed answers of one order, oldest first, the order itself before its items.

    `items_asked_at` is set if the items were asked for and refused, as those of a purged order may be;
    `items_failure` if they could not be fetched.
    """

    order_id: str
    documents: list[Document]
    items_asked_at: datetime | None = None
    items_failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """One state of an order ready to be loaded; `item_rows` None leaves the stored items as they are.

    `status` is the normalised one. `failure` says what of its items could not be read or fetched: the order and its
    other items are loaded all the same, and the order has failed.
    """

    loaded: Loaded
    order_row: tuple[Any, ...]
    item_rows: list[tuple[Any, ...]] | None
    status: str
    failure: Failure | None = None


def failure(order_id: str, error: Exception) -> Failure:
    """A failure as the seller reads it: what happened, what it means, what to do; the details last."""
    if isinstance(error, InvalidResource | NotNormalisable):
        details = " ".join(str(error).split("\n"))
        return Failure(order_id, f"{unreadable(order_id)}\n{details}", type(error).__name__)
    return Failure(order_id, str(error), type(error).__name__)


def unreadable(order_id: str) -> str:
    """What a user reads of an order that BrickLink sent in a form that nobody foresaw."""
    return (
        f"BrickLink sent order {order_id} in a form that cannot be read, so the reports are without it, or have it as "
        "it was before. The next syncs try again. If it stays like this, report it with the line below."
    )


def read_landed_order(document: Document) -> Order:
    """The order in a landed answer. Raises InvalidResource, or NotNormalisable where it is another order."""
    order = read_order(document.body)
    if str(order.order_id) != document.order_id:
        raise NotNormalisable("order_id: the answer is about another order")
    return order


@dataclass(frozen=True, slots=True)
class _Before:
    """What was stored of an order before: its normalised status, and the items_key of its items; None if nothing."""

    status: str | None
    items_key: str | None

    def has_items_of(self, key: str) -> bool:
        """Whether all items of the order are stored, of this content of it."""
        return self.items_key == key

    def has_items(self) -> bool:
        """Whether all items of any content of it are stored."""
        return self.items_key not in (None, UNREADABLE)


def prepare(answers: Answers, status: str | None, items_key: str | None) -> list[Prepared] | Failure:
    """Read and normalise an order's answers, one state after the other, so that no state seen is missing later.

    `status` is the normalised status of the stored order, `items_key` that of its stored items, None if there are
    none. Only the last answer has to be right: an earlier one that cannot be read has been followed by a better one.
    """
    prepared: list[Prepared] = []
    last_failure: Failure | None = None
    before = _Before(status, items_key)
    newest = next((document for document in reversed(answers.documents) if document.kind == "order"), None)
    for document, items in _pairs(answers.documents):
        state = _prepare_or_fail(document, items, before, items_asked_at=answers.items_asked_at)
        if isinstance(state, Failure) and items:
            # Its items cannot be read; the order itself may be.
            alone = _prepare_or_fail(document, None, before, items_asked_at=None)
            state = _without_items(alone, before, state) if isinstance(alone, Prepared) else alone
        elif isinstance(state, Prepared) and not items and document is newest and answers.items_failure:
            state = _without_items(state, before, answers.items_failure)
        last_failure = state if isinstance(state, Failure) else None
        if isinstance(state, Prepared):
            prepared.append(state)
            key = state.loaded.items_key
            before = _Before(state.status, before.items_key if key is None else key)
    return last_failure or prepared


def _without_items(prepared: Prepared, before: _Before, why: Failure) -> Prepared:
    """An order without its items: those that are stored stay. If they are of another content, it is noted."""
    loaded = prepared.loaded
    if loaded.status != PURGED and not before.has_items_of(loaded.order_key):
        loaded = replace(loaded, items_key=UNREADABLE)
    return replace(prepared, loaded=loaded, failure=why)


def _prepare_or_fail(
    document: Document, items: Document | None, before: _Before, *, items_asked_at: datetime | None
) -> Prepared | Failure:
    try:
        return _prepare(document, items, before, items_asked_at=items_asked_at)
    except (BrickLinkError, NotNormalisable) as error:
        return failure(document.order_id, error)
    except Exception as error:
        # Nobody foresaw it. It has landed, so it would end every next run too, and no order would be loaded.
        message = (
            "The answer cannot be made a row of the warehouse, by a fault of bl_pipeline itself. It is kept, and every "
            "sync tries again. Please report this with the lines of the run's log that name the order"
        )
        return Failure(document.order_id, message, type(error).__name__, frames(error))


def _pairs(documents: Sequence[Document]) -> Iterator[tuple[Document, Document | None]]:
    """Each order with the items fetched for it; an order whose items were fetched again comes again."""
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
    document: Document, items_document: Document | None, before: _Before, *, items_asked_at: datetime | None
) -> Prepared:
    order = read_landed_order(document)
    key = order_key(order)
    purged = order.status == PURGED
    items, fault = None, None
    if items_document is not None:
        found = item_rows(
            document.order_id,
            read_items(items_document.body),
            total_count=None if purged else order.total_count,
        )
        items, fault = found.rows, found.fault
        if purged and (not items or (fault and before.has_items())):
            # BrickLink has deleted the items; what is stored may be the only copy left.
            items, fault = None, None
        elif fault and before.has_items_of(key):
            # All of them are stored already, and they cannot have changed.
            items = None
    status = normalise_status(
        order.status,
        previous=before.status,
        paid=order.payment is not None and order.payment.date_paid is not None,
    )
    items_fetched_at = items_document.fetched_at if items_document else items_asked_at
    items_key = key if items_fetched_at else None
    if fault:
        # Not fetched, as far as the plan is concerned: unless all are stored, they are asked for again.
        items_fetched_at, items_key = None, None if items is None else UNREADABLE
    return Prepared(
        loaded=Loaded(
            order_id=document.order_id,
            order_date=order.date_ordered,
            status=order.status,
            listed_hash=document.listed_hash or "",
            listed_status_changed_at=document.listed_status_changed_at,
            order_document_id=document.document_id,
            order_key=key,
            order_fetched_at=document.fetched_at,
            items_document_id=items_document.document_id if items_document and not fault else None,
            items_fetched_at=items_fetched_at,
            items_key=items_key,
        ),
        order_row=order_row(
            order,
            status=status,
            order_document_id=document.document_id,
            items_document_id=None if items is None or items_document is None else items_document.document_id,
            fetched_at=document.fetched_at,
        ),
        item_rows=items,
        status=status,
        failure=Failure(document.order_id, fault, InvalidResource.__name__) if fault else None,
    )


@dataclass(frozen=True, slots=True)
class LoadResult:
    """How the orders of a load went: created, updated or skipped by order id, and those that Postgres refused."""

    outcomes: dict[str, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def failures_of_items(orders: Sequence[Sequence[Prepared]], loaded: LoadResult) -> list[Failure]:
    """What could not be read or fetched of the items of orders that have been loaded."""
    found = (order[-1].failure for order in orders if order)
    return [failed for failed in found if failed and failed.order_id in loaded.outcomes]


def load_prepared(connection: Connection, warehouse: Warehouse, orders: Sequence[Sequence[Prepared]]) -> LoadResult:
    """Load the states of a batch of orders, in the caller's transaction.

    An order that Postgres refuses is left out, the others are loaded.
    """
    result = LoadResult()
    try:
        with connection.begin_nested():
            # Each order once at a time: the first state of all, then the second of those that have one, ...
            for generation in zip_longest(*orders):
                states = [state for state in generation if state is not None]
                written = _load(connection, warehouse, states)
                for order_id in (state.loaded.order_id for state in states):
                    if order_id in written.created:
                        result.outcomes[order_id] = "created"
                    elif order_id in written.updated and result.outcomes.get(order_id) != "created":
                        result.outcomes[order_id] = "updated"
                    else:
                        result.outcomes.setdefault(order_id, "skipped")
    except _REFUSALS as error:
        if len(orders) == 1:
            # Of Postgres's words only the class: the detail may show a value of the order.
            order_id = orders[0][0].loaded.order_id
            refusal = type(getattr(error, "orig", error)).__name__
            return LoadResult(failures=[Failure(order_id, "The warehouse cannot store a value of it", refusal)])
        result = LoadResult()
        for order in orders:
            alone = load_prepared(connection, warehouse, [order])
            result.outcomes.update(alone.outcomes)
            result.failures.extend(alone.failures)
    return result


def _load(connection: Connection, warehouse: Warehouse, states: Sequence[Prepared]) -> Written:
    return load(
        connection,
        warehouse,
        order_rows=orders_frame(state.order_row for state in states),
        item_rows=order_items_frame(row for state in states for row in state.item_rows or ()),
        items_replaced=[state.loaded.order_id for state in states if state.item_rows is not None],
        loaded=[state.loaded for state in states],
    )

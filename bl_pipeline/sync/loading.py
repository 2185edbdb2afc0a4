"""From landed answers to rows in `sales`: read, normalise, load what differs from what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import zip_longest
from typing import Any

import psycopg
import pyarrow as pa
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError

from bl_pipeline.bricklink import BrickLinkError, InvalidResource, Order, read_order
from bl_pipeline.columns import PARTS, AnswerKind
from bl_pipeline.records import UNREADABLE, FailedOrder, OrderState, Outcome, PartState
from bl_pipeline.rules.frames import frame
from bl_pipeline.rules.kinds import is_purged, leaves_stored, read_rows
from bl_pipeline.rules.normalise import NotNormalisable, order_fingerprint, order_row
from bl_pipeline.rules.statuses import group_of
from bl_pipeline.sync.replaying import Replay
from bl_pipeline.sync.unexpected import frames
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.landing import Document
from bl_pipeline.warehouse.load import PartOfBatch, Written, add, load

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


Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class FetchedOrder:
    """What is to be loaded of one order: its landed documents, oldest first, the order itself before its parts.

    `refused_at` has the parts that were asked for and refused, as those of a purged order may be; `failures` those
    that could not be fetched.
    """

    documents: list[Document]
    refused_at: dict[AnswerKind, datetime] = field(default_factory=dict)
    failures: dict[AnswerKind, FailedOrder] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PreparedPart:
    """One part of an order, ready to be loaded: its rows, None if the stored ones stay, and its state afterwards.

    `failure` says what of it could not be read or fetched: the rest is loaded anyway, and the order counts as failed.
    """

    state: PartState
    rows: list[Row] | None = None
    failure: FailedOrder | None = None


@dataclass(frozen=True, slots=True)
class PreparedOrder:
    """One state of an order, ready to be loaded.

    `state` is what sync.order_state will say; `order_row` and the rows of `parts` are rows of `sales`, in the order of
    the columns of columns.py. `purged`: what is absent of the order keeps its stored value.
    """

    state: OrderState
    order_row: Row
    parts: Mapping[AnswerKind, PreparedPart]
    purged: bool = False


def failure(order_id: str, error: Exception) -> FailedOrder:
    """A failure as the seller reads it: what happened, what it means, what to do; the details last."""
    if isinstance(error, InvalidResource | NotNormalisable):
        details = " ".join(str(error).split("\n"))
        return FailedOrder(order_id, f"{unreadable(order_id)}\n{details}", type(error).__name__)
    return FailedOrder(order_id, str(error), type(error).__name__)


def unreadable(order_id: str) -> str:
    """What a user reads of an order that BrickLink sent in an unexpected form."""
    return (
        f"BrickLink sent order {order_id} in a form that cannot be read, so the reports are without it, or have it as "
        "it was before. The next syncs try again. If it stays like this, report it with its details."
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
    newest = next((document for document in reversed(fetched.documents) if document.kind is AnswerKind.ORDER), None)
    for document, parts in _states(fetched.documents):
        failures = fetched.failures if document is newest else {}
        try:
            order = _prepare(document, parts, before, refused_at=fetched.refused_at, failures=failures)
        except Exception as error:
            failed = _failure_to_read(document.order_id, error)
        else:
            failed = None
            prepared.append(order)
            before = order.state
    return failed or prepared


def _states(documents: Sequence[Document]) -> Iterator[tuple[Document, dict[AnswerKind, Document]]]:
    """Each order with the parts fetched after it: `documents`, oldest first, as pairs of an order and its parts.

    o1 i1 o2 i2 i2' o3  ->  (o1, i1) (o2, i2) (o2, i2') (o3, nothing)

    An order of which a part was fetched twice comes twice. Parts before the first order are left out.
    """
    order: Document | None = None
    parts: dict[AnswerKind, Document] = {}
    for document in documents:
        if document.kind is AnswerKind.ORDER or document.kind in parts:
            if order is not None:
                yield order, parts
            parts = {}
        if document.kind is AnswerKind.ORDER:
            order = document
        elif order is not None:
            parts[document.kind] = document
    if order is not None:
        yield order, parts


def _failure_to_read(order_id: str, error: Exception) -> FailedOrder:
    """A failure for what reading an answer raised, also for an unexpected error."""
    if isinstance(error, BrickLinkError | NotNormalisable):
        return failure(order_id, error)
    # An unexpected error. The answer has landed, so the error would end every next run too, and load no order.
    message = (
        "The answer could not be stored as a row, because of a fault of bl_pipeline itself. It is kept, and every "
        "sync tries again. Please report this with the lines of the run's log that name the order"
    )
    return FailedOrder(order_id, message, type(error).__name__, frames(error))


def _prepare(
    document: Document,
    answers: Mapping[AnswerKind, Document],
    before: OrderState | None,
    *,
    refused_at: Mapping[AnswerKind, datetime],
    failures: Mapping[AnswerKind, FailedOrder],
) -> PreparedOrder:
    """One order, with those of its parts that have answers, as rows of `sales` and as its new state.

    A part that cannot be read does not stop the others. Raises BrickLinkError, NotNormalisable, or an
    unexpected error, if the order itself cannot be read.
    """
    order = read_landed_order(document)
    fingerprint = order_fingerprint(order)
    group = group_of(
        order.status,
        previous=before.group if before else None,
        paid=order.payment is not None and order.payment.date_paid is not None,
    )
    state = before or _first_state(document, order)
    parts: dict[AnswerKind, PreparedPart] = {}
    for kind in PARTS:
        stored = state.part(kind)
        if kind in answers:
            parts[kind] = _prepare_part(answers[kind], order, fingerprint, state)
        elif kind in failures:
            parts[kind] = _without_part(failures[kind], order, fingerprint, state, kind)
        elif kind in refused_at:
            parts[kind] = PreparedPart(PartState(stored.document_id, refused_at[kind], fingerprint))
        else:
            parts[kind] = PreparedPart(stored)
    return PreparedOrder(
        state=replace(
            state,
            stored_fingerprint=_stored_fingerprint(document, order, state),
            stored_status_changed_at=document.listed_status_changed_at,
            order_document_id=document.document_id,
            order_fingerprint=fingerprint,
            order_fetched_at=document.fetched_at,
            group=group,
            parts={kind: part.state for kind, part in parts.items()},
        ),
        order_row=order_row(
            order,
            status=group,
            fetched_at=document.fetched_at,
            order_document_id=document.document_id,
            **{
                f"{kind}_document_id": None if part.rows is None else answers[kind].document_id
                for kind, part in parts.items()
            },
        ),
        parts=parts,
        purged=is_purged(order.status),
    )


def _stored_fingerprint(document: Document, order: Order, before: OrderState) -> str:
    """The fingerprint under which the order is stored: "" if the next sync is to fetch the order again.

    That is so if order and list differ in `is_filed`: the order moved after the list was read. If it moves back, the
    list looks as before, and a purged order is never re-checked. Only once in a row, as the two might always differ.
    """
    moved = None not in (order.is_filed, before.listed_filed) and order.is_filed != before.listed_filed
    if moved and before.stored_fingerprint != "":
        return ""
    return document.listed_fingerprint or ""


def _prepare_part(answer: Document, order: Order, fingerprint: str, before: OrderState) -> PreparedPart:
    """One part of an order, from its answer; `before` is the order's state before it is loaded."""
    stored = before.part(answer.kind)
    try:
        found = read_rows(answer.kind, answer.body, order)
    except Exception as error:
        return _without_part(_failure_to_read(answer.order_id, error), order, fingerprint, before, answer.kind)
    fetched = PartState(answer.document_id, answer.fetched_at, fingerprint)
    if leaves_stored(found, stored, order):
        return PreparedPart(fetched)
    if found.fault is None:
        return PreparedPart(fetched, found.rows)
    why = FailedOrder(answer.order_id, found.fault, InvalidResource.__name__)
    if stored.fingerprint == fingerprint:
        # All of it is stored already, and it cannot have changed.
        return PreparedPart(stored, failure=why)
    # For the plan it counts as not fetched: it is asked for again.
    return PreparedPart(replace(stored, fingerprint=UNREADABLE), found.rows, why)


def _without_part(
    why: FailedOrder, order: Order, fingerprint: str, before: OrderState, kind: AnswerKind
) -> PreparedPart:
    """A part that cannot be fetched or read: what is stored stays. If it is of another content, the state says so."""
    stored = before.part(kind)
    if not is_purged(order.status, before.listed_status) and stored.fingerprint != fingerprint:
        stored = replace(stored, fingerprint=UNREADABLE)
    return PreparedPart(stored, failure=why)


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


def failures_of_parts(orders: Sequence[Sequence[PreparedOrder]], loaded: LoadResult) -> list[FailedOrder]:
    """What could not be read or fetched of the parts of orders that have been loaded: the first of each order."""
    of_orders = ([part.failure for part in order[-1].parts.values() if part.failure] for order in orders if order)
    return [failures[0] for failures in of_orders if failures and failures[0].order_id in loaded.outcomes]


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


def load_replays(connection: Connection, warehouse: Warehouse, batches: Iterable[Replay]) -> bool:
    """Load the states of orders of which nothing is stored, in the caller's transaction; sync.order_state stays.

    False, and nothing is loaded, if Postgres refuses any value.
    """
    try:
        with connection.begin_nested():
            for nth, batch in enumerate(batches):
                if nth == 0:
                    add(connection, warehouse, order_rows=batch.order_rows, part_rows=batch.part_rows)
                else:
                    load(
                        connection,
                        warehouse,
                        order_rows=batch.order_rows,
                        part_rows=batch.part_rows,
                        absent_kept=batch.absent_kept,
                        states=(),
                    )
    except _REFUSALS:
        return False
    return True


def _load(connection: Connection, warehouse: Warehouse, prepared: Sequence[PreparedOrder]) -> Written:
    """Load prepared orders in one go; raises what Postgres, Arrow or the driver refuses (`_REFUSALS`)."""
    part_rows: dict[AnswerKind, PartOfBatch] = {}
    for kind in PARTS:
        of_orders = {order.state.order_id: rows for order in prepared if (rows := order.parts[kind].rows) is not None}
        if of_orders:
            table = frame(kind, (row for rows in of_orders.values() for row in rows))
            part_rows[kind] = PartOfBatch(list(of_orders), table)
    return load(
        connection,
        warehouse,
        order_rows=frame(AnswerKind.ORDER, (order.order_row for order in prepared)),
        part_rows=part_rows,
        absent_kept=[order.state.order_id for order in prepared if order.purged],
        states=[order.state for order in prepared],
    )

"""From landed answers to rows in `sales`: read, normalise, compare with what is held, load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError

from bl_pipeline.bricklink import BrickLinkError, Order, read_items, read_order
from bl_pipeline.sync.normalise import (
    NotNormalisable,
    digest,
    item_rows,
    order_items_frame,
    order_key,
    order_row,
    orders_frame,
)
from bl_pipeline.sync.statuses import PURGED
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.landing import Document
from bl_pipeline.warehouse.load import Loaded, load
from bl_pipeline.warehouse.state import StateRow


@dataclass(frozen=True, slots=True)
class Answers:
    """The landed answers of one order. `items` is None where they were not asked for, or refused as purged."""

    order_id: str
    order: Document
    items: Document | None = None
    items_asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What the warehouse holds of an order already, as far as a load has to know."""

    status: str | None
    order_digest: str | None
    items_digest: str | None
    items_document_id: int | None


NOTHING_HELD = Held(None, None, None, None)


def held(row: StateRow | None) -> Held:
    """What a stored state says is held."""
    if row is None:
        return NOTHING_HELD
    return Held(row.status, row.order_digest, row.items_digest, row.items_document_id)


@dataclass(frozen=True, slots=True)
class Prepared:
    """One order ready to be loaded: its rows where they changed, its state, and how it will have gone."""

    loaded: Loaded
    outcome: str
    order_row: tuple[Any, ...] | None
    item_rows: list[tuple[Any, ...]] | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an order could not be fetched or loaded; the message shows no value of the order."""

    order_id: str
    error: str
    error_class: str


def failure(order_id: str, error: Exception) -> Failure:
    """A failure, told by its error."""
    return Failure(order_id, str(error), type(error).__name__)


def read_landed_order(document: Document) -> Order:
    """The order in a landed answer. Raises InvalidResource, or NotNormalisable where it is another order."""
    order = read_order(document.body)
    if str(order.order_id) != document.order_id:
        raise NotNormalisable("order_id: the answer is about another order")
    return order


def prepare(answers: Answers, holds: Held) -> Prepared | Failure:
    """Read and normalise one order's answers, and find out what of it is new."""
    try:
        return _prepare(answers, holds)
    except (BrickLinkError, NotNormalisable) as error:
        return failure(answers.order_id, error)


def _prepare(answers: Answers, holds: Held) -> Prepared:
    document = answers.order
    order = read_landed_order(document)
    order_digest, key = digest(document.body), order_key(order)
    items = items_digest = None
    if answers.items is not None:
        items_digest = digest(answers.items.body)
        if items_digest != holds.items_digest:
            purged = order.status == PURGED
            items = item_rows(
                answers.order_id,
                read_items(answers.items.body),
                total_count=None if purged else order.total_count,
            )
            if purged and not items and holds.items_digest is not None:
                # BrickLink has forgotten the items; what is stored may be the only copy left.
                items = items_digest = None
    row = None
    if order_digest != holds.order_digest or items is not None:
        row = order_row(
            order,
            previous_status=holds.status,
            order_document_id=document.document_id,
            items_document_id=answers.items.document_id if answers.items else holds.items_document_id,
            fetched_at=document.fetched_at,
        )
    return Prepared(
        loaded=Loaded(
            order_id=answers.order_id,
            order_date=order.date_ordered,
            status=order.status,
            listed_hash=document.listed_hash or "",
            listed_status_changed_at=document.listed_status_changed_at,
            order_document_id=document.document_id,
            order_digest=order_digest,
            order_key=key,
            order_fetched_at=document.fetched_at,
            items_document_id=answers.items.document_id if answers.items else None,
            items_digest=items_digest,
            items_fetched_at=answers.items.fetched_at if answers.items else answers.items_asked_at,
            items_key=key if answers.items or answers.items_asked_at else None,
        ),
        outcome=("created" if holds.order_digest is None else "updated") if row else "skipped",
        order_row=row,
        item_rows=items,
    )


def load_prepared(
    connection: Connection, warehouse: Warehouse, orders: Sequence[Prepared]
) -> tuple[list[Prepared], list[Failure]]:
    """Load a batch in the caller's transaction. An order that Postgres refuses is left out, the others are loaded."""
    try:
        with connection.begin_nested():
            _load(connection, warehouse, orders)
    except (DataError, IntegrityError) as error:
        if len(orders) == 1:
            # Of Postgres's words only the class: the detail may show a value of the order.
            return [], [Failure(orders[0].loaded.order_id, "Postgres refused a value", type(error.orig).__name__)]
        loaded: list[Prepared] = []
        failures: list[Failure] = []
        for order in orders:
            done, failed = load_prepared(connection, warehouse, [order])
            loaded += done
            failures += failed
        return loaded, failures
    return list(orders), []


def _load(connection: Connection, warehouse: Warehouse, orders: Sequence[Prepared]) -> None:
    load(
        connection,
        warehouse,
        order_rows=orders_frame(order.order_row for order in orders if order.order_row is not None),
        item_rows=order_items_frame(row for order in orders for row in order.item_rows or ()),
        items_replaced=[order.loaded.order_id for order in orders if order.item_rows is not None],
        loaded=[order.loaded for order in orders],
    )

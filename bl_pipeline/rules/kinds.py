"""The kinds of answers about an order as data, when each is due, and what it means if an answer is absent.

An order (GET /orders/{id}) carries the state; each other kind is a part of it (GET /orders/{id}/<kind>), whose rows
replace those of the order in the part's own table. To add a kind of answer:

1. its resource, a `PartLine`, in bricklink/resources.py
2. a member of `AnswerKind`, its columns and its entry in `TABLES`, in columns.py
3. its entry in `KINDS`, here
4. a migration: its table, and its columns in sync.order_state and sync.run_orders

**The purge rule.** About six months after its last change BrickLink deletes the parts of an order and gives it the
status PURGED. The warehouse may then have the only copy left: an answer about a purged order that is absent, refused,
empty or unreadable never removes what is stored. This file decides what follows from it:

- a plan never asks for the parts of a purged order, because they cannot have changed: `changeable`
- if the order itself is fetched, its parts are asked for once, if they never were: `is_due`
- no data, "not found" and an empty list are an answer without rows: `least_pieces`
- a refusal is an answer too, and no failure: `is_refused_for_good`
- rows that are stored stay if the answer has none, or not all: `leaves_stored`

The order itself keeps its status (rules/statuses.py) and the fields that are absent now (warehouse/load.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from bl_pipeline.bricklink import Order, OrderError, OrderFeedback, OrderItem, OrderMessage, PartLine, read_part
from bl_pipeline.columns import OPTIONAL_PARTS, PARTS, AnswerKind
from bl_pipeline.records import NEVER_FETCHED, OrderState, PartState, SyncRequest
from bl_pipeline.rules.normalise import PartRows, order_fingerprint, part_rows, total_price
from bl_pipeline.rules.statuses import PURGED


@dataclass(frozen=True, slots=True)
class PartKind:
    """A kind of answer that is a part of an order.

    `line` is the resource of each of its lines, `lines` what messages call them. `computed` has the columns without a
    source, by name. `pieces` is how many the order counts: an answer without any is wrong if that is more than 0, and
    one without data is right if it is 0; None if the order does not say.
    """

    line: type[PartLine]
    lines: str
    computed: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    pieces: Callable[[Order], int | None] = lambda _order: 0


KINDS: Mapping[AnswerKind, PartKind] = {
    AnswerKind.ITEMS: PartKind(
        line=OrderItem,
        lines="lots",
        computed={"total_price": total_price},
        pieces=lambda order: order.total_count,
    ),
    AnswerKind.MESSAGES: PartKind(line=OrderMessage, lines="messages"),
    AnswerKind.FEEDBACK: PartKind(line=OrderFeedback, lines="ratings"),
}

_BY_DEFAULT = frozenset(PARTS) - OPTIONAL_PARTS
_WITHOUT_ITEMS = _BY_DEFAULT - {AnswerKind.ITEMS}


def wanted_parts(*, include_items: bool) -> frozenset[AnswerKind]:
    """The parts that a run fetches if they are due."""
    return _BY_DEFAULT if include_items else _WITHOUT_ITEMS


def asked_parts(request: SyncRequest) -> frozenset[AnswerKind]:
    """The parts that a run fetches if they are due, and those that it fetches anyway."""
    return wanted_parts(include_items=request.include_items) | request.also


def read_rows(kind: AnswerKind, body: bytes, order: Order) -> PartRows:
    """The rows of a part in its answer. Raises InvalidResource or NotNormalisable if none can be read."""
    part = KINDS[kind]
    return part_rows(
        kind,
        str(order.order_id),
        read_part(body, part.line),
        lines=part.lines,
        computed=part.computed,
        pieces=least_pieces(kind, order),
    )


def due_parts(
    order: Order, state: OrderState | None, wanted: Collection[AnswerKind], force: Collection[AnswerKind] = ()
) -> list[AnswerKind]:
    """Which parts of an order to fetch, after the order itself: of the `wanted` those that are due, and `force`.

    `state` is the order's state before it was fetched, None if nothing is stored of it.
    """
    fingerprint, purged = order_fingerprint(order), is_purged(order.status)
    return [
        kind
        for kind in PARTS
        if kind in force
        or (kind in wanted and is_due(state.part(kind) if state else NEVER_FETCHED, fingerprint, purged=purged))
    ]


def is_due(part: PartState, order_fingerprint: str | None, *, purged: bool = False) -> bool:
    """Whether a part was never fetched, or may have changed since: the order now says something else of its parts."""
    return part.fetched_at is None or (not purged and part.fingerprint != order_fingerprint)


def is_purged(*statuses: str) -> bool:
    """Whether one of BrickLink's statuses of an order, in the list or in the order itself, says that it was purged."""
    return PURGED in statuses


def changeable(state: OrderState, parts: frozenset[AnswerKind]) -> frozenset[AnswerKind]:
    """Those of the parts that a plan may ask for: all, unless the list says that the order was purged."""
    return frozenset() if is_purged(state.listed_status) else parts


def least_pieces(kind: AnswerKind, order: Order) -> int | None:
    """The least pieces an answer must have. 0: the data may be absent. None: it may be empty, but not absent."""
    return pieces_needed(order.status, KINDS[kind].pieces(order))


def pieces_needed(status: str, counted: int | None) -> int | None:
    """The same, by the status of the order and the pieces that it counts."""
    return 0 if is_purged(status) else counted


def is_refused_for_good(error: Exception, order: Order) -> bool:
    """Whether BrickLink refuses a part because it has purged it."""
    return is_purged(order.status) and isinstance(error, OrderError)


def leaves_stored(answer: PartRows, stored: PartState, order: Order) -> bool:
    """Whether the stored rows of a purged order stay: the answer has none, or lacks some and all of them are stored."""
    lacks_some = answer.fault is not None and stored.is_whole
    return empty_leaves_stored(order.status, len(answer.rows)) or (is_purged(order.status) and lacks_some)


def empty_leaves_stored(status: str, rows: int) -> bool:
    """The same of an answer without a fault, by the status of the order and the number of rows."""
    return is_purged(status) and not rows

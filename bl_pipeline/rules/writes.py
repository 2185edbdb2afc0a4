"""Writes to an order at BrickLink: which requests are to be sent, in which order, and what became of each.

Pure functions on plain values. What is asked for, and what an order says, is a dict by field, in one form for both:
amounts and times as text, a blank text as None. It is the form in which sync.writes stores them, so a write of a run
that has died is settled by the same comparison as one of a run that is alive.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from bl_pipeline.bricklink import (
    CostUpdate,
    Order,
    OrderStatus,
    OrderUpdate,
    PaymentStatus,
    ShippingUpdate,
    is_paid,
    seller_status,
)
from bl_pipeline.rules.statuses import PURGED

Value = str | int | bool | Decimal | datetime
"""What a field can be asked to become."""
Fields = dict[str, str | int | bool | None]
"""Fields by name, in the form in which they are compared and stored."""

COSTS = ("shipping", "insurance", "credit", "etc1", "etc2")
SHIPPING = ("tracking_no", "tracking_link", "date_shipped", "method_id")
UPDATED = (*SHIPPING, *COSTS, "remarks", "is_filed")
"""The fields of the request that updates an order; every other field has a request of its own."""

MAX_SENDS = 3
"""How often a run sends one request at most, each time after the order has shown that it is not done."""

LATE = timedelta(seconds=30)
"""A request whose answer was lost may still arrive, most likely within this time: the order is not read before."""
VERY_LATE = timedelta(hours=1)
"""An e-mail cannot be sent a second time without harm: a drive thru that is not shown is not decided before."""


class WriteKind(StrEnum):
    """The requests that change an order."""

    UPDATE = "update"
    PAYMENT_STATUS = "payment_status"
    STATUS = "status"
    DRIVE_THRU = "drive_thru"


class WriteOutcome(StrEnum):
    """What became of a request."""

    DONE = "done"
    NOT_DONE = "not_done"
    PARTLY_DONE = "partly_done"
    CHANGED = "changed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """One request: the fields that it asks for as they are compared, and as they are sent.

    Its repr shows no text of the seller's.
    """

    kind: WriteKind
    asked: Fields = field(repr=False)
    values: Mapping[str, Value] = field(repr=False)


@dataclass(frozen=True, slots=True)
class WritePlan:
    """The requests in the order in which they are sent, the fields that are as asked already, and why none is sent."""

    requests: list[WriteRequest]
    already: list[str]
    refusals: list[str]


def checked(given: Mapping[str, Value | None]) -> dict[str, Value]:
    """What is given of the fields, with the statuses in BrickLink's own words; what is None is left out.

    Raises RequestRefused if BrickLink would not take a value, or if nothing is given.
    """
    asked = {name: value for name, value in given.items() if value is not None}
    for name, kind in (("status", OrderStatus), ("payment_status", PaymentStatus)):
        if name in asked:
            asked[name] = seller_status(kind, str(asked[name]))  # type: ignore[type-var]
    if not asked or asked.keys() & set(UPDATED):
        order_update(asked)
    return asked


def order_update(values: Mapping[str, Value]) -> OrderUpdate:
    """The input of the request that updates an order, of those of the fields that are its. Raises RequestRefused."""
    given: dict[str, Any] = dict(values)
    return OrderUpdate(
        shipping=ShippingUpdate(**{name: given[name] for name in SHIPPING if name in given}),
        cost=CostUpdate(**{name: given[name] for name in COSTS if name in given}),
        remarks=given.get("remarks"),
        is_filed=given.get("is_filed"),
    )


def fields_of(order: Order) -> Fields:
    """What an order says of the fields that can be written, and the date of its last change of status."""
    cost, shipping, payment = order.cost, order.shipping, order.payment
    found: dict[str, Value | None] = {
        "status": order.status,
        "payment_status": payment.status if payment else None,
        "date_status_changed": order.date_status_changed,
        # BrickLink leaves out an amount that is not set: for a comparison it is 0.
        **{name: Decimal(getattr(cost, name) or 0) for name in COSTS},
        **{name: getattr(shipping, name) if shipping else None for name in SHIPPING},
        "remarks": order.remarks,
        "is_filed": order.is_filed,
        "drive_thru": order.drive_thru_sent,
    }
    return {name: comparable(value) for name, value in found.items()}


def comparable(value: Value | None) -> str | int | bool | None:
    """A value in the form in which it is compared: BrickLink escapes texts, and leaves out blank ones."""
    if isinstance(value, Decimal):
        return f"{value:.4f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds")
    if isinstance(value, str):  # a status too
        return html.unescape(html.unescape(value)).replace("\r\n", "\n").strip() or None
    return value


def plan_writes(asked: Mapping[str, Value], order: Order, *, drive_thru_sent: bool = False) -> WritePlan:
    """The requests that bring an order from what it is now to what is asked for.

    In the order that BrickLink accepts: costs before a payment status, tracking before a status, and an order is filed
    last. What the order says already is not sent. `drive_thru_sent`: sync.writes knows of a drive thru of this order
    that the order itself does not show. If there are refusals, nothing is to be sent.
    """
    now = fields_of(order)
    if drive_thru_sent:
        now["drive_thru"] = True
    wanted: Fields = {name: comparable(value) for name, value in asked.items()}
    changes = {name: value for name, value in wanted.items() if now[name] != value}
    already = [name for name in wanted if name not in changes]
    refusals = []
    if order.status == PURGED and changes:
        refusals.append("BrickLink has purged this order, so it cannot be changed any more.")
    elif not_changeable := [name for name in COSTS if name in changes and is_paid(order)]:
        refusals.append(
            f"The order is paid, and BrickLink ignores a change of its costs then: {', '.join(not_changeable)}. "
            "Leave these out; to give money back, do it at BrickLink or with the payment service."
        )
    if refusals:
        return WritePlan([], already, refusals)
    update = {name: changes[name] for name in UPDATED if name in changes}
    statuses = [kind for kind in (WriteKind.PAYMENT_STATUS, WriteKind.STATUS) if kind in changes]
    filed: Fields = {"is_filed": update.pop("is_filed")} if statuses and update.get("is_filed") is True else {}
    steps: list[tuple[WriteKind, Fields]] = [
        (WriteKind.UPDATE, update),
        *((kind, {kind.value: changes[kind]}) for kind in statuses),
        (WriteKind.UPDATE, filed),
        (WriteKind.DRIVE_THRU, {name: changes[name] for name in ("drive_thru",) if name in changes}),
    ]
    requests = [WriteRequest(kind, fields, {name: asked[name] for name in fields}) for kind, fields in steps if fields]
    return WritePlan(requests, already, [])


def before_of(request: WriteRequest, order: Order) -> Fields:
    """What the order says of the request's fields before it is sent; of a status also the date of its last change."""
    now = fields_of(order)
    names = [*request.asked, *(["date_status_changed"] if request.kind is WriteKind.STATUS else [])]
    return {name: now[name] for name in names}


def changed_by_others(request: WriteRequest, planned: Order, order: Order) -> list[str]:
    """The request's fields that are not as they were when it was planned, nor as it asks for."""
    then, now = fields_of(planned), fields_of(order)
    return [name for name, value in request.asked.items() if now[name] not in (then[name], value)]


def settle(
    kind: WriteKind, asked: Fields, before: Fields, order: Order, *, age: timedelta, accepted: bool = False
) -> WriteOutcome | None:
    """What became of a request, by what the order says `age` after it was sent; None if that cannot be decided yet.

    `accepted`: BrickLink has answered that it was done. Nothing but NOT_DONE may be sent again, and of a drive thru
    not even that by the same run. CHANGED: somebody else has changed the order meanwhile.
    """
    now = fields_of(order)
    if kind is WriteKind.DRIVE_THRU:
        if accepted or now["drive_thru"]:
            return WriteOutcome.DONE
        return WriteOutcome.NOT_DONE if age >= VERY_LATE and now["drive_thru"] is False else None
    done = [name for name, value in asked.items() if now[name] == value]
    if len(done) == len(asked):
        return WriteOutcome.DONE
    # A status that was changed and changed back has a new date.
    if any(now[name] != value for name, value in before.items() if name not in done):
        return WriteOutcome.CHANGED
    return WriteOutcome.PARTLY_DONE if done else WriteOutcome.NOT_DONE


def differences(order: Order, known: Order) -> list[str]:
    """The fields of an order in which it differs from what was known of it, for `--if-unchanged-since`.

    A field of a part of the order has the part's name before it, such as `shipping.tracking_no`. All fields count,
    except two that move without anybody changing the order: the buyer's number of orders, and the amounts in the
    currency that the buyer was shown.
    """
    ignored = ("buyer_order_count", "disp_cost", "unreadable_fields")
    names = [name for name in msgspec.structs.asdict(order) if name not in ignored]
    return [path for name in names for path in _differing(name, getattr(order, name), getattr(known, name))]


def _differing(name: str, now: object, then: object) -> list[str]:
    if now == then:
        return []
    if not isinstance(now, msgspec.Struct) or type(now) is not type(then):
        return [name]
    return [
        path
        for part in now.__struct_fields__
        for path in _differing(f"{name}.{part}", getattr(now, part), getattr(then, part))
    ]

"""What a seller can change at BrickLink: typed, so that nothing is sent that the API would refuse or ignore.

Source: the pages "Update Order", "Update Order Status", "Update Payment Status" and "Order Problem" of the official
manual; the statuses that only the buyer or BrickLink sets, from its help pages.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any, TypeVar

import msgspec

from bl_pipeline.bricklink.errors import RequestRefused
from bl_pipeline.bricklink.resources import Order
from bl_pipeline.bricklink.tolerance import EARLIEST, LATEST, NO_TEXT

UNPAID = frozenset({"None", "Returned", "Bounced"})
"""The payment statuses of an order whose costs BrickLink still lets a seller change."""


class OrderStatus(StrEnum):
    """The statuses of an order that a seller can set; the others are the buyer's, or BrickLink's own."""

    PENDING = "PENDING"
    UPDATED = "UPDATED"
    PROCESSING = "PROCESSING"
    READY = "READY"
    PAID = "PAID"
    PACKED = "PACKED"
    SHIPPED = "SHIPPED"
    RECEIVED = "RECEIVED"
    COMPLETED = "COMPLETED"


class PaymentStatus(StrEnum):
    """The statuses of a payment that a seller can set; `Sent` is the buyer's."""

    NONE = "None"
    RECEIVED = "Received"
    CLEARING = "Clearing"
    RETURNED = "Returned"
    BOUNCED = "Bounced"
    COMPLETED = "Completed"


S = TypeVar("S", OrderStatus, PaymentStatus)


def seller_status(kind: type[S], word: str) -> S:
    """The status that a seller can set, from a word in upper or lower case.

    Raises RequestRefused, with the words that can be set, for any other.
    """
    for status in kind:
        if status.value.casefold() == word.strip().casefold():
            return status
    what = "an order" if kind is OrderStatus else "a payment"
    raise RequestRefused(f"A seller cannot set this status of {what}. Use one of: {', '.join(kind)}.")


class _Update(msgspec.Struct, frozen=True, kw_only=True):
    """What is None is not sent, and stays as it is at BrickLink."""

    def given(self) -> dict[str, str | int]:
        """What is sent, by the API's names."""
        return {name: _sent(value) for name, value in msgspec.structs.asdict(self).items() if value is not None}


class ShippingUpdate(_Update, frozen=True, kw_only=True):
    """How the order is sent. `method_id` is BrickLink's id of a shipping method of the store."""

    date_shipped: datetime | None = None
    tracking_no: str | None = None
    tracking_link: str | None = None
    method_id: int | None = None

    def __post_init__(self) -> None:
        if self.date_shipped is not None and self.date_shipped.tzinfo is None:
            raise RequestRefused("date_shipped: the time needs an offset, such as Z for UTC.")
        if self.date_shipped is not None and not EARLIEST <= self.date_shipped < LATEST:
            raise RequestRefused(f"date_shipped: a time from {EARLIEST.year} to {LATEST.year - 1}.")
        for name in ("tracking_no", "tracking_link"):
            _check_text(name, getattr(self, name))
        if self.method_id is not None and not 0 <= self.method_id < 2**31:
            raise RequestRefused("method_id: a number from 0 to less than 2,147,483,648.")


class CostUpdate(_Update, frozen=True, kw_only=True):
    """Parts of the order's costs, in the order's currency; up to four decimals, not negative."""

    shipping: Decimal | None = None
    insurance: Decimal | None = None
    credit: Decimal | None = None
    etc1: Decimal | None = None
    etc2: Decimal | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            amount = getattr(self, name)
            if amount is None:
                continue
            if not isinstance(amount, Decimal):
                raise TypeError(f"{name}: a Decimal, not {type(amount).__name__}")
            if not amount.is_finite() or amount.is_signed() or amount >= 10**9:
                raise RequestRefused(f"{name}: an amount from 0 to less than a billion.")
            if amount != round(amount, 4):
                raise RequestRefused(f"{name}: BrickLink stores up to four decimals.")


class OrderUpdate(_Update, frozen=True, kw_only=True):
    """All that "Update Order" can change of an order. Raises RequestRefused if nothing is given."""

    shipping: ShippingUpdate | None = None
    cost: CostUpdate | None = None
    remarks: str | None = None
    is_filed: bool | None = None

    def __post_init__(self) -> None:
        _check_text("remarks", self.remarks)
        if not self.body():
            raise RequestRefused(
                "There is nothing to change. Give at least one field, such as the status or the tracking number."
            )

    def body(self) -> dict[str, Any]:
        """The JSON that is sent: only what is given, amounts as text with four decimals, times in UTC."""
        parts = {
            name: part.given() if isinstance(part, _Update) else part
            for name, part in msgspec.structs.asdict(self).items()
        }
        return {name: part for name, part in parts.items() if part not in (None, {})}


def _check_text(name: str, text: str | None) -> None:
    if text is not None and NO_TEXT.search(text):
        raise RequestRefused(f"{name}: has a character that is no text. Write it again, in UTF-8.")


def _sent(value: datetime | Decimal | str | int) -> str | int:
    if isinstance(value, Decimal):
        return f"{value:.4f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def is_paid(order: Order) -> bool:
    """Whether BrickLink ignores changes of the order's costs, because it counts as paid."""
    return order.payment is not None and order.payment.status not in {*UNPAID, None}


class ProblemType(StrEnum):
    """What a seller asks for: to file the alert "non-paying buyer", or to remove it."""

    FILE_NPB = "FILE_NPB"
    REMOVE_NPB = "REMOVE_NPB"


class ProblemReason(IntEnum):
    """BrickLink's ids of the reasons for a problem, from the page "Order Problem Reason"."""

    BUYER_DID_NOT_RESPOND = 6
    BUYER_EMAIL_BOUNCED = 7
    PAYMENT_NOT_RECEIVED = 8
    BUYER_FOUND_ITEMS_ELSEWHERE = 9
    BUYER_NO_LONGER_WANTS_ITEMS = 10
    BUYER_HAS_NOT_ENOUGH_FUNDS = 11
    BUYER_DID_NOT_COMPLY_WITH_STORE_POLICIES = 12
    BOGUS_ORDER = 13
    BUYER_DEMANDED_LOWER_PRICE = 16
    PACKAGE_RETURNED = 57
    ITEMS_NOT_AVAILABLE = 60
    BUYER_IS_UNDERAGE = 63
    SYSTEM_PROBLEM = 70
    BUYER_IS_NOT_REGISTERED_ANY_MORE = 72
    PACKAGE_CANNOT_BE_DELIVERED = 97
    BUYER_DID_NOT_PAY = 100
    MUTUAL_AGREEMENT = 107


class OrderProblem(msgspec.Struct, frozen=True, kw_only=True, rename={"kind": "type"}, omit_defaults=True):
    """The resource "Order Problem". The manual names no call that takes it, so the client has none.

    `reason_id` is text on the wire, as documented.
    """

    kind: ProblemType
    reason_id: str
    message: str | None = None

    @classmethod
    def of(cls, kind: ProblemType, reason: ProblemReason, message: str | None = None) -> OrderProblem:
        """A problem with one of the official reasons."""
        return cls(kind=kind, reason_id=str(reason.value), message=message)

    @property
    def reason(self) -> ProblemReason | None:
        """The official reason; None for an id that is not known."""
        return next((reason for reason in ProblemReason if str(reason.value) == self.reason_id), None)

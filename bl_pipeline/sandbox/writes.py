"""The writes of the order API: what a seller can change, and what the API says to it.

What is not documented is as a client meets it or has to expect it: an unknown field is ignored, and so are costs once
the order is paid; an order that is cancelled, purged or a problem cannot be changed any more, except that it can be
filed and that remarks can be written.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bl_pipeline.sandbox.store import Store, is_paid
from bl_pipeline.sandbox.wire import Json

_CLOSED = frozenset({"CANCELLED", "PURGED", "NPB", "NPX", "NRS", "NSS", "OCR"})
_STATUSES = frozenset(
    {"PENDING", "UPDATED", "PROCESSING", "READY", "PAID", "PACKED", "SHIPPED", "RECEIVED", "COMPLETED"}
)
_PAYMENT_STATUSES = frozenset({"None", "Received", "Clearing", "Returned", "Bounced", "Completed"})


class RefusedError(Exception):
    """The API refuses a write, and does nothing: the code of its answer, its description, and its message if it is
    not the one that belongs to the code."""

    def __init__(self, code: int, description: str, message: str | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.message = message


def write(
    store: Store, order_id: int, part: str | None, query: Mapping[str, str], content_type: str, body: bytes
) -> None:
    """Do what a PUT or POST of an order asks for. Raises RefusedError, and UnknownOrderError.

    Args:
        part: the end of the path: None, "status", "payment_status" or "drive_thru".
    """
    if part == "drive_thru":
        mail_me = query.get("mail_me", "false").lower()
        if mail_me not in {"true", "false"}:
            raise RefusedError(400, "mail_me", "PARAMETER_MISSING_OR_INVALID")
        _check_open(store, order_id)
        store.send_drive_thru(order_id)
        return
    if content_type != "application/json":
        raise RefusedError(415, f"Content type '{content_type}' not supported")
    asked = _object(body)
    if part is None:
        _update(store, order_id, asked)
        return
    if asked.get("field") != part:
        raise RefusedError(400, "field", "PARAMETER_MISSING_OR_INVALID")
    known, change = _PATCHES[part]
    value = asked.get("value")
    if not isinstance(value, str) or value not in known:
        raise RefusedError(400, "value", "PARAMETER_MISSING_OR_INVALID")
    _check_open(store, order_id)
    change(store, order_id, value)


_PATCHES: Mapping[str, tuple[frozenset[str], Callable[[Store, int, str], object]]] = {
    "status": (_STATUSES, Store.set_status),
    "payment_status": (_PAYMENT_STATUSES, Store.set_payment_status),
}


def _check_open(store: Store, order_id: int) -> None:
    if store.order(order_id).status in _CLOSED:
        raise RefusedError(422, "NOT_IN_UPDATABLE_STATUS")


def _object(body: bytes) -> Json:
    try:
        asked = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise RefusedError(400, "Could not read the request body", "INVALID_REQUEST_BODY")
    return asked


def _update(store: Store, order_id: int, asked: Json) -> None:
    order = store.order(order_id)
    shipping = _converted(asked.get("shipping"), _SHIPPING)
    costs = _converted(asked.get("cost"), dict.fromkeys(("shipping", "insurance", "credit", "etc1", "etc2"), _amount))
    rest = _converted(asked, {"remarks": _text, "is_filed": _flag})
    if shipping or costs:
        _check_open(store, order_id)
    if is_paid(order):
        costs = {}
    store.update(order_id, shipping=shipping, costs=costs, **rest)


def _converted(given: Any, fields: Mapping[str, Callable[[Any], Any]]) -> Json:
    """The fields that are given and can be changed; others are ignored."""
    if given is None:
        return {}
    try:
        return {name: convert(given[name]) for name, convert in fields.items() if given.get(name) is not None}
    except (ValueError, TypeError, AttributeError, ArithmeticError):
        raise RefusedError(400, "Could not read the request body", "INVALID_REQUEST_BODY") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # half a surrogate pair cannot be sent back
    return value


def _number(value: Any) -> int:
    number = int(value)
    if not 0 <= number < 2**31:
        raise ValueError
    return number


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _amount(value: Any) -> Decimal:
    amount = Decimal(str(value))
    if not amount.is_finite() or amount < 0:
        raise ValueError
    return amount.quantize(Decimal("0.0001"))


def _time(value: Any) -> datetime:
    time = datetime.fromisoformat(_text(value))
    return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)


_SHIPPING: Mapping[str, Callable[[Any], Any]] = {
    "date_shipped": _time,
    "tracking_no": _text,
    "tracking_link": _text,
    "method_id": _number,
}

"""The order API: which path answers what, in BrickLink's envelope."""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from bl_pipeline.sandbox.order import SandboxOrder
from bl_pipeline.sandbox.store import Store, UnknownOrderError
from bl_pipeline.sandbox.wire import Json, Wire
from bl_pipeline.sandbox.writes import RefusedError, write

BASE_PATH = "/api/store/v1"
"""What every path of the API starts with."""

_ORDER = re.compile(r"/orders/(?P<id>[^/]+)(?:/(?P<part>items|messages|feedback|status|payment_status|drive_thru))?")
_METHODS = {
    None: ("GET", "PUT"),
    "items": ("GET",),
    "messages": ("GET",),
    "feedback": ("GET",),
    "status": ("PUT",),
    "payment_status": ("PUT",),
    "drive_thru": ("POST",),
}
"""Of an order and what belongs to it, by the end of the path."""
NO_CONTENT = 204
_MESSAGES = {
    200: "OK",
    204: "OK_NO_CONTENT",
    400: "INVALID_URI",
    401: "BAD_OAUTH_REQUEST",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "RESOURCE_UPDATE_NOT_ALLOWED",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL_SERVER_ERROR",
}


class Envelope(NamedTuple):
    """An answer before it is text. `data` None is "no data": the key is then left out.

    `order_ids` are the orders in the answer.
    """

    code: int
    message: str
    description: str
    data: Any = None
    order_ids: tuple[int, ...] = ()

    def as_json(self) -> Json:
        """The envelope as it goes over the wire."""
        meta = {"description": self.description, "message": self.message, "code": self.code}
        return {"meta": meta} if self.data is None else {"meta": meta, "data": self.data}


def as_bytes(answer: Json) -> bytes:
    """An answer as the bytes of its body."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


def refusal(code: int, description: str, message: str | None = None) -> Envelope:
    """An error in an envelope, with the message that belongs to its code."""
    return Envelope(code, message or _MESSAGES[code], description)


def answer(
    store: Store, wire: Wire, method: str, path: str, query: str, *, content_type: str = "", body: bytes = b""
) -> Envelope:
    """What the API says to an authorised request, after it has done what the request asks for.

    Args:
        path: the path after the base path.
        query: the raw query. Unknown parameters are ignored, and values read whatever their case.
    """
    asked = _ORDER.fullmatch(path)
    if path != "/orders" and asked is None:
        return refusal(400, f"UNKNOWN URI: {path}")
    if method not in (_METHODS[asked["part"]] if asked else ("GET",)):
        return refusal(405, f"METHOD_NOT_ALLOWED: {method}")
    if asked is None:
        return _list(store, wire, query)
    if not asked["id"].isascii() or not asked["id"].isdigit():
        return refusal(400, "order_id", "PARAMETER_MISSING_OR_INVALID")
    try:
        if method != "GET":
            write(store, int(asked["id"]), asked["part"], dict(parse_qsl(query)), content_type, body)
        order = store.order(int(asked["id"]))
    except UnknownOrderError:
        return _not_found(asked["id"])
    except RefusedError as error:
        return refusal(error.code, error.description, error.message)
    if method != "GET" and asked["part"] is not None:
        return done()
    return _one(store, wire, order, asked["part"])


def done() -> Envelope:
    """The answer to a write that has no data."""
    return Envelope(NO_CONTENT, _MESSAGES[NO_CONTENT], _MESSAGES[NO_CONTENT])


def _one(store: Store, wire: Wire, order: SandboxOrder, part: str | None) -> Envelope:
    if part is None:
        return _ok(wire.detail(order), [order])
    if part == "messages":
        return _ok(wire.messages(store.conversations.messages(order)), [order])
    if part == "feedback":
        return _ok(wire.feedback(order, store.conversations.feedback(order)), [order])
    if not order.is_purged:
        return _ok(wire.items(order), [order])
    if wire.purged_items == "not_found":
        return _not_found(str(order.order_id))
    return _ok([] if wire.purged_items == "empty" else None, [order])


def _list(store: Store, wire: Wire, query: str) -> Envelope:
    asked = {name: value.lower() for name, value in parse_qsl(query)}
    direction = asked.get("direction", "in")
    if direction not in {"in", "out"}:
        return refusal(400, "direction", "PARAMETER_MISSING_OR_INVALID")
    filed = asked.get("filed") == "true"
    words = [word.strip() for word in asked.get("status", "").split(",") if word.strip()]
    wanted = {word for word in words if not word.startswith("-")}
    unwanted = {word[1:] for word in words if word.startswith("-")}
    orders = [
        order
        for order in store.orders.values()
        if order.direction == direction
        and order.is_filed == filed
        and order.status.lower() not in unwanted
        and (not wanted or order.status.lower() in wanted)
    ]
    # A client may not rely on the order of the list: the ids are mixed, always in the same way.
    orders.sort(key=lambda order: order.order_id * 2_654_435_761 % 2**32)
    return _ok([wire.row(order) for order in orders], orders)


def _ok(data: Any, orders: Iterable[SandboxOrder]) -> Envelope:
    return Envelope(200, "OK", "OK", data, tuple(order.order_id for order in orders))


def _not_found(order_id: str) -> Envelope:
    return refusal(404, f"RESOURCE_NOT_FOUND: order {order_id}")

"""The order API: one method for each kind of answer, each call within the caller's budget.

    client = BrickLinkClient(credentials, call_log)
    answer = client.orders(filed=False)
    summaries, unreadable = answer.read()

An answer is what was received; it is decoded only when it is read, so that it can be stored before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from bl_pipeline.bricklink.envelope import NOTHING, ORDER, ORDERS, PART, PART_IF_ANY, Expect, open_answer
from bl_pipeline.bricklink.errors import BrickLinkError, RequestRefused, ResourceNotFound
from bl_pipeline.bricklink.oauth import authorization, new_nonce
from bl_pipeline.bricklink.reading import Batches, L, Lots, Summaries, read_order, read_part, read_summaries
from bl_pipeline.bricklink.resources import Order, OrderFeedback, OrderItem, OrderMessage
from bl_pipeline.bricklink.retry import Breaker, RetryPolicy, is_repeatable
from bl_pipeline.bricklink.transport import HttpTransport, Method, Request, Transport
from bl_pipeline.bricklink.updates import OrderStatus, OrderUpdate, PaymentStatus
from bl_pipeline.clock import utc_now
from bl_pipeline.records import Credentials

DEFAULT_API_URL = "https://api.bricklink.com/api/store/v1"

T = TypeVar("T")

_log = logging.getLogger(__name__)
_DEFAULT_RETRY = RetryPolicy()


class CallLog(Protocol):
    """The caller's budget and ledger of calls."""

    def begin(self, method: str, path: str, now: datetime) -> int:
        """Count one attempt before it is sent; `end` gets the id. What this raises reaches the caller."""

    def end(self, call_id: int, outcome: str, now: datetime) -> None:
        """Note the outcome of an attempt: "ok" or a short word. Not called if it is not known."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The data of one answer: `raw` are its exact bytes, which can be stored before `read()` is called."""

    raw: bytes = field(repr=False)
    received_at: datetime
    method: Method
    path: str
    reader: Callable[[bytes], T] = field(repr=False, compare=False)

    def read(self) -> T:
        """The data as resources. Raises InvalidResource, or InvalidAnswer for a list of orders."""
        try:
            return self.reader(self.raw)
        except BrickLinkError as error:
            error.method, error.path = self.method, self.path
            raise


class BrickLinkClient:
    """A store's sales at BrickLink. One client may serve many threads; close it after use.

    `clock`, `sleep`, `nonce` and `transport` are handed in: what `sleep` raises reaches the caller, `nonce` must
    never give the same text twice, a `transport` is not closed by the client. Without a transport the client uses
    HTTP, and `timeout` is the wait in seconds for the next bytes of an answer.
    Each method raises a BrickLinkError, or what the call log raised. Once credentials were refused, or too many
    attempts in a row failed, the client sends nothing more and raises at once.
    """

    def __init__(
        self,
        credentials: Credentials,
        call_log: CallLog,
        *,
        base_url: str = DEFAULT_API_URL,
        timeout: float = 90.0,
        retry: RetryPolicy = _DEFAULT_RETRY,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
        nonce: Callable[[], str] = new_nonce,
        transport: Transport | None = None,
    ) -> None:
        self._credentials = credentials
        self._call_log = call_log
        self._base_url = base_url.rstrip("/")
        if urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).hostname:
            raise ValueError("base_url must be an http:// or https:// address")
        self._retry = retry
        self._clock = clock
        self._sleep = sleep
        self._nonce = nonce
        self._breaker = Breaker(retry.max_failures_in_a_row)
        self._owned = ExitStack()
        self._transport = transport or self._owned.enter_context(closing(HttpTransport(timeout)))

    def orders(self, *, filed: bool) -> Answer[Summaries]:
        """The sales that are filed, or those that are not; the whole history is both lists together."""
        path = f"/orders?direction=in&filed={'true' if filed else 'false'}"
        return self._call("GET", path, ORDERS, read_summaries)

    def order(self, order_id: int | str) -> Answer[Order]:
        """One order in full, without its items."""
        return self._call("GET", _order_path(order_id), ORDER, read_order)

    def order_items(self, order_id: int | str, *, purged: bool = False) -> Answer[Lots]:
        """The items of an order, batch by batch; those of a `purged` order may be absent, as in `order_part`."""
        return self.order_part(order_id, "items", OrderItem, may_be_absent=purged)

    def order_messages(self, order_id: int | str) -> Answer[Batches[OrderMessage]]:
        """The messages about an order that the seller received: one batch, or none."""
        return self.order_part(order_id, "messages", OrderMessage, may_be_absent=True)

    def order_feedback(self, order_id: int | str) -> Answer[Batches[OrderFeedback]]:
        """The feedback about an order, the seller's and the buyer's: one batch, or none."""
        return self.order_part(order_id, "feedback", OrderFeedback, may_be_absent=True)

    def order_part(
        self, order_id: int | str, name: str, line: type[L], *, may_be_absent: bool = False
    ) -> Answer[Batches[L]]:
        """A part of an order, by the last word of its path, such as "items", and the resource of its lines.

        If it `may_be_absent`, an answer without data or a "not found" is an empty answer and not an error.
        """
        path, reader = f"{_order_path(order_id)}/{name}", partial(read_part, resource=line)
        if not may_be_absent:
            return self._call("GET", path, PART, reader)
        try:
            return self._call("GET", path, PART_IF_ANY, reader)
        except ResourceNotFound:
            return Answer(b"[]", self._clock(), "GET", path, reader)

    def update_order(self, order_id: int | str, update: OrderUpdate) -> Answer[Order]:
        """Change an order; the answer is the order as it is then. BrickLink ignores costs if it `is_paid`.

        A write is sent again only if it certainly had no effect. If `may_have_effect` of the error is true, ask what
        became of it before you send it again.
        """
        return self._call("PUT", _order_path(order_id), ORDER, read_order, body=update.body())

    def update_order_status(self, order_id: int | str, status: OrderStatus) -> None:
        """Set the status of an order; of errors the same is true as of `update_order`."""
        self._patch(order_id, "status", status)

    def update_payment_status(self, order_id: int | str, status: PaymentStatus) -> None:
        """Set the status of an order's payment; of errors the same is true as of `update_order`."""
        self._patch(order_id, "payment_status", status)

    def send_drive_thru(self, order_id: int | str, *, mail_me: bool = False) -> None:
        """Send the e-mail "Thank You, Drive Thru!" to the buyer, and to the seller too if `mail_me`.

        Of errors the same is true as of `update_order`; another e-mail is another effect.
        """
        path = f"{_order_path(order_id)}/drive_thru?mail_me={'true' if mail_me else 'false'}"
        self._call("POST", path, NOTHING, bytes)

    def _patch(self, order_id: int | str, field: str, value: str) -> None:
        body = {"field": field, "value": value}
        self._call("PUT", f"{_order_path(order_id)}/{field}", NOTHING, bytes, body=body)

    def close(self) -> None:
        """Close all connections, those in use as soon as they are not."""
        self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(
        self, method: Method, path: str, expect: Expect, reader: Callable[[bytes], T], *, body: object = None
    ) -> Answer[T]:
        """The answer to one call, tried again as the retry policy says; a `body` is sent as JSON."""
        sent = None if body is None else msgspec.json.encode(body)
        try:
            raw = self._until_answered(method, path, expect, sent)
        except BrickLinkError as error:
            error.method, error.path = method, path
            raise
        return Answer(raw, self._clock(), method, path, reader)

    def _until_answered(self, method: Method, path: str, expect: Expect, body: bytes | None) -> bytes:
        """Send a request until it is answered, or the retry policy gives up; each attempt is a call of the ledger.

        Raises BrickLinkError.
        """
        attempts = 0
        while True:
            self._breaker.check()
            attempts += 1
            try:
                return self._attempt(method, path, expect, body)
            except BrickLinkError as error:
                if is_repeatable(error, method):  # else what is raised says that a write may have been done
                    self._breaker.check()
                if not self._retry.should_retry(method, error, attempts):
                    raise
                wait = self._retry.wait_seconds(error, attempts)
                _log.info("%s %s: %s, trying again in %.1f s", method, path, error.outcome, wait)
            self._sleep(wait)

    def _attempt(self, method: Method, path: str, expect: Expect, body: bytes | None) -> bytes:
        """Send one request and enter it in the ledger, before and after.

        Anything but an answer or a known fault, such as KeyboardInterrupt, leaves the entry without an
        outcome: the request may have been sent, so it stays counted.
        """
        failures = self._breaker.failures
        call_id = self._call_log.begin(method, path, self._clock())
        try:
            response = self._transport.send(self._signed(method, path, body))
            raw = open_answer(response.status, response.headers, response.body, expect, self._clock())
        except BrickLinkError as error:
            self._call_log.end(call_id, error.outcome, self._clock())
            self._breaker.note(error, failures_when_sent=failures)
            raise
        self._call_log.end(call_id, "ok", self._clock())
        self._breaker.note(None, failures_when_sent=failures)
        return raw

    def _signed(self, method: Method, path: str, body: bytes | None) -> Request:
        url = self._base_url + path
        headers = {"Authorization": authorization(self._credentials, method, url, self._nonce(), self._clock())}
        if body is not None:
            headers["Content-Type"] = "application/json"  # exactly: BrickLink refuses it with a charset
        return Request(method, url, headers, body)


def _order_path(order_id: int | str) -> str:
    text = str(order_id)
    if not (text.isascii() and text.isdigit()):
        raise RequestRefused("An order id consists of digits.")
    return f"/orders/{text}"

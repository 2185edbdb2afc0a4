"""The order API, read: one method for each kind of answer, each call within the caller's budget.

    client = BrickLinkClient(credentials, call_log)
    answer = client.orders(filed=False)
    summaries, unreadable = answer.read()

An answer is what was received; it is decoded only when it is read, so that it can be stored before.
"""

from __future__ import annotations

import importlib.metadata
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3

from bl_pipeline.bricklink.envelope import ITEMS, ITEMS_OF_PURGED, ORDER, ORDERS, Expect, open_answer
from bl_pipeline.bricklink.errors import (
    BrickLinkError,
    RequestRefused,
    ResourceNotFound,
    TransientError,
    Unreachable,
)
from bl_pipeline.bricklink.oauth import Credentials, new_nonce, signer
from bl_pipeline.bricklink.reading import Lots, Summaries, read_items, read_order, read_summaries
from bl_pipeline.bricklink.resources import Order
from bl_pipeline.bricklink.retry import Breaker, RetryPolicy

DEFAULT_API_URL = "https://api.bricklink.com/api/store/v1"

T = TypeVar("T")

_log = logging.getLogger(__name__)
_CONNECT_TIMEOUT = 10.0
_DEFAULT_RETRY = RetryPolicy()


class CallLog(Protocol):
    """The caller's budget and ledger of calls."""

    def begin(self, method: str, path: str, now: datetime) -> int:
        """Count one attempt before it is sent; `end` gets the id. What this raises reaches the caller."""

    def end(self, call_id: int, outcome: str, now: datetime) -> None:
        """Note what became of an attempt: "ok" or a short word. Not called where nobody can tell."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The data of one answer: `raw` are its exact bytes, to be stored before anybody tries to `read()` it."""

    raw: bytes = field(repr=False)
    received_at: datetime
    path: str
    reader: Callable[[bytes], T] = field(repr=False, compare=False)

    def read(self) -> T:
        """The data as resources. Raises InvalidResource, or InvalidAnswer for a list of orders."""
        try:
            return self.reader(self.raw)
        except BrickLinkError as error:
            error.path = self.path
            raise


def _user_agent() -> str:
    try:
        return f"bl_pipeline/{importlib.metadata.version('bl-pipeline')}"
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that was not installed
        return "bl_pipeline/0"


def _now() -> datetime:
    return datetime.now(UTC)


class BrickLinkClient:
    """A store's sales at BrickLink. One client may serve many threads; close it after use.

    `timeout` is the wait in seconds for the next bytes of an answer. `clock`, `sleep`, `nonce` and
    `session_factory` are where the outside world comes in: what `sleep` raises goes through to the
    caller, `nonce` must never give the same text twice. Each method raises a BrickLinkError, or what the
    call log raised. Once credentials were refused, or too many attempts in a row failed, the client sends
    nothing more and raises at once.
    """

    def __init__(
        self,
        credentials: Credentials,
        call_log: CallLog,
        *,
        base_url: str = DEFAULT_API_URL,
        timeout: float = 90.0,
        retry: RetryPolicy = _DEFAULT_RETRY,
        clock: Callable[[], datetime] = _now,
        sleep: Callable[[float], None] = time.sleep,
        nonce: Callable[[], str] = new_nonce,
        session_factory: Callable[[], requests.Session] = requests.Session,
    ) -> None:
        self._credentials = credentials
        self._call_log = call_log
        self._base_url = base_url.rstrip("/")
        self._host = urlsplit(base_url).hostname or ""
        if urlsplit(base_url).scheme not in ("http", "https") or not self._host:
            raise ValueError("base_url must be an http:// or https:// address")
        self._timeout = (min(_CONNECT_TIMEOUT, timeout), timeout)
        self._retry = retry
        self._clock = clock
        self._sleep = sleep
        self._nonce = nonce
        self._session_factory = session_factory
        self._user_agent = _user_agent()
        self._breaker = Breaker(retry.max_failures_in_a_row)
        self._idle: deque[requests.Session] = deque()
        self._closed = False

    def orders(self, *, filed: bool) -> Answer[Summaries]:
        """The sales that are filed, or those that are not; the whole history is both lists together."""
        path = f"/orders?direction=in&filed={'true' if filed else 'false'}"
        return self._get(path, ORDERS, read_summaries)

    def order(self, order_id: int | str) -> Answer[Order]:
        """One order in full, without its items."""
        return self._get(_order_path(order_id), ORDER, read_order)

    def order_items(self, order_id: int | str, *, purged: bool = False) -> Answer[Lots]:
        """The items of an order, batch by batch.

        BrickLink forgets the items of a `purged` order: for such a one, an answer without data or a "not
        found" is an empty answer and not an error.
        """
        path = f"{_order_path(order_id)}/items"
        if not purged:
            return self._get(path, ITEMS, read_items)
        try:
            return self._get(path, ITEMS_OF_PURGED, read_items)
        except ResourceNotFound:
            return Answer(b"[]", self._clock(), path, read_items)

    def close(self) -> None:
        """Close all connections, those in use as soon as they are not."""
        self._closed = True
        # Not by a look at its length: another thread may do the same.
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _get(self, path: str, expect: Expect, reader: Callable[[bytes], T]) -> Answer[T]:
        attempts = 0
        while True:
            self._breaker.check(path)
            attempts += 1
            try:
                raw = self._attempt(path, expect)
            except BrickLinkError as error:
                if isinstance(error, TransientError):
                    self._breaker.check(path)
                if not self._retry.should_retry(error, attempts):
                    raise
                wait = self._retry.wait_seconds(error, attempts)
                _log.info("GET %s: %s, trying again in %.1f s", path, error.outcome, wait)
            else:
                return Answer(raw, self._clock(), path, reader)
            self._sleep(wait)

    def _attempt(self, path: str, expect: Expect) -> bytes:
        """Send one request and enter it in the ledger, before and after.

        Anything but an answer or a known fault, such as KeyboardInterrupt, leaves the entry without an
        outcome: the request may have been sent, so it stays counted.
        """
        failures = self._breaker.failures
        call_id = self._call_log.begin("GET", path, self._clock())
        try:
            response = self._send(path)
            raw = open_answer(response.status_code, response.headers, response.content, expect, path, self._clock())
        except BrickLinkError as error:
            self._call_log.end(call_id, error.outcome, self._clock())
            self._breaker.note(error, failures_when_sent=failures)
            raise
        self._call_log.end(call_id, "ok", self._clock())
        self._breaker.note(None, failures_when_sent=failures)
        return raw

    def _send(self, path: str) -> requests.Response:
        try:
            with self._session() as session:
                return session.get(
                    self._base_url + path,
                    auth=signer(self._credentials, self._nonce(), self._clock()),
                    timeout=self._timeout,
                    allow_redirects=False,
                )
        except (OSError, urllib3.exceptions.HTTPError) as error:  # every RequestException is an OSError
            word = _fault(error)
        # Outside of the except clause: the original error holds the signed request and must not travel along.
        raise Unreachable(f"Cannot reach {self._host} ({word}).", path=path, outcome=word)

    @contextmanager
    def _session(self) -> Iterator[requests.Session]:
        """A session that no other thread uses meanwhile, with its open connection where there is one."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = self._session_factory()
            session.trust_env = False  # a proxy or .netrc of the machine must not get at the signed requests
            session.headers["User-Agent"] = self._user_agent
        try:
            yield session
        except BaseException:
            session.close()
            raise
        self._idle.append(session)
        if self._closed:
            self.close()


def _order_path(order_id: int | str) -> str:
    text = str(order_id)
    if not (text.isascii() and text.isdigit()):
        raise RequestRefused("An order id consists of digits.")
    return f"/orders/{text}"


def _fault(error: BaseException) -> str:
    """A short word for what went wrong on the network, from the error or those it carries."""
    found: list[object] = [error]
    for each in found:
        if isinstance(each, urllib3.exceptions.NameResolutionError):
            return "dns"
        if isinstance(each, urllib3.exceptions.NewConnectionError):  # a TimeoutError by inheritance only
            return "connection"
        if isinstance(each, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
            return "tls"
        if isinstance(each, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
            return "timeout"
        if isinstance(each, BaseException):
            # An error may carry one that carries it again.
            carried = (*each.args, getattr(each, "reason", None))
            found += [one for one in carried if not any(one is known for known in found)]
    return "connection"

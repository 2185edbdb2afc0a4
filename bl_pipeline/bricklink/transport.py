"""How a signed request gets to BrickLink and its answer back: one method, so that another way is a few lines.

class NoNetwork:
    def send(self, request: Request) -> Response:
        return Response(200, {}, b'{"meta": {"code": 200}, "data": []}')

client = BrickLinkClient(credentials, call_log, transport=NoNetwork())
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol
from urllib.parse import urlsplit

import certifi
import urllib3

from bl_pipeline.bricklink.errors import Unreachable

Method = Literal["GET", "PUT", "POST"]

_CONNECT_TIMEOUT = 10.0
_MOST_CONNECTIONS = 32
"""Connections that are kept open; if more requests are under way, theirs are closed after use."""


@dataclass(frozen=True, slots=True)
class Request:
    """One signed request, for one attempt only; the repr shows neither the signature nor the body."""

    method: Method
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """What HTTP answered, whatever it means; `headers` are those that the client asks for, as `Retry-After`."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Transport(Protocol):
    """Sends a request once. Threads call it at the same time."""

    def send(self, request: Request) -> Response:
        """The answer to the request, of any status. Raises Unreachable if none came, or not the whole of it."""


class HttpTransport:
    """HTTP by the library urllib3: a connection for each request that is under way, kept open for the next one.

    `timeout` is the wait in seconds for the next bytes of an answer. It follows no redirect and repeats nothing, and a
    proxy or .netrc of the machine gets no signed request. Close it after use.
    """

    def __init__(self, timeout: float) -> None:
        self._pools = urllib3.PoolManager(
            maxsize=_MOST_CONNECTIONS,
            timeout=urllib3.Timeout(connect=min(_CONNECT_TIMEOUT, timeout), read=timeout),
            retries=False,
            ca_certs=certifi.where(),
        )
        self._headers = {"User-Agent": _user_agent(), "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}

    def send(self, request: Request) -> Response:
        """Send it once, over an open connection if there is one. Raises Unreachable."""
        try:
            answer = self._pools.urlopen(
                request.method,
                request.url,
                redirect=False,
                body=request.body,
                headers={**self._headers, **request.headers},
            )
            return Response(answer.status, answer.headers, answer.data)
        except (OSError, urllib3.exceptions.HTTPError) as error:
            fault = network_fault(error)
        # Outside of the except clause: the original error has the signed request in it, and must not be chained.
        unreachable = Unreachable(f"Cannot reach {urlsplit(request.url).hostname} ({fault.word}).", outcome=fault.word)
        unreachable.may_have_effect = fault.may_have_arrived
        raise unreachable

    def close(self) -> None:
        """Close all connections, those in use as soon as they are not."""
        for key in self._pools.pools.keys():  # noqa: SIM118  (it is no dict)
            self._pools.pools[key].close()


def _user_agent() -> str:
    try:
        return f"bl_pipeline/{importlib.metadata.version('bl-pipeline')}"
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that was not installed
        return "bl_pipeline/0"


class NetworkFault(NamedTuple):
    """A short word for what went wrong on the network, and whether the request may have arrived anyway."""

    word: str
    may_have_arrived: bool


def network_fault(error: BaseException) -> NetworkFault:
    """What an error of urllib3, or one that it carries, says of the network."""
    found: list[object] = [error]
    for each in found:
        if isinstance(each, urllib3.exceptions.NameResolutionError):
            return NetworkFault("dns", may_have_arrived=False)
        if isinstance(each, urllib3.exceptions.NewConnectionError):  # a TimeoutError by inheritance only
            return NetworkFault("connection", may_have_arrived=False)
        if isinstance(each, urllib3.exceptions.ConnectTimeoutError):
            return NetworkFault("timeout", may_have_arrived=False)
        if isinstance(each, urllib3.exceptions.SSLError):
            return NetworkFault("tls", may_have_arrived=True)
        if isinstance(each, urllib3.exceptions.TimeoutError | TimeoutError):
            return NetworkFault("timeout", may_have_arrived=True)
        if isinstance(each, BaseException):
            # An error may carry one that carries it again.
            carried = (*each.args, getattr(each, "reason", None))
            found += [one for one in carried if not any(one is known for known in found)]
    return NetworkFault("connection", may_have_arrived=True)

"""What is served, and what has been asked: all of a sandbox but its socket."""

import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from bl_pipeline.sandbox.faults import Fault, Faults
from bl_pipeline.sandbox.oauth import Credentials, Signature, Verifier
from bl_pipeline.sandbox.store import Store
from bl_pipeline.sandbox.wire import Json, Wire


@dataclass
class RecordedRequest:
    """A request for anything but the sandbox's own controls.

    `received` is the real time; `path` comes after the API's base path (another path is whole);
    `order_ids` are the orders in the answer; `code` is the one in the envelope, None until there is one; `had_effect`
    says that it was a write, and was done.
    """

    received: datetime
    method: str
    path: str
    query: str
    nonce: str | None = None
    timestamp: str | None = None
    signature: str | None = None
    refusal: str | None = None
    fault: Fault | None = None
    order_ids: tuple[int, ...] = ()
    code: int | None = None
    had_effect: bool = False


class Served:
    """A store and how it is served: credentials, faults, latency; and the requests so far. Many threads may use it.

    Args:
        store: what is served; it may change meanwhile.
        credentials: what requests have to be signed with; None for new ones.
        port: the port to listen on; 0 picks a free port.
        latency: seconds every API request waits before it is answered.
        faults: what goes wrong; None for nothing, until it is changed.
        wire: which of the known forms the answers take.
        stall: seconds after which a request that meets Fault.TIMEOUT is dropped.
        timestamp_lifetime: how many seconds a request's OAuth timestamp may be off.
        on_request: called with each recorded request before it is answered, in the thread that answers it.
    """

    def __init__(
        self,
        store: Store,
        *,
        credentials: Credentials | None = None,
        port: int = 0,
        latency: float = 0.0,
        faults: Faults | None = None,
        wire: Wire | None = None,
        stall: float = 3600.0,
        timestamp_lifetime: int = 600,
        on_request: Callable[[RecordedRequest], None] | None = None,
    ) -> None:
        self.store = store
        self.credentials = credentials or Credentials.generate()
        self.latency = latency
        self.faults = faults or Faults()
        self.wire = wire or Wire()
        self.stall = stall
        self.on_request = on_request
        self._port = port
        self._verifier = Verifier(self.credentials, timestamp_lifetime)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._requests: list[RecordedRequest] = []
        self._in_flight = 0
        self._max_in_flight = 0
        self._connections: set[socket.socket] = set()

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request so far, in the order of arrival, those that failed included."""
        with self._lock:
            return list(self._requests)

    def clear_requests(self) -> None:
        """Forget the requests so far, and how many were in flight."""
        with self._lock:
            self._requests.clear()
            self._max_in_flight = self._in_flight

    @property
    def max_in_flight(self) -> int:
        """The most requests that were being answered at one moment."""
        return self._max_in_flight

    def summary(self) -> Json:
        """What has been asked so far, counted."""
        requests = self.requests
        return {
            "total": len(requests),
            "lists": sum(request.path == "/orders" for request in requests),
            "details": sum(
                request.path.startswith("/orders/") and request.path.count("/") == 2 for request in requests
            ),
            "items": sum(request.path.endswith("/items") for request in requests),
            "refused": sum(request.refusal is not None for request in requests),
            "faults": Counter(request.fault.value for request in requests if request.fault),
            "codes": Counter(str(request.code) for request in requests if request.code is not None),
            "max_in_flight": self.max_in_flight,
        }

    def connected(self, connection: socket.socket) -> None:
        """A connection is open; it is closed when the server stops."""
        with self._lock:
            self._connections.add(connection)
            if self._stopping.is_set():
                _hang_up(connection)

    def disconnected(self, connection: socket.socket) -> None:
        """A connection has gone."""
        with self._lock:
            self._connections.discard(connection)

    def arrived(self, method: str, path: str, query: str) -> RecordedRequest:
        """Record a request, which is in flight from now on."""
        request = RecordedRequest(datetime.now(UTC), method, path, query)
        with self._lock:
            self._requests.append(request)
            self._in_flight += 1
            self._max_in_flight = max(self._max_in_flight, self._in_flight)
        return request

    def left(self) -> None:
        """A request is in flight no more."""
        with self._lock:
            self._in_flight -= 1

    def verify(self, url: str, method: str, authorization: str | None) -> Signature:
        """Whether a request is let in."""
        return self._verifier.verify(url, method, authorization)

    def wait(self, seconds: float) -> None:
        """Wait, but no longer than the server runs."""
        self._stopping.wait(seconds)

    def stall_until_left(self, connection: socket.socket) -> None:
        """Wait until the client leaves, the server stops or the stall is over."""
        until = time.monotonic() + self.stall
        while not self._stopping.is_set() and time.monotonic() < until:
            readable, _, _ = select.select([connection], [], [], 0.05)
            if readable and not connection.recv(1, socket.MSG_PEEK):
                return

    def stop(self) -> None:
        """End what waits, and close all connections."""
        self._stopping.set()
        with self._lock:
            for connection in self._connections:
                _hang_up(connection)


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The client was first.
        return

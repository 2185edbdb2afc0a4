"""A small HTTP server that answers as it is set up, and a call log that only remembers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Reply:
    """One answer; `cut` announces more bytes than are sent, `stall` sends half and then nothing, for long."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    stall: bool = False
    drop: bool = False


def envelope(
    data: Any = ..., code: Any = 200, *, message: str = "OK", description: str = "OK", status: int = 200
) -> Reply:
    """The API's own answer; without `data` the key is absent."""
    body = {"meta": {"description": description, "message": message, "code": code}}
    if data is not ...:
        body["data"] = data
    return Reply(json.dumps(body).encode(), status)


class Api:
    """Gives the replies one after the other, the last one for ever; each may be a function of the request."""

    def __init__(self) -> None:
        self.replies: Sequence[Reply | Callable[[Request], Reply]] = []
        self.requests: list[Request] = []
        self.connections = 0
        self.open_connections = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                with api._lock:
                    api.connections += 1
                    api.open_connections += 1

            def finish(self) -> None:
                super().finish()
                with api._lock:
                    api.open_connections -= 1

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.command, self.path, dict(self.headers), body)
                with api._lock:
                    reply, *later = api.replies
                    api.replies = later or [reply]
                    api.requests.append(request)
                self._give(reply if isinstance(reply, Reply) else reply(request))

            do_PUT = do_POST = do_GET  # noqa: N815  (the server looks for these names)

            def _give(self, reply: Reply) -> None:
                if reply.drop:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                self.send_header("Content-Type", "text/html;charset=utf-8")
                self.send_header("Content-Length", str(len(reply.body) + (10 if reply.cut else 0)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if reply.stall:
                    self.wfile.write(reply.body[: len(reply.body) // 2])
                    api._closing.wait(30)
                    self.close_connection = True
                    return
                self.wfile.write(reply.body)
                self.close_connection = self.close_connection or reply.cut

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/api/store/v1"

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Ledger:
    """A call log: `entries` are [method, path, outcome], the outcome None while it is not known."""

    def __init__(self, budget: int = 1000) -> None:
        self.budget = budget
        self.entries: list[list[str | None]] = []
        self._lock = threading.Lock()

    def begin(self, method: str, path: str, now: datetime) -> int:
        with self._lock:
            if len(self.entries) >= self.budget:
                raise BudgetSpentError
            self.entries.append([method, path, None])
            return len(self.entries) - 1

    def end(self, call_id: int, outcome: str, now: datetime) -> None:
        self.entries[call_id][2] = outcome

    @property
    def outcomes(self) -> list[str | None]:
        return [outcome for _, _, outcome in self.entries]


class BudgetSpentError(Exception):
    pass

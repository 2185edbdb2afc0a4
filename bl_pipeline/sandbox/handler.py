"""One connection: reads requests, applies the faults planned for them, and sends the answers."""

import socket
import struct
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import BaseServer
from typing import Any
from urllib.parse import urlsplit

from bl_pipeline.guard import why_refused
from bl_pipeline.sandbox.api import BASE_PATH, Envelope, answer, as_bytes, done, refusal
from bl_pipeline.sandbox.control import control
from bl_pipeline.sandbox.faults import Fault
from bl_pipeline.sandbox.served import RecordedRequest, Served
from bl_pipeline.sandbox.spoil import ERROR_PAGE, Answer, enveloped, page, spoiled

_CONTROLS = "/sandbox/"


class Handler(BaseHTTPRequestHandler):
    """Serves one connection, in its own thread, for as many requests as the client sends over it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, sandbox: Served, request: Any, address: Any, server: BaseServer) -> None:
        self.sandbox = sandbox
        super().__init__(request, address, server)

    def setup(self) -> None:
        super().setup()
        self.sandbox.connected(self.connection)

    def handle(self) -> None:
        # If a client leaves while it is answered, that is no error of the sandbox.
        with suppress(ConnectionError):
            super().handle()

    def finish(self) -> None:
        self.sandbox.disconnected(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged: the requests are recorded."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        reason = why_refused(self.command, [(name.lower(), value) for name, value in self.headers.items()])
        if reason is not None:
            # A web page in the user's browser; its last line is for those who can name a reverse proxy.
            self._send(Answer(403, as_bytes({"error": reason.splitlines()[0]}), None, "application/json"))
            return
        url = urlsplit(self.path)
        if url.path.startswith(_CONTROLS):
            status, told_back = control(self.sandbox, self.command, url.path.removeprefix(_CONTROLS), body)
            self._send(Answer(status, as_bytes(told_back), None, "application/json"))
            return
        request = self.sandbox.arrived(self.command, url.path.removeprefix(BASE_PATH), url.query)
        try:
            met = self._meet(request, body, in_api=url.path.startswith(f"{BASE_PATH}/"))
        finally:
            # Before the answer is sent: the client may send its next request as soon as it has read it.
            self.sandbox.left()
        if met is None:
            self._reset()
        else:
            self._send(met)

    # The names http.server asks for.
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _meet(self, request: RecordedRequest, body: bytes, in_api: bool) -> Answer | None:
        """The answer to a request, or None if there is to be none."""
        sandbox = self.sandbox
        if sandbox.on_request is not None:
            sandbox.on_request(request)
        if not in_api:
            return page(200, ERROR_PAGE) if request.path == "/error.page" else page(404, ERROR_PAGE)
        signed = sandbox.verify(
            f"http://{self.headers.get('Host')}{self.path}", self.command, self.headers.get("Authorization")
        )
        request.nonce, request.timestamp, request.signature, request.refusal = signed
        request.fault = sandbox.faults.take(request.path, request.query)
        sandbox.wait(sandbox.latency)
        envelope = self._answer(request, body)
        if request.fault is Fault.TIMEOUT:
            with suppress(ConnectionError):
                sandbox.stall_until_left(self.connection)
            return None
        if request.fault is Fault.RESET:
            return None
        if request.fault is None:
            met = enveloped(envelope)
        else:
            met = spoiled(request.fault, envelope, sandbox.credentials.consumer_key)
        if request.fault in {None, Fault.CODE_AS_STRING}:
            request.order_ids = envelope.order_ids
        request.code = met.code
        return met

    def _answer(self, request: RecordedRequest, body: bytes) -> Envelope:
        """What the API says, were it not for the fault; a write is done first, unless the fault comes before it."""
        sandbox = self.sandbox
        if request.refusal is not None:
            return refusal(401, request.refusal)
        if request.method != "GET" and sandbox.faults.prevent(request.fault):
            return done()
        content_type = self.headers.get("Content-Type", "")
        envelope = answer(
            sandbox.store, sandbox.wire, request.method, request.path, request.query,
            content_type=content_type, body=body,
        )  # fmt: skip
        request.had_effect = request.method != "GET" and 200 <= envelope.code < 300
        return envelope

    def _send(self, answer: Answer) -> None:
        length = len(answer.body) if answer.length is None else answer.length
        # An answer with a length that is too large can only end with the connection.
        self.close_connection = self.close_connection or answer.length is not None
        head = [
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {length}",
            f"Date: {self.date_time_string()}",
        ]
        if answer.location is not None:
            head.append(f"Location: {answer.location}")
        if self.close_connection:
            head.append("Connection: close")
        # One write, so that a small answer is one packet.
        self.wfile.write("\r\n".join((*head, "", "")).encode("latin-1") + answer.body)

    def _reset(self) -> None:
        """Close the connection so that the client sees a reset rather than an end."""
        self.close_connection = True
        self.sandbox.disconnected(self.connection)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The socket closes with the last file made of it.
        self.rfile.close()
        self.connection.close()

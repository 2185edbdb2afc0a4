"""A BrickLink that costs next to nothing: it answers from memory, over HTTP on loopback, after a latency.

The sandbox is for correctness: it checks signatures and can be faulty. This one is for speed, in a process of its own:

    with serve(path, latency=0.1) as url: ...
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.orders import read
from benchmarks.processes import clean_environment

_BASE = b"/api/store/v1/orders"


@contextmanager
def serve(path: Path, latency: float = 0.0) -> Iterator[str]:
    """The base URL of the API of the store in a file; `latency` is in seconds."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(path), str(latency)], env=clean_environment(), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}/api/store/v1"
    finally:
        process.kill()
        process.communicate()


def _answers(path: Path) -> dict[bytes, bytes]:
    """What is answered, by path."""
    answers: dict[bytes, bytes] = {}
    rows: dict[bool, list[bytes]] = {False: [], True: []}
    for line in read(path):
        at = _BASE + b"/" + line.order_id.encode()
        answers[at] = _answer(line.order)
        answers[at + b"/items"] = _answer(line.items)
        rows[b'"is_filed":true' in line.row].append(line.row)
    for filed, of_list in rows.items():
        answers[_BASE + b"?direction=in&filed=" + str(filed).lower().encode()] = _answer(
            b"[" + b",".join(of_list) + b"]"
        )
    return answers


def _answer(data: bytes) -> bytes:
    body = b'{"meta":{"description":"OK","message":"OK","code":200},"data":' + data + b"}"
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/html;charset=utf-8\r\n" + f"Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """One request after the other, each answered after the latency."""

    def __init__(self, answers: dict[bytes, bytes], latency: float) -> None:
        self._answers, self._latency = answers, latency
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\r\n\r\n" not in self._received:
            return
        asked = re.match(rb"GET (\S+) HTTP", self._received)
        self._received = b""
        answer = self._answers[asked[1]] if asked else b"HTTP/1.1 405 Not allowed\r\nContent-Length: 0\r\n\r\n"
        if self._latency:
            asyncio.get_running_loop().call_later(self._latency, self._transport.write, answer)
        else:
            self._transport.write(answer)


async def _serve(answers: dict[bytes, bytes], latency: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(answers, latency), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(_answers(Path(sys.argv[1])), float(sys.argv[2])))

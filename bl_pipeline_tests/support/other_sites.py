"""What pages of other sites, open in the seller's browser, can try on the Dagster UI."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, urlsplit

from playwright.sync_api import Page

from bl_pipeline_tests.support.ui import PATIENCE, Desk

EVIL, REBOUND = "evil.example", "rebound.example"
RULES = f"--host-resolver-rules=MAP {EVIL} 127.0.0.1,MAP {REBOUND} 127.0.0.1"
"""For the browser: names that their owner has pointed to this machine."""

LAUNCH = (
    'mutation {launchRun(executionParams: {selector: {repositoryLocationName: "bl_pipeline", '
    'repositoryName: "__repository__", jobName: "sync_orders"}, runConfigData: {}}) {__typename}}'
)
KEY = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Upgrade": "websocket"}
HANDSHAKE = {**KEY, "Connection": "Upgrade", "Sec-WebSocket-Protocol": "graphql-ws"}

ATTACKS = """
async ([desk, query]) => {
    const graphql = desk + "/graphql", url = graphql + "?query=" + encodeURIComponent(query);
    const body = JSON.stringify({query});
    const loaded = (name, attributes, parent) => new Promise(done => {
        const element = document.createElement(name);
        element.onload = () => done("loaded");
        element.onerror = () => done("error");
        Object.assign(element, attributes);
        (parent || document.body).append(element);
    });
    const sent = async (method, enctype, action, fields) => {
        const frame = document.createElement("iframe");
        frame.name = "frame" + Math.random();
        document.body.append(frame);
        const form = document.createElement("form");
        Object.assign(form, {method, enctype, action, target: frame.name});
        for (const [name, value] of Object.entries(fields)) {
            const input = document.createElement("input");
            Object.assign(input, {name, value});
            form.append(input);
        }
        document.body.append(form);
        const done = new Promise(done => frame.onload = () => done("loaded"));
        form.submit();
        return done;
    };
    const fetched = async (target, options) => {
        try {
            const answer = await fetch(target, options);
            return answer.type === "opaque" ? "opaque" : answer.status;
        } catch (error) { return "error"; }
    };
    const opened = () => new Promise(done => {
        const socket = new WebSocket(graphql.replace("http", "ws"), "graphql-ws");
        socket.onopen = () => done("open");
        socket.onerror = () => done("error");
    });
    const text = {"Content-Type": "text/plain"}, json = {"Content-Type": "application/json"};
    return {
        image: await loaded("img", {src: url}),
        script: await loaded("script", {src: url}),
        style: await loaded("link", {rel: "stylesheet", href: url}, document.head),
        frame: await loaded("iframe", {src: url}),
        form_get: await sent("get", "", graphql, {query}),
        form: await sent("post", "application/x-www-form-urlencoded", url, {query}),
        form_text: await sent("post", "text/plain", url, {[body.slice(0, -1) + ',"a":"']: '"}'}),
        form_parts: await sent("post", "multipart/form-data", url, {query}),
        no_cors_get: await fetched(url, {mode: "no-cors"}),
        no_cors: await fetched(url, {mode: "no-cors", method: "POST", headers: text, body}),
        cors: await fetched(graphql, {method: "POST", headers: json, body}),
        cors_text: await fetched(url, {method: "POST", headers: text, body}),
        report: await fetched(desk + "/report_asset_materialization/orders", {
            mode: "no-cors", method: "POST", headers: text, body: "{}"}),
        beacon: navigator.sendBeacon(url, body) ? "sent" : "error",
        websocket: await opened(),
    };
}
"""


@contextmanager
def other_site() -> Iterator[int]:
    """The port of a server of empty pages."""

    class Blank(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>Win a castle</title>")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Blank) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def attack(desk: Desk, page: Page) -> None:
    """From three pages, by all that a page can do; none of it may reach Dagster, and so the answers say."""
    port = urlsplit(desk.url).port
    with other_site() as other:
        for site in (f"http://{EVIL}:{other}/", f"http://127.0.0.1:{other}/"):
            page.goto(site)
            came = page.evaluate(ATTACKS, [desk.url, LAUNCH])
            assert {came[name] for name in ("cors", "cors_text", "websocket", "image", "script", "style")} == {"error"}
            # What comes into a frame is the guard's own answer.
            shown = [frame.locator("body").inner_text() for frame in page.frames[1:]]
            assert len(shown) == 5, shown
            assert all("another site" in text or "a page of" in text for text in shown), shown
            for address in (desk.url, f"{desk.url}/graphql?query={quote(LAUNCH)}"):
                _show_in_a_frame(page, address)
        # A page under a name of its own that now leads here is, for the browser, a page of this server.
        page.goto(f"http://{REBOUND}:{port}/")
        assert "does not answer under that name" in page.locator("body").inner_text()
        came = page.evaluate(ATTACKS, [f"http://{REBOUND}:{port}", LAUNCH])
        assert {came[name] for name in ("cors", "cors_text", "no_cors", "report")} == {403}, came
        assert came["websocket"] == "error"
        # A link is followed, but a mutation is no page.
        page.goto(f"http://{EVIL}:{other}/")
        _follow_a_link(page, f"{desk.url}/graphql?query={quote(LAUNCH)}")
        assert "by POST only" in page.locator("body").inner_text()
        page.goto(f"http://{EVIL}:{other}/")
        _follow_a_link(page, f"{desk.url}/locations")
        page.get_by_text("bl_pipeline").first.wait_for()


def _show_in_a_frame(page: Page, address: str) -> None:
    page.evaluate(
        "address => new Promise(done => { const frame = document.createElement('iframe');"
        " frame.onload = done; frame.src = address; document.body.append(frame); })",
        address,
    )
    assert "another site" in page.frames[-1].locator("body").inner_text()


def _follow_a_link(page: Page, address: str) -> None:
    with page.expect_navigation():
        page.evaluate(
            "address => { const link = document.createElement('a'); link.href = address;"
            " document.body.append(link); link.click(); }",
            address,
        )


def status(desk: Desk, method: str = "GET", path: str = "/graphql", body: str | None = None, **headers: str) -> int:
    """The status of a request with these headers, `Content_Type` being `Content-Type`; without a browser."""
    connection = HTTPConnection(urlsplit(desk.url).netloc, timeout=PATIENCE)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return connection.getresponse().status
    finally:
        connection.close()


def ask_over_a_websocket(desk: Desk, query: str, **headers: str) -> str:
    """The beginning of what comes back over a websocket: `HTTP/1.1 403 ...`, or the answer to the query."""
    place = urlsplit(desk.url)
    given = {"Host": place.netloc, **HANDSHAKE, **headers}
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=PATIENCE) as connection:
        lines = ["GET /graphql HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
        connection.sendall("\r\n".join(lines).encode())
        with connection.makefile("rb") as answer:
            first = answer.readline().decode()
            if " 101 " not in first:
                return first
            while answer.readline().strip():
                pass
            start = f'{{"type": "start", "id": "1", "payload": {{"query": {_quoted(query)}}}}}'
            connection.sendall(_frame(start))
            head = answer.read(2)
            length = head[1] & 127
            if length == 126:
                length = int.from_bytes(answer.read(2), "big")
            return answer.read(length).decode()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _frame(text: str) -> bytes:
    """A text frame of a client, masked by zeros."""
    data = text.encode()
    assert 126 <= len(data) < 65536
    return b"\x81" + bytes([128 | 126]) + len(data).to_bytes(2, "big") + bytes(4) + data

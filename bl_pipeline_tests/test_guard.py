"""The guard before what listens on loopback: which requests are let through, and what the others are answered."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from bl_pipeline.guard import Guard, why_refused
from bl_pipeline.settings import SettingsError, load_settings
from bl_pipeline.terminal.web import mutation_by_get

HERE = "127.0.0.1:3000"
PROXIES = ("dagster.example.org", "NAS:8443")
LINK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def asked(host: str | None = HERE, method: str = "POST", **headers: str) -> str | None:
    """Why a request with these headers is refused; `sec_fetch_site` is `sec-fetch-site`."""
    given = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return why_refused(method, [*given, *([("host", host)] if host is not None else [])], PROXIES)


@pytest.mark.parametrize("host", [HERE, "localhost:3000", "LocalHost", "[::1]:3000", "[::1]", "127.0.0.1"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE"])
def test_programs_are_let_through(host: str, method: str) -> None:
    """They send neither Origin nor Sec-Fetch-Site. Also through a tunnel, which has another port."""
    assert asked(host, method) is None
    assert asked("localhost:8080", method) is None


@pytest.mark.parametrize("host", [HERE, "localhost:3000", "[::1]:3000", "localhost"])
def test_the_pages_of_this_server_are_let_through(host: str) -> None:
    assert asked(host, origin=f"http://{host}", sec_fetch_site="same-origin") is None
    assert asked(host, origin=f"http://{host.upper()}") is None
    assert asked(host, "GET", sec_fetch_site="same-origin") is None
    assert asked(host, "GET", sec_fetch_site="none") is None


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:3000", "127.0.0.1.evil.example", "localhost.evil.example", "a.localhost"),
        *("localhost.", "0.0.0.0:3000", "127.0.0.2", "2130706433", "[::ffff:127.0.0.1]", "[::]", "192.168.1.5:3000"),
        *("", "127.0.0.1:3000:80", "evil@127.0.0.1", "127.0.0.1/evil", "127.0.0.1, evil.example", "127.0.0.1:", None),
        *("dagster.example.org.evil.example", "x.dagster.example.org", "localhost:3000\x00", " localhost"),
    ],
)
def test_no_name_but_our_own_is_answered(host: str | None) -> None:
    """A page under a name that its owner points to 127.0.0.1 is of the same origin, for the browser."""
    assert asked(host) is not None
    assert asked(host, "GET", origin=f"http://{host}", sec_fetch_site="same-origin") is not None
    assert asked(host, "GET", **{name.replace("-", "_"): value for name, value in LINK.items()}) is not None


@pytest.mark.parametrize(
    "origin",
    [
        *("http://evil.example", "https://evil.example", "null", "", "http://127.0.0.1", "http://127.0.0.1:8000"),
        *("http://localhost:3000", "file://", "ftp://127.0.0.1:3000", "127.0.0.1:3000", "chrome-extension://abc"),
        *("http://127.0.0.1:3000.evil.example", "http://127.0.0.1:3000@evil.example", "http://127.0.0.1:3000/x"),
        *("http://dagster.example.org:81", "http://nas", "http://x.nas:8443"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_page_of_another_origin_is_answered(origin: str, method: str) -> None:
    """Another port of this machine is another origin: what else listens here may show anybody's pages."""
    assert asked(HERE, method, origin=origin) is not None
    assert asked(HERE, method, origin=origin, sec_fetch_site="same-origin") is not None


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "new-word"])
@pytest.mark.parametrize(
    ("mode", "dest"),
    [
        ("no-cors", "image"),
        ("no-cors", "script"),
        ("cors", "empty"),
        ("navigate", "iframe"),
        ("websocket", "websocket"),
    ],
)
def test_nothing_that_another_site_loads_is_answered(site: str, mode: str, dest: str) -> None:
    """An image, a script or a frame has no Origin."""
    for method in ("GET", "POST"):
        assert asked(HERE, method, sec_fetch_site=site, sec_fetch_mode=mode, sec_fetch_dest=dest) is not None


def test_a_link_on_another_site_opens_a_page_but_a_form_sends_nothing() -> None:
    headers = {name.replace("-", "_"): value for name, value in LINK.items()}
    assert asked(HERE, "GET", **headers) is None
    assert asked(HERE, "POST", **headers) is not None
    assert asked(HERE, "POST", origin="http://evil.example", **headers) is not None


@pytest.mark.parametrize("name", ["host", "origin", "sec-fetch-site"])
def test_a_header_sent_twice_is_refused(name: str) -> None:
    """The guard may read the one, and the server behind it the other."""
    right = {"host": HERE, "origin": f"http://{HERE}", "sec-fetch-site": "same-origin"}
    assert why_refused("POST", right.items()) is None
    assert why_refused("POST", [*right.items(), (name, right[name])]) is not None


def test_a_reverse_proxy_that_was_named_is_let_through() -> None:
    # The proxy hands the browser's Host on, or sends its own; the browser sends its address bar as Origin.
    for host in ("dagster.example.org", "Dagster.Example.org:443", HERE):
        assert asked(host, origin="https://dagster.example.org", sec_fetch_site="same-origin") is None
        assert asked(host, "GET") is None
    for host in ("nas", "nas:8443", HERE):
        assert asked(host, origin="https://nas:8443") is None
    assert why_refused("POST", [("host", HERE), ("origin", "https://dagster.example.org")]) is not None
    assert why_refused("POST", [("host", "dagster.example.org")]) is not None


def test_a_refusal_says_why_and_what_to_set() -> None:
    assert "BL_UI_HOSTS=evil.example:3000" in str(asked("evil.example:3000"))
    assert "evil.example" in str(asked(origin="http://evil.example"))
    assert "BL_UI_HOSTS" in str(asked(origin="http://evil.example"))
    assert "another site" in str(asked(sec_fetch_site="cross-site"))
    # What a stranger sent is shown, so it is short, and of plain characters.
    long = str(asked(origin="http://" + "é\r\n" + "x" * 1000))
    assert len(long) < 400
    assert long.isascii()
    assert len(long.splitlines()) == 2


@pytest.mark.parametrize("value", ["http://nas", "nas/dagster", "nas:x", "user@nas", "nas:8443 *"])
def test_the_setting_takes_names_only(isolated: pytest.MonkeyPatch, value: str) -> None:
    isolated.setenv("BL_UI_HOSTS", value)
    with pytest.raises(SettingsError, match="BL_UI_HOSTS: must be names"):
        load_settings()
    isolated.setenv("BL_UI_HOSTS", " nas:8443  dagster.example.org ")
    assert load_settings().ui_hosts == ["nas:8443", "dagster.example.org"]


MUTATION = 'mutation {launchRun(executionParams: {mode: "x"}) {__typename}}'


def get(query_string: str, method: str = "GET") -> dict[str, Any]:
    """The scope of a GET."""
    return {"type": "http", "method": method, "path": "/graphql", "query_string": query_string.encode()}


@pytest.mark.parametrize(
    "query",
    [
        MUTATION,
        "\n\t # a comment\n mutation M($id: ID!) {terminateRun(runId: $id) {__typename}}",
        "query Q {version} mutation M {wipeAssets {__typename}}",
        "fragment f on Run {id} mutation {a {...f}}",
        "﻿mutation{a}",
        "mutation" + "{a" * 20_000 + "}" * 20_000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_mutation_is_taken_by_get(query: str, method: str) -> None:
    for before, after in (
        ("", ""),
        ("variables=%7B%7D&", "&operationName=M"),
        ("query=%7Bversion%7D&", "&query=%7Bx%7D"),
    ):
        assert mutation_by_get(get(f"{before}query={quote(query)}{after}", method)) is not None
    assert mutation_by_get(get(f"%71uery={quote(query).replace('%20', '+')}", method)) is not None


@pytest.mark.parametrize("query", ["{version}", "query Q {mutations}", "query permutation {a_mutation}", "orders", ""])
def test_queries_and_other_addresses_are_taken_by_get(query: str) -> None:
    assert mutation_by_get(get(f"query={quote(query)}")) is None
    assert mutation_by_get({**get(f"query={quote(MUTATION)}"), "method": "POST"}) is None


def serve(scope: dict[str, Any], **options: Any) -> tuple[bool, list[dict[str, Any]]]:
    """Whether the app behind the guard was asked, and what was sent."""
    reached, sent = [], []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        reached.append(True)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
            await send({"type": "http.response.body", "body": b"done"})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the guard reads no body")

    asyncio.run(Guard(app, **options)(scope, receive, send))
    return bool(reached), sent


def scope(kind: str, origin: str, **more: Any) -> dict[str, Any]:
    """A request for HERE from a page of this origin."""
    headers = [(b"Host", HERE.encode()), (b"Origin", origin.encode())]
    return {"type": kind, "headers": headers, "method": "POST", **more} if kind == "http" else {
        "type": kind, "headers": headers, **more
    }  # fmt: skip


def test_the_guard_hands_on_what_is_allowed_and_forbids_frames() -> None:
    reached, sent = serve(scope("http", f"http://{HERE}"))
    assert reached
    assert sent[0]["headers"] == [(b"a", b"b"), (b"content-security-policy", b"frame-ancestors 'self'")]
    assert sent[1]["body"] == b"done"
    assert serve({"type": "lifespan"}) == (True, [])
    assert serve(scope("websocket", f"http://{HERE}")) == (True, [])


def test_the_guard_answers_403_and_asks_nobody() -> None:
    reached, (start, body) = serve(scope("http", "http://evil.example"))
    assert not reached
    assert (start["type"], start["status"]) == ("http.response.start", 403)
    assert dict(start["headers"])[b"content-type"] == b"text/plain; charset=utf-8"
    assert b"evil.example" in body["body"]
    assert serve(scope("http", f"http://{HERE}"), also_refused=lambda _: "no")[1][1]["body"] == b"no\n"


def test_a_websocket_of_another_origin_is_refused_before_it_opens() -> None:
    assert serve(scope("websocket", "http://evil.example")) == (False, [{"type": "websocket.close"}])

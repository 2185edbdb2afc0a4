"""Who may use the desk: no page of another site, and on more than loopback only who knows the token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from bl_pipeline.desk import api, fulfilment, order, orders, overview, reports, writes
from bl_pipeline.desk.serving import HOST, guarded_app
from bl_pipeline.settings import SettingsError
from bl_pipeline_tests.conftest import MakeSettings

TOKEN = "of-twenty-characters"
CHANGING = [
    route.path.replace("{order_id}", "1").replace("{id}", "1")
    for router in (*(pages.router for pages in (overview, orders, order, writes, fulfilment, reports)), api.router)
    for route in router.routes
    if isinstance(route, APIRoute) and "POST" in (route.methods or ())
]
"""The address of everything that is asked for to change something."""


Serve = Callable[..., TestClient]


@pytest.fixture
def serve(make_settings: MakeSettings) -> Iterator[Serve]:
    """A browser at a desk with these settings."""
    with ExitStack() as stack:

        def at_desk(*, host: str = HOST, **values: str | None) -> TestClient:
            app = guarded_app(make_settings(**values), host=host)
            return stack.enter_context(TestClient(app, base_url="http://127.0.0.1:8000", follow_redirects=False))

        yield at_desk


@pytest.fixture
def closed(serve: Serve) -> TestClient:
    """A desk with a token."""
    return serve(bl_desk_token=TOKEN, host="0.0.0.0")


def test_pages_of_other_sites_change_nothing(serve: Serve) -> None:
    """Planted: the app served without its guard."""
    desk = serve()
    assert {"/sync", "/cancel", "/writes", "/orders/1/refresh"} <= set(CHANGING)
    for address in (*CHANGING, "/login"):
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Host": "evil.example"},
        ):
            assert desk.post(address, headers=headers).status_code == 403, (address, headers)
    assert desk.get("/", headers={"Host": "evil.example"}).status_code == 403
    assert desk.get("/", headers={"Origin": "http://127.0.0.1:8000"}).status_code == 200


def test_no_get_changes_anything(serve: Serve) -> None:
    desk = serve()
    for address in set(CHANGING) - {"/picklist", "/slips"}:  # these only show, and a form asks for them too
        assert desk.get(address).status_code in (404, 405), address


def test_head_is_answered_as_get(serve: Serve) -> None:
    """Programs that watch a page ask so. Caught: 405."""
    desk = serve()
    for address in ("/", "/orders", "/orders.csv", "/api/orders", "/static/desk.css", "/nothing"):
        head, get = desk.head(address), desk.get(address)
        assert (head.status_code, head.headers["content-type"]) == (get.status_code, get.headers["content-type"])
    assert desk.head("/sync").status_code == 405


@pytest.mark.parametrize(("host", "proxies"), [("0.0.0.0", ""), ("192.168.1.5", ""), ("127.0.0.1", "desk.example.org")])
def test_other_machines_need_a_token(make_settings: MakeSettings, host: str, proxies: str) -> None:
    """Planted: none needed behind a proxy that is named."""
    with pytest.raises(SettingsError, match="BL_DESK_TOKEN: not set"):
        guarded_app(make_settings(bl_ui_hosts=proxies), host=host)
    guarded_app(make_settings(bl_ui_hosts=proxies, bl_desk_token=TOKEN), host=host)


def test_without_the_token_nothing_is_shown(closed: TestClient) -> None:
    """Planted: a token that is only compared if one is sent."""
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
        {"Cookie": "bl_desk=wrong"},
        {"Cookie": "bl_desk="},
        {"Cookie": "bl_desk=\x01; ="},
    ):
        shown = closed.get("/", headers=headers)
        assert (shown.status_code, "BL_DESK_TOKEN" in shown.text, "API calls" in shown.text) == (401, True, False)
        problem = closed.get("/api/orders", headers=headers)
        assert (problem.status_code, problem.headers["content-type"]) == (401, "application/problem+json")
        assert closed.post("/sync", headers=headers).status_code == 401
    wrong = closed.post("/login", data={"token": "wrong"})
    assert (wrong.status_code, "This is not the token" in wrong.text) == (401, True)
    assert "set-cookie" not in wrong.headers


def test_with_the_token_all_is(closed: TestClient) -> None:
    assert "API calls" in closed.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).text
    logged_in = closed.post("/login", data={"token": TOKEN})
    assert (logged_in.status_code, logged_in.headers["location"]) == (303, "/")
    cookie = logged_in.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert "API calls" in closed.get("/").text


def test_the_cookie_is_not_the_token(closed: TestClient, serve: Serve) -> None:
    """Who reads the cookie cannot use the endpoints of another desk, and a new token ends the old log-ins.

    Planted: the token itself as the cookie.
    """
    closed.post("/login", data={"token": TOKEN})
    cookie = closed.cookies["bl_desk"]
    closed.cookies.clear()
    for headers in ({"Cookie": f"bl_desk={TOKEN}"}, {"Authorization": f"Bearer {cookie}"}):
        assert closed.get("/", headers=headers).status_code == 401, headers
    other = serve(bl_desk_token=f"{TOKEN}!")
    assert other.get("/", headers={"Cookie": f"bl_desk={cookie}"}).status_code == 401


def test_a_token_may_have_any_character(serve: Serve) -> None:
    token = 'a "long" tökén; with=all'
    desk = serve(bl_desk_token=token)
    assert desk.post("/login", data={"token": token}).status_code == 303
    assert desk.get("/").status_code == 200


@pytest.mark.parametrize("token", [None, TOKEN], ids=["open", "before the log-in"])
def test_every_page_forbids_scripts_of_others(serve: Serve, token: str | None) -> None:
    """Planted: the policy left out for failures; the token asked for before the headers are added."""
    desk = serve(bl_desk_token=token)
    for address in ("/", "/nothing", "/runs/nothing", "/static/desk.css", "/disconnect", "/api/orders"):
        headers = desk.get(address).headers
        assert "default-src 'none'" in headers["content-security-policy"], address
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("address", "token"), [("/login", TOKEN), ("/writes", None), ("/api/integrations/bricklink/sync", None)]
)
def test_a_long_request_ends_before_it_is_kept(serve: Serve, address: str, token: str | None) -> None:
    """Planted: no limit; a limit by Content-Length alone, which these pieces do not have."""
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += 1 << 16
            yield b"a=" + b"x" * ((1 << 16) - 3) + b"&"

    desk = serve(bl_desk_token=token)
    form = {"Content-Type": "application/json" if "api" in address else "application/x-www-form-urlencoded"}
    answer = desk.post(address, content=pieces(), headers=form)
    assert sent == 64 << 16
    assert (answer.status_code, "at most 1,048,576 bytes" in answer.text) == (413, True), answer.text

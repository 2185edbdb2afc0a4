"""Who may use the desk: no page of another site, and on more than loopback only who knows the token."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from bl_pipeline.desk.access import TokenGate
from bl_pipeline.desk.serving import guarded_app
from bl_pipeline.guard import App
from bl_pipeline.settings import Settings, SettingsError
from bl_pipeline_tests.conftest import MakeSettings

TOKEN = "of-twenty-characters"
CHANGING = ("/sync", "/retry", "/cancel", "/test", "/orders/1/refresh", "/login")


def asked(app: App) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1:8000", follow_redirects=False)


@pytest.fixture
def closed(make_settings: MakeSettings) -> TestClient:
    """A desk with a token."""
    return asked(guarded_app(make_settings(bl_desk_token=TOKEN), public=True))


def test_pages_of_other_sites_change_nothing(settings: Settings) -> None:
    """Planted: the app served without its guard."""
    desk = asked(guarded_app(settings))
    for address in CHANGING:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Host": "evil.example"},
        ):
            assert desk.post(address, headers=headers).status_code == 403, (address, headers)
    assert desk.get("/", headers={"Host": "evil.example"}).status_code == 403
    assert desk.get("/", headers={"Origin": "http://127.0.0.1:8000"}).status_code == 200


def test_no_get_changes_anything(settings: Settings) -> None:
    desk = asked(guarded_app(settings))
    for address in CHANGING[:-1]:
        assert desk.get(address).status_code in (404, 405), address


def test_other_machines_need_a_token(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="BL_DESK_TOKEN"):
        guarded_app(settings, public=True)


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
    assert "API calls" in closed.get("/").text


def test_a_token_may_have_any_character(make_settings: MakeSettings) -> None:
    token = 'a "long" tökén; with=all'
    desk = asked(TokenGate(guarded_app(make_settings()), token))
    assert desk.post("/login", data={"token": token}).status_code == 303
    assert desk.get("/").status_code == 200


def test_every_page_forbids_scripts_of_others(settings: Settings) -> None:
    """Planted: the policy left out for failures."""
    desk = asked(guarded_app(settings))
    for address in ("/", "/nothing", "/runs/nothing", "/static/desk.css", "/disconnect"):
        headers = desk.get(address).headers
        assert "default-src 'none'" in headers["content-security-policy"], address
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"

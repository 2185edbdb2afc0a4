"""The desk of several stores: a card of each, the pages of each under its address, and lists of all of them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from bl_pipeline.desk import api, books, fulfilment, order, orders, overview, writes
from bl_pipeline.desk.app import create_app
from bl_pipeline.desk.serving import desks_of_stores, guarded_app
from bl_pipeline.reports.files import read_reports
from bl_pipeline_tests.conftest import Clock
from bl_pipeline_tests.desk.conftest import OpenDesk
from bl_pipeline_tests.desk.test_metrics import asked
from bl_pipeline_tests.desk.test_overview import result_of, words
from bl_pipeline_tests.support.three_stores import ThreeStores, three_stores

pytestmark = pytest.mark.slow

KEYS = ("bricks_uk", "bricks_de", "bricks_us")
TOKEN = "of-twenty-characters"


@pytest.fixture
def stores(isolated: pytest.MonkeyPatch, tmp_path: Path, database_url: str, clock: Clock) -> Iterator[ThreeStores]:
    """Three stores: bricks_uk is synced, bricks_de was refused, bricks_us is not connected."""
    with three_stores(tmp_path, database_url, clock) as stores:
        yield stores


@pytest.fixture
def desk(stores: ThreeStores) -> Iterator[TestClient]:
    """Their desk, without its guard."""
    desks = desks_of_stores(stores.installation, stores.all, clock=stores.clock)
    with TestClient(create_app(desks), follow_redirects=False) as client:
        yield client


def sales(stores: ThreeStores, key: str) -> set[str]:
    """The ids of a store's orders at BrickLink."""
    server = {"bricks_uk": stores.uk_server, "bricks_de": stores.de_server}[key]
    return {str(order_id) for order_id in server.store.sales}


def addresses(page: str) -> set[str]:
    """Every address of this desk in a page: of links, forms and buttons, and of what its script asks for."""
    return set(re.findall(r'(?:href|action|formaction|data-address|src)="(/[^"#]*)', page))


def test_each_store_has_a_card(desk: TestClient) -> None:
    """Planted: the state of the first store on every card; a button for a store that is not connected."""
    page = desk.get("/").text
    cards = [words(card) for card in page.split('<section class="card"')[1:]]
    assert [next(key for key in KEYS if key in card) for card in cards] == list(KEYS)
    uk, de, us = cards
    assert "Synced Every order of BrickLink's lists is stored" in uk
    assert "Orders 12 orders Failed none Last sync 2026-06-15 12:00 , 1 hour ago" in uk
    assert "Error The last sync failed" in de
    assert "Stale" not in us
    assert "Not connected The store is not connected" in us
    assert "Open the store: its overview says how to connect it." in us
    assert re.findall(r"([\d,]+) left of 4,750 a day", words(page))[2] == "4,750"
    forms = re.findall(r'action="([^"]+)"', page)
    assert forms == [f"/stores/{key}/sync" for key in KEYS]
    assert page.count(" disabled") == 1
    assert "Times are in UTC" in page


def test_every_page_of_a_store_stays_in_that_store(desk: TestClient, stores: ThreeStores) -> None:
    """Every link and form of a page leads to the same store, but for the switcher and what all stores share.

    Planted: a link without the store, in base.html, order.html and todo.html; a redirect without it.
    """
    number = next(iter(sorted(sales(stores, "bricks_uk"))))
    seen = 0
    for path in (
        "/", "/disconnect", "/nothing", "/orders", "/orders?search=nobody", f"/orders/{number}", "/orders/1",
        f"/orders/{number}/slip", f"/picklist?order={number}", "/todo", "/todo?choose=to_pack", "/reports",
        "/reports/revenue_by_month", "/reports/revenue_items", "/reports/missing", "/books", "/books?",
    ):  # fmt: skip
        answer = desk.get(f"/stores/bricks_uk{path}")
        assert answer.status_code == (404 if path in ("/nothing", "/orders/1") else 200), path
        head, _, rest = answer.text.partition("</header>")
        switcher = head.partition('aria-label="Stores"')[2]
        for address in addresses(head.replace(switcher, "") + rest):
            assert address.startswith(("/stores/bricks_uk/", "/static/")), (path, address)
            seen += 1
        assert {key for key in KEYS if f'href="/stores/{key}/' in switcher} == set(KEYS)
    assert seen > 200


def test_the_switcher_leads_to_the_same_page_of_another_store(desk: TestClient) -> None:
    head = desk.get("/stores/bricks_uk/orders").text.partition("</header>")[0]
    assert {"/orders", "/stores/bricks_de/orders", "/stores/bricks_us/orders"} <= addresses(head)
    head = desk.get("/stores/bricks_uk/todo").text.partition("</header>")[0]
    assert '<a href="/">All stores</a>' in head
    assert "/stores/bricks_de/todo" in addresses(head)


def test_a_page_has_only_what_is_of_its_store(desk: TestClient, stores: ThreeStores) -> None:
    """Planted: the warehouse of the first store for all."""
    uk, de = (sales(stores, key) for key in KEYS[:2])
    for key, own, other in (("bricks_uk", uk, de - uk), ("bricks_de", de, uk - de)):
        listed = desk.get(f"/stores/{key}/api/orders?limit=1000").json()
        assert {one["platformOrderId"] for one in listed["orders"]} == own
        assert desk.get(f"/stores/{key}/orders/{min(other)}").status_code == 404
        assert desk.get(f"/stores/{key}/api/orders/{min(other)}").status_code == 404
    assert "Times are in Europe/Berlin" in desk.get("/stores/bricks_de/").text


def test_a_sync_of_one_store_is_started_from_its_card(desk: TestClient, stores: ThreeStores) -> None:
    """The redirect, the run's page and its result are of that store, and only its BrickLink is asked."""
    asked = len(stores.de_server.requests)
    answer = desk.post("/stores/bricks_uk/sync", data={"filed": "true", "items": "true"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/stores/bricks_uk/runs/")
    assert "Sync complete" in result_of(desk, answer.headers["location"])
    assert len(stores.de_server.requests) == asked
    refused = desk.post("/stores/bricks_us/sync")
    assert (refused.status_code, "The store is not connected" in refused.text) == (409, True)


def test_the_endpoints_are_those_of_each_store(desk: TestClient, stores: ThreeStores) -> None:
    """Planted: a statusUrl without the store."""
    listed = desk.get("/api/stores").json()["stores"]
    assert [(one["store"], one["indicator"], one["connected"], one["apiUrl"]) for one in listed] == [
        ("bricks_uk", "synced", True, "/stores/bricks_uk/api"),
        ("bricks_de", "error", True, "/stores/bricks_de/api"),
        ("bricks_us", "not_connected", False, "/stores/bricks_us/api"),
    ]
    for one in listed:
        status = desk.get(f"{one['apiUrl']}/integrations/bricklink/status").json()
        assert {name: status[name] for name in one if name != "apiUrl"} == {
            name: value for name, value in one.items() if name != "apiUrl"
        } | {"reason": status["reason"]}
    number = min(sales(stores, "bricks_uk"))
    launched = desk.post(f"/stores/bricks_uk/api/orders/{number}/refresh")
    assert launched.status_code == 202
    address = launched.json()["statusUrl"]
    assert address.startswith("/stores/bricks_uk/api/integrations/bricklink/status?runId=")
    result_of(desk, f"/stores/bricks_uk/runs/{launched.json()['runId']}")
    assert desk.get(address).status_code == 200
    servers = desk.get("/api/openapi.json").json()["servers"]
    assert [one["url"] for one in servers] == ["/", *(f"/stores/{key}" for key in KEYS)]


def test_the_list_has_the_orders_of_all_stores(desk: TestClient, stores: ThreeStores) -> None:
    """Planted: pages sorted store by store; a sum of two currencies; a link to the order of another store."""
    uk, de = (sales(stores, key) for key in KEYS[:2])
    pages = [desk.get("/api/orders", params={"limit": 5, "offset": offset}).json() for offset in range(0, 24, 5)]
    rows = [one for page in pages for one in page["orders"]]
    assert {(one["store"], one["platformOrderId"]) for one in rows} == {("bricks_uk", one) for one in uk} | {
        ("bricks_de", one) for one in de
    }
    assert len(rows) == pages[0]["count"] == 24
    dates = [one["orderDate"] for one in rows]
    assert dates == sorted(dates, reverse=True)
    assert [one["store"] for one in rows] != sorted((one["store"] for one in rows), reverse=True)
    for currency, total in pages[0]["totals"].items():
        assert Decimal(total) == sum(Decimal(one["total"]) for one in rows if one["currency"] == currency)
    assert set(pages[0]["totals"]) == {"EUR", "GBP"}
    only = desk.get("/api/orders", params={"store": "Bricks_DE", "limit": 100}).json()
    assert {one["platformOrderId"] for one in only["orders"]} == de
    wrong = desk.get("/api/orders", params={"store": "bricks"})
    assert (wrong.status_code, "There are: bricks_de, bricks_uk, bricks_us" in wrong.json()["detail"]) == (422, True)

    page = desk.get("/orders").text
    links = re.findall(r'<th scope="row"><a href="/stores/(\w+)/orders/(\d+)">', page)
    assert set(links) == {("bricks_uk", one) for one in uk} | {("bricks_de", one) for one in de}
    page = desk.get("/orders?store=bricks_de").text
    assert '<option value="bricks_de" selected>bricks_de</option>' in page
    assert words(page).count("BrickLink, bricks_de") == len(de)
    assert "BrickLink, bricks_uk" not in words(page)
    table = list(csv.DictReader(io.StringIO(desk.get("/orders.csv?store=bricks_de").text)))
    assert {row["store"] for row in table} == {"bricks_de"}
    assert desk.get("/orders?store=nobody").status_code == 422
    # In the address of one store another one cannot be asked for.
    assert desk.get("/stores/bricks_uk/orders?store=bricks_de").status_code == 422


def test_the_list_of_all_is_that_of_each(desk: TestClient) -> None:
    """Planted: lots of one store searched for another; an order to sort by that is left out."""

    def listed(address: str, query: dict[str, str]) -> list[dict[str, Any]]:
        found = desk.get(address, params={**query, "limit": "100"}).json()
        assert found["count"] == len(found["orders"])
        rows: list[dict[str, Any]] = found["orders"]
        return rows

    def by_id(one: dict[str, Any]) -> tuple[str, str]:
        return one["store"], one["platformOrderId"]

    queries: list[dict[str, str]] = [{"search": "a"}, {"sort": "total"}, {"sort": "-buyer"}, {"status": "COMPLETED"}]
    for query in queries:
        apart = [one for key in KEYS for one in listed(f"/stores/{key}/api/orders", query)]
        together = listed("/api/orders", query)
        assert sorted(together, key=by_id) == sorted(apart, key=by_id), query
        assert together or query == {"status": "COMPLETED"}, query


def test_reports_are_of_all_stores_or_of_one(desk: TestClient) -> None:
    """Planted: rows of one store only; the column with the store not shown; a total of two currencies."""
    page = desk.get("/reports/revenue_by_month").text
    shown = words(page)
    assert {"bricks_uk", "bricks_de"} <= set(re.findall(r"<t[hd][^>]*>(bricks_\w+)</t[hd]>", page))
    assert ".png" not in page
    assert "Each store has days in its own time zone." in shown
    assert "bricks_us: BrickLink's lists were never read" in shown
    rows = list(csv.DictReader(io.StringIO(desk.get("/reports/revenue_by_month.csv?basis=order_date").text)))
    apart = [
        row
        for key in KEYS
        for row in csv.DictReader(
            io.StringIO(desk.get(f"/stores/{key}/reports/revenue_by_month.csv?basis=order_date").text)
        )
    ]
    assert sorted(map(str, rows)) == sorted(map(str, apart))
    for currency in ("EUR", "GBP"):
        total = sum(Decimal(row["revenue"]) for row in rows if row["currency"] == currency)
        assert f'title="{total} {currency}"' in page

    one = desk.get("/reports/revenue_by_month?store=bricks_de").text
    assert set(re.findall(r"<t[hd][^>]*>(bricks_\w+)</t[hd]>", one)) == {"bricks_de"}
    assert desk.get("/reports/revenue_by_month?store=nobody").status_code == 422
    own = desk.get("/stores/bricks_de/reports/revenue_by_month").text
    assert "/stores/bricks_de/reports/revenue_by_month.png" in own
    assert desk.get("/stores/bricks_de/reports/revenue_by_month.png").status_code == 200


def test_every_report_is_shown_for_all_stores(desk: TestClient) -> None:
    links: set[tuple[str, str]] = set()
    for report in read_reports():
        page = desk.get(f"/reports/{report.name}")
        assert page.status_code == 200, report.name
        links |= set(re.findall(r'href="/stores/(\w+)/orders/(\d+)"', page.text))
    assert {key for key, _ in links} == {"bricks_uk", "bricks_de"}
    for key, number in links:
        assert desk.get(f"/stores/{key}/orders/{number}").status_code == 200, (key, number)


def test_what_is_about_one_store_says_which_there_are(desk: TestClient) -> None:
    """Planted: an unknown store that is shown as the first one; a POST without a store that changes something."""
    for address, title, link in (
        ("/todo", "Which store?", "/stores/bricks_de/todo"),
        ("/books", "Which store?", "/stores/bricks_de/books"),
        ("/stores/nobody", "There is no store nobody", "/stores/bricks_de/"),
        ("/stores/nobody/orders", "There is no store nobody", "/stores/bricks_de/orders"),
        ("/stores/BRICKS_UK/", "There is no store BRICKS_UK", "/stores/bricks_uk/"),
        ("/stores/bricks_u/", "There is no store bricks_u", "/stores/bricks_uk/"),
    ):
        page = desk.get(address)
        assert (page.status_code, title in words(page.text)) == (404, True), address
        assert link in addresses(page.text), address
    problem = desk.get("/api/integrations/bricklink/status")
    assert problem.status_code == 404
    assert problem.json()["type"] == "/problems#no-such-store"
    assert "/stores/bricks_uk/api/integrations/bricklink/status" in problem.json()["detail"]
    assert desk.get("/stores/nobody/api/orders").json()["title"] == "There is no store nobody"
    assert desk.get("/stores/bricks_uk").headers["location"].endswith("/stores/bricks_uk/")
    assert 'id="no-such-store"' in desk.get("/problems").text


CHANGING = [
    route.path.replace("{order_id}", "1").replace("{id}", "1")
    for router in (*(pages.router for pages in (overview, orders, order, writes, fulfilment, books)), api.router)
    for route in router.routes
    if isinstance(route, APIRoute) and "POST" in (route.methods or ())
]


def test_the_guards_are_around_the_pages_of_each_store(stores: ThreeStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the token asked for only at addresses without a store; a GET that changes something."""
    installation = stores.installation
    with TestClient(guarded_app(installation, stores.all), "http://127.0.0.1:8000", follow_redirects=False) as desk:
        for path in CHANGING:
            address = f"/stores/bricks_uk{path}"
            for headers in (
                {"Origin": "https://evil.example"},
                {"Sec-Fetch-Site": "cross-site"},
                {"Host": "evil.example"},
            ):
                refused = desk.post(address, headers=headers)
                assert refused.status_code == 403, (address, headers)
                assert ("json" in refused.headers["content-type"]) == ("/api/" in path)
            assert desk.post(path).status_code == 404, "there are several stores"
            assert desk.post(f"/stores/nobody{path}").status_code == 404
            if path not in ("/picklist", "/slips"):
                assert desk.get(address).status_code in (404, 405), address
    monkeypatch.setenv("BL_DESK_TOKEN", TOKEN)
    with TestClient(
        guarded_app(stores.installation, stores.all), "http://127.0.0.1:8000", follow_redirects=False
    ) as desk:
        for path in ("/", "/stores/bricks_uk/", "/stores/bricks_uk/orders", "/stores/nobody/", "/orders"):
            assert desk.get(path).status_code == 401
        problem = desk.get("/stores/bricks_uk/api/orders")
        assert (problem.status_code, problem.headers["content-type"]) == (401, "application/problem+json")
        assert desk.post("/stores/bricks_uk/sync").status_code == 401
        assert desk.post("/login", data={"token": TOKEN}).status_code == 303
        assert desk.get("/stores/bricks_uk/").status_code == 200


def test_one_store_of_a_file_has_no_address_of_its_own(
    stores: ThreeStores, open_desk: OpenDesk, tmp_path: Path
) -> None:
    """Planted: /stores/KEY for the only one."""
    file = tmp_path / "stores.toml"
    file.write_text(file.read_text().partition("[bricks_de]")[0])
    (only,) = stores.all
    desk = open_desk(only)
    page = desk.get("/").text
    assert "Store bricks_uk" in page
    assert not any(address.startswith("/stores/") for address in addresses(page))
    assert [one["apiUrl"] for one in desk.get("/api/stores").json()["stores"]] == ["/api"]
    assert desk.get("/stores/bricks_uk/").status_code == 404
    assert "several" not in desk.get("/stores/bricks_uk/").text


def test_the_metrics_are_of_all_stores_or_of_one(desk: TestClient) -> None:
    """Planted: those of the first store only."""

    def stores_in(address: str) -> set[str]:
        return set(re.findall(r'bl_pipeline_orders_stored\{store="(\w+)"\}', desk.get(address).text))

    assert stores_in("/metrics") == set(KEYS)
    assert stores_in("/stores/bricks_de/metrics") == {"bricks_de"}


def test_the_metrics_say_how_each_store_stands(desk: TestClient) -> None:
    """Planted: an age, or an end of a run, of a store that was never synced; the calls of the first store for all."""
    values = asked(desk)
    of_every_store = {
        "store_state", "status_check_exit_code", "orders_stored", "orders_failed", "api_calls_used", "api_calls_left",
    }  # fmt: skip
    of_runs = {"last_run_state", "last_run_duration_seconds", "last_complete_sync_age_seconds"}
    named = {key: {name for name, store, *_ in values if store == key} for key in KEYS}
    assert named == {
        "bricks_uk": of_every_store | of_runs, "bricks_de": of_every_store | of_runs, "bricks_us": of_every_store,
    }  # fmt: skip
    states = {store: state for (name, store, *state), value in values.items() if name == "store_state" and value}
    assert states == {"bricks_uk": ["synced"], "bricks_de": ["error"], "bricks_us": ["not_connected"]}
    assert [values["status_check_exit_code", key] for key in KEYS] == [0, 5, 2]
    assert [values["last_complete_sync_age_seconds", key] for key in KEYS[:2]] == [3600, 3600]
    assert values["last_run_state", "bricks_de", "failed"] == values["last_run_state", "bricks_uk", "succeeded"] == 1
    assert values["api_calls_used", "bricks_de"] == values["api_calls_used", "bricks_uk"] + 1
    assert [values[name, "bricks_us"] for name in ("orders_stored", "api_calls_used", "api_calls_left")] == [0, 0, 4750]

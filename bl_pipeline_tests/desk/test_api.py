"""The JSON endpoints: what they answer, in which form, and with which status code."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from bl_pipeline.columns import ORDER_ITEMS, ORDERS
from bl_pipeline.desk.failures import KINDS
from bl_pipeline.desk.serving import guarded_app
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.sandbox.order import SandboxOrder
from bl_pipeline.settings import Settings
from bl_pipeline.sync.status import read_status
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.conftest import NOW, Clock, MakeSettings, Sync
from bl_pipeline_tests.desk.conftest import OpenDesk
from bl_pipeline_tests.desk.test_overview import NONE
from bl_pipeline_tests.support.waiting import wait_until

SYNC = "/api/integrations/bricklink/sync"
STATUS = "/api/integrations/bricklink/status"


def answer(client: TestClient, address: str, **query: Any) -> Any:
    """What an endpoint answers with 200."""
    found = client.get(address, params=query)
    assert (found.status_code, found.headers["content-type"]) == (200, "application/json"), found.text
    return found.json()


def problem(found: Any, status: int) -> dict[str, Any]:
    """The problem details of an answer, which has this status."""
    assert (found.status_code, found.headers["content-type"]) == (status, "application/problem+json"), found.text
    details: dict[str, Any] = found.json()
    assert details["status"] == status
    assert details["title"]
    assert details["type"] == "about:blank" or details["type"].removeprefix("/problems#") in KINDS
    return details


def a_sale(store: Store) -> SandboxOrder:
    """A sale that has its items."""
    return max((order for order in store.sales.values() if not order.is_purged), key=lambda order: len(order.lots))


def test_the_list_has_the_names_of_the_journey_and_exact_amounts(
    synced: Sync, client: TestClient, store: Store
) -> None:
    page = answer(client, "/api/orders", limit=5)
    assert (len(page["orders"]), page["count"], page["limit"], page["offset"]) == (5, len(store.sales), 5, 0)
    totals: dict[str, Decimal] = {}
    for order in store.sales.values():
        totals[order.currency] = totals.get(order.currency, Decimal()) + order.grand_total
    assert page["totals"] == {currency: f"{total:.4f}" for currency, total in totals.items()}
    first = page["orders"][0]
    latest = max(store.sales.values(), key=lambda order: order.date_ordered)
    assert (first["platformOrderId"], first["displayId"]) == (str(latest.order_id), f"BL-{latest.order_id}")
    assert first["total"] == f"{latest.grand_total:.4f}"
    assert first["orderDate"].endswith("Z")
    assert datetime.fromisoformat(first["orderDate"]) == latest.date_ordered
    assert {"platform", "buyerName", "status", "platformStatus", "currency", "trackingNumber"} <= first.keys()


def test_the_list_is_filtered_as_bl_orders_is(synced: Sync, client: TestClient, store: Store) -> None:
    def ids(**query: Any) -> set[int]:
        return {int(row["platformOrderId"]) for row in answer(client, "/api/orders", limit=100, **query)["orders"]}

    sale = a_sale(store)
    assert ids(search=f"bl-{sale.order_id}") == {sale.order_id}
    assert sale.order_id in ids(status=sale.status.lower(), platform="bricklink")
    assert ids(country="Germany") == ids(country="DE") < set(store.sales)
    assert ids(unpaid=True) | ids(notShipped=True) < set(store.sales)
    assert ids(group="shipped") == {key for key, order in store.sales.items() if order.status == "SHIPPED"}
    middle = sorted(order.date_ordered for order in store.sales.values())[9]
    since, until = ids(since=middle.isoformat()), ids(until=middle.isoformat())
    assert (since | until, since & until) == (set(store.sales), {
        key for key, order in store.sales.items() if order.date_ordered == middle
    })  # fmt: skip
    by_total = answer(client, "/api/orders", sort="-total", limit=2)["orders"]
    assert Decimal(by_total[0]["total"]) >= Decimal(by_total[1]["total"])
    first, second = (answer(client, "/api/orders", limit=1, offset=place)["orders"] for place in (0, 1))
    assert first != second


def test_an_order_in_full(synced: Sync, client: TestClient, store: Store, warehouse: Warehouse) -> None:
    sale = a_sale(store)
    order = answer(client, f"/api/orders/{sale.order_id}")
    assert (
        answer(client, f"/api/orders/BL-{sale.order_id}") == answer(client, f"/api/orders/bl-{sale.order_id}") == order
    )
    assert (order["platformOrderId"], order["platformStatus"]) == (str(sale.order_id), sale.status)
    assert (order["buyerEmail"], order["currency"]) == (sale.buyer.email, sale.currency)
    assert datetime.fromisoformat(order["orderDate"]) == sale.date_ordered
    parts = [Decimal(order[name]) for name in ("subtotal", "shipping", "fees")]
    assert (sum(parts), order["total"]) == (sale.grand_total, f"{sale.grand_total:.4f}")
    assert order["shippingAddress"]["name"]
    assert {"statusChangedAt", "trackingNumber"} <= order.keys()
    assert [item["quantity"] for item in order["items"]] == [lot.quantity for lot in sale.lots]
    assert sum(Decimal(item["totalPrice"]) for item in order["items"]) == Decimal(order["subtotal"])
    for name in ("itemNumber", "itemName", "itemType", "colorId", "colorName", "condition", "unitPrice", "currency"):
        assert name in order["items"][0], name
    assert order["statusHistory"][-1]["platformStatus"] == sale.status
    assert (order["messages"], order["feedback"]) == (None, None)
    # Every column of the warehouse has its field, and no other is empty by mistake.
    assert len(order) == len(ORDERS) + len(("platform", "items", "statusHistory", "messages", "feedback", "rawData"))
    assert len(order["items"][0]) == len(ORDER_ITEMS) - 1
    assert sum(value is not None for value in order.values()) > 40


def test_raw_data_are_as_received(synced: Sync, client: TestClient, store: Store, warehouse: Warehouse) -> None:
    """Planted: the answer read and written again, which makes 1.10 of 1.100."""
    sale = a_sale(store)
    with warehouse.engine.begin() as connection:
        raw = '{"order_id": 1,  "weird": 1.100, "big": 123456789012345678901234567890.00, "text": "\\u00e9\\u0000"}'
        connection.execute(
            text(
                "UPDATE landing.documents SET body = CAST(:raw AS json) "
                "WHERE platform_order_id = :id AND kind = 'order'"
            ),
            {"raw": raw, "id": str(sale.order_id)},
        )
    assert f'"rawData":{raw}}}' in client.get(f"/api/orders/{sale.order_id}").text


def test_messages_and_feedback_are_there_if_they_were_fetched(synced: Sync, client: TestClient, store: Store) -> None:
    from bl_pipeline.columns import AnswerKind

    sale = a_sale(store)
    both = frozenset({AnswerKind.MESSAGES, AnswerKind.FEEDBACK})
    assert synced("refresh_order", order_ids=[str(sale.order_id)], also=both).success
    order = answer(client, f"/api/orders/{sale.order_id}")
    assert isinstance(order["messages"], list)
    assert isinstance(order["feedback"], list)


def test_the_status_is_that_of_everywhere_else(
    synced: Sync, client: TestClient, settings: Settings, warehouse: Warehouse, clock: Clock, store: Store
) -> None:
    now = answer(client, STATUS)
    known = read_status(settings.store, warehouse, clock.now)
    assert (now["indicator"], now["reason"]) == (known.indicator, known.reason)
    assert (now["connected"], now["ordersSynced"], now["run"], now["nextSyncAt"]) == (
        True,
        len(store.sales),
        None,
        None,
    )
    assert datetime.fromisoformat(now["lastSyncedAt"]) == NOW
    assert now["calls"]["used"] + now["calls"]["left"] == now["calls"]["limit"] - now["calls"]["reserve"]
    last = now["lastResult"]
    assert (last["success"], last["errors"], last["lastSyncedAt"]) == (True, [], now["lastSyncedAt"])
    assert last["ordersCreated"] == last["ordersProcessed"] == len(store.sales)
    assert (last["ordersUpdated"], last["ordersSkipped"], last["exitCode"]) == (0, 0, 0)
    assert answer(client, STATUS, runId=last["runId"])["lastResult"] == last
    problem(client.get(STATUS, params={"runId": "nothing"}), 404)
    clock.now += timedelta(days=2)
    assert answer(client, STATUS)["indicator"] == "stale"


def test_the_result_names_each_order_that_failed(
    synced: Sync, client: TestClient, store: Store, server: SandboxServer
) -> None:
    sale = a_sale(store)
    store.set_payment_status(sale.order_id, "Bounced")
    server.faults.on(f"/orders/{sale.order_id}", Fault.HTTP500)
    assert not synced().success
    now = answer(client, STATUS)
    assert (now["indicator"], now["ordersFailed"], now["lastResult"]["success"]) == ("error", 1, False)
    (failed,) = now["lastResult"]["errors"]
    assert failed["platformOrderId"] == str(sale.order_id)
    assert "500" in failed["error"]


def test_a_run_whose_process_died_does_not_go_on(synced: Sync, client: TestClient, warehouse: Warehouse) -> None:
    """Caught: the page of such a run said Syncing until the next run."""
    run_id = answer(client, STATUS)["lastResult"]["runId"]
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sync.runs SET status = 'started', finished_at = NULL"))
    last = answer(client, STATUS, runId=run_id)["lastResult"]
    assert (last["success"], "ended before it could report" in last["message"]) == (False, True)
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    try:
        now = answer(client, STATUS, runId=run_id)
        assert (now["indicator"], now["run"]["runId"], now["lastResult"]) == ("syncing", run_id, None)
        assert problem(client.post(SYNC), 409)["title"] == "A sync is running"
        assert problem(client.post(f"/api/orders/{a_sale_of(client)}/refresh"), 409)
    finally:
        lock.release()


def a_sale_of(client: TestClient) -> str:
    order_id: str = answer(client, "/api/orders", limit=1)["orders"][0]["platformOrderId"]
    return order_id


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("since=9999-99-99", "2026-03-14"),
        ("until=9999-12-31", "is too late"),
        ("country=Germny", "DE"),
        ("group=PAID", "processing"),
        ("notShipped=perhaps", "notShipped"),
        ("since=2026-02&until=2026-01", "since is after until"),
        ("limit=-1", "limit"),
        ("limit=0", "limit"),
        ("limit=1001", "1000"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=1e9", "limit"),
        ("offset=-1", "offset"),
        ("offset=99999999999999999999", "offset"),
        ("status=shiped", "Did you mean SHIPPED"),
        ("group=shiped", "shipped"),
        ("platform=ebay", "bricklink"),
        ("sort=price", "total"),
        ("sort=--total", "total"),
        ("colour=red", "colour"),
        ("limit=1&limit=x", "limit"),
    ],
)
def test_what_cannot_be_asked_for_is_a_problem_that_says_why(
    query: str, says: str, synced: Sync, client: TestClient
) -> None:
    details = problem(client.get(f"/api/orders?{query}"), 422)
    assert says in details["detail"]


def test_broken_addresses_are_problems(synced: Sync, client: TestClient) -> None:
    """Planted: the addresses not looked at; Postgres refuses NUL, and U+FFFD is searched for in place of the others."""
    for part in ("%00", "a%00b", "%ff", "%c3%28", "%ed%a0%80", "%f4%90%80%80"):
        for address in (
            f"/api/orders?search={part}",
            f"/api/orders?{part}=1",
            f"/api/orders/{part}",
            f"{STATUS}?runId={part}",
        ):
            assert "UTF-8" in problem(client.get(address), 400)["detail"], address
        assert problem(client.post(f"/api/orders/{part}/refresh"), 400)
        assert client.get(f"/runs/{part}").status_code == 400, "pages too"
    for number in ("abc", "BL-", "-1", "1.5", "%F0%9F%92%B6", "%C2%B2", "'", "1;2", "BL-BL-1"):
        assert "15646315" in problem(client.get(f"/api/orders/{number}"), 422)["detail"], number
    for number in ("0", "9" * 2000, "00001"):
        assert problem(client.get(f"/api/orders/{number}"), 404)["detail"]
    for address in ("/api/orders/1/2", "/api/nothing", "/api/orders/a%2Fb"):
        assert "openapi.json" in problem(client.get(address), 404)["detail"], address
    refused = client.delete("/api/orders")
    assert (problem(refused, 405)["detail"], refused.headers["allow"]) == ("It can be used with: GET", "GET")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"1",
        b'{"fullSync": "yes"}',
        b'{"fullSync": null}',
        b'{"fullsync": true}',
        b'{"\\ud800": 1}',
        b'{"\\u0000": 1}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"fullSync": ' + b"9" * 10_000 + b"}",
    ],
)
def test_a_body_that_asks_for_something_else_starts_nothing(body: bytes, client: TestClient) -> None:
    refused = client.post(SYNC, content=body, headers={"Content-Type": "application/json"})
    assert problem(refused, refused.status_code)
    assert refused.status_code in (400, 422)
    assert client.app.state.desks.only.launches.running() == []  # type: ignore[attr-defined]


def test_an_unknown_order_is_404(synced: Sync, client: TestClient, server: SandboxServer) -> None:
    for found in (client.get("/api/orders/1"), client.post("/api/orders/BL-1/refresh")):
        assert "next sync" in problem(found, 404)["detail"]
    assert server.requests == []


def test_a_desk_that_only_shows_is_403(synced: Sync, make_settings: MakeSettings, open_desk: OpenDesk) -> None:
    client = open_desk(make_settings(bl_desk_read_only=True))
    for address in (SYNC, "/api/orders/1/refresh"):
        assert "BL_DESK_READ_ONLY" in problem(client.post(address), 403)["detail"]
    assert answer(client, STATUS)["indicator"] == "synced"


def test_a_store_that_is_not_connected_is_409(synced: Sync, make_settings: MakeSettings, open_desk: OpenDesk) -> None:
    client = open_desk(make_settings(**NONE))
    assert problem(client.post(SYNC), 409)["title"] == "The store is not connected"
    assert answer(client, STATUS)["connected"] is False


def test_without_calls_left_the_answer_is_429_with_the_time(
    synced: Sync, make_settings: MakeSettings, open_desk: OpenDesk, server: SandboxServer, clock: Clock, store: Store
) -> None:
    assert synced().success
    server.clear_requests()
    client = open_desk(make_settings(bl_daily_call_limit=2, bl_call_reserve=0))
    for address in (SYNC, f"/api/orders/{a_sale(store).order_id}/refresh"):
        refused = client.post(address)
        details = problem(refused, 429)
        again = datetime.fromisoformat(details["nextResetAt"])
        assert 0 < int(refused.headers["retry-after"]) - (again - clock.now).total_seconds() <= 1
        assert details["nextResetAt"] == answer(client, STATUS)["calls"]["nextResetAt"]
        assert f"{again:%Y-%m-%d %H:%M} UTC" in details["detail"]
    never = open_desk(make_settings(bl_daily_call_limit=0, bl_call_reserve=0)).post(SYNC)
    assert (problem(never, 429).get("nextResetAt"), "retry-after" in never.headers) == (None, False)
    assert server.requests == []


def test_who_may_ask(synced: Sync, make_settings: MakeSettings, settings: Settings) -> None:
    """401 without the token, 403 from a page of another site; both as problem details."""
    with TestClient(
        guarded_app(make_settings(bl_desk_token="of-twenty-characters")), "http://127.0.0.1:8000"
    ) as closed:
        for found in (closed.get("/api/orders"), closed.post(SYNC), closed.get("/api/openapi.json")):
            assert "Authorization" in problem(found, 401)["detail"]
            assert found.headers["www-authenticate"] == "Bearer"
        closed.headers["Authorization"] = "Bearer of-twenty-characters"
        assert answer(closed, "/api/orders")["count"] == 24
    with TestClient(guarded_app(settings), "http://127.0.0.1:8000") as desk:
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
            assert "this server" in problem(desk.post(SYNC, headers=headers), 403)["detail"]


def test_the_description_has_every_answer(client: TestClient) -> None:
    described = answer(client, "/api/openapi.json")
    assert {
        (method, path): sorted(operation["responses"])
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    } == {
        ("post", SYNC): ["202", "400", "401", "403", "404", "409", "422", "429", "503"],
        ("get", STATUS): ["200", "400", "401", "403", "404", "422", "503"],
        ("get", "/api/stores"): ["200", "400", "401", "403", "422", "503"],
        ("get", "/api/orders"): ["200", "400", "401", "403", "422", "503"],
        ("get", "/api/orders/{id}"): ["200", "400", "401", "403", "404", "422", "503"],
        ("post", "/api/orders/{id}/refresh"): ["202", "400", "401", "403", "404", "409", "422", "429", "503"],
    }  # fmt: skip
    fields = [
        (name, field, of_field)
        for name, schema in described["components"]["schemas"].items()
        for field, of_field in schema.get("properties", {}).items()
    ]
    assert [(name, field) for name, field, of_field in fields if not of_field.get("description")] == []
    assert all("_" not in field for _, field, _ in fields)
    assert "number" not in {of_field.get("type") for _, field, of_field in fields if field != "durationSeconds"}
    assert json.dumps(described).count('"format": "date-time"') > 10


@pytest.mark.slow
def test_a_sync_is_started_once_and_followed_to_its_end(
    client: TestClient, store: Store, server: SandboxServer
) -> None:
    """Eight ask at the same time. Planted: no lock around the look and the start."""
    answer(client, STATUS)  # opens the warehouse, which lets the first of them in before the others
    together = Barrier(8)

    def ask(_: int) -> Any:
        together.wait()
        return client.post(SYNC, json={"includeFiled": False})

    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(ask, range(8)))
    assert sorted(each.status_code for each in asked) == [202] + 7 * [409]
    (started,) = (each for each in asked if each.status_code == 202)
    run_id, url = started.json()["runId"], started.json()["statusUrl"]
    assert (url, started.headers["location"]) == (f"{STATUS}?runId={run_id}", url)
    seen: list[dict[str, Any]] = []

    def ended() -> bool:
        seen.append(answer(client, url))
        return seen[-1]["run"] is None

    wait_until(ended)
    unfiled = sum(not order.is_filed for order in store.sales.values())
    assert {each["run"]["runId"] for each in seen[:-1]} == {run_id}
    result = seen[-1]["lastResult"]
    assert (result["runId"], result["success"], result["ordersCreated"]) == (run_id, True, unfiled)
    assert result["apiCalls"] == len(server.requests)

    # As soon as it is not syncing any more, another can start, though its process may still be ending.
    wait_until(lambda: answer(client, STATUS)["indicator"] != "syncing")
    refreshed = client.post(f"/api/orders/BL-{a_sale_of(client)}/refresh")
    assert refreshed.status_code == 202, refreshed.text
    wait_until(lambda: answer(client, refreshed.json()["statusUrl"])["run"] is None)
    assert answer(client, refreshed.json()["statusUrl"])["lastResult"]["ordersProcessed"] == 1

"""The first page: how the store stands, and what can be started from it."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from bl_pipeline.desk.words import reason
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.settings import Settings
from bl_pipeline.sync.status import read_status
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline.warehouse.runs import start_run
from bl_pipeline_tests.conftest import Clock, MakeSettings, Sync
from bl_pipeline_tests.desk.conftest import OpenDesk
from bl_pipeline_tests.support.waiting import wait_until

NONE = dict.fromkeys(
    ("bricklink_consumer_key", "bricklink_consumer_secret", "bricklink_token_value", "bricklink_token_secret")
)


def words(text: str) -> str:
    """What a page says, without its tags, in one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def result_of(client: TestClient, address: str) -> str:
    """The page of a run once it has ended."""
    page = ""

    def ended() -> bool:
        nonlocal page
        page = client.get(address).text
        return 'id="progress"' not in page

    wait_until(ended)
    return words(page)


def test_a_store_that_was_never_synced(client: TestClient, clock: Clock) -> None:
    page = words(client.get("/").text)
    assert "Stale No sync of this store was complete yet." in page
    assert "Orders 0 orders with 0 lots" in page
    assert "Last sync never" in page
    assert "4,750 left of 4,750 a day" in page


def test_what_is_to_be_done_is_said_for_who_sees_the_page(
    client: TestClient, open_desk: OpenDesk, make_settings: MakeSettings
) -> None:
    """Buttons, and no commands of a terminal; but who has a page that only shows has no buttons."""
    page = words(client.get("/").text)
    assert "press Sync now" in page
    assert "bl sync" not in page
    assert "bl sync" in words(open_desk(make_settings(bl_desk_read_only=True)).get("/").text)


def test_the_times_of_messages_are_in_the_zone_of_the_store(
    synced: Sync,
    open_desk: OpenDesk,
    make_settings: MakeSettings,
    settings: Settings,
    warehouse: Warehouse,
    clock: Clock,
) -> None:
    page = words(open_desk(make_settings(bl_timezone="Asia/Tokyo")).get("/").text)
    at = read_status(settings.store, warehouse, clock.now).last_synced_at
    assert at is not None
    there = f"{at.astimezone(ZoneInfo('Asia/Tokyo')):%Y-%m-%d %H:%M}"
    assert f"is stored, as of {there} ." in page
    assert f"Last sync {there}" in page
    assert reason("<b> at 2026-07-01 23:30:59 UTC.\nAgain", "Europe/Berlin") == (
        '&lt;b&gt; at <time datetime="2026-07-01T23:30:59+00:00" title="2026-07-02 01:30:59 Europe/Berlin">'
        "2026-07-02 01:30</time>.<br>Again"
    )


def test_the_state_is_that_of_everywhere_else(
    synced: Sync, client: TestClient, settings: Settings, warehouse: Warehouse, clock: Clock
) -> None:
    clock.now += timedelta(minutes=3)
    status = read_status(settings.store, warehouse, clock.now)
    page = words(client.get("/").text)
    assert f"Synced {status.reason}" in page
    assert f"{status.orders:,} orders with {status.items:,} lots" in page
    assert f"{status.calls.left:,} left" in page
    clock.now += timedelta(days=2)
    assert "Stale No sync was complete for 24 hours" in words(client.get("/").text)


def test_a_store_without_credentials_says_which_values_to_put_where(
    make_settings: MakeSettings, open_desk: OpenDesk
) -> None:
    client = open_desk(make_settings(**NONE))
    page = words(client.get("/").text)
    assert "Not connected The store is not connected" in page
    assert "BRICKLINK_CONSUMER_KEY=... BRICKLINK_CONSUMER_SECRET=... BRICKLINK_TOKEN_VALUE=..." in page
    assert client.post("/sync").status_code == 409
    assert "The store is not connected" in words(client.post("/sync").text)
    assert "BRICKLINK_CONSUMER_KEY" in words(client.post("/test").text)


def test_the_connection_is_tested_by_one_call(
    client: TestClient, server: SandboxServer, store: Store, make_settings: MakeSettings, open_desk: OpenDesk
) -> None:
    unfiled = sum(not order.is_filed for order in store.sales.values())
    assert f"BrickLink accepts the credentials, and lists {unfiled} unfiled orders." in words(client.post("/test").text)
    assert [request.path for request in server.requests] == ["/orders"]
    wrong = words(open_desk(make_settings(bricklink_token_secret="wrong")).post("/test").text)
    assert "The connection does not work" in wrong
    assert "refused" in wrong
    server.faults.next(Fault.RESET)
    assert "cannot be reached" in words(client.post("/test").text)
    client.post("/test")
    no_calls = open_desk(make_settings(bl_daily_call_limit=0, bl_call_reserve=0))
    assert "The call budget is used up" in words(no_calls.post("/test").text)


@pytest.mark.slow
def test_one_click_syncs(client: TestClient, store: Store, server: SandboxServer) -> None:
    started = client.post("/sync", data={"filed": "true", "items": "true"})
    assert (started.status_code, started.headers["location"][:6]) == (303, "/runs/")
    assert "Syncing" in words(client.get(started.headers["location"]).text)
    again = client.post("/sync")
    assert (again.status_code, "A sync is running" in again.text) == (409, True)
    assert 'id="progress"' in client.get("/").text

    page = result_of(client, started.headers["location"])

    assert "Sync complete" in page
    assert f"{len(store.sales)} new, 0 changed, 0 unchanged" in page
    assert f"{len(server.requests)} API calls" in page
    assert re.search(r"; (1 second|(0|[1-9]\d+|[2-9]) seconds), ", page)
    wait_until(lambda: "Syncing" not in words(client.get("/").text))
    assert f"{len(store.sales)} orders with" in words(client.get("/").text)


@pytest.mark.slow
def test_a_partial_failure_lists_each_order_and_tries_it_again(
    synced: Sync, client: TestClient, store: Store, server: SandboxServer
) -> None:
    bad, other = list(store.sales)[:2]
    for order_id in (bad, other):
        store.set_payment_status(order_id, "Bounced")
        server.faults.on(f"/orders/{order_id}", Fault.HTTP500)
    page = result_of(client, client.post("/sync", data={"filed": "true"}).headers["location"])
    assert "Sync completed with errors" in page
    assert "2 failed" in page
    assert f"BL-{bad} : " in page
    assert "Retry failed" in page
    wait_until(lambda: not client.app.state.desks.only.launches.running())  # type: ignore[attr-defined]
    card = words(client.get("/").text)
    assert "Error 2 orders could not be fetched or read" in card
    assert "Retry failed (2)" in card

    server.faults.clear()
    one = client.post(f"/orders/BL-{bad}/refresh")
    result_of(client, one.headers["location"])
    back = client.get(one.headers["location"])
    assert (back.status_code, back.headers["location"][:20]) == (303, f"/orders/{bad}?run="[:20])
    assert "Payment status" in words(client.get(back.headers["location"]).text)
    wait_until(lambda: not client.app.state.desks.only.launches.running())  # type: ignore[attr-defined]
    assert "1 changed" in result_of(client, client.post("/retry").headers["location"])


@pytest.mark.slow
def test_a_run_is_canceled(client: TestClient, server: SandboxServer) -> None:
    """Within seconds, though the answer that it waits for takes a minute."""

    def slow(request: object) -> None:
        if len(server.requests) > 4:
            server.latency = 60.0

    server.on_request = slow
    started = client.post("/sync", data={"full": "true", "items": "true"})
    wait_until(lambda: len(server.requests) > 4)
    done = words(client.post("/cancel").text)
    assert "Canceled: sync_orders" in done
    assert "Withdrawn: 1 full sync" in done
    assert "Canceled" in result_of(client, started.headers["location"])


@pytest.mark.slow
def test_a_run_that_is_starting_is_canceled(client: TestClient, server: SandboxServer) -> None:
    """Its process needs seconds to begin. Caught: "Nothing to cancel", and then it began."""
    started = client.post("/sync")
    assert "Starting" in words(client.get(started.headers["location"]).text)
    assert "is canceled" in words(client.post("/cancel").text)
    assert "cancel" in result_of(client, started.headers["location"]).lower()
    wait_until(lambda: not client.app.state.desks.only.launches.running())  # type: ignore[attr-defined]
    assert server.requests == []
    assert client.post("/sync").status_code == 303


def test_if_nothing_goes_on_the_page_does_not_say_canceled(synced: Sync, client: TestClient) -> None:
    assert "Nothing was canceled Nothing to cancel: no sync" in words(client.post("/cancel").text)


@pytest.mark.slow
def test_a_run_that_could_not_note_its_end_says_why_it_ended(
    synced: Sync, client: TestClient, warehouse: Warehouse, clock: Clock
) -> None:
    """Caught: "ended without a word", though the desk has the words of its process, if Postgres was gone at its end."""
    launches = client.app.state.desks.only.launches  # type: ignore[attr-defined]
    run_id = launches.start("no_such_job", {})
    wait_until(lambda: launches.ended(run_id) is not None)
    said = launches.ended(run_id).message
    with warehouse.engine.begin() as connection:
        start_run(connection, warehouse, run_id=run_id, job="sync_orders", now=clock(), of_all_orders=True)
    page = html.unescape(words(client.get(f"/runs/{run_id}").text))
    assert said
    assert said.splitlines()[0] in page
    assert "without a word" not in page


def test_a_run_that_compares_the_lists_has_no_percent_yet(
    synced: Sync, client: TestClient, warehouse: Warehouse
) -> None:
    """Caught: 100 % while it compared them, then 4 %."""
    run_id = client.get("/api/integrations/bricklink/status").json()["lastResult"]["runId"]
    with warehouse.engine.begin() as connection:
        connection.execute(text("DELETE FROM sync.run_orders"))
        connection.execute(text("UPDATE sync.runs SET status = 'started', finished_at = NULL"))
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    try:
        assert "100 %" in words(client.get(f"/runs/{run_id}").text), "it has found nothing to fetch"
        with warehouse.engine.begin() as connection:
            connection.execute(text("UPDATE sync.runs SET orders_skipped = NULL"))
        page = client.get(f"/runs/{run_id}").text
        assert "Asking BrickLink which orders are new or changed" in page
        assert 'value="' not in page[page.index("<progress") : page.index("</progress>")]
    finally:
        lock.release()


def test_while_another_command_has_the_store(synced: Sync, client: TestClient, warehouse: Warehouse) -> None:
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    try:
        assert "Syncing" in words(client.get("/").text)
        assert client.post("/sync").status_code == 409
    finally:
        lock.release()


def test_without_calls_left_the_page_says_when_they_come_back(
    synced: Sync, make_settings: MakeSettings, open_desk: OpenDesk, server: SandboxServer, clock: Clock
) -> None:
    assert synced().success
    server.clear_requests()
    client = open_desk(make_settings(bl_daily_call_limit=2, bl_call_reserve=0))
    refused = client.post("/sync")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 86_401
    assert "Calls are free again from" in words(refused.text)
    assert server.requests == []


def test_a_desk_that_only_shows(synced: Sync, make_settings: MakeSettings, open_desk: OpenDesk) -> None:
    client = open_desk(make_settings(bl_desk_read_only=True))
    assert "<form" not in client.get("/").text
    for address in ("/sync", "/retry", "/cancel", "/test", "/orders/1/refresh"):
        assert client.post(address).status_code == 403, address


def test_a_failed_page_is_asked_again_as_it_was(client: TestClient) -> None:
    """With its query; not what was sent by a form, and no address of another site."""
    assert 'href="/picklist?order=none&amp;order=2">Try again' in client.get("/picklist?order=none&order=2").text
    assert "Try again" not in client.get("//evil.example/x").text
    assert "Try again" not in client.post("/orders/none/refresh").text


def test_an_unknown_page_or_run(client: TestClient) -> None:
    for address in ("/nothing", "/runs/nothing", "/runs/%00", "/static/../app.py"):
        assert client.get(address).status_code in (400, 404), address
    assert client.get("/sync").status_code == 405


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "title", "way_out"),
    [
        ({"bricklink_token_secret": "wrong"}, "BrickLink refused the credentials", "Reconnect the store"),
        ({"bricklink_api_url": "http://127.0.0.1:1"}, "cannot be reached", "check the network of this machine"),
        ({"bl_daily_call_limit": 6, "bl_call_reserve": 0}, "Stopped at the call budget", "Sync again after that time"),
    ],
)
def test_each_error_has_its_way_out(
    broken: dict[str, str], title: str, way_out: str, make_settings: MakeSettings, open_desk: OpenDesk
) -> None:
    """What happened, what it means and what to do: on the page of the run, and then on the card."""
    client = open_desk(make_settings(**broken))
    address = client.post("/sync", data={"filed": "true", "items": "true"}).headers["location"]
    page = result_of(client, address)
    assert title in page
    assert way_out in page
    # What can be pressed is a way out: nothing starts without calls.
    forms = re.findall(r'<form method="post" action="(.*?)"', client.get(address).text)
    assert forms == ([] if "bl_daily_call_limit" in broken else ["/sync", "/test"])
    wait_until(lambda: not client.app.state.desks.only.launches.running())  # type: ignore[attr-defined]
    assert way_out in words(client.get("/").text)


@pytest.mark.slow
def test_a_run_that_was_stopped_is_tried_again_as_it_was(
    synced: Sync, make_settings: MakeSettings, open_desk: OpenDesk, store: Store
) -> None:
    """A refresh of one order as a refresh of that order. Planted: a sync of the whole store instead."""
    order_id = next(iter(store.sales))
    client = open_desk(make_settings(bricklink_token_secret="wrong"))
    address = client.post(f"/orders/{order_id}/refresh").headers["location"]
    assert "Reconnect the store" in result_of(client, address)
    assert f'<form method="post" action="/orders/{order_id}/refresh"' in client.get(address).text

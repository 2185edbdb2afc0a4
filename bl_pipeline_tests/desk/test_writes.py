"""Changes of orders from the desk: a preview that sends nothing, a confirmation that sends once."""

from __future__ import annotations

from threading import Event, Thread
from typing import Any

import pytest
from starlette.testclient import TestClient

from bl_pipeline.rules.writes import WriteKind
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.settings import Settings
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline.warehouse.writes import note_write
from bl_pipeline_tests.conftest import Clock, MakeSettings, Sync
from bl_pipeline_tests.desk.conftest import OpenDesk
from bl_pipeline_tests.desk.test_overview import words
from bl_pipeline_tests.support.forms import fields_of
from bl_pipeline_tests.support.sessions import session_at
from bl_pipeline_tests.support.waiting import wait_until
from bl_pipeline_tests.support.writing import Writer

HOSTILE = "</textarea><script>alert(1)</script>\n\"'><b>&amp;"


@pytest.fixture
def writer(settings: Settings, clock: Clock, server: SandboxServer, warehouse: Warehouse) -> Writer:
    """What was sent, and what was stored of it."""
    return Writer(settings, clock, server, warehouse)


def preview(client: TestClient, *order_ids: int, shared: str = "", **typed: str) -> str:
    """The page of a preview; what is typed is for every order."""
    fields: dict[str, Any] = {"order": [str(order_id) for order_id in order_ids], "status": shared}
    fields |= {f"{order_id}.{name}": text for order_id in order_ids for name, text in typed.items()}
    return ended(client, client.post("/writes/preview", data=fields).headers["location"])


def confirm(client: TestClient, page: str) -> str:
    """The page after the button of a preview was pressed."""
    return ended(client, client.post("/writes", data=fields_of(page, "/writes")).headers["location"])


def again(client: TestClient, page: str) -> str:
    """The page after the button Preview again was pressed."""
    return ended(client, client.post("/writes/preview", data=fields_of(page, "/writes/preview")).headers["location"])


def ended(client: TestClient, address: str) -> str:
    """The page of a preview or a result, once it is there."""
    pages = [""]

    def is_there() -> bool:
        pages.append(client.get(address).text)
        return 'id="progress"' not in pages[-1]

    wait_until(is_there)
    return pages[-1]


def test_a_preview_sends_nothing_and_a_confirmation_sends_once(
    order_id: int, client: TestClient, writer: Writer, store: Store
) -> None:
    """Planted: the preview not a dry run; the confirmation sent without its fields; a repetition refused."""
    page = preview(
        client, order_id, status="SHIPPED", tracking_no=" TR1 ", tracking_link="https://post.example/TR1",
        date_shipped="2026-06-15T14:30",
    )  # fmt: skip
    shown = words(page)
    assert "1 order would be changed at BrickLink. It takes 4 API calls" in shown
    assert "Tracking number (none) TR1" in shown
    assert "Set the status Status PENDING SHIPPED" in shown
    assert "This preview has used 1 API call." in shown
    assert (writer.sent(), writer.rows(), len(writer.server.requests)) == ([], [], 1)

    done = words(confirm(client, page))
    assert "Done 1 order done." in done
    assert "Tracking number (none) TR1 done" in done
    assert writer.effects() == [str(order_id), "status"]
    assert len(writer.server.requests) == 5
    now = store.order(order_id)
    assert (now.status, now.shipping.tracking_no) == ("SHIPPED", "TR1")
    assert f"{now.shipping.date_shipped:%H:%M}" == "14:30"

    assert "There was nothing to send 1 order already as asked." in words(confirm(client, page))
    assert len(writer.effects()) == 2


def test_what_was_typed_is_escaped_and_arrives_as_it_was(
    order_id: int, client: TestClient, writer: Writer, store: Store
) -> None:
    """Planted: `| safe` on a hidden field, and on a value that is shown."""
    page = preview(client, order_id, remarks=HOSTILE.replace("\n", "\r\n"))
    done = confirm(client, page)
    assert "<script>" not in page + done
    assert "&lt;script&gt;" in page
    assert store.order(order_id).remarks == HOSTILE
    # As it is stored now it is escaped, too, and it can be removed.
    page = preview(client, order_id, remarks="")
    assert "<script>" not in page
    assert "Your remarks </textarea><script>" in words(page)
    confirm(client, page)
    assert not store.order(order_id).remarks
    assert "The order already has these values" not in preview(client, order_id, remarks="")
    assert writer.effects() == [str(order_id)] * 2


def test_a_change_in_between_is_reported_and_not_overwritten(
    order_id: int, client: TestClient, writer: Writer, store: Store, clock: Clock
) -> None:
    """Planted: the time of the preview left out."""
    page = preview(client, order_id, remarks="mine")
    clock.advance(minutes=1)
    store.edit_remarks(order_id, "of another")
    refused = confirm(client, page)
    assert "Not everything was done 1 order not done" in words(refused)
    assert "The order has changed since" in words(refused)
    assert (writer.sent(), store.order(order_id).remarks) == ([], "of another")
    # The refusal has read the order, so what was typed can be confirmed now.
    page = again(client, refused)
    assert "Your remarks of another mine" in words(page)
    assert "Done 1 order done" in words(confirm(client, page))
    assert store.order(order_id).remarks == "mine"


def test_a_change_in_between_is_reported_although_a_sync_has_seen_it(
    order_id: int, synced: Sync, client: TestClient, writer: Writer, store: Store, clock: Clock
) -> None:
    """Planted: the time of the confirmation taken instead of that of the preview."""
    page = preview(client, order_id, remarks="mine")
    clock.advance(minutes=1)
    store.pay(order_id)
    assert synced().success
    assert "The order has changed since" in words(confirm(client, page))
    assert writer.sent() == []


def test_an_order_that_the_page_shows_as_it_was_is_refused_by_the_preview(
    order_id: int, client: TestClient, store: Store, clock: Clock
) -> None:
    """The time is that at which the order was fetched, not that of the preview. Planted: the latter."""
    fetched = clock.now
    clock.advance(minutes=7)
    store.pay(order_id)
    page = preview(client, order_id, status="PROCESSING")
    assert f"The order has changed since {fetched:%Y-%m-%d %H:%M:%S} UTC" in words(page)
    assert "There is nothing to send." in words(page)
    assert f'action="/orders/{order_id}/refresh"' in page
    assert 'action="/writes"' not in page
    assert fields_of(page, "/writes/preview")[f"{order_id}.status"] == ["PROCESSING"]


@pytest.mark.slow
def test_every_kind_of_change(order_id: int, client: TestClient, writer: Writer, store: Store) -> None:
    for typed, effect in (
        ({"status": "PACKED", "payment_status": "Received"}, ["payment_status", "status"]),
        ({"is_filed": "true"}, [str(order_id)]),
        ({"is_filed": "false"}, [str(order_id)]),
        ({"drive_thru": "mail_me"}, ["drive_thru"]),
    ):
        before = len(writer.effects())
        page = preview(client, order_id, **typed)
        assert ("sent, with a copy to you" in page) == ("drive_thru" in typed)
        assert "Done" in words(confirm(client, page))
        assert writer.effects()[before:] == effect
    assert [request.query for request in writer.server.requests if request.method == "POST"] == ["mail_me=true"]
    assert "The order already has these values" in preview(client, order_id, drive_thru="true")
    assert store.drive_thrus(order_id) == 1


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"status": "CANCELLED"}, "A seller cannot set this status"),
        ({"date_shipped": "soon"}, "is no day"),
        ({"remarks": "a\x00b"}, "no text"),
    ],
)
def test_what_bricklink_would_not_take_is_refused_before_a_call(
    typed: dict[str, str], message: str, order_id: int, client: TestClient, server: SandboxServer
) -> None:
    page = words(preview(client, order_id, **typed))
    assert "This cannot be sent." in page
    assert message in page
    assert server.requests == []


def test_nothing_chosen_is_no_error(order_id: int, client: TestClient, server: SandboxServer) -> None:
    """Caught: "This cannot be sent", and the advice to refresh the order."""
    page = words(preview(client, order_id))
    assert "There is nothing to send. Back" in page
    assert "Nothing was chosen that would change the order." in page
    assert "This cannot be sent" not in page
    assert server.requests == []


@pytest.mark.slow
def test_what_was_typed_is_kept_if_bricklink_cannot_be_asked(
    order_id: int, client: TestClient, server: SandboxServer, store: Store
) -> None:
    """Caught: only "There is nothing to send", and what was typed was gone."""
    server.faults.on(".", Fault.UNAUTHORIZED)
    page = preview(client, order_id, remarks="red box")
    assert "Nothing can be sent now. Back Preview again" in words(page)
    server.faults.clear()
    confirm(client, again(client, page))
    assert store.order(order_id).remarks == "red box"


@pytest.mark.slow
def test_several_orders_one_of_them_refused(
    order_id: int, synced: Sync, client: TestClient, writer: Writer, store: Store
) -> None:
    """Planted: the loop ended by a refusal; a result for all of them instead of one for each."""
    second, third = store.place_order(), store.place_order()
    assert synced().success
    writer.server.clear_requests()
    page = preview(client, order_id, second, third, shared="PACKED")
    assert "3 orders would be changed at BrickLink. It takes 9 API calls" in words(page)
    store.edit_remarks(second, "of another")
    done = words(confirm(client, page))
    assert "Not everything was done 2 orders done. 1 order not done, or only in part." in done
    assert [store.order(one).status for one in (order_id, second, third)] == ["PACKED", "PENDING", "PACKED"]
    assert writer.effects() == ["status", "status"]


@pytest.mark.slow
def test_a_stop_ends_it_for_all_that_follow(
    order_id: int, synced: Sync, open_desk: OpenDesk, make_settings: MakeSettings, client: TestClient, writer: Writer,
    store: Store, clock: Clock,
) -> None:  # fmt: skip
    """The budget is enough for one of three. Planted: the stop of a result ignored."""
    more = [store.place_order(), store.place_order()]
    assert synced().success
    page = preview(client, order_id, *more, shared="PACKED")
    writer.server.clear_requests()
    with session_at(make_settings(), clock) as session:
        used = session.usage().used
    poor = open_desk(make_settings(bl_daily_call_limit=used + 5, bl_call_reserve=0))
    done = words(confirm(poor, page))
    assert "1 order done. 2 orders not tried, or not finished." in done
    assert "this needs 2, so nothing was written" in done
    assert writer.effects() == ["status"]
    # Two calls would be needed for the second, none was made for the third.
    assert len(writer.server.requests) == 4


@pytest.mark.slow
def test_what_earlier_runs_have_left_is_counted_once(
    order_id: int, synced: Sync, client: TestClient, warehouse: Warehouse, store: Store, clock: Clock
) -> None:
    """Planted: counted for each order."""
    second, third = store.place_order(), store.place_order()
    assert synced().success
    with warehouse.engine.begin() as connection:
        note_write(
            connection, warehouse, order_id=str(third), run_id="of one that died", kind=WriteKind.UPDATE,
            asked={"remarks": "x"}, before={"remarks": None}, now=clock.now,
        )  # fmt: skip
    page = words(preview(client, order_id, second, shared="PACKED"))
    assert "It takes 7 API calls: 1 to see what became of earlier requests; for each order one" in page


@pytest.mark.slow
def test_while_a_sync_is_running(
    order_id: int, client: TestClient, warehouse: Warehouse, writer: Writer, store: Store
) -> None:
    page = preview(client, order_id, remarks="mine")
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    try:
        refused = confirm(client, page)
    finally:
        lock.release()
    assert "A sync or another command of this store is running, so nothing was written" in words(refused)
    assert writer.sent() == []
    assert "Done" in words(confirm(client, again(client, refused)))


def test_a_desk_that_only_shows_sends_nothing(
    order_id: int, open_desk: OpenDesk, make_settings: MakeSettings, client: TestClient, server: SandboxServer
) -> None:
    page = preview(client, order_id, remarks="mine")
    server.clear_requests()
    client = open_desk(make_settings(bl_desk_read_only=True))
    for address, fields in (
        ("/writes/preview", {"order": str(order_id), f"{order_id}.remarks": "x"}),
        ("/writes", fields_of(page, "/writes")),
    ):
        assert client.post(address, data=fields).status_code == 403
    assert server.requests == []


def test_what_is_no_choice_of_orders(order_id: int, client: TestClient, server: SandboxServer) -> None:
    for fields, status in (
        ({}, 422),
        ({"order": "x"}, 422),
        ({"order": "99"}, 404),
        ({"order": [str(number) for number in range(51)]}, 422),
    ):
        assert client.post("/writes/preview", data=fields).status_code == status
    # Without the time of a preview.
    for looked_at in ({}, {"unchanged_since": "soon"}, {"unchanged_since": "2026-06-15T12:00"}):
        data = {"order": str(order_id), f"{order_id}.remarks": "x", **looked_at}
        assert client.post("/writes", data=data).status_code == 422
    assert server.requests == []


@pytest.mark.slow
def test_many_orders_show_how_far_they_are(
    order_id: int, synced: Sync, client: TestClient, writer: Writer, store: Store
) -> None:
    """Not a page that loads for minutes. What has been done stays if the desk ends. Planted: a desk that waits."""
    second, third = store.place_order(), store.place_order()
    assert synced().success
    page = preview(client, order_id, second, third, shared="PACKED")
    go_on = Event()

    def hold(request: Any) -> None:
        if request.method == "PUT" and str(second) in request.path:
            go_on.wait()

    writer.server.on_request = hold
    try:
        started = client.post("/writes", data=fields_of(page, "/writes"))
        shown = client.get(started.headers["location"]).text
        assert "Sending to BrickLink 1 of 3 orders sent." in words(shown)
        ending = Thread(target=client.app.state.desks.only.working.close)  # type: ignore[attr-defined]
        ending.start()
        wait_until(client.app.state.desks.only.working.closing.is_set)  # type: ignore[attr-defined]
    finally:
        go_on.set()
    ending.join()
    done = words(ended(client, started.headers["location"]))
    assert "2 orders done. 1 order not tried" in done
    assert "The desk was ended." in done
    assert [store.order(one).status for one in (order_id, second, third)] == ["PACKED", "PACKED", "PENDING"]


def test_a_result_that_is_not_kept(client: TestClient) -> None:
    answer = client.get("/writes/nothing")
    assert answer.status_code == 404
    assert "in the history of each order" in words(answer.text)

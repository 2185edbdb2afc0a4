"""The sandbox driven by clients of other authors, bricklink-py and python-bricklink-api: each call of the order API.

So the sandbox is not only what our own client expects. What the clients do wrong is noted, and not worked around.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import bricklink_py.utils  # type: ignore[import-untyped]
import pytest
from bricklink.api import BrickLinkAPI  # type: ignore[import-untyped]
from bricklink.constants.constants import PaymentStatus  # type: ignore[import-untyped]
from bricklink.endpoints.orders import OrderMethods  # type: ignore[import-untyped]
from bricklink.models.orders import Shipping  # type: ignore[import-untyped]
from bricklink_py.order import Order  # type: ignore[import-untyped]

from bl_pipeline.sandbox import SandboxOrder, SandboxServer, Store, Wire
from bl_pipeline_tests.sandbox.conftest import Serve

DONE = {"meta": {"description": "OK_NO_CONTENT", "message": "OK_NO_CONTENT", "code": 204}}


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both clients use the proxy of the environment, if there is one."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server(serve: Serve) -> Iterator[SandboxServer]:
    """The sandbox; in the end each request must have been let in by its signature, with a nonce of its own."""
    server = serve()
    yield server
    assert server.requests
    assert [request.refusal for request in server.requests] == [None] * len(server.requests)
    assert len({(request.nonce, request.signature) for request in server.requests}) == len(server.requests)


def first_at(server: SandboxServer, monkeypatch: pytest.MonkeyPatch, **others: str) -> bricklink_py.Bricklink:
    """A client of bricklink-py, with the sandbox's credentials or others."""
    secrets = vars(server.credentials) | others
    monkeypatch.setattr(bricklink_py.utils, "API_BASE_URL", f"{server.url}/")
    return bricklink_py.Bricklink(
        secrets["consumer_key"], secrets["consumer_secret"], secrets["token_value"], secrets["token_secret"]
    )


@pytest.fixture
def first(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The order calls of bricklink-py."""
    client = first_at(server, monkeypatch)
    with closing(client.oauth_session):
        yield client.order


def second_at(server: SandboxServer, **others: str) -> Any:
    """The order calls of python-bricklink-api, with the sandbox's credentials or others."""
    secrets = vars(server.credentials) | others
    client = BrickLinkAPI(
        secrets["consumer_key"], secrets["consumer_secret"], secrets["token_value"], secrets["token_secret"]
    )
    client.baseUrl = server.url
    return client.orders


@pytest.fixture
def second(server: SandboxServer) -> Any:
    return second_at(server)


def pending(store: Store) -> SandboxOrder:
    return store.order(store.place_order())


def with_conversation(store: Store) -> SandboxOrder:
    """A finished order about which there are messages and feedback."""
    order = pending(store)
    store.write_message(order.order_id, "Is it sent? &#40;I wait&#41;", "Question")
    store.pay(order.order_id)
    store.ship(order.order_id, "RR1", "https://example.org/1")
    store.complete(order.order_id)
    store.rate(order.order_id, 0, "Fast &amp; well packed")
    return store.order(order.order_id)


def test_each_order_call_of_the_clients_is_tested() -> None:
    """A call that a new version adds must be tested here, too."""
    assert {name for name in vars(Order) if not name.startswith("_")} == {
        "get_orders", "get_order", "get_order_items", "get_order_messages", "get_order_feedback", "update_order",
        "update_order_status", "update_payment_status", "send_drive_thru",
    }  # fmt: skip
    assert {name for name in vars(OrderMethods) if not name.startswith("_")} == {
        "list", "get", "getItems", "update", "updateStatus", "updatePayment",
    }  # fmt: skip


def test_bricklink_py_lists_orders(first: Any, store: Store, server: SandboxServer) -> None:
    """Its fault: the switch `filed` is sent with a capital letter, which the sandbox reads as BrickLink seems to.

    Planted: a sandbox that knows only `true`; statuses compared in upper case; `-` not read as "all but".
    """
    rows = {order.order_id: server.wire.row(order) for order in store.orders.values()}
    sales, filed = store.sales, {order_id for order_id, order in store.sales.items() if order.is_filed}

    unfiled = first.get_orders()
    assert {row["order_id"] for row in unfiled} == set(sales) - filed
    assert all(row == rows[row["order_id"]] for row in unfiled)
    assert server.requests[-1].query == "direction=in&filed=False"
    assert {row["order_id"] for row in first.get_orders(filed=True)} == filed
    assert server.requests[-1].query == "direction=in&filed=True"
    assert {row["order_id"] for row in first.get_orders(direction="out")} == set(store.purchases)
    closed = {"purged", "completed"}
    some = {row["order_id"] for row in first.get_orders(status="purged,completed")}
    others = {row["order_id"] for row in first.get_orders(status="-purged,-completed")}
    assert some == {number for number in set(sales) - filed if sales[number].status.lower() in closed}
    assert some
    assert others == set(sales) - filed - some


def test_bricklink_py_reads_an_order_and_its_parts(first: Any, store: Store, server: SandboxServer) -> None:
    """Planted: the feedback of another order; batches that are one list."""
    order = with_conversation(store)
    store.add_batch(order.order_id)
    order, wire, written = store.order(order.order_id), server.wire, store.conversations

    assert first.get_order(order.order_id) == wire.detail(order)
    items = first.get_order_items(order.order_id)
    assert items == wire.items(order)
    assert [len(batch) for batch in items] == [len(batch) for batch in order.batches]
    assert len(items) == 2
    messages = first.get_order_messages(order.order_id)
    assert messages == wire.messages(written.messages(order))
    assert messages[-1]["subject"] == "Question"
    feedback = first.get_order_feedback(order.order_id)
    assert feedback == wire.feedback(order, written.feedback(order))
    assert (feedback[-1]["order_id"], feedback[-1]["comment"]) == (order.order_id, "Fast &amp; well packed")


def test_bricklink_py_writes(first: Any, store: Store, server: SandboxServer) -> None:
    """Its faults: after a write without data it answers with the envelope, and `mail_me` begins with a capital letter.

    Planted: a status without effect; 200 instead of 204.
    """
    number = pending(store).order_id

    answer = first.update_order(
        number,
        {
            "shipping": {"date_shipped": "2026-03-01T10:00:00.000Z", "tracking_no": "RR1", "method_id": 9},
            "cost": {"shipping": "7.5000", "credit": "0.2500"},
            "is_filed": False,
            "remarks": "packed",
        },
    )
    changed = store.order(number)
    assert answer == server.wire.detail(changed)
    assert (changed.shipping.method_id, changed.shipping.tracking_no, changed.remarks) == (9, "RR1", "packed")
    assert (changed.costs.shipping, changed.costs.credit) == (Decimal("7.5"), Decimal("0.25"))
    paid = {"field": "payment_status", "value": "Received"}
    assert first.update_payment_status(number, paid) == DONE
    assert first.update_order_status(number, {"field": "status", "value": "PACKED"}) == DONE
    assert first.send_drive_thru(number) == DONE
    assert server.requests[-1].query == "mail_me=False"
    assert first.send_drive_thru(number, mail_me=True) == DONE
    done = store.order(number)
    assert (done.payment.status, done.status, store.drive_thrus(number)) == ("Received", "PACKED", 2)
    assert all(request.had_effect for request in server.requests)


def test_bricklink_py_sees_refusals_as_errors(first: Any, store: Store, server: SandboxServer) -> None:
    """Planted: 400 for an order that does not exist."""
    cancelled = store.cancel(pending(store).order_id)
    with pytest.raises(bricklink_py.utils.ResourceNotFoundError) as missing:
        first.get_order(1)
    assert missing.value.status_code == 404
    with pytest.raises(bricklink_py.utils.BricklinkError) as closed:
        first.update_order_status(cancelled.order_id, {"field": "status", "value": "PACKED"})
    assert (closed.value.status_code, closed.value.message) == (422, "RESOURCE_UPDATE_NOT_ALLOWED")
    assert closed.value.response_data["meta"]["description"] == "NOT_IN_UPDATABLE_STATUS"
    with pytest.raises(bricklink_py.utils.BricklinkError) as unknown:
        first.update_payment_status(pending(store).order_id, {"field": "payment_status", "value": "Sent"})
    assert unknown.value.status_code == 400


def lost(sent: dict[str, Any], model: Any, path: str = "") -> Iterator[str]:
    """The properties of an answer that python-bricklink-api does not keep; what it keeps must be as it was sent."""
    for name, value in sent.items():
        if not hasattr(model, name):
            yield path + name
        elif isinstance(value, dict):
            yield from lost(value, getattr(model, name), f"{path}{name}.")
        else:
            assert getattr(model, name) == value, path + name


NOT_KEPT = {
    "salesTax_collected_by_bl", "vat_collected_by_bl", "shipping.address.phone_number", "cost.salesTax",
    "cost.final_total", "disp_cost.final_total",
}  # fmt: skip
"""What BrickLink added after the client was written."""


def test_python_bricklink_api_lists_orders(second: Any, store: Store, server: SandboxServer) -> None:
    """Its fault: it asks for filed orders by the name `filled`, which is ignored, so it never gets them."""
    unfiled = {order_id for order_id, order in store.sales.items() if not order.is_filed}

    rows = second.list().items()
    assert {row.order_id for row in rows} == unfiled
    for row in rows:
        assert set(lost(server.wire.row(store.order(row.order_id)), row)) <= NOT_KEPT
    assert {row.order_id for row in second.list(filled=True).items()} == unfiled != set(store.sales)
    assert server.requests[-1].query == "direction=in&filled=True"
    assert {row.order_id for row in second.list(direction="out").items()} == set(store.purchases)
    some = second.list(status=["purged", "COMPLETED"]).items()
    assert {row.status for row in some} == {"PURGED", "COMPLETED"}


def test_python_bricklink_api_reads_orders_and_items(second: Any, store: Store, server: SandboxServer) -> None:
    """Its fault: it makes one list of the batches. Planted: items of the first batch only."""
    number = pending(store).order_id
    batches = store.add_batch(number).batches
    lots = [lot for batch in server.wire.items(store.order(number)) for lot in batch]

    found = set()
    for order in store.sales.values():
        found |= set(lost(server.wire.detail(order), second.get(order.order_id)))
    assert found == NOT_KEPT
    for items in (second.getItems(number).items(), second.get(number, withItems=True).order_items.items()):
        assert [item.quantity for item in items] == [lot.quantity for batch in batches for lot in batch]
        assert {name for lot, item in zip(lots, items, strict=True) for name in lost(lot, item)} <= {"order_cost"}


def test_python_bricklink_api_writes(second: Any, store: Store, server: SandboxServer) -> None:
    """Planted: a status without effect; tracking that is ignored."""
    number = pending(store).order_id
    amounts = {"cost_shipping": "7.5", "cost_insurance": "1", "cost_credit": "0.25", "cost_etc1": "2", "cost_etc2": "3"}
    when = "2026-03-01T10:00:00.000Z"

    assert second.update(
        number, date_shipped=when, tracking_no="RR1", tracking_link="https://example.org/1", shipping_method_id=9,
        remarks="packed", is_filed=True, **amounts,
    ) is True  # fmt: skip
    assert second.updateStatus(number, "PACKED") is True

    done = store.order(number)
    assert done.costs[:5] == tuple(map(Decimal, ("7.5", "1", "2", "3", "0.25")))
    assert (done.shipping.method_id, done.shipping.tracking_no, done.shipping.tracking_link) == (
        9, "RR1", "https://example.org/1",
    )  # fmt: skip
    assert done.shipping.date_shipped is not None
    assert (done.status, done.remarks, done.is_filed) == ("PACKED", "packed", True)
    assert all(request.had_effect for request in server.requests)


def test_what_python_bricklink_api_writes_wrongly_has_no_effect(
    second: Any, store: Store, server: SandboxServer
) -> None:
    """Its faults: a payment status goes to the path of the order's; a part given as an object has other names
    ("Tracking@no"), which are ignored; and it does not send what Python takes for false, so nothing can be unfiled.

    Planted: names read whatever their case and signs; a status that is set whatever the field.
    """
    order = store.file(pending(store).order_id)

    refused = second.updatePayment(order.order_id, PaymentStatus.COMPLETED)
    assert (refused.hasError, refused.error.code, refused.error.message) == (True, 400, "PARAMETER_MISSING_OR_INVALID")
    assert server.requests[-1].path == f"/orders/{order.order_id}/status"
    assert not server.requests[-1].had_effect
    assert second.update(order.order_id, shipping=Shipping(tracking_no="RR1")) is True
    assert second.update(order.order_id, is_filed=False, remarks="", cost_etc1=0) is True
    assert store.order(order.order_id) == order


def test_python_bricklink_api_sees_refusals(second: Any, store: Store, server: SandboxServer) -> None:
    cancelled = store.cancel(pending(store).order_id)
    for answer, code, description in (
        (second.get(1), 404, "RESOURCE_NOT_FOUND: order 1"),
        (second.getItems(1), 404, "RESOURCE_NOT_FOUND: order 1"),
        (second.updateStatus(cancelled.order_id, "PACKED"), 422, "NOT_IN_UPDATABLE_STATUS"),
        (second.update(cancelled.order_id, tracking_no="RR1"), 422, "NOT_IN_UPDATABLE_STATUS"),
    ):
        assert (answer.hasError, answer.error.code, answer.error.description) == (True, code, description)


@pytest.mark.parametrize("secret", ["consumer_key", "consumer_secret", "token_value", "token_secret"])
def test_their_signatures_are_checked(serve: Serve, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """A read and a write of each client with one wrong secret. Planted: a sandbox that does not check writes."""
    server = serve()
    number = pending(server.store).order_id
    before = server.store.order(number)
    client, second = first_at(server, monkeypatch, **{secret: "wrong"}), second_at(server, **{secret: "wrong"})

    with closing(client.oauth_session):
        for call, body in ((client.order.get_order, ()), (client.order.update_order, ({"remarks": "x"},))):
            with pytest.raises(bricklink_py.utils.AuthenticationError) as refused:
                call(number, *body)
            assert refused.value.status_code == 401
    assert second.get(number).error.code == second.update(number, remarks="x").error.code == 401
    assert server.store.order(number) is before
    assert [request.code for request in server.requests] == [401] * 4


@pytest.mark.parametrize("purged_items", ["empty", "absent", "not_found"])
def test_each_form_of_the_items_of_a_purged_order_reaches_the_clients(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, purged_items: Any
) -> None:
    """Their faults: without `data`, the first answers with the envelope and the second fails with KeyError."""
    server = serve(wire=Wire(purged_items=purged_items))
    number = next(order.order_id for order in server.store.sales.values() if order.is_purged)
    client, second = first_at(server, monkeypatch), second_at(server)
    with closing(client.oauth_session):
        if purged_items == "empty":
            assert client.order.get_order_items(number) == second.getItems(number).items() == []
        elif purged_items == "absent":
            assert client.order.get_order_items(number)["meta"]["code"] == 200
            with pytest.raises(KeyError, match="data"):
                second.getItems(number)
        else:
            with pytest.raises(bricklink_py.utils.ResourceNotFoundError):
                client.order.get_order_items(number)
            assert second.getItems(number).error.code == 404

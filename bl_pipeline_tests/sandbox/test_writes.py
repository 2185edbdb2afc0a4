"""The sandbox's writes, over HTTP: their effects, what is refused, and faults before and after the effect."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
import requests

from bl_pipeline.sandbox import Fault, SandboxOrder, SandboxServer, Store
from bl_pipeline_tests.sandbox.conftest import Serve, SignedSession


@pytest.fixture
def server(serve: Serve) -> SandboxServer:
    return serve(stall=0.1)


@pytest.fixture
def session(server: SandboxServer, signed: SignedSession) -> requests.Session:
    return signed(server)


def pending(store: Store) -> SandboxOrder:
    """An order that nobody has paid."""
    return store.order(store.place_order())


def sent(
    session: requests.Session, server: SandboxServer, method: str, path: str, body: Any = None, kind: str | None = None
) -> requests.Response:
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": kind or "application/json"} if data is not None else {}
    return session.request(method, f"{server.url}{path}", data=data, headers=headers, allow_redirects=False)


def meta(answer: requests.Response) -> tuple[int, str, str]:
    """Code, message and description of an answer without data, which is HTTP 200."""
    assert (answer.status_code, set(answer.json())) == (200, {"meta"})
    found = answer.json()["meta"]
    return found["code"], found["message"], found["description"]


def test_an_update_changes_what_a_seller_can_change(
    store: Store, server: SandboxServer, session: requests.Session
) -> None:
    """And answers with the order; what is not listed in the manual is ignored. Planted: date_status_changed moved."""
    before = pending(store)
    path = f"/orders/{before.order_id}"
    body = {
        "shipping": {"tracking_no": "RR1", "tracking_link": "https://example.org/1", "method_id": 9,
                     "date_shipped": "2026-03-01T10:00:00.000Z", "method": "by ship"},
        "cost": {"shipping": "7.5000", "insurance": "1.0000", "credit": "0.2500", "etc1": "0.1000", "etc2": "0.0001",
                 "coupon": "99.0000"},
        "remarks": "packed", "is_filed": True, "status": "COMPLETED", "buyer_name": "another",
    }  # fmt: skip

    answer = sent(session, server, "PUT", path, body).json()

    after = store.order(before.order_id)
    assert answer == {"meta": {"description": "OK", "message": "OK", "code": 200}, "data": server.wire.detail(after)}
    assert after.shipping[:1] + after.shipping[2:4] == (9, "RR1", "https://example.org/1")
    assert after.shipping.date_shipped is not None
    assert after.costs[:5] == tuple(map(Decimal, ("7.5", "1", "0.1", "0.0001", "0.25")))
    assert (after.remarks, after.is_filed) == ("packed", True)
    assert (after.status, after.buyer, after.costs.coupon, after.shipping.method, after.date_status_changed) == (
        before.status, before.buyer, before.costs.coupon, before.shipping.method, before.date_status_changed,
    )  # fmt: skip
    assert server.requests[-1].had_effect
    sent(session, server, "PUT", path, {"shipping": {"tracking_no": ""}, "remarks": "", "is_filed": False})
    empty = store.order(before.order_id)
    assert (empty.shipping.tracking_no, empty.remarks, empty.is_filed) == (None, None, False)
    assert empty.shipping.tracking_link == "https://example.org/1"


def test_a_change_of_the_costs_recalculates_the_sales_tax(
    store: Store, server: SandboxServer, session: requests.Session
) -> None:
    order = pending(store)
    taxed = order.costs._replace(sales_tax_rate=Decimal(10), shipping=Decimal(0))
    store.update(order.order_id, costs=taxed._asdict())
    before = store.order(order.order_id)

    sent(session, server, "PUT", f"/orders/{order.order_id}", {"cost": {"shipping": "10.00"}})

    after = store.order(order.order_id)
    assert after.sales_tax - before.sales_tax == Decimal("1.00")
    assert after.grand_total - before.grand_total == Decimal("11.00")


def test_costs_of_a_paid_order_are_ignored(store: Store, server: SandboxServer, session: requests.Session) -> None:
    order = store.order(store.place_order(paid=True))

    answer = sent(session, server, "PUT", f"/orders/{order.order_id}", {"cost": {"etc1": "5"}, "remarks": "seen"})

    assert answer.json()["meta"]["code"] == 200
    assert (store.order(order.order_id).costs, store.order(order.order_id).remarks) == (order.costs, "seen")


def test_a_status_moves_its_time_and_a_payment_status_does_not(
    store: Store, server: SandboxServer, session: requests.Session
) -> None:
    order = pending(store)
    path = f"/orders/{order.order_id}"

    paid = sent(session, server, "PUT", f"{path}/payment_status", {"field": "payment_status", "value": "Received"})
    after = store.order(order.order_id)
    assert meta(paid) == (204, "OK_NO_CONTENT", "OK_NO_CONTENT")
    assert (after.payment.status, after.status, after.date_status_changed) == (
        "Received", "PENDING", order.date_status_changed,
    )  # fmt: skip
    assert after.payment.date_paid is not None

    shipped = sent(session, server, "PUT", f"{path}/status", {"field": "status", "value": "SHIPPED"})
    assert meta(shipped)[0] == 204
    assert store.order(order.order_id).status == "SHIPPED"
    assert store.order(order.order_id).date_status_changed > order.date_status_changed

    sent(session, server, "PUT", f"{path}/payment_status", {"field": "payment_status", "value": "None"})
    assert store.order(order.order_id).payment.date_paid is None


@pytest.mark.parametrize("query", ["", "?mail_me=true", "?mail_me=False"])
def test_each_drive_thru_is_an_e_mail_more(
    query: str, store: Store, server: SandboxServer, session: requests.Session
) -> None:
    order = pending(store)
    for number in (1, 2):
        assert meta(sent(session, server, "POST", f"/orders/{order.order_id}/drive_thru{query}"))[0] == 204
        assert (store.order(order.order_id).drive_thru_sent, store.drive_thrus(order.order_id)) == (True, number)


STATUS = {"field": "status", "value": "PACKED"}
REFUSALS: list[tuple[str, str, Any, str | None, tuple[int, str]]] = [
    ("PUT", "/orders/1", {}, None, (404, "RESOURCE_NOT_FOUND")),
    ("PUT", "/orders/1/status", STATUS, None, (404, "RESOURCE_NOT_FOUND")),
    ("POST", "/orders/1/drive_thru", None, None, (404, "RESOURCE_NOT_FOUND")),
    ("PUT", "/orders/x/status", STATUS, None, (400, "PARAMETER_MISSING_OR_INVALID")),
    ("PUT", "{}", {}, "application/json; charset=utf-8", (415, "UNSUPPORTED_MEDIA_TYPE")),
    ("PUT", "{}/status", STATUS, "text/plain", (415, "UNSUPPORTED_MEDIA_TYPE")),
    ("PUT", "{}", b"{", None, (400, "INVALID_REQUEST_BODY")),
    ("PUT", "{}", [], None, (400, "INVALID_REQUEST_BODY")),
    ("PUT", "{}", {"shipping": 7}, None, (400, "INVALID_REQUEST_BODY")),
    ("PUT", "{}", {"is_filed": "yes"}, None, (400, "INVALID_REQUEST_BODY")),
    ("PUT", "{}", {"cost": {"etc1": "4,20"}}, None, (400, "INVALID_REQUEST_BODY")),
    ("PUT", "{}", {"cost": {"etc1": "-1"}}, None, (400, "INVALID_REQUEST_BODY")),
    ("PUT", "{}", {"shipping": {"date_shipped": "soon"}}, None, (400, "INVALID_REQUEST_BODY")),
    ("PUT", "{}", {"shipping": {"date_shipped": "0001-01-01T00:00+14:00"}}, None, (400, "INVALID_REQUEST_BODY")),
    ("PUT", "{}", b'{"shipping":{"method_id":1e999}}', None, (400, "INVALID_REQUEST_BODY")),
    ("PUT", "{}", b'{"remarks":"\\ud800"}', None, (400, "INVALID_REQUEST_BODY")),
    ("PUT", "{}", b'{"cost":{"etc1":1e400}}', None, (400, "INVALID_REQUEST_BODY")),
    ("PUT", "{}", b'{"a":' * 100_000, None, (400, "INVALID_REQUEST_BODY")),
    ("PUT", "{}/status", {"field": "status", "value": ["PAID"]}, None, (400, "PARAMETER_MISSING_OR_INVALID")),
    ("PUT", "{}/status", {"field": "payment_status", "value": "PAID"}, None, (400, "PARAMETER_MISSING_OR_INVALID")),
    ("PUT", "{}/status", {"field": "status", "value": "CANCELLED"}, None, (400, "PARAMETER_MISSING_OR_INVALID")),
    ("PUT", "{}/payment_status", {"field": "payment_status", "value": "Sent"}, None,
     (400, "PARAMETER_MISSING_OR_INVALID")),
    ("POST", "{}/drive_thru?mail_me=2", None, None, (400, "PARAMETER_MISSING_OR_INVALID")),
    ("POST", "{}", {}, None, (405, "METHOD_NOT_ALLOWED")),
    ("GET", "{}/status", None, None, (405, "METHOD_NOT_ALLOWED")),
    ("PUT", "{}/items", {}, None, (405, "METHOD_NOT_ALLOWED")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "kind", "refused"), REFUSALS)
def test_refusals_are_in_the_api_s_shape_and_change_nothing(
    method: str, path: str, body: Any, kind: str | None, refused: tuple[int, str],
    store: Store, server: SandboxServer, session: requests.Session,
) -> None:  # fmt: skip
    order = pending(store)

    answer = sent(session, server, method, path.format(f"/orders/{order.order_id}"), body, kind)

    assert meta(answer)[:2] == refused
    assert store.order(order.order_id) is order
    assert not server.requests[-1].had_effect


@pytest.mark.parametrize("status", ["CANCELLED", "PURGED", "NPB", "OCR"])
def test_an_order_that_is_closed_can_only_be_filed_and_remarked_upon(
    status: str, store: Store, server: SandboxServer, session: requests.Session
) -> None:
    order = store.set_status(store.place_order(), status)
    path = f"/orders/{order.order_id}"
    closed = (422, "RESOURCE_UPDATE_NOT_ALLOWED", "NOT_IN_UPDATABLE_STATUS")

    for answer in (
        sent(session, server, "PUT", path, {"cost": {"etc1": "1"}}),
        sent(session, server, "PUT", path, {"shipping": {"tracking_no": "RR1"}, "remarks": "sent"}),
        sent(session, server, "PUT", f"{path}/status", STATUS),
        sent(session, server, "PUT", f"{path}/payment_status", {"field": "payment_status", "value": "None"}),
        sent(session, server, "POST", f"{path}/drive_thru"),
    ):
        assert meta(answer) == closed
    assert store.order(order.order_id) is order
    sent(session, server, "PUT", path, {"is_filed": True, "remarks": "lost"})
    assert (store.order(order.order_id).is_filed, store.order(order.order_id).remarks) == (True, "lost")


REFUSED = [
    Fault.RATE_LIMIT_ENVELOPE, Fault.RATE_LIMIT_HTTP, Fault.UNAUTHORIZED, Fault.UNAUTHORIZED_HTTP, Fault.IP_MISMATCH,
    Fault.FORBIDDEN,
]  # fmt: skip
OPEN = [fault for fault in Fault if fault not in (*REFUSED, Fault.CODE_AS_STRING)]


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("fault", OPEN + REFUSED)
def test_a_fault_comes_before_the_effect_or_after_it(
    fault: Fault, after_effect: bool, store: Store, server: SandboxServer, session: requests.Session
) -> None:
    """Planted: an effect whatever the fault; the refusals among those that may come after it."""
    order = pending(store)
    for method, path, body in (
        ("PUT", "/status", STATUS),
        ("POST", "/drive_thru", None),
        ("PUT", "", {"remarks": "x"}),
    ):
        server.faults.next(fault)
        server.faults.after_effect = after_effect
        try:
            sent(session, server, method, f"/orders/{order.order_id}{path}", body)
        except requests.exceptions.RequestException:
            assert fault in (Fault.TIMEOUT, Fault.RESET, Fault.CUT_SHORT)
        assert server.requests[-1].had_effect == (after_effect and fault in OPEN)
    after = store.order(order.order_id)
    done = ("PACKED", True, "x") if after_effect and fault in OPEN else ("PENDING", False, order.remarks)
    assert (after.status, after.drive_thru_sent, after.remarks) == done
    server.faults.clear()
    assert not server.faults.after_effect

"""Each method goes the same way, and a write has one effect: it is never sent again once it may have been done."""

from __future__ import annotations

import json
import pickle
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bl_pipeline.bricklink import (
    BrickLinkClient,
    BrickLinkError,
    InvalidAnswer,
    InvalidResource,
    RateLimited,
    Request,
    Response,
    RetryPolicy,
    ServerError,
    ServiceDown,
    Unreachable,
)
from bl_pipeline.bricklink.envelope import NOTHING, ORDER
from bl_pipeline.bricklink.reading import read_order
from bl_pipeline.bricklink.transport import Method
from bl_pipeline_tests.support.api import Api, Ledger, Reply, envelope

Connect = Callable[..., BrickLinkClient]

ORDER_31 = {
    "order_id": 31,
    "date_ordered": "2024-03-01T08:00:00.000Z",
    "status": "PAID",
    "cost": {"currency_code": "EUR"},
}
WRITES: list[Method] = ["PUT", "POST"]


class Answers:
    """A transport without a network: its answers one after the other, and what it was asked."""

    def __init__(self, *answers: Reply | BrickLinkError) -> None:
        self._answers: Iterator[Reply | BrickLinkError] = iter(answers)
        self.requests: list[Request] = []

    def send(self, request: Request) -> Response:
        self.requests.append(request)
        answer = next(self._answers)
        if isinstance(answer, BrickLinkError):
            raise answer
        return Response(answer.status, answer.headers, answer.body)


def call(client: BrickLinkClient, method: Method, *, path: str = "/orders/31", body: Any = None) -> Any:
    """The answer to a call, read as an order."""
    return client._call(method, path, ORDER, read_order, body=body).read()


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_each_method_goes_through_the_transport_and_the_ledger(
    connect: Connect, ledger: Ledger, method: Method
) -> None:
    transport = Answers(envelope(ORDER_31))
    body = None if method == "GET" else {"remarks": "caf\u00e9"}
    client = connect(transport=transport, base_url="http://bricklink.test/api/")
    assert call(client, method, body=body).status == "PAID"
    (request,) = transport.requests
    assert (request.method, request.url) == (method, "http://bricklink.test/api/orders/31")
    assert request.body == (None if method == "GET" else b'{"remarks":"caf\xc3\xa9"}')
    assert ledger.entries == [[method, "/orders/31", "ok"]]
    assert "OAuth" not in repr(request)
    assert "remarks" not in repr(request)


@pytest.mark.parametrize("method", WRITES)
def test_a_body_is_json_without_a_charset(api: Api, client: BrickLinkClient, method: Method) -> None:
    """Over real HTTP. Planted: `application/json; charset=utf-8`, which BrickLink refuses."""
    api.replies = [envelope(ORDER_31)]
    call(client, method, body={"field": "status", "value": "PACKED"})
    (request,) = api.requests
    assert request.method == method
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body) == {"field": "status", "value": "PACKED"}


def test_without_a_body_nothing_says_what_is_in_it(api: Api, client: BrickLinkClient) -> None:
    api.replies = [envelope(ORDER_31), envelope(code=204)]
    call(client, "GET")
    sent = client._call("POST", "/orders/31/drive_thru?mail_me=true", NOTHING, bytes)
    assert (sent.raw, sent.method) == (b"", "POST")
    assert [(request.body, request.headers.get("Content-Type")) for request in api.requests] == [(b"", None)] * 2
    assert api.requests[1].headers["Content-Length"] == "0"
    assert api.requests[1].path.endswith("/orders/31/drive_thru?mail_me=true")


def test_errors_carry_the_method_and_the_path(connect: Connect) -> None:
    client = connect(transport=Answers(envelope(code=422, description="NOT_IN_UPDATABLE_STATUS")))
    with pytest.raises(BrickLinkError) as caught:
        call(client, "PUT")
    assert (caught.value.method, caught.value.path) == ("PUT", "/orders/31")
    assert caught.value.message == "BrickLink does not allow this change while the order has its present status."
    assert caught.value.details == "[PUT /orders/31, HTTP 200, code 422, NOT_IN_UPDATABLE_STATUS]"
    assert not caught.value.may_have_effect
    assert str(pickle.loads(pickle.dumps(caught.value))) == f"{caught.value.message}\n{caught.value.details}"


def test_an_answer_that_cannot_be_read_names_the_write(connect: Connect) -> None:
    with pytest.raises(InvalidResource) as caught:
        call(connect(transport=Answers(envelope({**ORDER_31, "cost": 7}))), "PUT")
    assert caught.value.details == "[PUT /orders/31]"
    assert caught.value.may_have_effect


UNCERTAIN = {
    "dropped": (Reply(drop=True), Unreachable),
    "cut off": (Reply(b'{"meta":{"code":200}', cut=True), Unreachable),
    "a gateway's page": (Reply(b"<html></html>", 503), ServerError),
    "500": (envelope(code=500), ServerError),
    "a redirect": (Reply(b"", 302, {"Location": "/error.page"}), ServerError),
    "empty": (Reply(b""), InvalidAnswer),
    "no data": (envelope(), InvalidAnswer),
}


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("name", UNCERTAIN)
def test_a_write_that_may_have_been_done_is_sent_once(
    name: str, method: Method, api: Api, client: BrickLinkClient, ledger: Ledger, waits: list[float]
) -> None:
    """Over real HTTP. Planted: a write tried again as a GET is."""
    fault, kind = UNCERTAIN[name]
    api.replies = [fault, envelope(ORDER_31)]
    with pytest.raises(kind) as caught:
        call(client, method, body={})
    assert (type(caught.value), caught.value.may_have_effect) == (kind, True)
    assert (len(api.requests), len(ledger.entries), waits) == (1, 1, [])


@pytest.mark.parametrize("method", WRITES)
def test_a_write_whose_answer_is_late_is_sent_once(method: Method, api: Api, connect: Connect, ledger: Ledger) -> None:
    api.replies = [Reply(b"x" * 100, stall=True), envelope(ORDER_31)]
    with pytest.raises(Unreachable) as caught:
        call(connect(timeout=0.5), method, body={})
    assert caught.value.may_have_effect
    assert ledger.outcomes == ["timeout"]


@pytest.mark.parametrize("method", WRITES)
def test_a_write_that_was_not_sent_is_tried_again(connect: Connect, ledger: Ledger, method: Method) -> None:
    """A port without a listener, and a name that nobody knows."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable) as caught:
            call(connect(base_url=f"http://127.0.0.1:{closed.getsockname()[1]}"), method, body={})
    assert not caught.value.may_have_effect
    with pytest.raises(Unreachable, match=r"\(dns\)"):
        call(connect(base_url="https://bricklink.invalid", retry=RetryPolicy(max_attempts=2)), method, body={})
    assert ledger.entries == [[method, "/orders/31", "connection"]] * 4 + [[method, "/orders/31", "dns"]] * 2


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("refusal", [envelope(code=429), Reply(b"", 429)])
def test_a_write_refused_for_too_many_calls_is_tried_once_more(
    connect: Connect, ledger: Ledger, method: Method, refusal: Reply
) -> None:
    assert call(connect(transport=Answers(refusal, envelope(ORDER_31))), method, body={}).status == "PAID"
    with pytest.raises(RateLimited):
        call(connect(transport=Answers(refusal, refusal)), method, body={})
    assert ledger.outcomes == ["RateLimited", "ok", "RateLimited", "RateLimited"]


def test_each_attempt_of_a_write_has_a_signature_of_its_own(connect: Connect) -> None:
    transport = Answers(envelope(code=429), envelope(ORDER_31))
    call(connect(transport=transport), "PUT", body={})
    first, second = (request.headers["Authorization"] for request in transport.requests)
    assert first != second


def test_a_dead_service_never_hides_that_a_write_may_have_been_done(connect: Connect) -> None:
    """Planted: ServiceDown in place of the fault that opened the breaker."""
    client = connect(transport=Answers(Reply(b"", 503)), retry=RetryPolicy(max_failures_in_a_row=1))
    with pytest.raises(ServerError) as caught:
        call(client, "PUT", body={})
    assert caught.value.may_have_effect
    with pytest.raises(ServiceDown) as down:
        call(client, "PUT", body={})
    assert not down.value.may_have_effect
    assert (down.value.method, down.value.path) == ("PUT", "/orders/31")

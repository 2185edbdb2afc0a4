from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from bl_pipeline.bricklink import BrickLinkClient, InvalidAnswer, InvalidResource, RequestRefused, Response
from bl_pipeline.bricklink import Request as TransportRequest
from bl_pipeline_tests.support.api import Api, BudgetSpentError, Ledger, Reply, envelope

Connect = Callable[..., BrickLinkClient]

ROW = {
    "order_id": 31,
    "date_ordered": "2024-03-01T08:00:00.000Z",
    "status": "PAID",
    "cost": {"currency_code": "EUR", "subtotal": "1.2345"},
}
ITEM = {"item": {"no": "3001"}, "quantity": 2}


def test_lists_of_sales_are_asked_for_in_full(api: Api, client: BrickLinkClient, ledger: Ledger) -> None:
    api.replies = [envelope([])]
    client.orders(filed=False)
    client.orders(filed=True)
    assert [request.path for request in api.requests] == [
        "/api/store/v1/orders?direction=in&filed=false",
        "/api/store/v1/orders?direction=in&filed=true",
    ]
    assert ledger.entries == [
        ["GET", "/orders?direction=in&filed=false", "ok"],
        ["GET", "/orders?direction=in&filed=true", "ok"],
    ]


def test_an_order_and_its_items_are_asked_for_by_id(api: Api, client: BrickLinkClient) -> None:
    api.replies = [envelope(ROW), envelope([[ITEM]])]
    assert client.order("31").read().cost.subtotal == "1.2345"
    assert client.order_items(31).read()[0][0].item.no == "3001"  # type: ignore[union-attr]
    assert [request.path for request in api.requests] == [
        "/api/store/v1/orders/31",
        "/api/store/v1/orders/31/items",
    ]


def test_an_id_that_is_none_is_refused_without_a_call(client: BrickLinkClient, ledger: Ledger) -> None:
    for order_id in ("", "31/items", "../x", "BL-31", "٣", -1):
        with pytest.raises(RequestRefused):
            client.order(order_id)
    assert ledger.entries == []


def test_raw_is_the_data_byte_by_byte(api: Api, connect: Connect) -> None:
    data = b'{ "order_id" :31, "remarks":"caf\xc3\xa9 \\u00e9 \\ud83d\\ude00 C:\\\\u0000", "x": 1.10 }'
    api.replies = [Reply(b'\xef\xbb\xbf{"data": ' + data + b' , "meta":{"code":"200"}}\n')]
    now = datetime(2024, 3, 1, 12, tzinfo=UTC)
    answer = connect(clock=lambda: now).order(31)
    assert (answer.raw, answer.received_at, answer.path) == (data, now, "/orders/31")


def test_characters_that_no_database_takes_are_replaced(api: Api, client: BrickLinkClient) -> None:
    data = b'{"a":"\xff","b":"\\ud83d","c":"\\u0000","d":"\\\\ud83d \\uDE00"}'
    api.replies = [Reply(b'{"meta":{"code":200},"data":' + data + b"}")]
    raw = client.order(31).raw
    assert raw == '{"a":"\ufffd","b":"\\ufffd","c":"\\ufffd","d":"\\\\ud83d \\ufffd"}'.encode()
    assert json.loads(raw)


def test_an_order_with_a_wrong_field_is_handed_over_all_the_same(api: Api, client: BrickLinkClient) -> None:
    api.replies = [envelope({**ROW, "cost": 7})]
    answer = client.order(31)
    assert json.loads(answer.raw)["cost"] == 7
    with pytest.raises(InvalidResource) as caught:
        answer.read()
    assert str(caught.value) == "Expected `object` - at `$.cost`\n[GET /orders/31]"


@pytest.mark.parametrize("code", [200, "200", 201, 204])
@pytest.mark.parametrize("data", [..., None, []])
def test_a_list_without_data_is_empty(api: Api, client: BrickLinkClient, code: object, data: object) -> None:
    api.replies = [envelope(data, code)]
    answer = client.orders(filed=True)
    assert (answer.raw, answer.read()) == (b"[]", ([], []))


@pytest.mark.parametrize("data", [..., None, []])
def test_an_order_without_data_is_a_fault(api: Api, client: BrickLinkClient, ledger: Ledger, data: object) -> None:
    api.replies = [envelope(data)]
    with pytest.raises(InvalidAnswer):
        client.order(31)
    assert ledger.outcomes == ["InvalidAnswer"] * 4


@pytest.mark.parametrize("reply", [envelope(), envelope(None), envelope(code=404), envelope(code=404, status=404)])
def test_items_that_were_purged_are_empty(api: Api, client: BrickLinkClient, reply: Reply) -> None:
    api.replies = [reply]
    answer = client.order_items(31, purged=True)
    assert (answer.raw, answer.read(), len(api.requests)) == (b"[]", [], 1)


@pytest.mark.parametrize("reply", [envelope(), envelope(None), envelope(code=404)])
def test_an_order_may_have_neither_messages_nor_feedback(api: Api, client: BrickLinkClient, reply: Reply) -> None:
    api.replies = [reply]
    for answer in (client.order_messages(31), client.order_feedback(31)):
        assert (answer.raw, answer.read()) == (b"[]", [])
    assert [request.path.rpartition("/")[2] for request in api.requests] == ["messages", "feedback"]


@pytest.mark.parametrize("reply", [envelope(), envelope(None), envelope({})])
def test_items_of_any_other_order_may_not_be_missing(api: Api, client: BrickLinkClient, reply: Reply) -> None:
    api.replies = [reply]
    with pytest.raises(InvalidAnswer):
        client.order_items(31)


def test_a_spent_budget_goes_through_and_nothing_is_sent(api: Api, connect: Connect) -> None:
    api.replies = [envelope([])]
    with pytest.raises(BudgetSpentError):
        connect(call_log=Ledger(budget=0)).orders(filed=False)
    assert api.requests == []


def test_a_budget_spent_between_attempts_stops_the_retries(api: Api, connect: Connect) -> None:
    api.replies = [Reply(b"", 500)]
    ledger = Ledger(budget=2)
    with pytest.raises(BudgetSpentError):
        connect(call_log=ledger).orders(filed=False)
    assert (len(api.requests), ledger.outcomes) == (2, ["http_500", "http_500"])


def test_the_attempt_is_counted_before_it_is_sent(api: Api, connect: Connect, ledger: Ledger) -> None:
    seen = []
    api.replies = [lambda request: seen.append(ledger.outcomes) or envelope([])]  # type: ignore[func-returns-value]
    connect().orders(filed=False)
    assert seen == [[None]]


def test_an_interrupted_attempt_stays_counted_with_its_outcome_unknown(connect: Connect, ledger: Ledger) -> None:
    class Interrupted:
        def send(self, request: TransportRequest) -> Response:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        connect(transport=Interrupted()).orders(filed=False)
    assert ledger.outcomes == [None]


def test_a_sleep_that_raises_ends_the_call(api: Api, connect: Connect) -> None:
    class StoppedError(Exception):
        pass

    def stop(seconds: float) -> None:
        raise StoppedError

    api.replies = [Reply(b"", 500)]
    with pytest.raises(StoppedError):
        connect(sleep=stop).orders(filed=False)
    assert len(api.requests) == 1


@pytest.mark.parametrize("url", ["", "api.bricklink.com", "ftp://api.bricklink.com", "https://"])
def test_a_base_url_that_is_none_is_refused_at_once(connect: Connect, url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        connect(base_url=url)

"""The four writes of the order API: exactly what is sent, and what is refused before anything is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bl_pipeline.bricklink import (
    BrickLinkClient,
    CostUpdate,
    OrderProblem,
    OrderStatus,
    OrderUpdate,
    PaymentStatus,
    ProblemReason,
    ProblemType,
    RequestRefused,
    ShippingUpdate,
    is_paid,
    read_order,
    seller_status,
)
from bl_pipeline_tests.support.api import Api, Ledger, Reply, envelope

ORDER = {
    "order_id": 31,
    "date_ordered": "2024-03-01T08:00:00.000Z",
    "status": "PENDING",
    "cost": {"currency_code": "EUR"},
    "payment": {"status": "None"},
}
EVERYTHING = OrderUpdate(
    shipping=ShippingUpdate(
        date_shipped=datetime(2024, 3, 2, 1, 30, tzinfo=timezone(timedelta(hours=2))),
        tracking_no="RR 1",
        tracking_link="https://example.org/RR1",
        method_id=7,
    ),
    cost=CostUpdate(
        shipping=Decimal("4.2"),
        insurance=Decimal(0),
        credit=Decimal("0.3333"),
        etc1=Decimal("1E+1"),
        etc2=Decimal("2.00000"),
    ),
    remarks="caf\u00e9",
    is_filed=False,
)


def test_an_update_sends_what_is_given_and_nothing_else(api: Api, client: BrickLinkClient, ledger: Ledger) -> None:
    """Planted: fields that are not given sent as null; an amount as a number; a time in its own offset."""
    api.replies = [envelope(ORDER)]

    assert client.update_order(31, EVERYTHING).read().status == "PENDING"
    client.update_order(31, OrderUpdate(remarks=""))

    full, least = (json.loads(request.body) for request in api.requests)
    assert full == {
        "shipping": {
            "date_shipped": "2024-03-01T23:30:00.000Z",
            "tracking_no": "RR 1",
            "tracking_link": "https://example.org/RR1",
            "method_id": 7,
        },
        "cost": {
            "shipping": "4.2000", "insurance": "0.0000", "credit": "0.3333", "etc1": "10.0000", "etc2": "2.0000",
        },
        "remarks": "caf\u00e9",
        "is_filed": False,
    }  # fmt: skip
    assert least == {"remarks": ""}
    assert ledger.entries == [["PUT", "/orders/31", "ok"]] * 2


NO_CONTENT = {"in the envelope": envelope(code=204, message="OK_NO_CONTENT"), "of HTTP": Reply(b"", 204)}


@pytest.mark.parametrize("name", NO_CONTENT)
def test_statuses_and_a_drive_thru_have_no_data_in_their_answer(
    name: str, api: Api, client: BrickLinkClient, ledger: Ledger
) -> None:
    """Planted: an HTTP 204 taken for an empty answer, which may be a lost one."""
    api.replies = [NO_CONTENT[name]]

    client.update_order_status("31", OrderStatus.SHIPPED)
    client.update_payment_status(31, PaymentStatus.NONE)
    client.send_drive_thru(31)
    client.send_drive_thru(31, mail_me=True)

    status, payment, first, second = api.requests
    assert json.loads(status.body) == {"field": "status", "value": "SHIPPED"}
    assert json.loads(payment.body) == {"field": "payment_status", "value": "None"}
    assert {request.headers.get("Content-Type") for request in (status, payment)} == {"application/json"}
    assert (first.body, second.body) == (b"", b"")
    assert ledger.entries == [
        ["PUT", "/orders/31/status", "ok"],
        ["PUT", "/orders/31/payment_status", "ok"],
        ["POST", "/orders/31/drive_thru?mail_me=false", "ok"],
        ["POST", "/orders/31/drive_thru?mail_me=true", "ok"],
    ]


@pytest.mark.parametrize(
    ("part", "values", "why"),
    [
        (CostUpdate, {"shipping": Decimal("-0.01")}, "from 0"),
        (CostUpdate, {"credit": Decimal("NaN")}, "from 0"),
        (CostUpdate, {"etc1": Decimal("1E+9")}, "a billion"),
        (CostUpdate, {"etc2": Decimal("0.00001")}, "four decimals"),
        (ShippingUpdate, {"date_shipped": datetime(2024, 3, 2)}, "offset"),  # noqa: DTZ001
        (CostUpdate, {"etc1": Decimal("-0")}, "from 0"),
        (ShippingUpdate, {"date_shipped": datetime(1, 1, 1, tzinfo=UTC)}, "from 1995"),
        (ShippingUpdate, {"date_shipped": datetime(2100, 1, 1, tzinfo=UTC)}, "to 2099"),
        (ShippingUpdate, {"tracking_no": "RR\udcff"}, "tracking_no: has a character"),
        (OrderUpdate, {"remarks": "a\0b"}, "remarks: has a character"),
        (ShippingUpdate, {"method_id": -1}, "from 0"),
        (ShippingUpdate, {"method_id": 2**31}, "from 0"),
        (OrderUpdate, {}, "nothing to change"),
        (OrderUpdate, {"cost": CostUpdate(), "shipping": ShippingUpdate()}, "nothing to change"),
    ],
)
def test_what_bricklink_could_not_store_is_refused(part: Any, values: Any, why: str) -> None:
    with pytest.raises(RequestRefused, match=why):
        part(**values)


@pytest.mark.parametrize(
    ("part", "values"),
    [
        (CostUpdate, {"shipping": Decimal(0)}),
        (CostUpdate, {"credit": Decimal("999999999.9999")}),
        (ShippingUpdate, {"date_shipped": datetime(1995, 1, 1, tzinfo=UTC)}),
        (ShippingUpdate, {"date_shipped": datetime(2099, 12, 31, 23, 59, 59, 999999, UTC)}),
        (ShippingUpdate, {"method_id": 0}),
        (ShippingUpdate, {"method_id": 2**31 - 1}),
    ],
)
def test_the_least_and_the_most_that_bricklink_stores_are_taken(part: Any, values: Any) -> None:
    """Planted: each limit moved by one step."""
    assert part(**values).given().keys() == values.keys()


def test_money_is_never_a_float_and_a_field_never_unknown() -> None:
    with pytest.raises(TypeError):
        CostUpdate(shipping=4.2)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        OrderUpdate(status="PAID")  # type: ignore[call-arg]


@pytest.mark.parametrize("status", ["Sent", "Received", "Clearing", "Completed", "something new"])
def test_bricklink_ignores_costs_of_a_paid_order(status: str) -> None:
    assert is_paid(read_order(json.dumps(ORDER | {"payment": {"status": status}}).encode()))


@pytest.mark.parametrize("payment", [{"status": "None"}, {"status": "Bounced"}, {"status": "Returned"}, {}, None])
def test_costs_of_an_unpaid_order_can_be_changed(payment: Any) -> None:
    assert not is_paid(read_order(json.dumps(ORDER | {"payment": payment}).encode()))


@pytest.mark.parametrize("word", ["NPB", "CANCELLED", "PURGED", "PAID-PENDING", "OCR", "", "LOST"])
def test_a_status_that_a_seller_cannot_set_is_refused_with_those_that_can_be(word: str) -> None:
    with pytest.raises(RequestRefused, match=r"PENDING, UPDATED, .*COMPLETED"):
        seller_status(OrderStatus, word)


def test_statuses_are_read_in_any_case() -> None:
    assert seller_status(OrderStatus, " shipped ") is OrderStatus.SHIPPED
    assert seller_status(PaymentStatus, "NONE") is PaymentStatus.NONE
    with pytest.raises(RequestRefused, match="of a payment"):
        seller_status(PaymentStatus, "Sent")


def test_a_problem_has_one_of_the_official_reasons() -> None:
    problem = OrderProblem.of(ProblemType.FILE_NPB, ProblemReason.BUYER_DID_NOT_RESPOND, "no answer for 10 days")
    wire = {"type": "FILE_NPB", "reason_id": "6", "message": "no answer for 10 days"}

    assert json.loads(msgspec.json.encode(problem)) == wire
    assert msgspec.convert(wire, OrderProblem) == problem
    assert problem.reason is ProblemReason.BUYER_DID_NOT_RESPOND
    assert OrderProblem(kind=ProblemType.REMOVE_NPB, reason_id="999").reason is None
    assert len(ProblemReason) == 17

"""Which requests change an order, in which order, and what became of each, by what the order says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bl_pipeline.bricklink import Cost, Order, Payment, RequestRefused, Shipping
from bl_pipeline.rules.writes import (
    VERY_LATE,
    Fields,
    WriteKind,
    WriteOutcome,
    WriteRequest,
    before_of,
    changed_by_others,
    checked,
    differences,
    plan_writes,
    settle,
)

T = datetime(2026, 6, 1, 9, tzinfo=UTC)
UNPAID, PAID = Payment(status="None"), Payment(status="Received", date_paid=T)
NOW = timedelta(0)


def order(**fields: Any) -> Order:
    return Order(
        **{
            "order_id": 1,
            "date_ordered": T,
            "date_status_changed": T,
            "status": "PENDING",
            "payment": UNPAID,
            "cost": Cost(currency_code="EUR", shipping="4.5000"),
            "shipping": Shipping(method_id=7),
            "is_filed": False,
            **fields,
        }
    )


def requests(given: dict[str, Any], now: Order, **more: Any) -> list[tuple[str, Fields]]:
    plan = plan_writes(checked(given), now, **more)
    assert plan.refusals == []
    return [(request.kind.value, request.asked) for request in plan.requests]


EVERYTHING: dict[str, Any] = {
    "is_filed": True,
    "status": "shipped",
    "payment_status": "received",
    "tracking_no": "TR1",
    "tracking_link": "https://post.example/TR1",
    "date_shipped": T,
    "method_id": 9,
    "shipping": Decimal("5"),
    "insurance": Decimal("1.25"),
    "credit": Decimal("0.5"),
    "etc1": Decimal("0.1"),
    "etc2": Decimal("0.2"),
    "remarks": "Thanks & bye",
}


def test_costs_before_paid_and_tracking_before_shipped_and_filed_last() -> None:
    """Planted: the statuses before the update; the order filed with the rest of the update."""
    sent = requests(EVERYTHING, order())
    assert [kind for kind, _ in sent] == ["update", "payment_status", "status", "update"]
    first, payment, status, last = (asked for _, asked in sent)
    assert first.keys() == EVERYTHING.keys() - {"is_filed", "status", "payment_status"}
    assert (payment, status, last) == ({"payment_status": "Received"}, {"status": "SHIPPED"}, {"is_filed": True})


def test_without_a_status_one_request_does_all() -> None:
    given = {"is_filed": True, "tracking_no": "TR1", "shipping": Decimal("5")}
    assert requests(given, order()) == [
        ("update", {"tracking_no": "TR1", "shipping": "5.0000", "is_filed": True}),
    ]


def test_an_order_is_unfiled_before_its_status_changes() -> None:
    given = {"is_filed": False, "status": "PACKED"}
    sent = requests(given, order(is_filed=True))
    assert sent == [("update", {"is_filed": False}), ("status", {"status": "PACKED"})]


def test_what_the_order_says_already_is_not_sent() -> None:
    """Planted: texts compared as BrickLink escapes them; an amount that is left out taken for another than 0."""
    now = order(
        status="SHIPPED",
        payment=PAID,
        is_filed=True,
        remarks="Thanks &amp; bye",
        shipping=Shipping(method_id=9, tracking_no="TR1", tracking_link="https://post.example/TR1", date_shipped=T),
        cost=Cost(currency_code="EUR", shipping="5.00", insurance="1.25", credit="0.5", etc1="0.1", etc2="0.2"),
    )
    plan = plan_writes(checked(EVERYTHING), now)
    assert plan.requests == []
    assert set(plan.already) == set(EVERYTHING)
    assert requests({"credit": Decimal(0), "remarks": "", "tracking_no": " "}, order()) == []


@pytest.mark.parametrize("name", ["shipping", "insurance", "credit", "etc1", "etc2"])
def test_no_cost_of_a_paid_order_is_sent(name: str) -> None:
    """Planted: costs sent whatever the payment status; one of them left out of the list."""
    given = checked({name: Decimal("9.99"), "tracking_no": "TR1"})
    for payment in (PAID, Payment(status="Clearing"), Payment(status="Completed"), Payment(status="Sent")):
        plan = plan_writes(given, order(payment=payment))
        assert plan.requests == []
        assert name in plan.refusals[0]
    for unpaid in (UNPAID, Payment(status="Returned"), Payment(status="Bounced"), None):
        assert plan_writes(given, order(payment=unpaid)).refusals == []


def test_a_cost_that_a_paid_order_has_already_is_no_refusal() -> None:
    assert requests({"shipping": Decimal("4.50"), "remarks": "x"}, order(payment=PAID)) == [
        ("update", {"remarks": "x"})
    ]


def test_a_purged_order_is_not_changed() -> None:
    plan = plan_writes(checked({"remarks": "x"}), order(status="PURGED"))
    assert plan.requests == []
    assert "purged" in plan.refusals[0]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"status": "PURGED"},
        {"status": "CANCELLED"},
        {"payment_status": "Sent"},
        {"shipping": Decimal("-1")},
        {"credit": Decimal("0.00001")},
        {"date_shipped": datetime(2026, 6, 1)},  # noqa: DTZ001  (refused because of it)
        {"method_id": -1},
    ],
)
def test_what_bricklink_would_not_take_is_refused_at_once(given: dict[str, Any]) -> None:
    with pytest.raises(RequestRefused):
        checked(given)


def test_a_drive_thru_is_sent_only_if_it_was_not() -> None:
    """Planted: what sync.writes knows ignored, so that a second one goes out if the order shows none."""
    asked = {"drive_thru": True}
    assert requests(asked, order(drive_thru_sent=False)) == [("drive_thru", {"drive_thru": True})]
    assert requests(asked, order()) == [("drive_thru", {"drive_thru": True})]
    assert requests(asked, order(drive_thru_sent=True)) == []
    assert requests(asked, order(drive_thru_sent=False), drive_thru_sent=True) == []


def settled(given: dict[str, Any], before: Order, now: Order, **more: Any) -> WriteOutcome | None:
    (request,) = plan_writes(checked(given), before).requests
    age = more.pop("age", NOW)
    return settle(request.kind, request.asked, before_of(request, before), now, age=age, **more)


def test_a_status_is_settled_by_what_the_order_says() -> None:
    """Planted: "not done" whatever the order says now; the date of the status not looked at."""
    given, before, later = {"status": "PACKED"}, order(), T + timedelta(minutes=1)
    assert settled(given, before, order(status="PACKED", date_status_changed=later)) is WriteOutcome.DONE
    assert settled(given, before, before) is WriteOutcome.NOT_DONE
    assert settled(given, before, order(status="CANCELLED", date_status_changed=later)) is WriteOutcome.CHANGED
    # Changed by somebody, and changed back.
    assert settled(given, before, order(date_status_changed=later)) is WriteOutcome.CHANGED


def test_an_update_is_settled_field_by_field() -> None:
    """Planted: one field taken for all; a field that somebody else has changed overlooked."""
    given = {"tracking_no": "TR1", "shipping": Decimal("5")}
    before = order()
    cost = Cost(currency_code="EUR", shipping="5.0000")
    tracked = Shipping(method_id=7, tracking_no="TR1")
    assert settled(given, before, order(cost=cost, shipping=tracked)) is WriteOutcome.DONE
    assert settled(given, before, order(remarks="something else")) is WriteOutcome.NOT_DONE
    assert settled(given, before, order(shipping=tracked)) is WriteOutcome.PARTLY_DONE
    other = Shipping(method_id=7, tracking_no="of another")
    assert settled(given, before, order(shipping=other)) is WriteOutcome.CHANGED
    assert settled(given, before, order(shipping=other, cost=cost)) is WriteOutcome.CHANGED
    assert settled(given, before, order(cost=Cost(currency_code="EUR", shipping="6"), shipping=tracked)) is (
        WriteOutcome.CHANGED
    )


def test_a_drive_thru_that_the_order_does_not_show_is_not_decided_within_an_hour() -> None:
    """Planted: not done at once, so that it would be sent while the first may still arrive."""
    given, before = {"drive_thru": True}, order(drive_thru_sent=False)
    assert settled(given, before, order(drive_thru_sent=True)) is WriteOutcome.DONE
    assert settled(given, before, before) is None
    assert settled(given, before, before, age=VERY_LATE - timedelta(seconds=1)) is None
    assert settled(given, before, before, age=VERY_LATE) is WriteOutcome.NOT_DONE
    # An order that does not say it decides nothing, ever.
    assert settled(given, before, order(), age=VERY_LATE * 1000) is None
    assert settled(given, before, before, accepted=True) is WriteOutcome.DONE


def test_a_field_that_is_neither_as_planned_nor_as_asked_was_changed_by_others() -> None:
    """Planted: what the request itself has done taken for the change of somebody else."""
    planned = order()
    asked = {"tracking_no": "TR1", "remarks": "new"}
    (request,) = plan_writes(checked(asked), planned).requests
    tracked, other = (Shipping(method_id=7, tracking_no=number) for number in ("TR1", "of another"))
    assert changed_by_others(request, planned, planned) == []
    assert changed_by_others(request, planned, order(shipping=tracked)) == []
    assert changed_by_others(request, planned, order(shipping=other)) == ["tracking_no"]
    assert changed_by_others(request, planned, order(shipping=other, remarks="theirs")) == ["tracking_no", "remarks"]
    assert changed_by_others(request, planned, order(status="PAID")) == []


def test_a_request_shows_no_text_of_the_seller() -> None:
    request = plan_writes(checked({"remarks": "between us"}), order()).requests[0]
    assert isinstance(request, WriteRequest)
    assert "between us" not in repr(request)
    assert request.kind is WriteKind.UPDATE


def test_an_order_is_unchanged_if_nothing_that_anybody_sets_differs() -> None:
    known = order(buyer_order_count=3)
    assert differences(order(buyer_order_count=4), known) == []
    assert differences(order(remarks="x", buyer_order_count=3), known) == ["remarks"]
    moved = msgspec.structs.replace(known, payment=PAID, total_count=5)
    assert set(differences(moved, known)) == {"payment.status", "payment.date_paid", "total_count"}


def test_a_difference_is_named_so_that_it_cannot_be_taken_for_another_field() -> None:
    """The cost of shipping, and how it is shipped. Caught: both were `shipping` for the seller."""
    known = order()
    assert differences(order(shipping=Shipping(method_id=7, tracking_no="TR1")), known) == ["shipping.tracking_no"]
    assert differences(order(cost=Cost(currency_code="EUR", shipping="5")), known) == ["cost.shipping"]
    assert differences(order(shipping=None), known) == ["shipping"]

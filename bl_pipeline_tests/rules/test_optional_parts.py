"""Messages and feedback: of which orders, when, and only with calls that nothing else needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bl_pipeline.columns import AnswerKind, OrderGroup
from bl_pipeline.records import Fetch, OptionalPart, OrderState, PartState, Reason, SyncRequest
from bl_pipeline.rules.changes import plan
from bl_pipeline.rules.optional_parts import optional_fetches
from bl_pipeline.rules.statuses import GROUPS

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MESSAGES = OptionalPart(AnswerKind.MESSAGES, frozenset({OrderGroup.PENDING, OrderGroup.SHIPPED}), 60 * DAY)
FEEDBACK = OptionalPart(AnswerKind.FEEDBACK, frozenset({OrderGroup.SHIPPED, OrderGroup.COMPLETED}), 180 * DAY)
ORDER = OrderState(
    order_id="1",
    order_date=NOW - 10 * DAY,
    listed_fingerprint="now",
    listed_status="SHIPPED",
    listed_status_changed_at=NOW - 5 * DAY,
    stored_fingerprint="now",
    stored_status_changed_at=NOW - 5 * DAY,
    order_document_id=1,
    order_fingerprint="content",
    order_fetched_at=NOW - timedelta(hours=1),
    group="shipped",
    parts={AnswerKind.ITEMS: PartState(2, NOW - timedelta(hours=1), "content")},
)


def asked(*orders: OrderState, parts: Any = (MESSAGES, FEEDBACK), calls: int = 100) -> list[tuple[str, set[str]]]:
    """The orders that are asked about, and for what."""
    fetches = optional_fetches({order.order_id: order for order in orders}, (), parts, calls, NOW)
    assert all(fetch.reason is Reason.OPTIONAL_PARTS and not fetch.fetch_order for fetch in fetches)
    return [(fetch.order_id, set(fetch.force)) for fetch in fetches]


def fetched(order: OrderState, ago: timedelta) -> OrderState:
    """The same order, its messages fetched that long ago."""
    return replace(order, parts={**order.parts, AnswerKind.MESSAGES: PartState(3, NOW - ago, "content")})


def test_an_order_is_asked_about_once_for_all_that_is_wanted() -> None:
    assert asked(ORDER) == [("1", {"messages", "feedback"})]
    assert asked(ORDER, parts=()) == []


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"group": "pending"}, {"messages"}),
        ({"group": "completed"}, {"feedback"}),
        ({"group": "cancelled"}, None),
        ({"order_date": NOW - 60 * DAY}, {"messages", "feedback"}),
        ({"order_date": NOW - 61 * DAY}, {"feedback"}),
        ({"order_date": NOW - 181 * DAY}, None),
        ({"listed_status": "PURGED"}, None),
        ({"failed_at": NOW}, None),
        ({"stored_fingerprint": None}, None),
    ],
)
def test_the_settings_choose_by_group_and_age(values: Any, parts: set[str] | None) -> None:
    """A purged order is never asked about, nor one that has failed or is not stored."""
    assert asked(replace(ORDER, **values)) == ([] if parts is None else [("1", parts)])


@pytest.mark.parametrize(
    ("age", "ago", "due"),
    [
        (1.5, 1.0, True),
        (1.5, 0.99, False),
        (10, 2.0, True),
        (10, 1.9, False),
        (40, 8.0, True),
        (40, 7.9, False),
    ],
)
def test_it_is_asked_again_after_a_day_and_then_ever_more_rarely(age: float, ago: float, due: bool) -> None:
    """A quarter of the age that the order had the last time: 10 days old and asked 2 days ago is 8 / 4."""
    order = fetched(replace(ORDER, order_date=NOW - age * DAY), ago * DAY)
    assert bool(asked(order, parts=[MESSAGES])) == due


def test_never_asked_comes_first_and_then_what_has_waited_longest() -> None:
    orders = [
        fetched(replace(ORDER, order_id="waited"), 3 * DAY),
        fetched(replace(ORDER, order_id="waited longer"), 5 * DAY),
        replace(ORDER, order_id="older", order_date=NOW - 20 * DAY),
        replace(ORDER, order_id="newer"),
    ]
    assert [order_id for order_id, _ in asked(*orders, parts=[MESSAGES])] == [
        "newer", "older", "waited longer", "waited",
    ]  # fmt: skip


def test_the_calls_are_the_limit() -> None:
    """Planted: an order of two calls planned with one call left."""
    orders = [replace(ORDER, order_id=f"{number}", order_date=NOW - number * DAY) for number in range(1, 5)]
    assert [order_id for order_id, _ in asked(*orders, calls=5)] == ["1", "2"]


def planned(states: list[OrderState], calls_left: int, **request: Any) -> list[Fetch]:
    asked = SyncRequest(optional_parts=[MESSAGES, FEEDBACK], **request)
    return plan({state.order_id: state for state in states}, asked, calls_left, NOW).fetches


def test_changes_and_rechecks_come_before_them() -> None:
    changed = replace(ORDER, order_id="changed", stored_fingerprint="before")
    due = replace(ORDER, order_id="due", order_fetched_at=NOW - 2 * DAY)

    fetches = planned([ORDER, changed, due], 100, rechecks=10)

    assert [(fetch.order_id, fetch.reason) for fetch in fetches] == [
        ("changed", Reason.CONTENT_CHANGED), ("due", Reason.RECHECK), ("1", Reason.OPTIONAL_PARTS),
    ]  # fmt: skip
    assert fetches[-1].least_calls(()) == fetches[-1].most_calls((AnswerKind.ITEMS,)) == 2


def test_they_take_at_most_half_of_what_changes_leave() -> None:
    """More changes may come during the day. Planted: the calls of the re-checks counted once more."""
    changed = replace(ORDER, order_id="changed", stored_fingerprint="before")
    most = 4  # the changed order with its items, messages and feedback are not fetched with it: 2 calls
    reasons = [fetch.reason for fetch in planned([ORDER, changed], 2 + most)]
    assert reasons == [Reason.CONTENT_CHANGED, Reason.OPTIONAL_PARTS]
    assert [fetch.reason for fetch in planned([ORDER, changed], 1 + most)] == [Reason.CONTENT_CHANGED]
    assert [fetch.reason for fetch in planned([ORDER, changed], 0)] == []


@pytest.mark.parametrize("request_", [{"only_failed": True}, {"order_ids": ("1",)}])
def test_a_run_about_some_orders_asks_for_none(request_: Any) -> None:
    assert [fetch for fetch in planned([ORDER], 100, **request_) if fetch.reason is Reason.OPTIONAL_PARTS] == []


def test_every_status_is_in_a_group() -> None:
    assert {*GROUPS.values(), OrderGroup.UNKNOWN} == set(OrderGroup)

"""Which orders are fetched, why, in what order, and how many with the calls that are left."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import (
    EVERY_DATE,
    NEVER_FETCHED,
    Fetch,
    FullSync,
    ListedOrder,
    OrderDates,
    OrderState,
    PartState,
    Reason,
    SyncRequest,
)
from bl_pipeline.rules.changes import (
    Plan,
    as_listed,
    changed_orders,
    full_sync_waits_for,
    full_sync_wants,
    plan,
    plan_calls,
    retry_due,
)
from bl_pipeline.rules.kinds import is_due

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
OLD = NOW - 90 * DAY
ITEMS = frozenset({AnswerKind.ITEMS})

STORED = OrderState(
    order_id="1",
    order_date=OLD,
    listed_fingerprint="h",
    listed_status="COMPLETED",
    listed_status_changed_at=OLD,
    listed_filed=False,
    stored_fingerprint="h",
    stored_status_changed_at=OLD,
    order_fingerprint="k",
    order_fetched_at=NOW - DAY,
    group="completed",
    parts={AnswerKind.ITEMS: PartState(fetched_at=NOW - DAY, fingerprint="k")},
)
UNSEEN = OrderState("1", OLD, "h", "COMPLETED", OLD, False)
FAILED = replace(STORED, failed_at=NOW - DAY, attempts=1)
FULL = FullSync(requested_at=NOW)


def items(fetched_at: datetime | None, fingerprint: str | None = "k") -> dict[AnswerKind, PartState]:
    return {AnswerKind.ITEMS: PartState(fetched_at=fetched_at, fingerprint=fingerprint)}


EARLIER = items(NOW - DAY, "earlier")


def reason(state: OrderState, **wanted: Any) -> Reason | None:
    fetches = changed_orders({state.order_id: state}, SyncRequest(**wanted), NOW)
    return fetches[0].reason if fetches else None


@pytest.mark.parametrize(
    ("expected", "state", "wanted"),
    [
        (None, STORED, {}),
        (Reason.NEW, replace(UNSEEN, order_date=NOW), {}),
        (Reason.NEW, replace(UNSEEN, order_date=NOW + DAY), {}),  # BrickLink's clock is ahead
        (Reason.NEW, replace(UNSEEN, order_date=NOW - 30 * DAY + timedelta(microseconds=1)), {}),
        (Reason.BACKLOG, replace(UNSEEN, order_date=NOW - 30 * DAY), {}),
        (Reason.STATUS_CHANGED, replace(STORED, listed_status_changed_at=OLD + timedelta(milliseconds=1)), {}),
        (Reason.STATUS_CHANGED, replace(STORED, listed_status_changed_at=OLD - DAY), {}),
        (Reason.STATUS_CHANGED, replace(STORED, listed_status_changed_at=None), {}),
        (Reason.STATUS_CHANGED, replace(STORED, stored_status_changed_at=None), {}),
        (None, replace(STORED, listed_status_changed_at=None, stored_status_changed_at=None), {}),
        (Reason.CONTENT_CHANGED, replace(STORED, listed_fingerprint="other"), {}),
        (Reason.CONTENT_CHANGED, replace(STORED, listed_fingerprint="other", is_listed=False), {}),
        (Reason.FAILED_BEFORE, FAILED, {}),
        (Reason.FAILED_BEFORE, replace(UNSEEN, failed_at=NOW - DAY, attempts=1), {}),
        (Reason.FAILED_BEFORE, replace(FAILED, attempts=40, failed_at=NOW - 7 * DAY), {}),
        (None, replace(FAILED, attempts=40, failed_at=NOW - 6 * DAY), {}),
        (Reason.ITEMS_MISSING, replace(STORED, parts={}), {}),
        (None, replace(STORED, parts={}), {"include_items": False}),
        (None, replace(STORED, parts={}, listed_status="PURGED"), {}),
        (Reason.ITEMS_MISSING, replace(STORED, parts=EARLIER), {}),
        (Reason.FULL_SYNC, STORED, {"full_syncs": [FULL]}),
        (None, replace(STORED, order_fetched_at=NOW, parts=items(NOW)), {"full_syncs": [FULL]}),
        (None, STORED, {"full_syncs": [FullSync(NOW, dates=OrderDates(start=NOW - DAY))]}),
        (Reason.FULL_SYNC, STORED, {"full_syncs": [FullSync(NOW, dates=OrderDates(OLD, OLD + DAY))]}),
        (None, STORED, {"full_syncs": [FullSync(NOW, dates=OrderDates(OLD - DAY, OLD))]}),
        (None, replace(UNSEEN, order_date=NOW), {"dates": OrderDates(before=NOW)}),
        (None, replace(UNSEEN, order_date=NOW), {"only_failed": True}),
        (Reason.FAILED_BEFORE, replace(FAILED, attempts=40, failed_at=NOW), {"only_failed": True}),
        (Reason.REQUESTED, STORED, {"order_ids": ["1"]}),
    ],
)
def test_reason(expected: Reason | None, state: OrderState, wanted: dict[str, Any]) -> None:
    assert reason(state, **wanted) == expected


@pytest.mark.parametrize(
    ("attempts", "hours"), [(1, 0), (2, 0), (3, 1), (4, 2), (5, 4), (9, 64), (10, 128), (11, 168), (1000, 168)]
)
def test_waits_between_failures_grow_to_a_week(attempts: int, hours: int) -> None:
    assert retry_due(replace(FAILED, attempts=attempts, failed_at=NOW)) == NOW + timedelta(hours=hours)


def test_the_same_moment_in_another_zone_is_no_change() -> None:
    """29 March 2026, the night summer time begins in Berlin: moments are compared, not the digits of clocks."""
    berlin = timezone(timedelta(hours=2))
    in_utc = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    in_berlin = datetime(2026, 3, 29, 3, 30, tzinfo=berlin)

    assert reason(replace(STORED, stored_status_changed_at=in_utc, listed_status_changed_at=in_berlin)) is None
    assert (
        reason(replace(STORED, stored_status_changed_at=in_utc, listed_status_changed_at=in_utc.replace(tzinfo=berlin)))
        == Reason.STATUS_CHANGED
    )


def state(order_id: str, kind: str, *, changed: timedelta = timedelta(0)) -> OrderState:
    kinds = {
        "new": replace(UNSEEN, order_date=NOW),
        "status": replace(STORED, stored_status_changed_at=None),
        "content": replace(STORED, stored_fingerprint="earlier"),
        "failed": FAILED,
        "backlog": UNSEEN,
        "purged": replace(UNSEEN, listed_status="PURGED"),
        "items": replace(STORED, parts=EARLIER),
        "full": STORED,
    }
    return replace(kinds[kind], order_id=order_id, listed_status_changed_at=OLD + changed) if kind not in {
        "full", "content", "items"} else replace(kinds[kind], order_id=order_id)  # fmt: skip


def test_the_most_urgent_come_first() -> None:
    """New and changed, then failed, then the backlog by what is purged soonest and purged last, then the full sync."""
    kinds = ["full", "backlog", "purged", "items", "failed", "content", "status", "new"]
    states = {kind: state(kind, kind) for kind in kinds}
    states["soonest"] = state("soonest", "backlog", changed=-9 * DAY)
    states["failed"] = replace(FAILED, order_id="failed")

    order = [fetch.order_id for fetch in changed_orders(states, SyncRequest(full_syncs=[FULL]), NOW)]

    assert order == ["content", "new", "status", "failed", "soonest", "backlog", "items", "purged", "full"]


def test_ties_are_broken_the_same_way_each_time() -> None:
    states = {order_id: replace(UNSEEN, order_id=order_id) for order_id in ("30", "100", "20")}

    assert [fetch.order_id for fetch in changed_orders(states, SyncRequest(), NOW)] == ["100", "20", "30"]


@pytest.mark.parametrize(
    ("fetch", "least", "least_without_items"),
    [
        (Fetch("1", Reason.NEW), 2, 1),
        (Fetch("1", Reason.BACKLOG), 2, 1),
        (Fetch("1", Reason.STATUS_CHANGED), 1, 1),
        (Fetch("1", Reason.CONTENT_CHANGED), 1, 1),
        (Fetch("1", Reason.FAILED_BEFORE), 1, 1),
        (Fetch("1", Reason.ITEMS_MISSING, fetch_order=False), 1, 0),
        (Fetch("1", Reason.FULL_SYNC, force=ITEMS), 2, 1),
    ],
)
def test_least_calls(fetch: Fetch, least: int, least_without_items: int) -> None:
    assert fetch.least_calls(ITEMS) == least
    assert fetch.least_calls(()) == least_without_items


@pytest.mark.parametrize(
    ("fetch", "least", "most"),
    [
        (Fetch("1", Reason.NEW), 3, 3),
        (Fetch("1", Reason.STATUS_CHANGED), 1, 3),
        (Fetch("1", Reason.STATUS_CHANGED, force=ITEMS), 2, 3),
        (Fetch("1", Reason.ITEMS_MISSING, fetch_order=False), 1, 2),
        (Fetch("1", Reason.ITEMS_MISSING, fetch_order=False, force=ITEMS), 1, 2),
    ],
)
def test_each_part_is_a_call(fetch: Fetch, least: int, most: int) -> None:
    """As if there were two kinds of parts. Planted: one call for all of them."""
    parts: Any = [AnswerKind.ITEMS, "messages"]
    assert (fetch.least_calls(parts), fetch.most_calls(parts)) == (least, most)


def test_items_only_are_asked_for_if_only_they_are_missing() -> None:
    (fetch,) = changed_orders({"1": replace(STORED, parts=EARLIER)}, SyncRequest(), NOW)
    assert fetch == Fetch("1", Reason.ITEMS_MISSING, fetch_order=False)


@pytest.mark.parametrize(
    ("listed_status", "order_at", "items_at", "include_items", "wanted"),
    [
        ("COMPLETED", NOW, NOW - DAY, True, True),
        ("PURGED", NOW, NOW - DAY, True, False),
        ("COMPLETED", NOW, None, True, True),
        ("PURGED", NOW, None, True, False),
        ("COMPLETED", NOW, NOW - DAY, False, False),
        ("COMPLETED", NOW - DAY, NOW, True, True),
        ("PURGED", NOW - DAY, NOW, True, True),
        ("COMPLETED", NOW, NOW, True, False),
    ],
)
def test_what_a_full_sync_wants_again(
    listed_status: str, order_at: datetime, items_at: datetime | None, include_items: bool, wanted: bool
) -> None:
    """What was fetched before the request: the order, or its items, unless they are purged. Planted: == PURGED."""
    state = replace(STORED, listed_status=listed_status, order_fetched_at=order_at, parts=items(items_at))
    assert full_sync_wants(replace(FULL, include_items=include_items), state) is wanted


@pytest.mark.parametrize(
    ("failed_at", "waits"), [(None, True), (NOW - timedelta(seconds=1), True), (NOW, False), (NOW + DAY, False)]
)
def test_a_full_sync_does_not_wait_for_what_has_failed_since(failed_at: datetime | None, waits: bool) -> None:
    assert full_sync_waits_for(FULL, replace(STORED, failed_at=failed_at)) is waits
    assert not full_sync_waits_for(FULL, replace(STORED, order_fetched_at=NOW, parts=items(NOW)))


def test_a_full_sync_asks_for_the_items_of_what_is_not_purged() -> None:
    states = {"1": STORED, "2": replace(STORED, order_id="2", listed_status="PURGED")}

    fetches = changed_orders(states, SyncRequest(full_syncs=[FULL]), NOW)
    forced = {fetch.order_id: fetch.force for fetch in fetches}
    without = changed_orders(states, SyncRequest(full_syncs=[replace(FULL, include_items=False)]), NOW)

    assert forced == {"1": ITEMS, "2": frozenset()}
    assert [fetch.force for fetch in without] == [frozenset(), frozenset()]


@pytest.mark.parametrize("state", [STORED, replace(STORED, listed_status="PURGED"), replace(UNSEEN, order_date=NOW)])
def test_a_part_that_a_request_names_is_fetched_whether_it_is_due_or_not(state: OrderState) -> None:
    """Planted: the request's own parts left out of the plan; counted as no call."""
    request = SyncRequest(order_ids=("1",), include_items=False, also=ITEMS)
    planned = plan({"1": state}, request, 2, NOW)

    assert planned == Plan([Fetch("1", Reason.REQUESTED, force=ITEMS)], [])
    assert plan_calls(planned.fetches * 2, 2, ITEMS) == Plan(planned.fetches, planned.fetches)


def test_no_requested_orders_are_none_and_not_every_order() -> None:
    request = SyncRequest(order_ids=(), rechecks=9)
    assert plan({"1": UNSEEN, "2": replace(STORED, order_id="2")}, request, 100, NOW) == Plan([], [])


@pytest.mark.parametrize(("calls_left", "fetched"), [(0, 0), (1, 1), (2, 1), (3, 2), (4, 3), (5, 4), (6, 5), (100, 5)])
def test_the_plan_ends_with_the_calls(calls_left: int, fetched: int) -> None:
    """Costs at least 2, 1, 1, 1, 2: what begins with a call left is in the plan, so that none is left unused."""
    reasons = [Reason.NEW, Reason.STATUS_CHANGED, Reason.STATUS_CHANGED, Reason.FAILED_BEFORE, Reason.BACKLOG]
    changes = [Fetch(str(number), reason) for number, reason in enumerate(reasons)]

    assert plan_calls(changes, calls_left, ITEMS) == Plan(changes[:fetched], changes[fetched:])


@given(st.lists(st.sampled_from(["new", "status", "failed", "backlog", "purged", "items", "full"])), st.integers(0, 60))
def test_a_plan_forgets_no_order_and_names_none_twice(kinds: list[str], calls_left: int) -> None:
    states = {str(number): state(str(number), kind) for number, kind in enumerate(kinds)}

    planned = plan(states, SyncRequest(full_syncs=[FULL]), calls_left, NOW)

    assert sorted(fetch.order_id for fetch in [*planned.fetches, *planned.deferred]) == sorted(states)
    assert sum(fetch.least_calls(ITEMS) for fetch in planned.fetches[:-1]) <= calls_left


@pytest.mark.parametrize(
    ("part", "purged", "due"),
    [
        (NEVER_FETCHED, False, True),
        (NEVER_FETCHED, True, True),
        (STORED.part(AnswerKind.ITEMS), False, False),
        (EARLIER[AnswerKind.ITEMS], False, True),
        (EARLIER[AnswerKind.ITEMS], True, False),
    ],
)
def test_a_part_is_due_only_if_it_can_have_changed(part: PartState, purged: bool, due: bool) -> None:
    assert is_due(part, "k", purged=purged) is due


LISTED = ListedOrder("1", OLD, "COMPLETED", OLD, False, "h")


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"fingerprint": "other"}, False),
        ({"status_changed_at": None}, False),
        ({"status": "PURGED"}, False),
        ({"is_filed": True}, False),
        ({"order_date": NOW}, False),
    ],
)
def test_listed_as_before(changes: dict[str, Any], same: bool) -> None:
    assert (LISTED._replace(**changes) == LISTED) is same


def test_months_meet_without_overlap() -> None:
    june = OrderDates(datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))
    july = OrderDates(datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC))
    midnight = datetime(2026, 7, 1, tzinfo=UTC)

    for moment, month in [(midnight, july), (midnight - timedelta(microseconds=1), june)]:
        assert [moment in each for each in (june, july)] == [month is june, month is july]
        assert moment in EVERY_DATE


RECHECKABLE = replace(STORED, group="shipped", order_fetched_at=NOW - 2 * DAY)


@pytest.mark.parametrize(
    ("state", "due"),
    [
        (RECHECKABLE, True),
        (replace(RECHECKABLE, order_fetched_at=NOW - timedelta(hours=24)), True),
        (replace(RECHECKABLE, order_fetched_at=NOW - timedelta(hours=23)), False),
        (replace(RECHECKABLE, group="completed"), False),
        (replace(RECHECKABLE, group="completed", order_fetched_at=NOW - 30 * DAY), True),
        (replace(RECHECKABLE, listed_status="PURGED", stored_fingerprint="h"), False),
        (replace(RECHECKABLE, is_listed=False), False),
        (replace(RECHECKABLE, failed_at=NOW, attempts=9), False),
        (replace(RECHECKABLE, order_fetched_at=None), False),
    ],
)
@pytest.mark.parametrize("include_items", [True, False])
def test_recheck(state: OrderState, due: bool, include_items: bool) -> None:
    """The items of an open order are looked at too."""
    planned = plan({"1": state}, SyncRequest(rechecks=5, include_items=include_items), 100, NOW)

    fetch = Fetch("1", Reason.RECHECK, force=ITEMS if include_items and state.group == "shipped" else frozenset())
    assert planned == Plan([fetch] if due else [], [])


@pytest.mark.parametrize(
    ("wanted", "calls_left", "rechecked"),
    [
        (SyncRequest(rechecks=4), 100, ["1", "2"]),
        (SyncRequest(rechecks=3), 100, ["1", "4"]),  # one call is left: enough for an order that is over
        (SyncRequest(rechecks=1), 100, ["4"]),
        (SyncRequest(rechecks=3, include_items=False), 100, ["1", "2", "3"]),
        (SyncRequest(rechecks=0), 100, []),
        (SyncRequest(rechecks=9), 10, ["1", "2"]),  # 2 may go to the new order, half of the rest is kept
        (SyncRequest(rechecks=9), 3, []),
        (SyncRequest(rechecks=9, only_failed=True), 100, []),
        (SyncRequest(rechecks=9, order_ids=("9",)), 100, []),
        (SyncRequest(rechecks=9, dates=OrderDates(before=NOW)), 100, []),
    ],
)
def test_rechecks_take_only_what_is_to_spare(wanted: SyncRequest, calls_left: int, rechecked: list[str]) -> None:
    states = {
        order_id: replace(RECHECKABLE, order_id=order_id, order_fetched_at=NOW - days * DAY)
        for order_id, days in [("3", 2), ("2", 3), ("1", 4)]
    }
    states["4"] = replace(RECHECKABLE, order_id="4", group="completed", order_fetched_at=NOW - 40 * DAY)
    states["9"] = replace(UNSEEN, order_id="9", order_date=NOW)

    planned = plan(states, wanted, calls_left, NOW)

    assert [fetch.order_id for fetch in planned.fetches if fetch.reason is Reason.RECHECK] == rechecked


def test_what_the_lists_say_is_taken_into_the_stored_states() -> None:
    """Planted: a known order as if nothing was stored of it, and one that is listed again still taken for gone."""
    gone = replace(STORED, order_id="gone")
    known = replace(STORED, is_listed=False)
    listed = {name: ListedOrder(name, NOW, "PAID", NOW - DAY, True, "new") for name in ("1", "2")}

    states = as_listed({"1": known, "gone": gone}, listed)

    said: dict[str, Any] = {
        "order_date": NOW, "listed_fingerprint": "new", "listed_status": "PAID", "listed_status_changed_at": NOW - DAY,
        "listed_filed": True, "is_listed": True,
    }  # fmt: skip
    assert states == {
        "1": replace(known, **said),
        "2": OrderState("2", NOW, "new", "PAID", NOW - DAY, True),
        "gone": gone,
    }


def test_a_full_sync_fetches_the_order_too_if_its_items_are_missing() -> None:
    """Planted: the items alone, so that the next run needs the order again."""
    missing = replace(STORED, parts={})
    wanted = FullSync(requested_at=NOW)
    for full_syncs, fetch_order in (((), False), ((wanted,), True)):
        (fetch,) = changed_orders({"1": missing}, SyncRequest(full_syncs=list(full_syncs)), NOW)
        assert (fetch.reason, fetch.fetch_order) == (Reason.ITEMS_MISSING, fetch_order)

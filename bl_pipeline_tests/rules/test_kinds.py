"""The kinds of answers about an order: which are due, and what an absent, refused or empty answer means."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bl_pipeline.bricklink import (
    Cost,
    CredentialsRefused,
    InvalidAnswer,
    Order,
    PermissionDenied,
    RequestRefused,
    ResourceNotFound,
)
from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import NEVER_FETCHED, UNREADABLE, OrderState, PartState, SyncRequest
from bl_pipeline.rules.kinds import (
    asked_parts,
    changeable,
    due_parts,
    is_purged,
    is_refused_for_good,
    least_pieces,
    leaves_stored,
    wanted_parts,
)
from bl_pipeline.rules.normalise import PartRows, order_fingerprint

T = datetime(2026, 6, 1, 9, tzinfo=UTC)
ITEMS, MESSAGES, FEEDBACK = AnswerKind.ITEMS, AnswerKind.MESSAGES, AnswerKind.FEEDBACK


def order(status: str = "PAID", total_count: int | None = 5) -> Order:
    cost = Cost(currency_code="EUR")
    return Order(order_id=1, date_ordered=T, status=status, total_count=total_count, cost=cost)


PURGED = order("PURGED")


def state(listed_status: str = "PAID", items: PartState = NEVER_FETCHED) -> OrderState:
    return OrderState("1", T, "f", listed_status, T, parts={ITEMS: items})


def test_a_purge_is_seen_in_the_list_or_in_the_order() -> None:
    assert is_purged("PURGED")
    assert is_purged("PAID", "PURGED")
    assert not is_purged("PAID", "COMPLETED")
    assert not is_purged()


def test_a_run_asks_for_items_if_it_includes_them_and_for_what_it_names() -> None:
    assert wanted_parts(include_items=True) == {ITEMS}
    assert wanted_parts(include_items=False) == set()
    assert asked_parts(SyncRequest(also=frozenset({MESSAGES}))) == {ITEMS, MESSAGES}
    assert asked_parts(SyncRequest(include_items=False, also=frozenset({MESSAGES}))) == {MESSAGES}


def test_a_plan_asks_for_no_part_of_a_purged_order() -> None:
    parts = frozenset({ITEMS, FEEDBACK})
    assert changeable(state(), parts) == parts
    assert changeable(state("PURGED"), parts) == set()


def test_parts_are_due_if_wanted_and_possibly_changed_or_if_forced() -> None:
    same = PartState(1, T, order_fingerprint(order()))
    changed = PartState(1, T, "of an earlier content")
    for items, due in ((same, []), (changed, [ITEMS]), (NEVER_FETCHED, [ITEMS])):
        assert due_parts(order(), state(items=items), {ITEMS}) == due
        assert due_parts(order(), state(items=items), ()) == []
    assert due_parts(order(), None, {ITEMS}) == [ITEMS]
    assert due_parts(order(), None, (), {FEEDBACK, ITEMS}) == [ITEMS, FEEDBACK]
    # Once it was purged, its parts are asked for only if they never were.
    assert due_parts(PURGED, state(items=changed), {ITEMS}) == []
    assert due_parts(PURGED, state(items=NEVER_FETCHED), {ITEMS}) == [ITEMS]


def test_how_many_pieces_an_answer_must_have() -> None:
    assert least_pieces(ITEMS, order()) == 5
    assert least_pieces(ITEMS, order(total_count=None)) is None
    assert least_pieces(ITEMS, PURGED) == 0
    assert least_pieces(MESSAGES, order()) == least_pieces(FEEDBACK, order()) == 0


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (PermissionDenied("x"), True),
        (ResourceNotFound("x"), True),
        (RequestRefused("x"), True),
        (InvalidAnswer("x"), False),
        (CredentialsRefused("x"), False),
        (ValueError("x"), False),
    ],
)
def test_only_a_part_of_a_purged_order_is_refused_for_good(error: Exception, refused: bool) -> None:
    """Planted: a refusal of any order taken for an answer, and any fault for a refusal."""
    assert is_refused_for_good(error, PURGED) is refused
    assert not is_refused_for_good(error, order())


WHOLE, IN_PART = PartState(1, T, "whole"), PartState(1, T, UNREADABLE)


@pytest.mark.parametrize(
    ("answer", "stored", "stay"),
    [
        (PartRows([]), WHOLE, True),
        (PartRows([]), IN_PART, True),
        (PartRows([("row",)]), WHOLE, False),
        (PartRows([("row",)], "1 of 2 cannot be read"), WHOLE, True),
        (PartRows([("row",)], "1 of 2 cannot be read"), IN_PART, False),
        (PartRows([("row",)], "1 of 2 cannot be read"), NEVER_FETCHED, False),
    ],
)
def test_an_answer_about_a_purged_order_takes_nothing_away(answer: PartRows, stored: PartState, stay: Any) -> None:
    assert leaves_stored(answer, stored, PURGED) is stay
    assert not leaves_stored(answer, stored, order())

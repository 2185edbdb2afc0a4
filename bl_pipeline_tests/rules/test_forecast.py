"""What a sync would cost: the calls at least and at most, and on how many days."""

from __future__ import annotations

import pytest

from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import Fetch, Reason
from bl_pipeline.rules.changes import Plan
from bl_pipeline.rules.forecast import Forecast, forecast

ITEMS = (AnswerKind.ITEMS,)
NEW = Fetch("1", Reason.NEW)
MISSING = Fetch("2", Reason.ITEMS_MISSING, fetch_order=False)


def fetches(number: int) -> list[Fetch]:
    """That many orders, two calls each."""
    return [Fetch(str(each), Reason.BACKLOG) for each in range(number)]


def forecast_of(plan: Plan, *, calls_left: int, calls_a_day: int = 196) -> Forecast:
    return forecast(
        plan, orders_listed=7, calls_for_lists=2, calls_used=3, calls_left=calls_left, calls_a_day=calls_a_day,
        parts=ITEMS,
    )  # fmt: skip


def test_what_is_counted() -> None:
    """The calls for the lists are in the calls at least and at most, and what is left for later is counted too."""
    assert forecast_of(Plan([NEW, MISSING], [NEW]), calls_left=1000) == Forecast(
        orders_listed=7,
        orders_by_reason={"new": 2, "items_missing": 1},
        orders_now=2,
        orders_deferred=1,
        least_calls=2 + sum(fetch.least_calls(ITEMS) for fetch in (NEW, NEW, MISSING)),
        most_calls=2 + 2 + 2 + 1,
        calls_for_lists=2,
        calls_used=3,
        calls_left=1000,
        days=0,
    )


@pytest.mark.parametrize(
    ("orders", "calls_left", "calls_a_day", "days"),
    [
        (50, 102, 196, 0),
        (50, 101, 196, 1),
        (50, 2, 196, 1),
        (50, 1, 196, 2),
        (100, 2, 196, 2),
        (100, 1, 196, 3),
        (50, 0, 97, 102),
        (50, 0, 96, None),
        (50, 0, 95, None),
    ],
)
def test_how_many_days_it_takes(orders: int, calls_left: int, calls_a_day: int, days: int | None) -> None:
    """A call for two lists every half hour leaves 100 of 196 calls a day for orders, and none of 96."""
    plan = Plan([], fetches(orders))
    assert forecast_of(plan, calls_left=calls_left, calls_a_day=calls_a_day).days == days


def test_what_fits_now_takes_no_day() -> None:
    """However few calls are left: nothing was left for later."""
    assert forecast_of(Plan(fetches(50), []), calls_left=1).days == 0

"""What a sync would fetch, and what it costs in calls and days."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from bl_pipeline.columns import AnswerKind
from bl_pipeline.rules.changes import Plan
from bl_pipeline.rules.indicator import SYNC_EVERY

CALLS_TO_LIST = 2
"""The lists of unfiled and of filed orders."""

CALLS_FOR_LISTS_A_DAY = CALLS_TO_LIST * (timedelta(days=1) // SYNC_EVERY)
"""Those of the schedule's runs."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a sync would fetch. Counts are orders, except the calls; `days` is 0 if all of it fits now.

    How many calls it takes in all, those for the lists included, depends on how many of the changed orders have changed
    items. `calls_used` are those that the forecast itself has made, `calls_left` what is left after them.
    """

    orders_listed: int
    orders_by_reason: dict[str, int]
    orders_now: int
    orders_deferred: int
    least_calls: int
    most_calls: int
    calls_for_lists: int
    calls_used: int
    calls_left: int
    days: int | None


def forecast(
    plan: Plan,
    *,
    orders_listed: int,
    calls_for_lists: int,
    calls_used: int,
    calls_left: int,
    calls_a_day: int,
    parts: Collection[AnswerKind],
) -> Forecast:
    """The forecast of a plan of a run that fetches these parts; `days` is None if the budget will never be enough."""
    fetches = [*plan.fetches, *plan.deferred]
    most = calls_for_lists + sum(fetch.most_calls(parts) for fetch in fetches)
    left_for_later = most - calls_left
    calls_for_orders = calls_a_day - CALLS_FOR_LISTS_A_DAY
    days: int | None = 0
    if plan.deferred and left_for_later > 0:
        days = math.ceil(left_for_later / calls_for_orders) if calls_for_orders > 0 else None
    return Forecast(
        orders_listed=orders_listed,
        orders_by_reason=dict(Counter(str(fetch.reason) for fetch in fetches)),
        orders_now=len(plan.fetches),
        orders_deferred=len(plan.deferred),
        least_calls=calls_for_lists + sum(fetch.least_calls(parts) for fetch in fetches),
        most_calls=most,
        calls_for_lists=calls_for_lists,
        calls_used=calls_used,
        calls_left=calls_left,
        days=days,
    )

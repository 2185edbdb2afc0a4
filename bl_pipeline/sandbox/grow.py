"""The past of a store: orders over many months, each with the status that fits its age."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Literal, NamedTuple

from bl_pipeline.sandbox.market import Life, Market
from bl_pipeline.sandbox.order import SandboxOrder

PURGED_AFTER = timedelta(days=183)
"""How long after its completion BrickLink deletes an order's items."""

_FILED_AFTER = timedelta(days=60)
_FINISHED = frozenset({"COMPLETED", "PURGED", "CANCELLED", "NPX"})
_UNKNOWN_STATUSES = ("AWAITING PICKUP", "REVIEW", "PARTLY-SHIPPED")


class _Step(NamedTuple):
    when: datetime
    status: str
    payment_status: str


def grow_orders(
    market: Market,
    seed: int,
    now: datetime,
    *,
    sales: int,
    purchases: int,
    days: int,
    filed: int | None,
    purged: int | None,
    unknown: int,
) -> list[SandboxOrder]:
    """The orders of the last `days` days before `now`, ids growing with their dates.

    Args:
        filed: the exact number of filed sales, the finished and oldest first; None for a realistic share.
        purged: the exact number of purged sales, the completed and oldest first; None for what is due.
        unknown: the number of sales that have a status nobody has documented.

    Raises:
        ValueError: if more are asked for than there are sales.
    """
    if max(filed or 0, (purged or 0) + unknown) > sales:
        raise ValueError(f"{filed=}, {purged=} and {unknown=} do not fit into {sales} sales")
    rng = Random(f"{seed}/orders")
    orders = []
    known: Counter[str] = Counter()
    order_id = 24_000_000
    directions = _directions(rng, sales, purchases)
    for ordered, direction in zip(_dates(rng, now, days, len(directions)), directions, strict=True):
        order_id += rng.randrange(3, 900)
        own = Random(f"{seed}/{order_id}")
        buyer = market.buyer(own)
        known[buyer.email] += direction == "in"
        life = _life(own, ordered, now)
        orders.append(
            market.order(
                own,
                order_id,
                ordered,
                life,
                buyer=buyer,
                buyer_order_count=max(known[buyer.email], 1),
                direction=direction,
            )
        )
    orders = _purge(orders, now, purged)
    orders = _make_unknown(rng, orders, unknown)
    return _file(rng, orders, now, filed)


def _directions(rng: Random, sales: int, purchases: int) -> list[Literal["in", "out"]]:
    bought = set(rng.sample(range(sales + purchases), purchases))
    return ["out" if number in bought else "in" for number in range(sales + purchases)]


def _dates(rng: Random, now: datetime, days: int, count: int) -> list[datetime]:
    """`count` moments before `now`, oldest first: the shop has grown, so most of them are recent."""
    span = days * 86_400_000
    ages = sorted((60_000 + int(span * rng.random() ** 1.5) for _ in range(count)), reverse=True)
    return [now - timedelta(milliseconds=age) for age in ages]


def _life(rng: Random, ordered: datetime, now: datetime) -> Life:
    past = [step for step in _plan(rng, ordered) if step.when <= now]
    last = past[-1]
    paid = next((step.when for step in past if step.payment_status in {"Received", "Completed"}), None)
    shipped = next((step.when for step in past if step.status == "SHIPPED"), None)
    return Life(last.status, last.when, last.payment_status, paid, shipped)


def _plan(rng: Random, ordered: datetime) -> list[_Step]:
    """Everything that is going to happen to an order, the first step being the order itself."""
    steps: list[_Step] = []
    when = ordered

    def then(low: float, high: float, status: str, payment_status: str) -> None:
        nonlocal when
        # BrickLink keeps milliseconds of the order itself and whole seconds of what happens to it.
        when = (when + timedelta(days=rng.uniform(low, high))).replace(microsecond=0)
        steps.append(_Step(when, status, payment_status))

    start = rng.random()
    if start < 0.58:
        steps.append(_Step(ordered, "PAID", "Received"))
    elif start < 0.6:
        steps.append(_Step(ordered, "PAID-PENDING", "Clearing"))
        then(3, 6, "PAID", "Received")
    else:
        steps.append(_Step(ordered, "PENDING", "None"))
        then(0.05, 1, rng.choice(("READY", "READY", "PROCESSING", "UPDATED")), rng.choice(("None", "Sent")))
        fate = rng.random()
        if fate < 0.06:
            then(1, 5, "CANCELLED", "None")
            return steps
        if fate < 0.085:
            then(8, 20, "NPB", rng.choice(("None", "Bounced")))
            if rng.random() < 0.5:
                then(10, 20, "NPX", "None")
            return steps
        if fate < 0.11:
            then(0.5, 3, "OCR", "None")
            return steps
        then(0.1, 4, "PAID", "Received")
    if rng.random() < 0.01:
        then(1, 5, "CANCELLED", "Returned")
        return steps
    then(0.1, 2, "PACKED", "Received")
    then(0.05, 1.5, "SHIPPED", "Received")
    if rng.random() < 0.01:
        then(20, 40, rng.choice(("NRS", "NSS")), "Received")
        return steps
    if rng.random() < 0.85:
        then(2, 15, "RECEIVED", "Received")
        if rng.random() < 0.85:
            then(0.5, 20, "COMPLETED", rng.choice(("Received", "Received", "Completed")))
    elif rng.random() < 0.8:
        then(20, 40, "COMPLETED", "Received")
    return steps


def _purge(orders: list[SandboxOrder], now: datetime, purged: int | None) -> list[SandboxOrder]:
    """Purged orders keep the date of their last status: the purge itself does not move it."""
    sales = [order for order in orders if order.direction == "in"]
    if purged is None:
        due = [
            order for order in sales if order.status == "COMPLETED" and order.date_status_changed < now - PURGED_AFTER
        ]
    else:
        due = sorted(sales, key=lambda order: (order.status != "COMPLETED", order.date_status_changed))[:purged]
    return _with_status(orders, {order.order_id: "PURGED" for order in due})


def _make_unknown(rng: Random, orders: list[SandboxOrder], unknown: int) -> list[SandboxOrder]:
    # The newest are taken: a new status is found on orders under way.
    candidates = [order for order in reversed(orders) if order.direction == "in" and not order.is_purged]
    return _with_status(orders, {order.order_id: rng.choice(_UNKNOWN_STATUSES) for order in candidates[:unknown]})


def _with_status(orders: list[SandboxOrder], statuses: dict[int, str]) -> list[SandboxOrder]:
    return [
        replace(order, status=statuses[order.order_id]) if order.order_id in statuses else order for order in orders
    ]


def _file(rng: Random, orders: list[SandboxOrder], now: datetime, filed: int | None) -> list[SandboxOrder]:
    sales: Sequence[SandboxOrder] = [order for order in orders if order.direction == "in"]
    if filed is None:
        chosen = {
            order.order_id
            for order in sales
            if order.status in _FINISHED and order.date_status_changed < now - _FILED_AFTER and rng.random() < 0.7
        }
    else:
        oldest = sorted(sales, key=lambda order: (order.status not in _FINISHED, order.date_status_changed))
        chosen = {order.order_id for order in oldest[:filed]}
    return [replace(order, is_filed=True) if order.order_id in chosen else order for order in orders]

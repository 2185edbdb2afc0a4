"""An order edited in any way: one sync stores all that BrickLink marks as changed, with no call too many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bl_pipeline.sandbox import Lot, SandboxOrder
from bl_pipeline.sync.rebuild import rebuild
from bl_pipeline_tests.conftest import NOW
from bl_pipeline_tests.support.sales_rows import as_json, dump, item_rows, order_row, stored_items, stored_orders
from bl_pipeline_tests.support.world import RememberingStore, World, new_world, session_on

pytestmark = pytest.mark.slow

Lots = list[list[Lot]]
"""The batches of an order."""


def add(lots: Lots, spare: list[Lot], which: int) -> None:
    lots.append(spare[which % len(spare) :][: 1 + which % 3])


def remove(lots: Lots, _spare: list[Lot], which: int) -> None:
    batch, place = spot(lots, which)
    del lots[batch][place]


def swap(lots: Lots, spare: list[Lot], which: int) -> None:
    """Another lot of the same price, count and weight, in a new batch: the sums are the same."""
    batch, place = spot(lots, which)
    old = lots[batch].pop(place)
    other = spare[which % len(spare)]
    lots.append(
        [
            other._replace(
                quantity=old.quantity,
                unit_price=old.unit_price,
                unit_price_final=old.unit_price_final,
                weight=old.weight,
            )
        ]
    )


def split(lots: Lots, _spare: list[Lot], which: int) -> None:
    batch, place = spot(lots, which)
    old = lots[batch][place]
    part = 1 + which % max(1, old.quantity - 1)
    rest = [old._replace(quantity=old.quantity - part)] if old.quantity > part else []
    lots[batch][place : place + 1] = [old._replace(quantity=part), *rest]


def change_price(lots: Lots, _spare: list[Lot], which: int) -> None:
    batch, place = spot(lots, which)
    old = lots[batch][place]
    price = old.unit_price_final + Decimal(which - 5).scaleb(-4)
    lots[batch][place] = old._replace(unit_price_final=max(price, Decimal("0.0001")))


def exchange_prices(lots: Lots, _spare: list[Lot], which: int) -> None:
    """Two lots of one piece each change their prices: the sums are the same."""
    batch, place = spot(lots, which)
    old = lots[batch][place]._replace(quantity=1)
    twin = old._replace(unit_price_final=old.unit_price_final + 1, remarks="twin")
    lots[batch][place : place + 1] = (
        [old, twin]
        if which % 2
        else [
            old._replace(unit_price_final=twin.unit_price_final),
            twin._replace(unit_price_final=old.unit_price_final),
        ]
    )


def describe(lots: Lots, _spare: list[Lot], which: int) -> None:
    batch, place = spot(lots, which)
    lots[batch][place] = lots[batch][place]._replace(description=f"scratch {which}")


def spot(lots: Lots, which: int) -> tuple[int, int]:
    """One of the lots: its batch and its place in it."""
    spots = [(number, place) for number, batch in enumerate(lots) for place in range(len(batch))]
    return spots[which % len(spots)]


EDITS: tuple[Callable[[Lots, list[Lot], int], None], ...] = (
    add, remove, swap, split, change_price, exchange_prices, describe,
)  # fmt: skip
MARKS = ("batch", "date_ordered", "status", "payment", "currency", "tracking", "nothing")

steps = st.tuples(
    st.lists(st.tuples(st.sampled_from(EDITS), st.integers(0, 11)), max_size=3),
    st.sampled_from(MARKS),
)


def edited(order: SandboxOrder, world: World, edits: list[Any], mark: str, spare: list[Lot]) -> SandboxOrder:
    """The order with other lots, and what BrickLink marks it with."""
    lots = [list(batch) for batch in order.batches]
    for edit, which in edits:
        if edit is add or any(lots):
            edit(lots, spare, which)
    now = world.store.advance(timedelta(seconds=1))
    order = replace(order, batches=tuple(tuple(batch) for batch in lots if batch))
    if mark in ("batch", "date_ordered"):
        order = replace(order, date_ordered=now)
    if mark == "batch":
        unpaid = order.payment._replace(date_paid=None, status="None")
        return replace(order, status="UPDATED", date_status_changed=now, payment=unpaid)
    if mark == "status":
        return replace(order, status="PACKED" if order.status == "PAID" else "PAID", date_status_changed=now)
    if mark == "payment":
        other = "Clearing" if order.payment.status == "Received" else "Received"
        return replace(order, payment=order.payment._replace(status=other))
    if mark == "currency":
        return replace(order, currency="USD" if order.currency == "EUR" else "EUR", disp_rate=Decimal(1))
    if mark == "tracking":
        return replace(order, shipping=order.shipping._replace(tracking_no=f"TR{now:%H%M%S}"))
    return order


def listed(order: SandboxOrder) -> tuple[object, ...]:
    """What the list shows of an order."""
    return (
        order.date_ordered, order.date_status_changed, order.status, order.payment, order.total_count,
        order.unique_count, order.currency, order.subtotal, order.grand_total, order.final_total,
    )  # fmt: skip


def of_items(order: SandboxOrder) -> tuple[object, ...]:
    """What an order says of its items."""
    sums = (order.subtotal, order.currency, order.total_count, order.unique_count, order.total_weight)
    return (*sums, order.date_ordered)


def state_of(order: SandboxOrder) -> tuple[object, ...]:
    """What makes a new state in the history."""
    payment, costs = order.payment, order.costs
    return (
        order.status, payment.status, order.date_ordered, payment.date_paid, order.shipping.date_shipped,
        order.grand_total, order.final_total, costs.credit, costs.coupon, order.currency, order.is_filed,
    )  # fmt: skip


TRACKED = (
    "platform_status", "payment_status", "order_date", "paid_at", "shipped_at",
    "total", "final_total", "credit", "coupon", "currency", "is_filed",
)  # fmt: skip


def stored_states(world: World, key: str) -> list[tuple[object, ...]]:
    """The history of one order."""
    rows = dump(world.warehouse, "sales.order_status_history")["sales.order_status_history"]
    return [tuple(row[name] for name in TRACKED) for row in rows if row["platform_order_id"] == key]


def edit_and_sync(world: World, way: list[Any]) -> None:
    """A new order, edited again and again, with a sync after each time."""
    store, server = world.store, world.server
    spare = [lot for order in list(store.sales.values())[:3] for lot in order.lots]
    order_id = store.place_order(paid=True)
    costs = store.order(order_id).costs
    order = replace(store.order(order_id), costs=costs._replace(credit=Decimal(0), coupon=Decimal(0)))
    order = replace(order, currency="EUR", disp_currency="EUR", disp_rate=Decimal(1))
    store.put(order)
    key, first_ordered = str(order_id), order.date_ordered
    world.sync()
    fetched = items_fetched = order
    states = [state_of(order)]
    for edits, mark in way:
        order = edited(order, world, edits, mark, spare)
        store.put(order)
        server.clear_requests()

        result = world.sync()

        moved = listed(order) != listed(fetched)
        items_moved = moved and of_items(order) != of_items(items_fetched)
        fetched = order if moved else fetched
        items_fetched = order if items_moved else items_fetched
        if state_of(fetched) != states[-1]:
            states.append(state_of(fetched))
        asked = [request.path for request in server.requests if request.path != "/orders"]
        assert asked == [f"/orders/{key}"] * moved + [f"/orders/{key}/items"] * items_moved
        assert (result.errors, result.api_calls) == ([], 2 + len(asked))
        assert result.orders_updated == int(moved)
        assert stored_orders(world.warehouse)[key] == order_row(fetched, first_order_date=first_ordered)
        assert stored_items(world.warehouse).get(key, []) == item_rows(items_fetched)
        assert stored_states(world, key) == states


SALES = ("sales.orders", "sales.order_items", "sales.replaced_items", "sales.order_status_history")


PARTS = [pytest.param(50, marks=pytest.mark.full, id=f"part-{number}") for number in range(8)]
"""In worlds of their own: each example adds an order, and so makes those after it slower."""


@pytest.mark.parametrize("examples", [12, *PARTS])
def test_every_marked_edit_is_stored_at_the_fewest_calls(examples: int, database_url: str) -> None:
    """Planted: items compared by their sums alone; without the currency; fetched with every change."""
    store = RememberingStore.of(orders=4, seed=5, now=NOW, filed=0, purged=0)
    with new_world(store, database_url, bl_rechecks_per_day=0) as world:
        world.sync()

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=examples == 12,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(way=st.lists(steps, min_size=1, max_size=3))
        def edits_are_stored(way: list[Any]) -> None:
            edit_and_sync(world, way)

        edits_are_stored()
        before = as_json(dump(world.warehouse, *SALES))
        with session_on(world.warehouse, world.settings, world.clock) as session:
            session.take_lock(lambda: None)
            assert not rebuild(session).undone
        assert as_json(dump(world.warehouse, *SALES)) == before


def test_what_the_sums_do_not_show_is_stored(database_url: str) -> None:
    """Lots that took the place of others of the same sums, and the same amounts in another currency.

    Planted: items compared by their sums alone; without the currency.
    """
    store = RememberingStore.of(orders=4, seed=5, now=NOW, filed=0, purged=0)
    with new_world(store, database_url, bl_rechecks_per_day=0) as world:
        world.sync()
        edit_and_sync(
            world,
            [
                ([(swap, 1)], "batch"),
                ([(swap, 2)], "date_ordered"),
                ([], "currency"),
                ([(describe, 0)], "date_ordered"),
                ([(describe, 1)], "tracking"),
            ],
        )

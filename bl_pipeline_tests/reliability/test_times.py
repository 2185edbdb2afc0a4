"""No clock and no timestamp decides whether an order is seen: not ours, not BrickLink's, in whatever form it comes."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from bl_pipeline.bricklink import each_summary
from bl_pipeline.records import ListedOrder
from bl_pipeline.rules.summaries import listed_orders
from bl_pipeline.sandbox import Fault, RecordedRequest, SandboxOrder, Store, Wire, move_on
from bl_pipeline.sandbox.api import as_bytes
from bl_pipeline_tests.conftest import NOW
from bl_pipeline_tests.support.sales_rows import assert_in_step, stored_orders
from bl_pipeline_tests.support.world import RememberingStore, World, check_ledger

pytestmark = pytest.mark.slow


@pytest.fixture
def store() -> RememberingStore:
    """A small store without purged orders."""
    return RememberingStore.of(orders=7, seed=5, now=NOW, filed=2, purged=0)


def sales(world: World) -> list[SandboxOrder]:
    return sorted(world.store.sales.values(), key=lambda order: order.order_id)


def test_orders_of_the_same_moment_are_all_seen(world: World) -> None:
    """Caught: a cursor on the latest date_status_changed, with > or with >=."""
    for order in sales(world):
        world.store.put(replace(order, date_status_changed=NOW, date_ordered=NOW - timedelta(days=3)))
    assert world.sync().orders_created == 7

    # In the very same millisecond, after we have looked.
    changed = sales(world)[2]
    world.store.put(replace(changed, status="OCR"))
    placed = world.store.place_order()
    world.store.put(replace(world.store.order(placed), date_status_changed=NOW, date_ordered=NOW))

    result = world.sync()
    assert (result.orders_created, result.orders_updated, result.orders_skipped) == (1, 1, 6)
    assert_in_step(world.warehouse, world.store)


@pytest.mark.parametrize("backwards", [timedelta(milliseconds=1), timedelta(days=400)])
def test_a_status_that_changed_earlier_than_it_had_is_seen(world: World, backwards: timedelta) -> None:
    """Caught: `>` in the search for a change of date_status_changed."""
    world.sync()
    order = sales(world)[1]
    # The list shows nothing else of it.
    world.store.put(replace(order, date_status_changed=order.date_status_changed - backwards, remarks="seen"))

    assert world.sync().orders_updated == 1
    assert_in_step(world.warehouse, world.store)


def test_without_date_status_changed_nothing_is_missed(world: World) -> None:
    """Caught: an order skipped, or fetched each time, because the list does not say when it changed."""
    world.server.wire = Wire(date_status_changed=False)
    assert world.sync().orders_created == 7
    assert world.sync().api_calls == 2
    world.store.set_status(sales(world)[0].order_id, "OCR")
    world.store.set_payment_status(sales(world)[1].order_id, "Bounced")
    world.store.add_batch(sales(world)[2].order_id)
    result = world.sync()
    assert (result.orders_updated, result.orders_skipped) == (3, 4)
    assert_in_step(world.warehouse, world.store, but_for={"status_changed_at"})
    assert {row["status_changed_at"] for row in stored_orders(world.warehouse).values()} == {None}

    # It comes back one day.
    world.server.wire = Wire()
    world.sync()
    assert_in_step(world.warehouse, world.store)
    assert world.sync().api_calls == 2


@pytest.mark.parametrize("hours", [-49, -5, 5, 49])
def test_a_clock_that_is_wrong_misses_nothing(world: World, hours: int) -> None:
    """Ours is off by hours, then put right. Caught: changes looked for since the last run by our clock."""
    world.clock.now = NOW + timedelta(hours=hours)
    assert world.sync().success
    failing = sales(world)[3].order_id
    for right in (False, True, False):
        world.clock.now = world.store.now + timedelta(hours=0 if right else hours)
        move_on(world.store, new=1, changed=2)
        world.server.faults.on(f"/orders/{failing}$", Fault.FORBIDDEN, times=1)
        world.store.set_payment_status(failing, "Sent" if right else "Bounced")
        assert world.sync().errors
        assert world.sync().success
        assert_in_step(world.warehouse, world.store)
        check_ledger(world, allowed=4750)


def test_a_clock_set_back_does_not_keep_what_failed_waiting(world: World) -> None:
    """Caught: a wait that ends by a clock that was days ahead."""
    failing = sales(world)[0].order_id
    world.server.faults.on(f"/orders/{failing}$", Fault.FORBIDDEN)
    world.clock.advance(days=90)
    for _ in range(5):
        assert world.sync().errors
    world.server.faults.clear()

    world.clock.now = NOW
    assert world.sync().success
    assert_in_step(world.warehouse, world.store)


def test_a_clock_set_back_gives_no_call_twice(world: World) -> None:
    """Caught: calls of a day that has not come yet are not counted."""
    world.overrides = {"bl_daily_call_limit": 16, "bl_call_reserve": 0}
    world.clock.advance(days=10)
    assert world.sync().api_calls == 16
    world.clock.now = NOW
    result = world.sync()
    assert (result.api_calls, result.exit_code) == (0, 4)


@pytest.mark.parametrize("month", [3, 10])
def test_the_hours_that_clocks_skip_or_repeat_are_hours_like_others(
    world: World, month: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machine and Postgres on Berlin time, orders around both changes of it. Caught: a naive or local time."""
    turn = datetime(2026, 3, 29, 1, tzinfo=UTC) if month == 3 else datetime(2026, 10, 25, 1, tzinfo=UTC)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        with world.warehouse.engine.begin() as connection:
            name = connection.scalar(text("SELECT current_database()"))
            connection.execute(text(f"ALTER DATABASE {name} SET timezone = 'Europe/Berlin'"))
        world.clock.now = turn + timedelta(minutes=30)
        for number, order in enumerate(sales(world)):
            moment = turn + timedelta(minutes=20 * (number - 3), milliseconds=7)
            world.store.put(replace(order, date_ordered=moment, date_status_changed=moment))
        assert world.sync().orders_created == 7
        assert_in_step(world.warehouse, world.store)
        # The same wall clock an hour later.
        order = sales(world)[3]
        world.store.put(replace(order, date_status_changed=order.date_status_changed + timedelta(hours=1), remarks="x"))
        world.clock.advance(hours=1)
        assert world.sync().orders_updated == 1
        assert_in_step(world.warehouse, world.store)
        with world.warehouse.engine.connect() as connection:
            days = connection.scalar(text("SELECT count(*) FROM sync.api_calls WHERE started_at = :now"), {
                "now": world.clock.now
            })  # fmt: skip
        assert days == 3
    finally:
        monkeypatch.undo()
        time.tzset()


@dataclass(frozen=True)
class OddTimes(Wire):
    """Timestamps in forms that Wire does not know."""

    form: str = "offset"

    def _time(self, when: datetime) -> str:
        if self.form == "offset":
            return when.astimezone(timezone(timedelta(hours=5, minutes=45))).isoformat(timespec="milliseconds")
        if self.form == "west":
            return when.astimezone(timezone(-timedelta(hours=9, minutes=30))).isoformat(timespec="microseconds")
        return when.replace(tzinfo=None).isoformat(timespec="milliseconds")


@pytest.mark.parametrize("form", ["offset", "west", "none"])
def test_a_time_is_the_same_time_in_every_form(world: World, form: str) -> None:
    """Caught: an offset thrown away; a time without one taken for local; a changed form taken for a change."""
    world.server.wire = OddTimes(form=form)
    assert world.sync().orders_created == 7
    assert_in_step(world.warehouse, world.store)

    for wire in (Wire(), Wire(timestamps="offset"), OddTimes(form=form)):
        world.server.wire = wire
        result = world.sync()
        assert (result.api_calls, result.orders_skipped) == (2, 7)


def test_times_to_the_second_are_taken_as_they_are(world: World) -> None:
    """Caught: a timestamp without a fraction refused; one that lost its fraction not seen to differ."""
    world.sync()
    world.server.wire = Wire(timestamps="seconds")
    assert world.sync().success
    stored = stored_orders(world.warehouse)
    for order in sales(world):
        assert stored[str(order.order_id)]["order_date"] == order.date_ordered.replace(microsecond=0)
    assert world.sync().api_calls == 2
    world.store.pay(sales(world)[0].order_id)
    assert world.sync().orders_updated == 1


ROWS = [Wire().row(order) for order in Store.grow(orders=12, seed=2, now=NOW, filed=5).sales.values()]


@settings(deadline=None, database=None, derandomize=True)
@given(st.permutations(ROWS), st.permutations(ROWS), st.lists(st.booleans(), min_size=12, max_size=12))
def test_the_order_of_the_lists_says_nothing(
    one: list[dict[str, object]], other: list[dict[str, object]], filed: list[bool]
) -> None:
    """Caught: a list taken to be sorted."""
    in_file = {row["order_id"] for row, is_filed in zip(ROWS, filed, strict=True) if is_filed}

    def listed(rows: list[dict[str, object]], *, filed: bool) -> dict[str, ListedOrder]:
        return listed_orders(each_summary(as_bytes(rows)), filed=filed)  # type: ignore[arg-type]

    def merged(rows: list[dict[str, object]]) -> object:
        lists = [
            listed([row for row in rows if (row["order_id"] in in_file) is wanted], filed=wanted)
            for wanted in (False, True)
        ]
        return lists[0] | lists[1]

    assert merged(one) == merged(other)
    assert len(listed(one, filed=False) | listed(other, filed=True)) == len(ROWS)


def _between_the_lists(world: World, change: str, order_id: int) -> None:
    def on_request(request: RecordedRequest) -> None:
        if request.query.endswith("filed=true"):
            world.server.on_request = None
            getattr(world.store, change)(order_id)

    world.server.on_request = on_request


def test_an_order_in_both_lists_is_one_order(world: World) -> None:
    """Filed between the two calls. Caught: an order counted twice, or left as not filed."""
    order = next(order for order in sales(world) if not order.is_filed)
    _between_the_lists(world, "file", order.order_id)

    result = world.sync()

    assert result.orders_created == 7
    assert result.api_calls == 2 + 2 * 7
    assert_in_step(world.warehouse, world.store)
    assert stored_orders(world.warehouse)[str(order.order_id)]["is_filed"] is True
    assert world.sync().api_calls == 2


def test_an_order_in_neither_list_is_only_late(world: World) -> None:
    """Taken out of the file between the two calls. Caught: an order deleted, or given up, for not being listed."""
    order = next(order for order in sales(world) if order.is_filed)
    world.sync()
    before = stored_orders(world.warehouse)
    _between_the_lists(world, "unfile", order.order_id)

    assert world.sync().success
    assert stored_orders(world.warehouse) == before

    assert world.sync().orders_updated == 1
    assert_in_step(world.warehouse, world.store)

"""A full sync asked for once is done to its end, and re-checks find what no list shows; changes come before both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from bl_pipeline.records import ExitCode, OrderDates, SyncRequest, SyncResult
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import NOW, Clock, MakeSettings
from bl_pipeline_tests.support.processes import Task, run_and_kill, run_steps
from bl_pipeline_tests.support.sales_rows import item_rows, order_row, stored_items, stored_orders
from bl_pipeline_tests.support.sessions import session_at

pytestmark = pytest.mark.slow

FULL = SyncRequest(full_sync=True)
SYNC = SyncRequest()
ORDERS = 16

RunOnce = Callable[..., SyncResult]


@pytest.fixture
def store() -> Store:
    """A store whose full sync takes days: the budget is a tenth of it."""
    return Store.grow(orders=ORDERS, seed=9, now=NOW, filed=5, purged=3)


@pytest.fixture
def run_once(make_settings: MakeSettings, clock: Clock) -> RunOnce:
    """One run, within this number of calls in any 24 hours."""

    def run_once(request: SyncRequest = SYNC, *, calls: int = 1000, rechecks: int = 0) -> SyncResult:
        settings = make_settings(
            bl_daily_call_limit=calls, bl_call_reserve=0, bl_rechecks_per_day=rechecks, bl_max_parallel_requests=1
        )
        with session_at(settings, clock) as session:
            return run_steps(session, request)

    return run_once


def asked(server: SandboxServer) -> list[str]:
    """What was asked about orders since the last look, and forget it: "1", "1/items"."""
    found = [request.path.removeprefix("/orders/") for request in server.requests if request.path != "/orders"]
    server.clear_requests()
    return found


def full_syncs(warehouse: Warehouse) -> list[tuple[datetime, datetime | None]]:
    with warehouse.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT requested_at, completed_at FROM sync.full_syncs ORDER BY full_sync_id")
        ).all()
        return [(row.requested_at, row.completed_at) for row in rows]


def wanted_of(store: Store) -> Counter[str]:
    """What a full sync has to ask: every order, and the items of those that still have any."""
    orders = store.sales.values()
    return Counter(str(order.order_id) for order in orders) + Counter(
        f"{order.order_id}/items" for order in orders if not order.is_purged
    )


def test_a_full_sync_survives_budget_stops_kills_and_days(
    run_once: RunOnce,
    store: Store,
    server: SandboxServer,
    clock: Clock,
    warehouse: Warehouse,
    make_settings: MakeSettings,
) -> None:
    """Planted: the request forgotten with the run that made it; closed while orders wait; an order fetched twice; what
    changed after what did not.
    """
    assert run_once().success
    clock.advance(hours=24)
    asked(server)
    requested_at = clock.now
    everything: list[str] = []
    changed: list[str] = []
    calls, kills, days = 10, 0, 0
    request = FULL
    while True:
        days += 1
        assert days < 15, "it never ends"
        if days > 1:
            # Something changes each day: a payment, seen in the list, of an order that has its items already.
            order = list(store.sales.values())[days % ORDERS]
            store.set_payment_status(order.order_id, f"Day {days}")
            changed.append(str(order.order_id))
        if days in (2, 4):
            task = Task(
                make_settings(bl_daily_call_limit=calls, bl_call_reserve=0, bl_max_parallel_requests=1), clock.now
            )
            kills += run_and_kill(task, 13, after=True)
        result = run_once(request, calls=calls)
        request = SYNC
        today = asked(server)
        if days > 1:
            assert today[0] == changed[-1], "a change had to wait for the full sync"
        everything += today
        if result.success:
            break
        assert result.exit_code == ExitCode.BUDGET
        assert full_syncs(warehouse) == [(requested_at, None)]
        clock.advance(hours=24)
        store.advance(timedelta(hours=24))

    assert kills == 2
    assert days > 3
    assert full_syncs(warehouse) == [(requested_at, clock.now)]
    assert set(everything) == set(wanted_of(store))
    # Beyond what the full sync needs: what changed, and what was under way at a kill.
    more = Counter(everything) - wanted_of(store)
    assert sum(count for path, count in more.items() if path.split("/")[0] not in changed) <= kills
    with warehouse.engine.connect() as connection:
        states = connection.execute(
            text("SELECT order_fetched_at, items_fetched_at, listed_status FROM sync.order_state")
        )
        assert all(
            state.order_fetched_at >= requested_at
            and (state.listed_status == "PURGED" or state.items_fetched_at >= requested_at)
            for state in states
        )
    # And then it is over.
    clock.advance(minutes=30)
    assert run_once().api_calls == 2
    assert asked(server) == []


def test_asked_for_twice_it_is_done_once(
    run_once: RunOnce, store: Store, server: SandboxServer, clock: Clock, warehouse: Warehouse
) -> None:
    """A run requested again after the budget stopped it goes on. Planted: each request a full sync of its own."""
    assert run_once().success
    clock.advance(hours=24)
    asked(server)
    everything: list[str] = []
    for _ in range(10):
        result = run_once(FULL, calls=12)
        everything += asked(server)
        if result.success:
            break
        clock.advance(hours=24)

    assert Counter(everything) == wanted_of(store)
    assert len(full_syncs(warehouse)) == 1


def test_an_order_that_cannot_be_read_does_not_keep_it_open(
    run_once: RunOnce, store: Store, server: SandboxServer, clock: Clock, warehouse: Warehouse
) -> None:
    """Planted: failed orders not counted as tried, so that the full sync starts over each run."""
    assert run_once().success
    clock.advance(hours=24)
    broken = next(order_id for order_id, order in store.sales.items() if not order.is_purged)
    server.faults.on(f"/orders/{broken}$", Fault.WRONG_TYPE_MONEY)

    result = run_once(FULL)

    assert result.exit_code == ExitCode.SOME_FAILED
    assert [error["order_id"] for error in result.errors] == [str(broken)]
    assert full_syncs(warehouse) == [(clock.now, clock.now)]
    asked(server)
    clock.advance(minutes=30)
    run_once()
    assert asked(server) == [str(broken)]


@pytest.mark.parametrize("filed", [True, False])
def test_an_order_changed_meanwhile_has_its_items_fetched_too(
    filed: bool, run_once: RunOnce, store: Store, server: SandboxServer, clock: Clock, warehouse: Warehouse
) -> None:
    """Planted: items forced only if the full sync is the only reason to fetch the order."""
    assert run_once().success
    clock.advance(hours=1)
    order_id = next(key for key, order in store.sales.items() if not order.is_purged and order.is_filed == filed)
    store.set_payment_status(order_id, "Bounced")
    asked(server)

    assert run_once(FULL).success

    assert Counter(asked(server)) == wanted_of(store)
    assert full_syncs(warehouse) == [(clock.now, clock.now)]


def test_a_month_goes_on_after_a_kill_and_a_budget_stop(
    run_once: RunOnce,
    store: Store,
    server: SandboxServer,
    clock: Clock,
    warehouse: Warehouse,
    make_settings: MakeSettings,
) -> None:
    """A partition of job full_sync. Planted: orders of other months fetched; dates forgotten with the run."""
    assert run_once().success
    clock.advance(hours=24)
    months = Counter(order.date_ordered.strftime("%Y-%m") for order in store.sales.values())
    year, month = map(int, months.most_common(1)[0][0].split("-"))
    dates = OrderDates(
        datetime(year, month, 1, tzinfo=UTC), datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    )
    of_month = {str(key) for key, order in store.sales.items() if order.date_ordered in dates}
    assert len(of_month) > 1
    asked(server)

    request = SyncRequest(full_sync=True, dates=dates)
    task = Task(make_settings(bl_max_parallel_requests=1, bl_daily_call_limit=1000), clock.now, request)
    assert run_and_kill(task, 8, after=True)
    everything = asked(server)
    assert len(everything) in (1, 2)
    clock.advance(hours=25)
    results = []
    for _ in range(10):
        results.append(run_once(request, calls=4))
        everything += asked(server)
        if results[-1].success:
            break
        clock.advance(hours=25)

    assert results[-1].success
    assert len(results) > 1
    assert {path.split("/")[0] for path in everything} == of_month
    wanted = Counter({path: count for path, count in wanted_of(store).items() if path.split("/")[0] in of_month})
    assert (Counter(everything) - wanted).total() <= 1
    assert wanted - Counter(everything) == Counter()
    ((requested_at, completed_at),) = full_syncs(warehouse)
    assert (requested_at, completed_at) == (NOW + timedelta(hours=24), clock.now)


# Re-checks: what no list shows.


def open_order(store: Store) -> int:
    return next(key for key, order in store.sales.items() if order.status in ("PAID", "PACKED", "PENDING", "SHIPPED"))


def closed_order(store: Store) -> int:
    return next(key for key, order in store.sales.items() if order.status == "COMPLETED")


def detected_by(warehouse: Warehouse) -> Any:
    with warehouse.engine.connect() as connection:
        return connection.scalar(text("SELECT detected_by FROM sync.runs ORDER BY started_at DESC LIMIT 1"))


@pytest.mark.parametrize(
    ("pick", "wait"), [(open_order, timedelta(hours=24)), (closed_order, timedelta(days=30))], ids=["open", "over"]
)
def test_what_no_list_shows_is_found_when_it_is_due(
    pick: Callable[[Store], int],
    wait: timedelta,
    run_once: RunOnce,
    store: Store,
    server: SandboxServer,
    clock: Clock,
    warehouse: Warehouse,
) -> None:
    """Planted: no re-check at all; a due time of another length; a re-check that counts as nothing found."""
    assert run_once(rechecks=1000).success
    order_id = pick(store)
    store.edit_remarks(order_id, "Call before delivery")
    store.edit_tracking(order_id, "TR-DRIFTED", "https://track.example.org/1")
    stale = stored_orders(warehouse)[str(order_id)]

    clock.now = NOW + wait - timedelta(seconds=1)
    run_once(rechecks=1000)
    assert stored_orders(warehouse)[str(order_id)] == stale
    clock.now = NOW + wait
    asked(server)
    result = run_once(rechecks=1000)

    assert result.success
    paths = asked(server)
    assert paths.count(str(order_id)) == 1
    assert paths.count(f"{order_id}/items") == int(pick is open_order)
    stored = stored_orders(warehouse)[str(order_id)]
    assert (stored["remarks"], stored["tracking_number"]) == ("Call before delivery", "TR-DRIFTED")
    assert stored == order_row(store.order(order_id))
    assert result.orders_updated == 1
    assert detected_by(warehouse) == {"recheck": 1}


def test_a_lot_that_nothing_shows_is_found(
    run_once: RunOnce, store: Store, server: SandboxServer, clock: Clock, warehouse: Warehouse
) -> None:
    """Another lot of the same price, count and weight, in an open order of which no date has moved.

    Planted: re-checks that ask for the order alone.
    """
    assert run_once().success
    order = store.order(open_order(store))
    other = order.lots[0]._replace(inventory_id=4711, description="another one")
    store.put(replace(order, batches=((other, *order.batches[0][1:]), *order.batches[1:])))
    assert item_rows(store.order(order.order_id)) != stored_items(warehouse)[str(order.order_id)]
    clock.advance(hours=24)

    result = run_once(rechecks=1000)

    assert stored_items(warehouse)[str(order.order_id)] == item_rows(store.order(order.order_id))
    assert (result.orders_updated, detected_by(warehouse)) == (1, {"recheck": 1})


def test_purged_orders_are_not_looked_at_again(
    run_once: RunOnce, store: Store, server: SandboxServer, clock: Clock, warehouse: Warehouse
) -> None:
    """Planted: purged ones among the due."""
    run_once()
    before = stored_items(warehouse)
    clock.advance(days=400)
    asked(server)
    run_once(rechecks=1000)

    assert {path.split("/")[0] for path in asked(server)} == {
        str(key) for key, order in store.sales.items() if not order.is_purged
    }
    assert stored_items(warehouse) == before


def test_the_longest_unverified_first_within_the_daily_limit(
    run_once: RunOnce, store: Store, server: SandboxServer, clock: Clock
) -> None:
    """Planted: the setting counted per run, or in orders; the same looked at each day; finished orders before open."""
    run_once()
    clock.advance(days=60)
    due = {str(key) for key, order in store.sales.items() if not order.is_purged}
    still_open = {
        str(key)
        for key, order in store.sales.items()
        if order.status not in ("COMPLETED", "RECEIVED", "CANCELLED", "PURGED", "NPB", "NPX", "NRS", "NSS")
    }
    seen: list[str] = []
    while set(seen) != due:
        today: list[str] = []
        for _ in range(3):
            asked(server)
            run_once(rechecks=3)
            today += asked(server)
            clock.advance(hours=1)
        # Two calls for an open order, one for any other.
        assert 0 < len(today) <= 3
        assert {path.removesuffix("/items") for path in today if path.endswith("/items")} == still_open & set(today)
        seen += [path for path in today if path in due]
        assert len(seen) <= 60
        clock.advance(hours=24)

    assert set(seen[: len(still_open)][:3]) <= still_open or len(still_open) < 3


@pytest.mark.parametrize("calls", [8, 14, 20, 30, 40])
def test_rechecks_take_no_call_from_changes(
    calls: int, run_once: RunOnce, store: Store, server: SandboxServer, clock: Clock
) -> None:
    """What a day brings after the re-checks fits as well. Planted: re-checks planned before what is deferred; all
    calls left given to re-checks.
    """
    run_once()
    clock.advance(days=60)
    store.advance(timedelta(days=60))
    due = {str(key) for key, order in store.sales.items() if not order.is_purged}
    new = str(store.place_order())
    asked(server)

    run_once(calls=calls, rechecks=1000)

    first = asked(server)
    assert first[:2] == [new, f"{new}/items"]
    rechecked = [path for path in first if path.removesuffix("/items") in due]
    spare = calls - 2 - 2
    assert len(rechecked) <= spare // 2
    assert bool(rechecked) == (spare >= 2)
    later = str(store.place_order())
    if spare // 2 >= 4:
        run_once(calls=calls, rechecks=1000)
        assert asked(server)[:2] == [later, f"{later}/items"]


def test_no_recheck_while_anything_is_deferred(
    run_once: RunOnce, store: Store, server: SandboxServer, clock: Clock
) -> None:
    """Planted: spare calls counted before the cut."""
    run_once()
    clock.advance(days=60)
    store.advance(timedelta(days=60))
    placed = {str(store.place_order()) for _ in range(5)}
    asked(server)

    result = run_once(calls=8, rechecks=1000)

    assert result.orders_deferred == 2
    assert {path.split("/")[0] for path in asked(server)} <= placed

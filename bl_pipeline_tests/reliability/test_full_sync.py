"""A full sync asked for once is done to its end, and re-checks find what no list shows; changes come before both."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from bl_pipeline.records import ExitCode, OrderDates, SyncRequest
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import NOW, Clock, MakeSettings
from bl_pipeline_tests.reliability.conftest import RunOnce, asked
from bl_pipeline_tests.support.processes import Task, run_and_kill

pytestmark = pytest.mark.slow

FULL = SyncRequest(full_sync=True)
SYNC = SyncRequest()
ORDERS = 16


@pytest.fixture
def store() -> Store:
    """A store whose full sync takes days: the budget is a tenth of it."""
    return Store.grow(orders=ORDERS, seed=9, now=NOW, filed=5, purged=3)


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

"""Never a call more than the budget, none wasted, and what does not fit is done by the next runs."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from multiprocessing.synchronize import Barrier
from random import Random

import pytest
from sqlalchemy import text

from bl_pipeline.records import Budget, ExitCode, StopReason, SyncResult
from bl_pipeline.sandbox import Fault, RecordedRequest, SandboxServer, Store, move_on
from bl_pipeline.settings import Settings
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline.warehouse.ledger import BudgetExhausted, CallLedger
from bl_pipeline.warehouse.usage import read_usage
from bl_pipeline_tests.conftest import NOW, Clock, MakeSettings, TickingClock
from bl_pipeline_tests.support.processes import barrier, contents, run_steps, start
from bl_pipeline_tests.support.sales_rows import stored_orders
from bl_pipeline_tests.support.sessions import session_at
from bl_pipeline_tests.support.waiting import PATIENCE

pytestmark = pytest.mark.slow

DAY = timedelta(hours=24)
LISTS = 2
ORDERS = 5
FIRST_SYNC = LISTS + 2 * ORDERS


@pytest.fixture
def store() -> Store:
    """A store so small that its budget can run out at every call."""
    return Store.grow(orders=ORDERS, seed=5, now=NOW, filed=1, purged=0)


@pytest.fixture
def sent(server: SandboxServer, clock: Clock) -> list[datetime]:
    """When the sandbox got each request, by the pipeline's clock."""
    times: list[datetime] = []
    lock = threading.Lock()

    def note(_request: RecordedRequest) -> None:
        with lock:
            times.append(clock.now)

    server.on_request = note
    return times


def most_in_any_day(times: list[datetime]) -> int:
    """The most requests in any 24 hours."""
    return max((sum(time <= other < time + DAY for other in times) for time in times), default=0)


RunOnce = Callable[..., SyncResult]


@pytest.fixture
def run_once(make_settings: MakeSettings, clock: Clock, server: SandboxServer) -> RunOnce:
    """One run within this number of calls in any 24 hours; its calls are the sandbox's too."""

    def run_once(calls: int, *, parallel: int = 4, **config: object) -> SyncResult:
        settings = make_settings(
            bl_daily_call_limit=calls + 3,
            bl_call_reserve=3,
            bl_max_parallel_requests=parallel,
            bl_rechecks_per_day=0,
            **config,
        )
        before = len(server.requests)
        with session_at(settings, clock) as session:
            result = run_steps(session)
        assert result.api_calls == len(server.requests) - before
        return result

    return run_once


def about_orders(server: SandboxServer) -> Counter[str]:
    """How often each answer about an order was asked for."""
    return Counter(request.path for request in server.requests if request.path != "/orders")


def run_to_the_end(run_once: RunOnce, calls: int, clock: Clock, sent: list[datetime]) -> list[SyncResult]:
    """A run a day, each within the budget, until one has nothing left to do."""
    results: list[SyncResult] = []
    while not results or not results[-1].success:
        assert len(results) <= 20, "it never ends"
        results.append(run_once(calls))
        assert most_in_any_day(sent) <= calls
        stopped = not results[-1].success
        assert results[-1].exit_code == (ExitCode.BUDGET if stopped else ExitCode.DONE)
        if stopped:
            assert f"{clock.now + DAY:%Y-%m-%d %H:%M} UTC" in str(results[-1].message)
        clock.advance(hours=24)
    return results


@pytest.mark.parametrize("calls", range(LISTS + 1, FIRST_SYNC + 1))
def test_first_sync_with_the_budget_ending_at_every_call(
    calls: int, run_once: RunOnce, clock: Clock, sent: list[datetime], server: SandboxServer, warehouse: Warehouse
) -> None:
    """Planted: a call reserved although none is left; the reserve not kept; what has landed fetched again; deferred
    not counted.
    """
    results = run_to_the_end(run_once, calls, clock, sent)

    stored = 0
    for result in results:
        stored += result.orders_created
        assert result.orders_deferred == ORDERS - stored
        assert result.orders_processed + result.orders_deferred == ORDERS
        assert result.errors == []
    assert stored == len(stored_orders(warehouse)) == ORDERS
    assert len(results) == max(-(-2 * ORDERS // (calls - LISTS)), 1)
    wanted = {f"/orders/{order_id}{kind}" for order_id in server.store.sales for kind in ("", "/items")}
    assert about_orders(server) == dict.fromkeys(wanted, 1)


@pytest.mark.parametrize("calls", range(LISTS + 1))
def test_a_budget_without_a_call_for_an_order(
    calls: int, run_once: RunOnce, sent: list[datetime], server: SandboxServer
) -> None:
    """Planted: the first list asked though no call is left for the second one."""
    result = run_once(calls)

    assert len(sent) == (LISTS if calls == LISTS else 0)
    assert result.exit_code == ExitCode.BUDGET
    assert not result.success
    assert about_orders(server) == {}


@pytest.mark.parametrize("calls", range(LISTS + 1, LISTS + 7))
def test_incremental_sync_with_the_budget_ending_at_every_call(
    calls: int, run_once: RunOnce, clock: Clock, sent: list[datetime], server: SandboxServer, warehouse: Warehouse
) -> None:
    """Planted: an order stored as up to date though its items did not fit any more; a call reserved although none is
    left.
    """
    store = server.store
    assert run_once(FIRST_SYNC).success
    clock.advance(hours=24)
    unfiled = [order.order_id for order in store.sales.values() if not order.is_filed]
    first, second, third = unfiled[:3]
    store.add_batch(first)
    store.ship(second)
    store.set_payment_status(third, "Returned")
    new = store.place_order()
    server.clear_requests()
    sent.clear()

    results = run_to_the_end(run_once, calls, clock, sent)

    assert sum(result.orders_created for result in results) == 1
    assert sum(result.orders_updated for result in results) == 3
    assert [result.orders_processed + result.orders_deferred for result in results] == [ORDERS + 1] * len(results)
    wanted = {f"/orders/{order_id}" for order_id in (first, second, third, new)} | {
        f"/orders/{order_id}/items" for order_id in (first, new)
    }
    assert about_orders(server) == dict.fromkeys(wanted, 1)
    assert {row["platform_status"] for row in stored_orders(warehouse).values()} == {
        order.status for order in store.sales.values()
    }


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.full), pytest.param(2, marks=pytest.mark.full)])
def test_no_24_hours_have_more_than_the_budget(seed: int, make_settings: MakeSettings, server: SandboxServer) -> None:
    """Runs at any hour over a week, in a store that never rests: the sandbox's own count of any 24 hours.

    Planted: calls counted from midnight UTC on; the window an hour shorter.
    """
    rng, clock, allowed = Random(seed), TickingClock(NOW, timedelta(seconds=97)), 17
    settings = make_settings(bl_daily_call_limit=allowed, bl_call_reserve=0, bl_max_parallel_requests=2)
    server.faults.at_random(0.2, seed=seed)
    stops = 0
    while clock.now < NOW + timedelta(days=7):
        move_on(server.store, new=1, changed=2, seed=rng.randrange(10**6))
        with session_at(settings, clock) as session:
            stops += run_steps(session).stop_reason is StopReason.BUDGET
        clock.advance(hours=rng.uniform(0.2, 9))

    times = sorted(datetime.fromtimestamp(int(str(request.timestamp)), UTC) for request in server.requests)
    assert stops > 5
    assert most_in_any_day(times) == allowed


KEYS = [f"key {number}" for number in range(8)]
"""Each one another race for a last call."""


def _spend(settings: Settings, budget: Budget, together: Barrier) -> None:
    with open_warehouse(settings) as warehouse, ThreadPoolExecutor(3) as pool:

        def spend(key: str) -> None:
            with CallLedger(warehouse.engine, key=[key], store="main", run_id="r", budget=budget) as ledger:
                for _ in range(20):
                    try:
                        ledger.end(ledger.begin("GET", "/orders", NOW), "ok", NOW)
                    except BudgetExhausted:
                        return

        for key in KEYS:
            together.wait(PATIENCE)
            list(pool.map(spend, [key] * 3))


def test_processes_that_race_for_the_last_calls_never_overspend(settings: Settings, warehouse: Warehouse) -> None:
    """Planted: the ledger's lock left out, so that two count before either adds."""
    budget = Budget(limit=25, reserve=10)
    together = barrier(3)
    processes = [start(_spend, settings, budget, together) for _ in range(3)]
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0

    with warehouse.engine.connect() as connection:
        assert [read_usage(connection, [key], budget, NOW).used for key in KEYS] == [budget.allowed] * len(KEYS)
        ok = connection.scalar(text("SELECT count(*) FROM sync.api_calls WHERE outcome = 'ok'"))
        assert ok == budget.allowed * len(KEYS)


@pytest.fixture
def large_store() -> Store:
    return Store.grow(orders=40, seed=11, now=NOW, filed=15, purged=6, days=300)


def test_a_first_sync_larger_than_the_budget_takes_days(
    run_once: RunOnce, clock: Clock, sent: list[datetime], server: SandboxServer, large_store: Store
) -> None:
    """Planted: the backlog in the order of the list, or the newest first; new orders after it; purged ones first."""
    store = server.store = large_store
    backlog = {key: order for key, order in store.sales.items() if NOW - order.date_ordered >= timedelta(days=30)}
    placed: list[int] = []
    results: list[SyncResult] = []
    days: list[list[int]] = []
    while not results or results[-1].orders_deferred:
        assert len(days) < 20
        server.clear_requests()
        results.append(run_once(16, parallel=1))
        asked = [int(request.path.split("/")[2]) for request in server.requests if request.path != "/orders"]
        days.append(list(dict.fromkeys(asked)))
        if placed:
            waiting = [order_id in backlog for order_id in days[-1]]
            assert placed[-1] in days[-1], "the new order had to wait"
            assert waiting == sorted(waiting), "the backlog came before new orders"
        clock.advance(hours=24)
        store.advance(DAY)
        placed.append(store.place_order(paid=True))

    fetched = [order_id for day in days for order_id in day]
    assert len(days) >= 6
    assert len(fetched) == len(set(fetched)) == 40 + len(placed) - 1
    of_backlog = [backlog[order_id] for order_id in fetched if order_id in backlog]
    assert len(of_backlog) == len(backlog)
    for earlier, later in pairwise(of_backlog):
        assert (earlier.is_purged, earlier.date_status_changed) <= (later.is_purged, later.date_status_changed)
    assert most_in_any_day(sent) <= 16
    assert [result.exit_code for result in results] == [ExitCode.BUDGET] * (len(results) - 1) + [ExitCode.DONE]


# What stops a sync before its end.


@pytest.mark.parametrize("fault", [Fault.HTML503, Fault.RESET, Fault.ENVELOPE500, Fault.HTML200])
@pytest.mark.parametrize("parallel", [1, 4])
def test_an_api_that_dies_under_way_costs_a_few_calls_only(
    fault: Fault, parallel: int, run_once: RunOnce, clock: Clock, server: SandboxServer, large_store: Store,
    warehouse: Warehouse,
) -> None:  # fmt: skip
    """Planted: a breaker that never opens; one that any late answer resets; one for each order; batches after the
    stop that ask all the same.
    """
    server.store = large_store

    def die(_request: RecordedRequest) -> None:
        if len(server.requests) >= 20:
            server.faults.on("/orders", fault)

    server.on_request = die
    result = run_once(1000, parallel=parallel)

    assert result.exit_code == ExitCode.UNREACHABLE
    failed = sum(request.fault is not None for request in server.requests)
    assert 10 <= failed <= 10 + parallel
    # An order that was tried to the last before the breaker opened counts as failed; the others wait.
    assert len(result.errors) <= 2
    stored = stored_orders(warehouse)
    # One whose items alone could not be fetched is stored.
    lost = [error for error in result.errors if error["order_id"] not in stored]
    assert result.orders_deferred + len(lost) == 40 - len(stored)

    # As long as it is dead, a run costs the tries of one list.
    server.on_request = None
    server.clear_requests()
    assert run_once(1000, parallel=parallel).exit_code == ExitCode.UNREACHABLE
    assert len(server.requests) == 4
    server.faults.clear()
    assert run_once(1000, parallel=parallel).success
    assert len(stored_orders(warehouse)) == 40


@pytest.mark.parametrize("fault", [Fault.UNAUTHORIZED, Fault.UNAUTHORIZED_HTTP, Fault.IP_MISMATCH])
@pytest.mark.parametrize("parallel", [1, 4])
def test_credentials_refused_under_way_cost_a_call_a_thread(
    fault: Fault, parallel: int, run_once: RunOnce, server: SandboxServer, large_store: Store, warehouse: Warehouse
) -> None:
    """Planted: a refusal taken for a fault that passes, or for one order's alone."""
    server.store = large_store
    server.latency = 0.02

    def refuse(_request: RecordedRequest) -> None:
        if len(server.requests) >= 20:
            server.faults.on("/orders", fault)

    server.on_request = refuse
    result = run_once(1000, parallel=parallel)

    assert result.exit_code == ExitCode.CREDENTIALS
    assert 1 <= sum(request.fault is not None for request in server.requests) <= parallel
    assert result.orders_deferred == 40 - len(stored_orders(warehouse)) > 0
    assert result.errors == []


def test_the_three_messages_say_what_to_do(
    run_once: RunOnce, clock: Clock, server: SandboxServer, store: Store
) -> None:
    """Planted: the time of the reset left out; the answer's own words, and with them the key, passed on."""
    limited = str(run_once(6).message)
    assert f"{NOW + DAY:%Y-%m-%d %H:%M} UTC" in limited
    assert "BL_DAILY_CALL_LIMIT" in limited

    clock.advance(hours=24)
    server.faults.on("/orders", Fault.RATE_LIMIT_ENVELOPE)
    too_many = run_once(100)
    assert too_many.exit_code == ExitCode.BUDGET
    assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC", str(too_many.message)), "no time to wait for"
    assert "BL_CALL_RESERVE" in str(too_many.message)

    server.faults.clear()
    server.faults.on("/orders", Fault.IP_MISMATCH)
    refused = str(run_once(100).message)
    assert "IP address" in refused
    assert "API consumer page" in refused
    assert server.credentials.consumer_key not in refused

    server.faults.clear()
    server.faults.on("/orders", Fault.UNAUTHORIZED)
    assert "To reconnect" in str(run_once(100).message)

    server.faults.clear()
    server.faults.on("/orders", Fault.RESET)
    unreachable = str(run_once(100).message)
    assert "cannot be reached" in unreachable
    assert "BRICKLINK_API_URL" in unreachable


@pytest.mark.parametrize("known", [1, 5])
def test_an_empty_list_is_believed_only_of_an_empty_warehouse(
    known: int, run_once: RunOnce, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Planted: no orders listed taken for all orders gone."""
    server.store = Store.grow(orders=known, seed=2, now=NOW)
    assert run_once(100).success
    before = contents(warehouse)
    server.store = Store.grow(orders=0, now=NOW)

    for fault in (None, Fault.DATA_NULL, Fault.DATA_ABSENT):
        if fault is not None:
            server.store = Store.grow(orders=known, seed=2, now=NOW)
            server.faults.clear()
            server.faults.on("/orders", fault)
        result = run_once(100)
        assert (result.exit_code, result.stop_reason) == (ExitCode.OTHER, StopReason.ERROR)
        assert "Nothing was changed" in str(result.message)
        assert contents(warehouse) == before

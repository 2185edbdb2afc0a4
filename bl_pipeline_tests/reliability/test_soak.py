"""One answer in five is faulty, in every way there is, for as many runs as it takes: nothing is lost or overspent.

And 50,000 calls in runs of which some die: never one too many in 24 hours.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

import pytest
from sqlalchemy import text

from bl_pipeline.records import ExitCode
from bl_pipeline.sandbox import Fault, SandboxServer, move_on
from bl_pipeline.settings import load_settings
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline_tests.conftest import NOW, Clock, TickingClock
from bl_pipeline_tests.support.processes import EVERYTHING
from bl_pipeline_tests.support.sales_rows import (
    as_read,
    item_rows,
    items_as_read,
    order_row,
    stored_items,
    stored_orders,
)
from bl_pipeline_tests.support.world import (
    Death,
    RememberingStore,
    World,
    check_ledger,
    check_signatures,
)

pytestmark = pytest.mark.slow

CREDENTIALS = (Fault.UNAUTHORIZED, Fault.UNAUTHORIZED_HTTP, Fault.IP_MISMATCH)
# The faults that end a run are rare, as in life, or the soak would be one of first calls only.
KINDS = (*(fault for fault in Fault if fault not in CREDENTIALS),) * 3 + CREDENTIALS


@dataclass(frozen=True)
class Soaked:
    """What a soak has been through."""

    runs: int
    calls: int
    answers: int
    faults: Counter[str]
    exits: Counter[int]


def soak(warehouse: Warehouse, database_url: str, *, orders: int, answers: int, budget: int) -> Soaked:
    store = RememberingStore.of(orders=orders, seed=11, now=NOW, filed=orders // 3, purged=orders // 10)
    exits: Counter[int] = Counter()
    with SandboxServer(store, timestamp_lifetime=10**9) as server:
        world = World(store, server, warehouse, database_url, Clock(NOW), Death(warehouse.engine))
        world.overrides = {
            "bl_daily_call_limit": budget,
            "bl_call_reserve": 0,
            "bl_max_parallel_requests": 4,
            "bl_request_timeout": 0.25,
        }
        server.faults.at_random(0.2, KINDS, seed=5)
        # What is stored lags behind what happens: the store lives on while it is read.
        while len(server.requests) < answers:
            world.advance(hours=6)
            move_on(store, new=1, changed=6, seed=len(exits))
            result = world.sync()
            exits[result.exit_code] += 1
            assert sum(exits.values()) < answers // 4, exits
        assert check_ledger(world, allowed=budget)
        faults = Counter(request.fault.value for request in server.requests if request.fault)

        server.faults.clear()
        world.overrides |= {"bl_request_timeout": 30, "bl_daily_call_limit": 10 * answers}
        world.advance(days=8)
        result = world.sync()
        assert result.success, result
        exits[result.exit_code] += 1

        orders_stored = stored_orders(warehouse)
        right = {
            str(order.order_id): as_read(
                order_row(
                    order,
                    first_order_date=orders_stored[str(order.order_id)]["first_order_date"],
                    status=orders_stored[str(order.order_id)]["status"] if order.is_purged else None,
                ),
                orders_stored[str(order.order_id)],
            )
            for order in store.sales.values()
        }
        assert orders_stored.keys() == right.keys()
        assert {
            (order_id, name, value, right[order_id][name])
            for order_id, row in orders_stored.items()
            for name, value in row.items()
            if value != right[order_id][name]
        } == set()
        items_stored = stored_items(warehouse)
        assert items_stored == {
            str(order.order_id): items_as_read(item_rows(order), items_stored.get(str(order.order_id), []))
            for order in store.sales.values()
            if not order.is_purged and order.lots
        }
        calls = check_ledger(world, allowed=10 * answers)
        check_signatures(server)
        with warehouse.engine.connect() as connection:
            without_outcome = connection.scalar(text("SELECT count(*) FROM sync.api_calls WHERE outcome IS NULL"))
            ok = connection.scalar(text("SELECT count(*) FROM sync.api_calls WHERE outcome = 'ok'"))
        assert without_outcome == 0
        assert calls == len(server.requests)
        assert ok is not None
        assert calls - ok <= sum(faults.values())
        return Soaked(sum(exits.values()), calls, len(server.requests), faults, exits)


@pytest.fixture
def empty_warehouse(database_url: str) -> Iterator[tuple[Warehouse, str]]:
    with open_warehouse(load_settings(env_file=None, bl_database_url=database_url)) as warehouse:
        yield warehouse, database_url


def test_nothing_is_lost_if_one_answer_in_five_is_faulty(empty_warehouse: tuple[Warehouse, str]) -> None:
    """Caught: an answer without data taken for an order; a refused items answer taken for none; a nonce reused."""
    soaked = soak(*empty_warehouse, orders=160, answers=1000, budget=300)
    print(soaked)  # noqa: T201  (shown with -rP)
    assert soaked.faults.keys() == {fault.value for fault in Fault} - {Fault.WRONG_TYPE.value}
    assert soaked.exits[ExitCode.CREDENTIALS], "no run was stopped"


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_nothing_is_lost_over_five_thousand_answers(empty_warehouse: tuple[Warehouse, str]) -> None:
    """The same for longer."""
    soaked = soak(*empty_warehouse, orders=900, answers=5000, budget=1000)
    print(soaked)  # noqa: T201  (shown with -rP)
    assert 800 <= sum(soaked.faults.values()) <= 1200


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_fifty_thousand_calls_never_spend_one_too_many(empty_warehouse: tuple[Warehouse, str]) -> None:
    """Runs at any hour, each with a full sync to do, some of which die at a commit; counted by the sandbox itself.

    Planted: reservations left out of the count; calls that count from when they were reserved; a block larger than
    what is left; what a dead process has reserved given back by the next run.
    """
    warehouse, database_url = empty_warehouse
    rng, allowed, clock = Random(3), 1900, TickingClock(NOW, timedelta(milliseconds=100))
    store = RememberingStore.of(orders=1200, seed=4, now=NOW, filed=300)
    times: list[datetime] = []
    lock, exits, deaths = threading.Lock(), Counter[int](), 0

    def note(_request: object) -> None:
        with lock:
            times.append(clock.now)

    with SandboxServer(store, timestamp_lifetime=10**9) as server:
        world = World(store, server, warehouse, database_url, clock, Death(warehouse.engine))
        world.overrides = {
            "bl_daily_call_limit": allowed, "bl_call_reserve": 0, "bl_max_parallel_requests": 8,
        }  # fmt: skip
        server.on_request = note
        server.faults.at_random(0.02, seed=6)
        while len(times) < 50_000:
            die_at = rng.randrange(400) if rng.random() < 0.2 else None
            result = world.sync_or_die(replace(EVERYTHING, full_sync=True), die_at=die_at, after=rng.random() < 0.5)
            if result is None:
                deaths += 1
            else:
                exits[result.exit_code] += 1
            server.clear_requests()
            world.advance(hours=rng.uniform(0.5, 7))
    times.sort()
    # Between counting a call and its arrival others look at the clock, too.
    day = timedelta(hours=24) - timedelta(seconds=10)
    most = max(bisect_left(times, time + day) - position for position, time in enumerate(times))
    print(f"{len(times)} calls, at most {most} of {allowed} in 24 hours, {deaths} deaths, runs by exit code: {exits}")  # noqa: T201
    assert most <= allowed
    assert most > 0.9 * allowed
    assert (deaths > 5, exits[ExitCode.BUDGET] > 5) == (True, True)

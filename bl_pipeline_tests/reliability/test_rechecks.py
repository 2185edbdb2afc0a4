"""Re-checks find what no list shows, and take no call from changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import NOW, Clock
from bl_pipeline_tests.reliability.conftest import RunOnce, asked
from bl_pipeline_tests.support.sales_rows import item_rows, order_row, stored_items, stored_orders

pytestmark = pytest.mark.slow


@pytest.fixture
def store() -> Store:
    """A small store, part of it filed, part purged."""
    return Store.grow(orders=16, seed=9, now=NOW, filed=5, purged=3)


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

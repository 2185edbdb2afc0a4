"""What has landed may be all there will ever be: it is in the warehouse, though BrickLink purged the order since."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bl_pipeline.records import SyncRequest
from bl_pipeline.sandbox import Fault, Wire
from bl_pipeline.sync.rebuild import rebuild
from bl_pipeline_tests.conftest import NOW
from bl_pipeline_tests.support.sales_rows import as_json, dump, item_rows, stored_items, stored_orders
from bl_pipeline_tests.support.world import RememberingStore, World, landed, new_world, session_on

pytestmark = pytest.mark.slow

SALES = ("sales.orders", "sales.order_items", "sales.replaced_items", "sales.order_status_history")


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """A store whose orders still have all there is, and an empty warehouse."""
    store = RememberingStore.of(orders=6, seed=5, now=NOW, filed=0, purged=0)
    with new_world(store, database_url, bl_max_parallel_requests=1) as world:
        yield world


def purge_all(world: World) -> None:
    world.advance(hours=30)
    for order_id in list(world.store.sales):
        world.store.purge(order_id)


def assert_rebuilt_alike(world: World) -> None:
    before = as_json(dump(world.warehouse, *SALES))
    with session_on(world.warehouse, world.settings, world.clock) as session:
        session.take_lock(lambda: None)
        assert not rebuild(session).undone
    assert as_json(dump(world.warehouse, *SALES)) == before


@pytest.mark.parametrize(
    ("stored", "die_at"), [(False, 9), (False, 13), (False, 18), (True, 8), (True, 9), (True, 11), (True, 13)]
)
def test_killed_before_the_load_and_purged_before_the_next_run(world: World, stored: bool, die_at: int) -> None:
    """With the orders themselves stored before, or new as their items are.

    Planted: items that landed for an order loaded before are not given to it when the order itself comes again.
    """
    originals = {str(order_id): order for order_id, order in world.store.sales.items()}
    if stored:
        world.sync(SyncRequest(include_items=False))
    assert world.sync_or_die(die_at=die_at, after=True) is None
    assert stored_items(world.warehouse) == {}
    had = {
        order_id: item_rows(originals[order_id])
        for order_id, answers in landed(world.warehouse).items()
        if any(kind == "items" for kind, _ in answers)
    }
    purge_all(world)

    assert world.sync().success
    assert had
    assert stored_items(world.warehouse) == had
    assert {row["platform_status"] for row in stored_orders(world.warehouse).values()} == {"PURGED"}
    assert_rebuilt_alike(world)


@pytest.mark.parametrize("answer", ["empty", "absent", "not_found"])
def test_an_order_whose_items_could_not_be_read_keeps_what_it_was(world: World, answer: str) -> None:
    """Its last status before the purge is known from an answer that failed for its items' sake.

    Planted: an order that is dropped with its items if those cannot be read.
    """
    world.server.wire = Wire(purged_items=answer)  # type: ignore[arg-type]
    order_id = world.store.place_order(paid=True)
    world.store.cancel(order_id)
    world.server.faults.on(f"/orders/{order_id}/items", Fault.WRONG_TYPE_COUNT)
    assert [error["order_id"] for error in world.sync().errors] == [str(order_id)]
    world.server.faults.clear()
    purge_all(world)

    assert world.sync().success
    stored = stored_orders(world.warehouse)[str(order_id)]
    assert (stored["status"], stored["platform_status"]) == ("cancelled", "PURGED")
    assert_rebuilt_alike(world)

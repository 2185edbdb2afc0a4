"""Each fault by itself, on a list, an order, its items: what passes is retried, what stays is noted, others go on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from bl_pipeline.records import ExitCode, FailedOrder, RunStatus, SyncRequest, SyncResult
from bl_pipeline.rules import normalise
from bl_pipeline.sandbox import PASSING, Fault, Wire
from bl_pipeline.sync import loading
from bl_pipeline.warehouse import state
from bl_pipeline_tests.conftest import NOW
from bl_pipeline_tests.support.processes import EVERYTHING
from bl_pipeline_tests.support.sales_rows import assert_in_step, item_rows, order_row, stored_items, stored_orders
from bl_pipeline_tests.support.slow import some_slow
from bl_pipeline_tests.support.world import RememberingStore, World, check_ledger, check_signatures, new_world

LIMITS = {Fault.RATE_LIMIT_ENVELOPE, Fault.RATE_LIMIT_HTTP}
FAILING = sorted({*PASSING, Fault.TIMEOUT} - LIMITS)
NO_DATA = [Fault.DATA_ABSENT, Fault.DATA_NULL, Fault.WRONG_TYPE_DATA]
QUICK = [Fault.HTML503, Fault.RESET, Fault.WRONG_TYPE_DATA]


@pytest.fixture
def world(database_url: str, request: pytest.FixtureRequest) -> Iterator[World]:
    """A small store of unfiled and filed orders, two of them purged, and an empty warehouse."""
    # Only if a time-out is the fault: a busy machine may take longer for any answer.
    patience = 1.2 if request.node.name.endswith(f"[{Fault.TIMEOUT}]") else 30
    store = RememberingStore.of(orders=8, seed=3, now=NOW, filed=3, purged=2)
    with new_world(store, database_url, bl_request_timeout=patience) as world:
        yield world
        check_signatures(world.server)


def sync(world: World, request: SyncRequest = EVERYTHING) -> SyncResult:
    result = world.sync(request)
    check_ledger(world, allowed=4750)
    return result


def with_items(world: World) -> list[int]:
    return sorted(order.order_id for order in world.store.sales.values() if not order.is_purged)


def failed(world: World) -> dict[str, FailedOrder]:
    with world.warehouse.engine.connect() as connection:
        return {order.order_id: order for order in state.failed_orders(connection, world.warehouse)}


@pytest.mark.parametrize("fault", some_slow([*FAILING, *sorted(LIMITS), *NO_DATA], QUICK))
def test_what_passes_is_retried_within_the_run(world: World, fault: Fault) -> None:
    """Caught: a client that retries nothing, or whose retry of items or of the second list is left out."""
    first, second = with_items(world)[:2]
    lists = [] if fault in (Fault.DATA_ABSENT, Fault.DATA_NULL) else ["filed=false", "filed=true"]
    places = [*lists, f"/orders/{first}$", f"/orders/{second}/items$"]
    for place in places:
        world.server.faults.on(place, fault, times=1)

    result = sync(world)

    assert result.success, result
    assert result.api_calls == 2 + 2 * 8 + len(places)
    assert len(world.clock.slept) == len(places)
    assert_in_step(world.warehouse, world.store)


@pytest.mark.parametrize("fault", some_slow([*FAILING, *NO_DATA, Fault.WRONG_TYPE_MONEY, Fault.FORBIDDEN], QUICK))
def test_an_order_that_fails_is_noted_and_the_rest_goes_on(world: World, fault: Fault) -> None:
    """Caught: a failure that ends the batch; one that is not noted; one whose note stays after it was repaired; an
    order that is not counted because its items cannot be fetched.
    """
    first, second = with_items(world)[:2]
    world.server.faults.on(f"/orders/{first}$", fault)
    world.server.faults.on(f"/orders/{second}/items$", fault)

    result = sync(world)

    assert (result.exit_code, result.run_status) == (ExitCode.SOME_FAILED, RunStatus.COMPLETED_WITH_ERRORS)
    assert {error["order_id"] for error in result.errors} == {str(first), str(second)}
    assert result.orders_created == 6
    orders, items = stored_orders(world.warehouse), stored_items(world.warehouse)
    assert str(first) not in orders
    assert orders[str(second)] == order_row(world.store.orders[second])
    # Its first lot is unreadable, or all of them.
    whole = item_rows(world.store.orders[second])
    assert items.get(str(second), []) == (whole[1:] if fault is Fault.WRONG_TYPE_MONEY else [])
    noted = failed(world)
    assert noted.keys() == {str(first), str(second)}
    assert all(order.attempts == 1 and order.error and order.error_class for order in noted.values())
    assert all(error["error"] == noted[error["order_id"]].error for error in result.errors)

    world.server.faults.clear()
    world.overrides["bl_request_timeout"] = 30
    result = sync(world, SyncRequest(only_failed=True))

    assert (result.success, result.orders_created, result.orders_updated) == (True, 1, 1)
    assert failed(world) == {}
    assert_in_step(world.warehouse, world.store)


@pytest.mark.parametrize("fault", [Fault.HTML503, Fault.WRONG_TYPE_MONEY, Fault.DATA_NULL])
def test_the_next_run_repairs_what_failed_by_itself(world: World, fault: Fault) -> None:
    """Caught: failed orders that only `retry` tries again."""
    order_id = with_items(world)[0]
    world.server.faults.on(f"/orders/{order_id}(/items)?$", fault, times=4)
    assert sync(world).errors

    world.server.faults.clear()
    result = sync(world)

    assert result.success
    assert_in_step(world.warehouse, world.store)


@pytest.mark.parametrize("fault", some_slow([*FAILING, *NO_DATA[2:], Fault.WRONG_TYPE_ID], QUICK))
def test_a_list_that_cannot_be_fetched_stops_the_run_and_changes_nothing(world: World, fault: Fault) -> None:
    """Caught: a refused list taken for an empty one, so that orders are no longer listed."""
    sync(world)
    before = stored_orders(world.warehouse)
    new = world.store.place_order()
    for place in ("filed=false", "filed=true"):
        world.server.faults.on(place, fault)

        result = sync(world)

        assert (result.exit_code, result.run_status) == (ExitCode.UNREACHABLE, RunStatus.FAILED)
        assert stored_orders(world.warehouse) == before
        with world.warehouse.engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM sync.order_state WHERE NOT is_listed")) == 0
        world.server.faults.clear()

    assert sync(world).orders_created == 1
    assert str(new) in stored_orders(world.warehouse)
    assert_in_step(world.warehouse, world.store)


@pytest.mark.parametrize("fault", [Fault.WRONG_TYPE_MONEY, Fault.WRONG_TYPE_COUNT])
def test_a_list_row_that_cannot_be_read_hides_no_order(world: World, fault: Fault) -> None:
    """Caught: a row left out because it cannot be read."""
    world.server.faults.on("/orders$", fault)

    assert sync(world).orders_created == 8

    assert_in_step(world.warehouse, world.store)


@pytest.mark.parametrize("fault", [Fault.DATA_ABSENT, Fault.DATA_NULL])
def test_a_list_without_data_is_empty_but_never_wipes_the_store(world: World, fault: Fault) -> None:
    """Caught: an empty list of unfiled orders taken for a fault; both empty taken for a store without orders."""
    world.server.faults.on("filed=false", fault, times=1)
    filed = sum(order.is_filed for order in world.store.sales.values())
    result = sync(world)
    assert (result.exit_code, result.orders_created) == (ExitCode.DONE, filed)

    assert sync(world).orders_created == 8 - filed
    assert_in_step(world.warehouse, world.store)

    world.server.faults.on("/orders$", fault)
    result = sync(world)
    assert result.exit_code == ExitCode.OTHER
    assert_in_step(world.warehouse, world.store)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("purged_items", "fault"), [("empty", None), ("absent", Fault.DATA_NULL), ("not_found", Fault.DATA_ABSENT)]
)
def test_a_purged_order_without_items_is_no_error_and_keeps_what_was_stored(
    world: World, purged_items: str, fault: Fault | None
) -> None:
    """Caught: absent items of a purged order noted as a failure; stored items replaced by none."""
    world.server.wire = Wire(purged_items=purged_items)  # type: ignore[arg-type]
    unread = next(order.order_id for order in world.store.sales.values() if order.is_purged)
    if fault:
        world.server.faults.on(f"/orders/{unread}/items$", fault)
    assert sync(world).success

    order_id = with_items(world)[0]
    items = stored_items(world.warehouse)
    assert items[str(order_id)]
    world.store.purge(order_id)
    if fault:
        world.server.faults.on("/items$", fault)
    for request in (SyncRequest(), SyncRequest(order_ids=(str(order_id),)), SyncRequest(full_sync=True)):
        world.advance(hours=1)
        result = sync(world, request)
        assert str(order_id) not in {error["order_id"] for error in result.errors}
        assert stored_items(world.warehouse) == items


def test_a_code_that_is_text_is_a_success(world: World) -> None:
    """Caught: an envelope read strictly."""
    world.server.faults.at_random(1.0, [Fault.CODE_AS_STRING])
    result = sync(world)
    assert (result.success, result.api_calls) == (True, 2 + 2 * 8)
    assert_in_step(world.warehouse, world.store)


@pytest.mark.parametrize(("part", "fault"), [("", Fault.RATE_LIMIT_ENVELOPE), ("/items", Fault.RATE_LIMIT_HTTP)])
def test_too_many_calls_stops_the_run_in_good_order(world: World, part: str, fault: Fault) -> None:
    """Caught: a limit noted as a failure of each order in turn."""
    world.server.faults.on(f"/orders/[0-9]+{part}$", fault)

    result = sync(world)

    assert (result.exit_code, result.run_status) == (ExitCode.BUDGET, RunStatus.STOPPED_AT_BUDGET)
    assert result.errors == []
    # Two threads, of which each may meet it, and each tries once more.
    assert sum(request.fault is fault for request in world.server.requests) <= 4
    world.server.faults.clear()
    result = sync(world)
    assert result.success
    assert_in_step(world.warehouse, world.store)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "fault"),
    [
        ("filed=false", Fault.UNAUTHORIZED),
        ("filed=true", Fault.UNAUTHORIZED_HTTP),
        ("/orders/[0-9]+$", Fault.IP_MISMATCH),
        ("/items$", Fault.UNAUTHORIZED),
    ],
)
def test_refused_credentials_stop_at_once(world: World, place: str, fault: Fault) -> None:
    """Caught: a refusal retried, or repeated for each order."""
    world.server.faults.on(place, fault)

    result = sync(world)

    assert (result.exit_code, result.run_status) == (ExitCode.CREDENTIALS, RunStatus.FAILED)
    assert result.errors == []
    refused = sum(request.fault is fault for request in world.server.requests)
    # No more than were under way at the same moment.
    assert refused == 1 if "filed" in place else refused <= 2
    assert world.clock.slept == []
    world.server.faults.clear()
    assert sync(world).success
    assert_in_step(world.warehouse, world.store)


@pytest.mark.parametrize("place", ["filed=false", "filed=true"])
def test_a_list_that_is_forbidden_is_a_refusal_of_the_credentials(world: World, place: str) -> None:
    """Caught: 403 taken for one order's."""
    world.server.faults.on(place, Fault.FORBIDDEN)
    assert sync(world).exit_code == ExitCode.CREDENTIALS
    assert sum(request.fault is not None for request in world.server.requests) == 1


def test_many_failures_in_a_row_stop_the_run_instead_of_spending_the_budget(world: World) -> None:
    """Caught: a breaker that never opens."""
    world.server.faults.on("/orders/", Fault.HTTP500)

    result = sync(world)

    assert result.exit_code == ExitCode.UNREACHABLE
    assert len(world.server.requests) <= 2 + 10 + 1
    world.server.faults.clear()
    # Those that had used up their attempts before the breaker opened were noted, and are tried again.
    assert sync(world).success
    assert_in_step(world.warehouse, world.store)


@pytest.mark.slow
def test_an_order_that_keeps_failing_is_tried_ever_more_rarely(world: World) -> None:
    """Caught: waits that do not grow, or an order that is given up for good."""
    order_id = with_items(world)[0]
    world.server.faults.on(f"/orders/{order_id}$", Fault.FORBIDDEN)

    tried: list[int] = []
    for hour in range(36):
        before = len(world.server.requests)
        result = sync(world)
        assert result.exit_code == ExitCode.SOME_FAILED
        assert [error["order_id"] for error in result.errors] == [str(order_id)]
        tried += [hour] * any(request.path == f"/orders/{order_id}" for request in world.server.requests[before:])
        world.advance(hours=1)

    # Three times at once, then after 1, 2, 4, 8 and 16 hours.
    assert tried == [0, 1, 2, 3, 5, 9, 17, 33]

    # The next would be after 32 hours: but what has changed is tried at once.
    world.store.set_payment_status(order_id, "Bounced")
    world.server.faults.clear()
    assert sync(world).success
    assert_in_step(world.warehouse, world.store)


@pytest.mark.slow
def test_the_wait_is_never_longer_than_a_week(world: World) -> None:
    """Caught: waits that double without end."""
    order_id = with_items(world)[0]
    world.server.faults.on(f"/orders/{order_id}$", Fault.FORBIDDEN)
    sync(world)
    for _ in range(12):
        sync(world, SyncRequest(only_failed=True))
    world.server.faults.clear()

    world.advance(days=6.9)
    assert sync(world).errors
    world.advance(days=0.2)
    assert sync(world).success


def test_retry_tries_what_failed_whatever_its_wait_and_nothing_else(world: World) -> None:
    """Caught: `retry` that heeds the waits; one that asks the lists."""
    order_id = with_items(world)[0]
    world.server.faults.on(f"/orders/{order_id}$", Fault.FORBIDDEN)
    for _ in range(6):
        sync(world)
    world.server.faults.clear()
    world.store.place_order()
    world.server.clear_requests()

    result = sync(world, SyncRequest(only_failed=True))

    assert (result.success, result.api_calls) == (True, 2)
    assert {request.path for request in world.server.requests} == {f"/orders/{order_id}", f"/orders/{order_id}/items"}


def test_a_value_that_postgres_refuses_fails_its_order_and_no_other(world: World) -> None:
    """A constraint of the seller's own, once refused by INSERT and once by COPY.

    Caught: refusals that COPY raises, past SQLAlchemy's errors, ended the whole batch.
    """
    first, second = with_items(world)[:2]
    lot = world.store.sales[second].lots[0].inventory_id
    with world.warehouse.engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE sales.orders ADD CHECK (platform_order_id <> '{first}')"))
        connection.execute(text(f"ALTER TABLE sales.order_items ADD CHECK (inventory_id <> {lot})"))
    refused = {
        order.order_id for order in world.store.sales.values() if any(each.inventory_id == lot for each in order.lots)
    } | {first}

    result = sync(world)

    assert {error["order_id"] for error in result.errors} == {str(order_id) for order_id in refused}
    assert {order.error_class for order in failed(world).values()} == {"CheckViolation"}
    assert_in_step(world.warehouse, world.store, without=refused)


def test_an_answer_that_is_refused_fails_its_order_and_no_other(world: World) -> None:
    """A constraint of the seller's own on what has landed; answers of several orders are committed together.

    Planted: what was refused for one taken for refused for all of its commit.
    """
    refused = {order_id for order_id in with_items(world) if order_id % 3 == 0}
    assert refused
    with world.warehouse.engine.begin() as connection:
        connection.execute(
            text("ALTER TABLE landing.documents ADD CHECK (platform_order_id::bigint % 3 > 0) NOT VALID")
        )
    world.server.latency = 0.05  # so that answers come together
    world.overrides = {"bl_max_parallel_requests": 16}

    result = sync(world)

    unstored = {order_id for order_id in world.store.sales if order_id % 3 == 0}
    assert {error["order_id"] for error in result.errors} == {str(order_id) for order_id in unstored}
    assert {order.error_class for order in failed(world).values()} == {"UnstorableAnswer"}
    assert_in_step(world.warehouse, world.store, without=unstored)


def test_an_answer_that_breaks_the_code_fails_its_order_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect of the normalisation itself: it must not stop all the other orders, in this run and every next.

    Caught: any error but the known ones ended the batch, and as the answer had landed, each batch after it.
    """
    order_id = with_items(world)[0]
    whole = normalise.order_row

    def broken(order: object, **keywords: object) -> object:
        if getattr(order, "order_id", None) == order_id:
            raise ZeroDivisionError("with a value of the order")
        return whole(order, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(loading, "order_row", broken)
    result = sync(world)

    assert [error["order_id"] for error in result.errors] == [str(order_id)]
    assert "value of the order" not in result.errors[0]["error"]
    assert failed(world)[str(order_id)].error_class == "ZeroDivisionError"
    assert_in_step(world.warehouse, world.store, without={order_id})
    monkeypatch.undo()
    assert sync(world).success
    assert_in_step(world.warehouse, world.store)

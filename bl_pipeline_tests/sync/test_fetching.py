"""What has landed of an order and was not loaded: it costs no second call, unless the order has changed since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from sqlalchemy import text

from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import Fetch, OrderState, Outcome, Reason, StopReason
from bl_pipeline.sandbox import Fault, RecordedRequest, SandboxServer, Store
from bl_pipeline.sync.fetching import is_current
from bl_pipeline.sync.interruptions import Interrupted
from bl_pipeline.sync.session import NoProgress
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.landing import Document
from bl_pipeline_tests.conftest import Clock, Sync
from bl_pipeline_tests.support.sales_rows import item_rows, order_row, stored_items, stored_orders
from bl_pipeline_tests.support.sessions import SeenDone
from bl_pipeline_tests.support.waiting import PATIENCE


class CanceledOnceLanded(NoProgress):
    """Cancels the run when all answers about an order have landed, and none is loaded."""

    def fetched(self, order_id: str) -> None:
        raise Interrupted


def land(synced: Sync, store: Store) -> int:
    """A new order whose answers have landed."""
    order_id = store.place_order(paid=True)
    with pytest.raises(Interrupted):
        synced(progress=CanceledOnceLanded())
    return order_id


class FailsOnceLanded(NoProgress):
    """An error of our own at the first order whose answers have landed."""

    def __init__(self) -> None:
        self.raised = Event()

    def fetched(self, order_id: str) -> None:
        self.raised.set()
        raise ZeroDivisionError


def test_an_error_of_our_own_waits_for_the_answers_that_are_under_way(
    sync: Sync, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Planted: it waits if the run is canceled instead; the calls would be spent for nothing."""
    progress = FailsOnceLanded()
    asked: list[str] = []

    def answer_later(request: RecordedRequest) -> None:
        """Only the first order is answered before the error."""
        if request.path.startswith("/orders/"):
            asked.append(request.path)
            assert request.path.startswith(asked[0]) or progress.raised.wait(PATIENCE)

    server.on_request = answer_later
    with pytest.raises(ZeroDivisionError):
        sync(progress=progress)
    with warehouse.engine.connect() as connection:
        landed = connection.scalar(text("SELECT count(*) FROM landing.documents"))
    assert landed == len(asked) > 2


def test_whoever_follows_a_run_hears_of_each_order_once(sync: Sync, server: SandboxServer, store: Store) -> None:
    """Planted: nothing said after a load, or not of orders that failed."""
    failing = min(store.sales)
    server.faults.on(f"/orders/{failing}$", Fault.WRONG_TYPE_MONEY)
    progress = SeenDone()
    result = sync(progress=progress)
    assert len(progress.outcomes) == len(store.sales)
    assert {order_id for order_id, outcome in progress.outcomes.items() if outcome is Outcome.FAILED} == {str(failing)}
    assert Counter(progress.outcomes.values())[Outcome.CREATED] == result.orders_created


def unchanged(_store: Store, _order_id: int) -> None:
    """Nothing happens."""


def shipped(store: Store, order_id: int) -> None:
    """The list says so."""
    store.set_status(order_id, "SHIPPED")


def grown(store: Store, order_id: int) -> None:
    """The list says so, and there are other items."""
    store.add_batch(order_id)


@pytest.mark.parametrize(
    ("happens", "job", "calls"),
    [
        (unchanged, "sync_orders", 2),
        (shipped, "sync_orders", 2 + 2),
        (grown, "sync_orders", 2 + 2),
        (unchanged, "refresh_order", 2),
    ],
)
def test_what_has_landed_is_fetched_again_only_if_it_is_outdated_or_asked_for(
    happens: Callable[[Store, int], None], job: str, calls: int, synced: Sync, store: Store, warehouse: Warehouse
) -> None:
    """Planted: never used; used although the list says otherwise by now, or although its user asks for that order."""
    order_id = land(synced, store)
    first_ordered = store.order(order_id).date_ordered
    happens(store, order_id)
    asked: dict[str, Any] = {"order_ids": [str(order_id)]} if job == "refresh_order" else {}
    result = synced(job, **asked)
    assert (result.success, result.api_calls) == (True, calls)
    order = store.order(order_id)
    assert stored_orders(warehouse)[str(order_id)] == order_row(order, first_order_date=first_ordered)
    assert stored_items(warehouse)[str(order_id)] == item_rows(order)


@pytest.mark.parametrize(("waited", "used"), [(timedelta(hours=23), True), (timedelta(hours=24), False)])
def test_a_full_sync_uses_what_has_landed_of_it_within_a_day(
    waited: timedelta, used: bool, synced: Sync, warehouse: Warehouse, clock: Clock
) -> None:
    """Planted: never used, so that each try begins anew; used however old it is, and so nothing is found."""
    one_at_a_time = synced.settings.model_copy(update={"bl_max_parallel_requests": 1})
    calls = synced(full_sync=True).api_calls
    clock.advance(days=2)
    with pytest.raises(Interrupted):
        synced(full_sync=True, settings=one_at_a_time, progress=CanceledOnceLanded())
    with warehouse.engine.connect() as connection:
        of_canceled = "SELECT run_id FROM sync.runs WHERE status = 'canceled'"
        landed = connection.scalar(text(f"SELECT count(*) FROM landing.documents WHERE run_id IN ({of_canceled})"))
    assert landed > 0
    clock.advance(seconds=waited.total_seconds())
    assert synced(full_sync=True).api_calls == calls - (landed if used else 0)


def test_an_order_that_has_landed_without_its_items_costs_one_call(
    synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Planted: the order fetched again; loaded without its items."""
    order_id = store.place_order(paid=True)
    server.faults.on("/items$", Fault.UNAUTHORIZED)
    assert synced().stop_reason is StopReason.CREDENTIALS
    server.faults.clear()
    assert synced().api_calls == 2 + 1
    assert stored_orders(warehouse)[str(order_id)] == order_row(store.order(order_id))
    assert stored_items(warehouse)[str(order_id)] == item_rows(store.order(order_id))


def test_refused_items_of_an_order_that_is_not_purged_are_a_failure(
    synced: Sync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Planted: the refusal taken for an answer, as that of a part that is optional."""
    order_id = store.place_order(paid=True)
    server.faults.on("/items$", Fault.FORBIDDEN, times=1)
    assert [error["order_id"] for error in synced().errors] == [str(order_id)]
    assert synced().success
    assert stored_items(warehouse)[str(order_id)] == item_rows(store.order(order_id))


T = datetime(2026, 6, 15, 12, tzinfo=UTC)
STATE = OrderState("1", T, "f", "PAID", T)
LANDED = Document("1", AnswerKind.ORDER, b"", "f", T, T, document_id=7)


@pytest.mark.parametrize(
    ("reason", "state", "document", "hours", "current"),
    [
        (Reason.NEW, {}, {}, 99, True),
        (Reason.NEW, {}, {"listed_fingerprint": "g"}, 1, False),
        (Reason.NEW, {}, {"listed_status_changed_at": T - timedelta(seconds=1)}, 1, False),
        (Reason.NEW, {"listed_status_changed_at": None}, {}, 1, False),
        (Reason.FAILED_BEFORE, {"failed_at": T}, {}, 1, False),
        (Reason.REQUESTED, {}, {}, 0, False),
        (Reason.RECHECK, {}, {}, 23, True),
        (Reason.RECHECK, {}, {}, 24, False),
        (Reason.FULL_SYNC, {}, {}, 23, True),
        (Reason.FULL_SYNC, {}, {}, 24, False),
    ],
)
def test_which_landed_order_is_loaded_without_a_call(
    reason: Reason, state: dict[str, Any], document: dict[str, Any], hours: int, current: bool
) -> None:
    """Planted: each condition left out or turned round."""
    now = T + timedelta(hours=hours)
    assert is_current(replace(LANDED, **document), Fetch("1", reason), replace(STATE, **state), now) is current

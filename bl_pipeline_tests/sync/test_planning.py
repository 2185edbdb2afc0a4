"""A plan is made from the states that Postgres chooses; it must be the plan that all states together give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from bl_pipeline.columns import AnswerKind, OrderGroup
from bl_pipeline.records import (
    EVERY_DATE,
    FullSync,
    OptionalPart,
    OrderDates,
    OrderState,
    Stop,
    StopReason,
    SyncRequest,
)
from bl_pipeline.rules.changes import Plan, plan
from bl_pipeline.settings import Settings
from bl_pipeline.sync.planning import complete_request, count_skipped, plan_changes, states_to_plan
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.warehouse import full_syncs, state
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import NOW, Clock, Sync
from bl_pipeline_tests.support.sessions import session_at

ORDERS = 300


def some_state(random: Random, number: int) -> dict[str, Any]:
    """A row of sync.order_state and the status of its order: most are as a sync leaves them, some as faults do."""

    def before(days: float) -> datetime:
        return NOW - timedelta(days=random.choice([0.01, 0.5, 1, days, 2 * days]) * random.random())

    def rarely(value: Any, usual: Any) -> Any:
        return value if random.random() < 0.06 else usual

    changed_at = rarely(None, before(60))
    stored = rarely(None, f"f{number}")
    fetched_at = rarely(None, before(50))
    return {
        "platform_order_id": str(10 ** random.randint(2, 4) + number),
        "order_date": before(200),
        "listed_fingerprint": rarely("other", f"f{number}"),
        "listed_status": random.choice(["PAID", "SHIPPED", "COMPLETED", "PURGED"]),
        "listed_status_changed_at": rarely(before(9), changed_at),
        "listed_filed": random.choice([True, False, False, None]),
        "is_listed": rarely(False, True),
        "first_listed_at": NOW,
        "stored_fingerprint": stored,
        "stored_status_changed_at": changed_at,
        "order_fingerprint": "k",
        "order_fetched_at": fetched_at,
        "items_fingerprint": rarely("older", "k"),
        "items_fetched_at": rarely(None, fetched_at),
        "messages_fetched_at": random.choice([None, fetched_at]),
        "failed_at": rarely(before(1), None),
        "attempts": random.randint(0, 6),
        "status": rarely(None, random.choice([str(group) for group in OrderGroup])),
    }


def fill(warehouse: Warehouse, random: Random) -> None:
    """Other states than before, and the orders as far as the states need them."""
    rows = [{**some_state(random, number), "store": warehouse.store} for number in range(ORDERS)]
    columns = [name for name in rows[0] if name != "status"]
    with warehouse.engine.begin() as connection:
        connection.execute(text("TRUNCATE sync.order_state, sales.orders CASCADE"))
        connection.execute(
            text(
                f"INSERT INTO sync.order_state (platform, {', '.join(columns)}) "
                f"VALUES ('bricklink', {', '.join(f':{name}' for name in columns)})"
            ),
            rows,
        )
        connection.execute(
            text(
                """
                INSERT INTO sales.orders (store, platform, platform_order_id, display_id, order_date, first_order_date,
                    status, platform_status, subtotal, total, currency, fetched_at, order_document_id)
                VALUES (:store, 'bricklink', :platform_order_id, 'BL-' || :platform_order_id, :order_date, :order_date,
                    :status, :listed_status, 1, 1, 'EUR', :first_listed_at, 1)
                """
            ),
            [row for row in rows if row["status"] is not None],
        )


MAY = OrderDates(NOW - timedelta(days=60), NOW - timedelta(days=30))
PARTS = [
    OptionalPart(AnswerKind.MESSAGES, frozenset({OrderGroup.SHIPPED, OrderGroup.COMPLETED}), timedelta(days=30)),
    OptionalPart(AnswerKind.FEEDBACK, frozenset({OrderGroup.COMPLETED}), timedelta(days=90)),
]
REQUESTS = {
    "a sync": SyncRequest(rechecks=240),
    "with few re-checks": SyncRequest(rechecks=5),
    "with an odd number of them": SyncRequest(rechecks=3, also=frozenset({AnswerKind.MESSAGES})),
    "without re-checks": SyncRequest(),
    "without items": SyncRequest(include_items=False, rechecks=7),
    "without the filed list": SyncRequest(include_filed=False, rechecks=7),
    "with messages and feedback": SyncRequest(rechecks=3, optional_parts=PARTS),
    "what failed": SyncRequest(only_failed=True),
    "a month": SyncRequest(dates=MAY, full_syncs=[FullSync(NOW - timedelta(days=9), dates=MAY)]),
    "a full sync": SyncRequest(full_syncs=[FullSync(NOW - timedelta(days=3))], rechecks=3),
}


def skipped(states: Mapping[str, OrderState], planned: Plan, request: SyncRequest) -> int:
    """Listed, not failed, of these dates and lists, and not in the plan."""
    in_plan = {fetch.order_id for fetch in [*planned.fetches, *planned.deferred]}
    return sum(
        order.is_listed
        and order.failed_at is None
        and order.order_date in request.dates
        and (request.include_filed or not order.listed_filed)
        and order.order_id not in in_plan
        for order in states.values()
    )


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(request, id=name, marks=() if name == "with messages and feedback" else pytest.mark.slow)
        for name, request in REQUESTS.items()
    ],
)
def test_the_plan_is_the_same_as_from_all_states(
    request_: SyncRequest, warehouse: Warehouse, settings: Settings, clock: Clock
) -> None:
    """Planted: each of the conditions left out; `rechecks` orders in all, and not of each kind; the oldest last."""
    random = Random(f"{request_}")
    clock.now = NOW
    chosen = 0
    with session_at(settings, clock) as session:
        for _ in range(12):
            fill(warehouse, random)
            calls = random.choice([0, 3, 50, 5000])
            with warehouse.engine.connect() as connection:
                everything = state.read_states(connection, warehouse)
            some = states_to_plan(session, request_)
            made = plan(some, request_, calls, NOW)

            assert made == plan(everything, request_, calls, NOW)
            assert count_skipped(session, some, made, request_) == skipped(everything, made, request_)
            chosen += len(some)
    if not request_.full_syncs and not request_.optional_parts and request_.rechecks < 10:
        assert chosen < 12 * ORDERS * 0.6, "Postgres was to leave out those that have not changed"


def test_the_requested_orders_are_all_that_is_read(warehouse: Warehouse, settings: Settings, clock: Clock) -> None:
    fill(warehouse, Random(1))
    with session_at(settings, clock) as session:
        wanted = replace(SyncRequest(), order_ids=("100", "101", "nothing"), dates=EVERY_DATE)
        assert set(states_to_plan(session, wanted)) <= {"100", "101"}


@pytest.mark.parametrize(
    ("why", "asked", "kept"),
    [
        (None, True, 1),
        (StopReason.BUDGET, True, 1),
        (StopReason.CREDENTIALS, True, 0),
        (StopReason.ERROR, True, 0),
        (None, False, 0),
    ],
)
def test_a_full_sync_stays_open_if_only_calls_are_lacking(
    why: StopReason | None, asked: bool, kept: int, session: SyncSession, warehouse: Warehouse
) -> None:
    """Who asks for one with wrong credentials asks again once they are right. Planted: each of the conditions."""
    session.begin("r", job="sync_orders")
    if why is not None:
        session.stop(Stop(why, "It cannot go on."))
    plan_changes(session, SyncRequest(full_sync=asked))
    with warehouse.engine.connect() as connection:
        assert len(full_syncs.open_full_syncs(connection, warehouse)) == kept


@pytest.mark.parametrize(("with_items", "found"), [(True, [False, True]), (False, [False])])
def test_a_run_without_items_goes_on_with_no_full_sync_that_wants_them(
    session: SyncSession, with_items: bool, found: list[bool]
) -> None:
    """Planted: with none at all; with each."""
    with session.warehouse.engine.begin() as connection:
        for include_items in (False, True):
            full_syncs.request_full_sync(
                connection, session.warehouse, include_items=include_items, dates=EVERY_DATE, now=NOW
            )
    completed = complete_request(session, SyncRequest(include_items=with_items))
    assert sorted(each.include_items for each in completed.full_syncs) == found


def test_a_full_sync_is_closed_once_all_of_it_was_fetched(synced: Sync, warehouse: Warehouse) -> None:
    """Planted: never closed."""
    assert synced(full_sync=True).success
    with warehouse.engine.connect() as connection:
        assert full_syncs.open_full_syncs(connection, warehouse) == []

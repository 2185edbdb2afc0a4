"""sync.run_orders: the plan of a run in batches, and what became of its orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import FailedOrder, Fetch, ListedOrder, Outcome, Reason
from bl_pipeline.warehouse import run_orders, runs, state
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.run_orders import RunProgress

T = datetime(2026, 6, 15, 12, tzinfo=UTC)
ITEMS, MESSAGES, FEEDBACK = AnswerKind.ITEMS, AnswerKind.MESSAGES, AnswerKind.FEEDBACK


@pytest.fixture
def connection(warehouse: Warehouse) -> Iterator[Connection]:
    with warehouse.engine.begin() as connection:
        start(connection, warehouse, "run")
        yield connection


def start(connection: Connection, store: Warehouse, run_id: str, now: datetime = T, *, some: bool = False) -> None:
    runs.start_run(connection, store, run_id=run_id, job="job", now=now, of_all_orders=not some)


def fetch(order_id: str, batch: int = 1, reason: Reason = Reason.NEW, **more: object) -> Fetch:
    return Fetch(order_id, reason, batch_number=batch, **more)  # type: ignore[arg-type]


PLANNED = [
    fetch("9", force=frozenset({ITEMS})),
    fetch("8", reason=Reason.ITEMS_MISSING, fetch_order=False),
    fetch("7", 2, force=frozenset({MESSAGES, FEEDBACK})),
    fetch("6", reason=Reason.RECHECK),
]
LATER, UNKNOWN = Fetch("5", Reason.BACKLOG), Fetch("4", Reason.REQUESTED)


def plan(connection: Connection, run_id: str = "run") -> None:
    run_orders.save_plan(connection, run_id, PLANNED, [LATER], [UNKNOWN], skipped=3)


def test_a_batch_is_read_as_it_was_planned(connection: Connection, warehouse: Warehouse) -> None:
    """Planted: the batches of all runs; orders that are done; another order of them; places counted from 2."""
    start(connection, warehouse, "another")
    plan(connection, "another")
    plan(connection)
    places = text("SELECT platform_order_id FROM sync.run_orders WHERE run_id = 'run' AND position = ANY(:places)")
    assert set(connection.scalars(places, {"places": [1, 6]})) == {"9", "4"}, "the first, and the last"
    assert run_orders.read_batch(connection, "run", 1) == [PLANNED[0], PLANNED[1], PLANNED[3]]
    assert run_orders.read_batch(connection, "run", 2) == [PLANNED[2]]
    assert run_orders.read_batch(connection, "run", 3) == run_orders.read_batch(connection, "none", 1) == []

    run_orders.save_outcomes(connection, "run", {})
    run_orders.save_outcomes(connection, "run", {"9": Outcome.CREATED, "6": Outcome.UPDATED})
    assert run_orders.read_batch(connection, "run", 1) == [PLANNED[1]]
    assert len(run_orders.read_batch(connection, "another", 1)) == 3
    run = runs.read_run(connection, "run")
    assert run is not None
    assert run.orders_skipped == 3

    # A plan takes the place of the one before, of the same run.
    run_orders.save_plan(connection, "run", [], [], skipped=0)
    assert run_orders.count_outcomes(connection, "run") == Counter()
    assert len(run_orders.read_batch(connection, "another", 1)) == 3


def test_outcomes_and_reasons_are_counted(connection: Connection, warehouse: Warehouse) -> None:
    start(connection, warehouse, "another")
    plan(connection, "another")
    plan(connection)
    run_orders.save_outcomes(
        connection, "run", {"9": Outcome.CREATED, "8": Outcome.UPDATED, "7": Outcome.UPDATED, "6": Outcome.SKIPPED}
    )
    assert run_orders.count_outcomes(connection, "run") == {
        Outcome.CREATED: 1, Outcome.UPDATED: 2, Outcome.SKIPPED: 1, Outcome.DEFERRED: 1, Outcome.FAILED: 1,
    }  # fmt: skip
    assert list(run_orders.count_reasons(connection, "run").items()) == [("items_missing", 1), ("new", 2)]
    # Without an outcome it was left undone.
    assert run_orders.count_outcomes(connection, "another") == {Outcome.DEFERRED: 5, Outcome.FAILED: 1}
    assert run_orders.count_reasons(connection, "another") == {}
    assert run_orders.run_order_ids(connection, "run", Outcome.UPDATED, limit=9) == ["8", "7"]
    assert run_orders.run_order_ids(connection, "run", Outcome.UPDATED, limit=1) == ["8"]
    assert run_orders.run_order_ids(connection, "another", Outcome.UPDATED, limit=9) == []


def test_planned_calls_are_those_of_one_store_one_reason_and_a_day(
    connection: Connection, warehouse: Warehouse
) -> None:
    """An order is a call, and each of its parts that is fetched anyway."""
    other = Warehouse(connection.engine, "other")
    rechecks = [
        fetch("1", reason=Reason.RECHECK),
        fetch("2", reason=Reason.RECHECK, force=frozenset({ITEMS})),
        fetch("3", reason=Reason.RECHECK, force=frozenset({ITEMS, MESSAGES, FEEDBACK})),
        fetch("4", force=frozenset({ITEMS})),
    ]
    for store, run_id, now in ((warehouse, "later", T + timedelta(seconds=1)), (other, "other", T)):
        start(connection, store, run_id, now)
        run_orders.save_plan(connection, run_id, rechecks, [], skipped=0)
    plan(connection)

    def count(since: datetime, reason: Reason = Reason.RECHECK, store: Warehouse = warehouse) -> int:
        return run_orders.count_planned_calls(connection, store, reason, since=since)

    assert count(T - timedelta(seconds=1)) == 1 + 2 + 4 + 1
    assert count(T) == 1 + 2 + 4
    assert count(T + timedelta(seconds=1)) == 0
    assert count(T, Reason.NEW) == 2
    assert count(T - timedelta(seconds=1), store=other) == 7


def test_the_errors_of_a_run(connection: Connection, warehouse: Warehouse) -> None:
    """A run that asked the lists says too what waits for another try; an order that is in no list comes last."""
    other = Warehouse(connection.engine, "other")
    for store in (warehouse, other):
        listed = [ListedOrder(name, T, "PAID", T, False, "f") for name in ("9", "8", "7", "1")]
        state.save_listed(connection, store, listed, T)
        for order_id, minutes in (("9", 3), ("8", 2), ("1", 1)):
            failed_at = T + timedelta(minutes=minutes)
            failed = FailedOrder(order_id, f"{store.store} {order_id}", "E", failed_at=failed_at, attempts=1)
            state.mark_failed(connection, store, failed)
    start(connection, warehouse, "another")
    for run_id in ("run", "another"):
        plan(connection, run_id)
    run_orders.save_outcomes(connection, "run", {"9": Outcome.FAILED, "8": Outcome.FAILED, "7": Outcome.CREATED})

    def errors(run_id: str = "run") -> list[tuple[str, str]]:
        return [(each["order_id"], each["error"]) for each in run_orders.run_errors(connection, warehouse, run_id)]

    assert errors() == [("8", "main 8"), ("9", "main 9"), ("4", run_orders.UNKNOWN_ORDER)]
    assert errors("another") == [("4", run_orders.UNKNOWN_ORDER)]
    runs.save_orders_listed(connection, "run", 4, listed_at=T)
    assert errors() == [("1", "main 1"), ("8", "main 8"), ("9", "main 9"), ("4", run_orders.UNKNOWN_ORDER)]
    assert errors("another") == [("4", run_orders.UNKNOWN_ORDER)]


def test_which_order_a_run_is_about(connection: Connection, warehouse: Warehouse) -> None:
    for run_id, number in (("one", 1), ("two", 2), ("none", 0)):
        start(connection, warehouse, run_id, some=True)
        run_orders.save_plan(connection, run_id, PLANNED[:number], [], skipped=0)
    run_orders.save_plan(connection, "run", PLANNED[:1], [], skipped=0)
    found = [run_orders.only_order(connection, run_id) for run_id in ("one", "two", "none", "run")]
    assert found == ["9", None, None, None]


def test_how_far_a_run_is(connection: Connection, warehouse: Warehouse) -> None:
    """Planted: the calls of all runs; lists taken for an order; one that is still asked for taken for fetched; the
    order that was asked for first."""
    start(connection, warehouse, "another")
    plan(connection)
    assert run_orders.read_progress(connection, "run") == RunProgress(4, 0, None, 0, is_stopping=False)
    for run_id, path, finished_at in (
        ("run", "/orders", T), ("run", "/orders/9", T), ("run", "/orders/9/items", T), ("run", "/orders/8", None),
        ("another", "/orders/7", T),
    ):  # fmt: skip
        connection.execute(
            text(
                "INSERT INTO sync.api_calls (store, run_id, started_at, finished_at, method, path) "
                "VALUES ('main', :run_id, :at, :finished_at, 'GET', :path)"
            ),
            {"run_id": run_id, "at": T, "finished_at": finished_at, "path": path},
        )
    run_orders.save_outcomes(connection, "run", {"9": Outcome.CREATED})
    assert run_orders.read_progress(connection, "run") == RunProgress(4, 1, "8", 4, is_stopping=False)
    assert run_orders.read_progress(connection, "none") == RunProgress(0, 0, None, 0, is_stopping=False)

"""sync.runs: how runs begin and end, and which of them says how the store stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from bl_pipeline.records import Outcome, RunStatus, Stop, StopReason
from bl_pipeline.warehouse import runs
from bl_pipeline.warehouse.database import Warehouse

T = datetime(2026, 6, 15, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SUCCEEDED, FAILED, CANCELED = RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELED
WITH_ERRORS, AT_BUDGET = RunStatus.COMPLETED_WITH_ERRORS, RunStatus.STOPPED_AT_BUDGET


@pytest.fixture
def connection(warehouse: Warehouse) -> Iterator[Connection]:
    with warehouse.engine.begin() as connection:
        yield connection


def run(
    connection: Connection,
    store: Warehouse,
    number: int,
    status: RunStatus | None = SUCCEEDED,
    *,
    some: bool = False,
    listed: bool = False,
    stop: StopReason | None = None,
    calls: int = 1,
    counts: Counter[Outcome] | None = None,
) -> None:
    """Run `number` of the store, a minute after the one before; without a status it has not ended."""
    run_id, started_at = f"{store.store}-{number}", T + number * MINUTE
    runs.start_run(connection, store, run_id=run_id, job="job", now=started_at, of_all_orders=not some)
    if listed:
        runs.save_orders_listed(connection, run_id, 7, listed_at=started_at + timedelta(seconds=1))
    if status is not None:
        took = runs.finish_run(
            connection, run_id, status=status, counts=counts or Counter(), api_calls=calls, detected_by={"new": 2},
            now=started_at + timedelta(seconds=30), stop=Stop(stop, "why") if stop else None,
        )  # fmt: skip
        assert took == timedelta(seconds=30)


def test_a_run_is_noted_with_its_counts(connection: Connection, warehouse: Warehouse) -> None:
    counts = Counter(
        {Outcome.CREATED: 1, Outcome.UPDATED: 2, Outcome.SKIPPED: 3, Outcome.DEFERRED: 4, Outcome.FAILED: 5}
    )
    run(connection, warehouse, 1, AT_BUDGET, listed=True, stop=StopReason.BUDGET, calls=6, counts=counts)
    assert runs.read_run(connection, "main-1") == runs.Run(
        run_id="main-1", job="job", started_at=T + MINUTE, finished_at=T + MINUTE + timedelta(seconds=30),
        status=AT_BUDGET, orders_listed=7, orders_created=1, orders_updated=2, orders_skipped=3, orders_deferred=4,
        orders_failed=5, api_calls=6, duration_seconds=30.0, stop_reason=StopReason.BUDGET, message="why",
    )  # fmt: skip
    assert runs.read_run(connection, "main-2") is None


def test_the_first_reason_to_stop_stays(connection: Connection, warehouse: Warehouse) -> None:
    """Planted: the last one. A run that begins again has none."""
    run(connection, warehouse, 1)
    run(connection, warehouse, 2, None)
    assert runs.read_stop(connection, "main-2") is None
    first = Stop(StopReason.UNREACHABLE, "first")
    runs.stop_run(connection, "main-2", first)
    runs.stop_run(connection, "main-2", Stop(StopReason.ERROR, "second"))
    assert runs.read_stop(connection, "main-2") == first
    assert runs.read_stop(connection, "main-1") is None

    run(connection, warehouse, 2, None)
    assert runs.read_stop(connection, "main-2") is None


def test_the_latest_of_one_store(connection: Connection, warehouse: Warehouse) -> None:
    """Planted: the runs of all stores; the oldest in place of the newest."""
    other = Warehouse(connection.engine, "other")
    run(connection, warehouse, 2, listed=True, counts=Counter({Outcome.UPDATED: 1}))
    run(connection, warehouse, 1, WITH_ERRORS, listed=True, counts=Counter({Outcome.CREATED: 1}))
    run(connection, warehouse, 3, counts=Counter({Outcome.FAILED: 1, Outcome.SKIPPED: 1}))
    run(connection, warehouse, 4, AT_BUDGET, listed=True)
    run(connection, other, 9, listed=True, counts=Counter({Outcome.CREATED: 1}))

    def last(store: Warehouse) -> list[str]:
        return [each.run_id for each in runs.last_runs(connection, store, limit=3)]

    assert (last(warehouse), last(other)) == (["main-4", "main-3", "main-2"], ["other-9"])
    seconds, half = timedelta(seconds=1), timedelta(seconds=30)
    assert runs.last_listed_at(connection, warehouse) == T + 4 * MINUTE + seconds
    assert runs.last_synced_at(connection, warehouse) == T + 2 * MINUTE + half
    assert runs.last_change(connection, warehouse) == T + 2 * MINUTE + half
    assert runs.last_listed_at(connection, other) == T + 9 * MINUTE + seconds
    assert runs.last_synced_at(connection, other) == runs.last_change(connection, other) == T + 9 * MINUTE + half
    nothing = Warehouse(connection.engine, "nothing")
    assert last(nothing) == []
    assert runs.last_synced_at(connection, nothing) is runs.last_change(connection, nothing) is None
    assert runs.last_listed_at(connection, nothing) is None


def test_a_run_that_created_is_a_change_too(connection: Connection, warehouse: Warehouse) -> None:
    run(connection, warehouse, 1, WITH_ERRORS, listed=True, counts=Counter({Outcome.CREATED: 1}))
    assert runs.last_change(connection, warehouse) is not None
    assert runs.last_synced_at(connection, warehouse) is not None


Given = tuple[RunStatus | None, dict[str, Any]]
SOME: dict[str, Any] = {"some": True}
REFUSED: Given = (FAILED, {"stop": StopReason.CREDENTIALS})


CASES: list[tuple[list[Given], int | None, int | None]] = [
    ([], None, None),
    ([(SUCCEEDED, {}), (FAILED, {})], 2, 2),
    ([(SUCCEEDED, {}), (CANCELED, {})], 1, 1),
    ([(SUCCEEDED, {}), (FAILED, SOME)], 1, 1),
    ([(SUCCEEDED, {}), (None, {})], 2, 1),
    ([(SUCCEEDED, {}), (None, SOME)], 2, 1),
    ([(SUCCEEDED, {}), (FAILED, {**SOME, "stop": StopReason.CREDENTIALS})], 2, 2),
    ([(SUCCEEDED, {}), (FAILED, {**SOME, "stop": StopReason.UNREACHABLE})], 2, 2),
    ([(SUCCEEDED, {}), (FAILED, {**SOME, "stop": StopReason.SETTINGS})], 2, 2),
    ([(SUCCEEDED, {}), (FAILED, {**SOME, "stop": StopReason.ERROR})], 1, 1),
    # A fault of the connection is over once a later run has made calls and had none.
    ([(SUCCEEDED, {}), REFUSED, (SUCCEEDED, SOME)], 1, 1),
    ([(SUCCEEDED, {}), REFUSED, (WITH_ERRORS, SOME)], 1, 1),
    ([(SUCCEEDED, {}), REFUSED, (AT_BUDGET, SOME)], 1, 1),
    ([(SUCCEEDED, {}), REFUSED, (AT_BUDGET, {**SOME, "calls": 0})], 2, 2),
    ([(SUCCEEDED, {}), REFUSED, (FAILED, SOME)], 2, 2),
    ([(SUCCEEDED, {}), REFUSED, (CANCELED, SOME)], 2, 2),
    ([(SUCCEEDED, SOME), REFUSED], 2, 2),
]
"""The runs of a store, and the number of the one that judges it: if no sync is running, and while one is."""


def test_the_run_from_which_the_indicator_comes(connection: Connection, warehouse: Warehouse) -> None:
    """Whatever the other stores do, whose runs come after these."""
    other = Warehouse(connection.engine, "other")

    def number(*, syncing: bool) -> int | None:
        found = runs.judging_run(connection, warehouse, syncing=syncing)
        return int(found.run_id.removeprefix("main-")) if found else None

    for given, *judging in CASES:
        with connection.begin_nested() as savepoint:
            for place, (status, more) in enumerate(given, start=1):
                run(connection, warehouse, place, status, **more)
            run(connection, other, 8, SUCCEEDED, some=True)
            run(connection, other, 9, FAILED, stop=StopReason.CREDENTIALS)
            assert [number(syncing=False), number(syncing=True)] == judging, given
            savepoint.rollback()

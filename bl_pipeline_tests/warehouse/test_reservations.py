"""Calls are reserved in blocks: counted before they are sent, noted with their answers, and given back if not made."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest
from sqlalchemy import text

from bl_pipeline.records import Budget
from bl_pipeline.settings import Settings
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline.warehouse.ledger import BLOCK, USABLE, BudgetExhausted, CallLedger
from bl_pipeline.warehouse.usage import Usage, correct_future_calls, count_run_calls, read_usage
from bl_pipeline_tests.support.processes import barrier, start
from bl_pipeline_tests.support.waiting import PATIENCE, wait_until

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(hours=24)
LIMIT = 1000


def ledger(warehouse: Warehouse, *, limit: int = LIMIT, key: str = "key", run_id: str = "run") -> CallLedger:
    return CallLedger(warehouse.engine, key=[key], store=warehouse.store, run_id=run_id, budget=Budget(limit, 0))


def usage(warehouse: Warehouse, now: datetime, *, limit: int = LIMIT) -> Usage:
    with warehouse.engine.connect() as connection:
        return read_usage(connection, ["key"], Budget(limit, 0), now)


def rows(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """The calls that are noted."""
    with warehouse.engine.connect() as connection:
        asked = "SELECT run_id, started_at, finished_at, method, path, outcome FROM sync.api_calls ORDER BY started_at"
        return [tuple(row) for row in connection.execute(text(asked))]


def reserved(warehouse: Warehouse) -> list[tuple[int, datetime]]:
    """The reservations: calls, and until when they can be used."""
    with warehouse.engine.connect() as connection:
        asked = connection.execute(text("SELECT calls, usable_until FROM sync.call_reservations ORDER BY 1"))
        return [(row.calls, row.usable_until) for row in asked]


def test_calls_are_counted_before_they_are_sent_and_noted_with_their_answers(warehouse: Warehouse) -> None:
    """Planted: the block not counted; a call that is noted and reserved at the same time; one noted twice."""
    with ledger(warehouse) as calls:
        first = calls.begin("GET", "/orders?filed=false", NOON)
        assert reserved(warehouse) == [(BLOCK, NOON + USABLE)]
        # What is reserved is not called used while its run is there; nobody else has it.
        assert usage(warehouse, NOON) == Usage(used=0, left=LIMIT - BLOCK, limit=LIMIT, reserve=0, next_reset_at=None)
        second = calls.begin("GET", "/orders/1", NOON + SECOND)
        calls.end(first, "http_503", NOON + 2 * SECOND)
        assert (rows(warehouse), reserved(warehouse)) == ([], [(BLOCK, NOON + USABLE)])

        with calls.transaction() as connection:
            connection.execute(text("UPDATE sync.api_key_salt SET salt = 'stored with it'"))

        of_first = ("run", NOON, NOON + 2 * SECOND, "GET", "/orders?filed=false", "http_503")
        assert rows(warehouse) == [of_first]
        assert reserved(warehouse) == [(BLOCK - 1, NOON + USABLE)]
        assert usage(warehouse, NOON).left == LIMIT - BLOCK
        calls.end(second, "ok", NOON + 3 * SECOND)

    of_second = ("run", NOON + SECOND, NOON + 3 * SECOND, "GET", "/orders/1", "ok")
    assert (rows(warehouse), reserved(warehouse)) == ([of_first, of_second], [])
    assert usage(warehouse, NOON + 3 * SECOND) == Usage(2, LIMIT - 2, LIMIT, 0, None)
    with warehouse.engine.connect() as connection:
        assert [count_run_calls(connection, run_id) for run_id in ("run", "another")] == [2, 0]


def test_what_is_rolled_back_is_noted_by_the_next_transaction(warehouse: Warehouse) -> None:
    """An answer that Postgres refuses must not hide that its call was made. Planted: what has ended forgotten."""
    with ledger(warehouse) as calls:
        calls.end(calls.begin("GET", "/orders/1", NOON), "ok", NOON)
        with pytest.raises(ZeroDivisionError), calls.transaction():
            raise ZeroDivisionError
        assert rows(warehouse) == []
        with calls.transaction():
            pass
        assert rows(warehouse) == [("run", NOON, NOON, "GET", "/orders/1", "ok")]
        assert reserved(warehouse) == [(BLOCK - 1, NOON + USABLE)]


def test_a_call_under_way_at_the_end_of_a_run_is_noted_without_an_outcome(warehouse: Warehouse) -> None:
    """A run that is canceled does not wait for it. Planted: given back with what was not made."""
    with ledger(warehouse) as calls:
        under_way = calls.begin("GET", "/orders/1", NOON)
    assert rows(warehouse) == [("run", NOON, None, "GET", "/orders/1", None)]
    calls.end(under_way, "ok", NOON + SECOND)  # a thread that nobody waits for
    assert rows(warehouse) == [("run", NOON, None, "GET", "/orders/1", None)]
    assert (usage(warehouse, NOON).left, reserved(warehouse)) == (LIMIT - 1, [])


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_write_is_noted_before_it_is_sent_and_takes_a_call_alone(method: str, warehouse: Warehouse) -> None:
    """The next run looks up when it was sent. Planted: writes noted with their answers, as reads are."""
    with ledger(warehouse) as calls:
        number = calls.begin(method, "/orders/1", NOON)
        assert rows(warehouse) == [("run", NOON, None, method, "/orders/1", None)]
        assert reserved(warehouse) == [(0, NOON + USABLE)]
        assert usage(warehouse, NOON).left == LIMIT - 1
        calls.end(number, "ok", NOON + SECOND)
        assert rows(warehouse) == [("run", NOON, NOON + SECOND, method, "/orders/1", "ok")]


@pytest.mark.parametrize(
    ("wait", "is_reserved_anew"),
    [(USABLE, False), (USABLE + timedelta(microseconds=1), True), (-SECOND, True), (timedelta(hours=30), True)],
    ids=str,
)
def test_a_reservation_is_used_at_once_or_made_anew(
    wait: timedelta, is_reserved_anew: bool, warehouse: Warehouse
) -> None:
    """A call may be late, or the clock set back: what is sent then must count from then.

    Planted: a reservation that never becomes too old; one that is kept beside the new one.
    """
    with ledger(warehouse) as calls:
        calls.begin("GET", "/orders/1", NOON)
        calls.begin("GET", "/orders/2", NOON + wait)
        # The first call is under way.
        expected = (BLOCK + 1, NOON + wait + USABLE) if is_reserved_anew else (BLOCK, NOON + USABLE)
        assert reserved(warehouse) == [expected]
    assert [row[1] for row in rows(warehouse)] == sorted([NOON, NOON + wait])


def test_blocks_are_small_at_the_end_of_the_budget(warehouse: Warehouse) -> None:
    """So that others can use it too. Planted: whole blocks to the last call; a block larger than what is left."""
    blocks, before = [], 0
    with ledger(warehouse, limit=100) as calls:
        for _ in range(100):
            calls.begin("GET", "/", NOON)
            [(counted, _)] = reserved(warehouse)
            blocks += [counted - before] if counted > before else []
            before = counted
        with pytest.raises(BudgetExhausted) as stopped:
            calls.begin("GET", "/", NOON + SECOND)
    # A sync can go on when the calls are 24 hours old, whatever was reserved for longer.
    assert stopped.value.next_reset_at == NOON + SECOND + DAY
    assert (sum(blocks), max(blocks), blocks[-15:]) == (100, 12, [1] * 15)
    assert (len(rows(warehouse)), reserved(warehouse)) == (100, [])


def test_no_call_begins_after_the_end(warehouse: Warehouse) -> None:
    """A thread that nobody has waited for. Planted: a ledger that can be used again."""
    calls = ledger(warehouse)
    calls.begin("GET", "/", NOON)
    calls.close()
    with pytest.raises(AssertionError):
        calls.begin("GET", "/", NOON)
    calls.close()
    assert len(rows(warehouse)) == 1


@pytest.mark.slow
def test_the_end_does_not_wait_for_a_thread_that_is_stuck(warehouse: Warehouse) -> None:
    """Another process may be stopped in the middle of a transaction. Then the reservation stays: spent, not lost."""
    calls = ledger(warehouse)
    calls.begin("GET", "/", NOON)
    with warehouse.engine.begin() as connection:
        connection.execute(text("SELECT FROM sync.call_reservations FOR UPDATE"))
        stuck = threading.Thread(target=lambda: _store(calls))
        calls.end(1, "ok", NOON)
        stuck.start()
        wait_until(calls._committing.locked)
        calls.close()
        assert reserved(warehouse) == [(BLOCK, NOON + USABLE)]
    stuck.join(PATIENCE)
    assert (len(rows(warehouse)), reserved(warehouse)) == (1, [(BLOCK - 1, NOON + USABLE)])


def _store(calls: CallLedger) -> None:
    with calls.transaction():
        pass


def _die(settings: Settings, made: int) -> None:
    with open_warehouse(settings) as warehouse:
        calls = ledger(warehouse)
        for number in range(made):
            calls.begin("GET", f"/orders/{number}", NOON)
        os.kill(os.getpid(), signal.SIGKILL)


def killed(settings: Settings, made: int = 3) -> None:
    """A process that is killed with calls under way, and others that it has reserved."""
    process = start(_die, settings, made)
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.slow
def test_calls_of_a_process_that_was_killed_are_spent_for_24_hours(settings: Settings, warehouse: Warehouse) -> None:
    """From the last moment at which one of them may have been sent, and not longer.

    Planted: reservations that count from when they were made; that are forgotten once they cannot be used; that count
    for ever.
    """
    killed(settings)
    last = NOON + USABLE
    assert reserved(warehouse) == [(BLOCK, last)]
    for now, used in [(NOON, 0), (last + SECOND, BLOCK), (last + DAY - timedelta(microseconds=1), BLOCK)]:
        assert usage(warehouse, now) == Usage(used, LIMIT - BLOCK, LIMIT, 0, None)
    assert usage(warehouse, last + DAY) == Usage(0, LIMIT, LIMIT, 0, None)

    tight = usage(warehouse, NOON + timedelta(hours=1), limit=BLOCK)
    assert (tight.left, tight.next_reset_at) == (0, last + DAY)
    calls = ledger(warehouse, limit=BLOCK)
    with pytest.raises(BudgetExhausted):
        calls.begin("GET", "/", last + DAY - SECOND)
    calls.begin("GET", "/", last + DAY)


@pytest.mark.slow
def test_what_a_killed_process_has_reserved_with_a_clock_that_was_ahead_counts_for_a_day(
    settings: Settings, warehouse: Warehouse
) -> None:
    """Planted: reservations left out of the correction of times in the future."""
    killed(settings)
    real = NOON - timedelta(days=3)
    assert usage(warehouse, real) == Usage(BLOCK, LIMIT - BLOCK, LIMIT, 0, None, dated_ahead=BLOCK)
    with warehouse.engine.begin() as connection:
        correct_future_calls(connection, ["key"], real)
    assert usage(warehouse, real + DAY - SECOND).left == LIMIT - BLOCK
    assert usage(warehouse, real + DAY).left == LIMIT


KEYS = [f"key {number}" for number in range(6)]
"""Each one another race for a last call."""
RACED = 60


def _race(settings: Settings, together: Barrier) -> None:
    with open_warehouse(settings) as warehouse, ThreadPoolExecutor(3) as pool:
        for key in KEYS:
            with ledger(warehouse, limit=RACED, key=key, run_id=f"run {os.getpid()}") as calls:
                together.wait(PATIENCE)
                list(pool.map(_spend_all, [calls] * 3))


def _spend_all(calls: CallLedger) -> None:
    for number in range(RACED):
        try:
            calls.end(calls.begin("GET", f"/orders/{number}", NOON), "ok", NOON)
        except BudgetExhausted:
            return
        if number % 3 == 0:
            _store(calls)


@pytest.mark.slow
def test_two_processes_with_one_key_use_its_budget_to_the_last_call_and_no_further(
    settings: Settings, warehouse: Warehouse
) -> None:
    """Planted: the ledger's lock left out; a block that is larger than what is left; what was noted given back."""
    together = barrier(2)
    processes = [start(_race, settings, together) for _ in range(2)]
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0

    with warehouse.engine.connect() as connection:
        asked = connection.execute(
            text("SELECT key_hash, count(*), count(DISTINCT run_id) FROM sync.api_calls GROUP BY 1 ORDER BY 1")
        )
        spent = [(key, calls) for key, calls, _ in asked]
    assert spent == [(key, RACED) for key in KEYS]
    assert reserved(warehouse) == []


def test_threads_share_what_is_reserved(warehouse: Warehouse) -> None:
    """Planted: a block for each thread."""
    together = threading.Barrier(4)

    def spend(calls: CallLedger) -> None:
        together.wait(PATIENCE)
        for _ in range(BLOCK):
            calls.end(calls.begin("GET", "/", NOON), "ok", NOON)

    with ledger(warehouse) as calls, ThreadPoolExecutor(4) as pool:
        list(pool.map(spend, [calls] * 4))
        assert reserved(warehouse) == [(4 * BLOCK, NOON + USABLE)]
    assert len(rows(warehouse)) == 4 * BLOCK

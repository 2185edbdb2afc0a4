"""Never more calls than the budget, in any 24 hours, whoever makes them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from bl_pipeline.records import Budget
from bl_pipeline.settings import Settings, load_settings
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline.warehouse.ledger import BudgetExhausted, CallLedger
from bl_pipeline.warehouse.usage import Usage, correct_future_calls, hash_key, ledger_key, read_usage

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


def ledger(
    warehouse: Warehouse, *, key: str = "key", limit: int = 10, reserve: int = 0, run_id: str = "run"
) -> CallLedger:
    return CallLedger(warehouse.engine, key=[key], store=warehouse.store, run_id=run_id, budget=Budget(limit, reserve))


def usage(warehouse: Warehouse, now: datetime, *, key: str | None = "key", limit: int = 10, reserve: int = 0) -> Usage:
    with warehouse.engine.connect() as connection:
        return read_usage(connection, [key] if key else [], Budget(limit, reserve), now)


def spend(
    warehouse: Warehouse, now: datetime, *, key: str = "key", limit: int = 10, reserve: int = 0, run_id: str = "run"
) -> None:
    """A call of a run that has ended since, in good order, and did not wait for the answer."""
    with ledger(warehouse, key=key, limit=limit, reserve=reserve, run_id=run_id) as calls:
        calls.begin("GET", "/", now)


def test_no_call_beyond_the_budget(warehouse: Warehouse) -> None:
    calls = partial(spend, warehouse, limit=5, reserve=2)
    for minute in range(3):
        calls(NOON + timedelta(minutes=minute))

    with pytest.raises(BudgetExhausted) as stopped:
        calls(NOON + timedelta(minutes=5))

    # A sync is worth starting when all three of its calls are free again.
    assert stopped.value.next_reset_at == NOON + timedelta(hours=24, minutes=2)
    assert usage(warehouse, NOON + timedelta(minutes=5), limit=5, reserve=2) == Usage(
        used=3, left=0, limit=5, reserve=2, next_reset_at=NOON + timedelta(hours=24, minutes=2)
    )


def test_the_24_hours_roll(warehouse: Warehouse) -> None:
    """Catches a count by calendar day: 23:59 and 00:01 are one budget."""
    calls = partial(spend, warehouse, limit=6)
    late = datetime(2026, 3, 28, 23, 59, tzinfo=UTC)
    for _ in range(6):
        calls(late)

    for allowed, now in [
        (False, late + timedelta(minutes=2)),
        (False, late + timedelta(hours=24) - timedelta(microseconds=1)),
        (True, late + timedelta(hours=24)),
    ]:
        left = usage(warehouse, now, limit=6).left
        assert (left > 0) is allowed
        if allowed:
            calls(now)
        else:
            with pytest.raises(BudgetExhausted):
                calls(now)


@pytest.mark.parametrize(
    ("spent", "reset_after_call"),
    [(6, None), (7, 1), (8, 2), (9, 3), (10, 4)],
    ids=str,
)
def test_the_next_reset_is_when_enough_calls_have_aged_out(
    spent: int, reset_after_call: int | None, warehouse: Warehouse
) -> None:
    """Four free calls are enough: catches the reset of the oldest or of the newest call instead."""
    calls = partial(spend, warehouse, limit=10)
    for minute in range(1, spent + 1):
        calls(NOON + timedelta(minutes=minute))
    now = NOON + timedelta(hours=1)

    reset = usage(warehouse, now).next_reset_at

    assert reset == (None if reset_after_call is None else NOON + timedelta(hours=24, minutes=reset_after_call))
    if reset is not None:
        assert usage(warehouse, reset).left >= 4
        assert usage(warehouse, reset - timedelta(microseconds=1)).left < 4


def test_the_budget_is_that_of_the_key_whatever_the_store_is_called(warehouse: Warehouse) -> None:
    """Planted: calls counted by the store."""
    other = Warehouse(warehouse.engine, "other")
    for store in (warehouse, other, other):
        spend(store, NOON, limit=3)

    for store in (warehouse, other):
        with pytest.raises(BudgetExhausted):
            spend(store, NOON, limit=3)
    assert usage(warehouse, NOON, limit=3).left == 0
    assert usage(warehouse, NOON, key="another", limit=3).left == 3
    spend(warehouse, NOON, key="another", limit=3)


def test_calls_whose_key_is_not_known_count_for_every_key(warehouse: Warehouse) -> None:
    """Made before the ledger knew keys. Planted: only the key's own calls counted."""
    calls = partial(spend, warehouse, limit=3)
    calls(NOON)
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sync.api_calls SET key_hash = NULL"))

    for key in ("key", "another", None):
        assert usage(warehouse, NOON, key=key, limit=3).left == 2
    spend(warehouse, NOON, key="another", limit=3)
    assert [usage(warehouse, NOON, key=key, limit=3).left for key in ("key", "another", None)] == [2, 1, 2]


def test_the_ledger_knows_a_key_by_a_hash_that_only_this_warehouse_can_make(
    warehouse: Warehouse, settings: Settings, empty_database_url: str
) -> None:
    """Planted: a hash without the salt; the key itself."""
    with warehouse.engine.connect() as connection:
        hashes = [hash_key(connection, key) for key in ("one", "one", "two")]
        assert hashes[0] == hashes[1] != hashes[2]
        assert ledger_key(connection, settings.store) == hash_key(
            connection, settings.store.known_credentials().consumer_key
        )
    other = load_settings(env_file=None, bl_database_url=empty_database_url)
    with open_warehouse(other) as another, another.engine.connect() as connection:
        assert hash_key(connection, "one") not in (["one"], hashes[0])


def test_without_credentials_the_usage_is_that_of_the_key_last_used(warehouse: Warehouse, database_url: str) -> None:
    """Planted: no usage shown."""
    without = load_settings(env_file=None, bl_database_url=database_url)
    with warehouse.engine.connect() as connection:
        assert ledger_key(connection, without.store) == []
    for key in ("old", "new"):
        spend(warehouse, NOON, key=key)
    spend(Warehouse(warehouse.engine, "other"), NOON, key="others")
    with warehouse.engine.connect() as connection:
        assert ledger_key(connection, without.store) == ["new"]


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=10), timedelta(days=400)], ids=str)
def test_calls_dated_in_the_future_count_for_a_day_and_are_named(ahead: timedelta, warehouse: Warehouse) -> None:
    """The clock was ahead, then corrected. Planted: no upper end of the 24 hours; the calls not counted at all."""
    calls = partial(spend, warehouse, limit=6)
    for _ in range(6):
        calls(NOON + ahead)

    # While no run has seen them they count from now, whenever that is: reading changes nothing.
    assert usage(warehouse, NOON, limit=6) == Usage(6, 0, 6, 0, NOON + timedelta(days=1), dated_ahead=6)
    first = NOON + timedelta(minutes=5)
    correct(warehouse, first)
    with pytest.raises(BudgetExhausted) as stopped:
        calls(first)
    assert stopped.value.next_reset_at == first + timedelta(days=1)
    soon = first + timedelta(minutes=30)
    correct(warehouse, soon)
    assert usage(warehouse, soon, limit=6) == Usage(6, 0, 6, 0, first + timedelta(days=1), dated_ahead=6)
    with pytest.raises(BudgetExhausted):
        calls(first + timedelta(days=1) - timedelta(microseconds=1))
    free = first + timedelta(days=1)
    assert usage(warehouse, free, limit=6) == Usage(0, 6, 6, 0, None)
    for _ in range(6):
        calls(free)
    with pytest.raises(BudgetExhausted):
        calls(free + timedelta(hours=23))


def test_a_clock_that_was_far_behind_frees_no_call(warehouse: Warehouse) -> None:
    """As after an empty battery: to that clock the calls of today are in the future. Planted: the correction kept."""
    calls = partial(spend, warehouse, limit=3)
    for _ in range(3):
        calls(NOON)
    behind = datetime(2020, 1, 1, tzinfo=UTC)
    for moment in (behind, NOON + timedelta(hours=1), NOON + timedelta(hours=23)):
        correct(warehouse, moment)
        with pytest.raises(BudgetExhausted):
            calls(moment)
    assert usage(warehouse, NOON + timedelta(days=1), limit=3).used == 0


def correct(warehouse: Warehouse, now: datetime) -> None:
    with warehouse.engine.begin() as connection:
        correct_future_calls(connection, ["key"], now)


def test_a_budget_of_nothing_never_resets(warehouse: Warehouse) -> None:
    with pytest.raises(BudgetExhausted) as stopped:
        spend(warehouse, NOON, limit=5, reserve=9)
    assert stopped.value.next_reset_at is None


def test_threads_that_race_for_the_last_calls_get_each_one_once(warehouse: Warehouse) -> None:
    """Catches counting and adding in two steps."""

    def race(number: int) -> str:
        try:
            spend(warehouse, NOON, limit=5, run_id=f"run {number}")
        except BudgetExhausted:
            return "none left"
        return "called"

    with ThreadPoolExecutor(6) as pool:
        outcomes = Counter(pool.map(race, range(24)))

    assert outcomes == {"called": 5, "none left": 19}
    assert usage(warehouse, NOON, limit=5) == Usage(5, 0, 5, 0, NOON + timedelta(hours=24))


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_threads_race_at_any_default_isolation_level(database_url: str, level: str) -> None:
    """A snapshot older than the ledger's lock does not see the calls that were counted meanwhile.

    Planted: the isolation level left as it is: too many calls at one level, an error at the other.
    """
    with psycopg.connect(database_url, autocommit=True) as admin:
        name = make_url(database_url).database
        admin.execute(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{level}'")
    settings = load_settings(env_file=None, bl_database_url=database_url, bl_max_parallel_requests=16)
    with open_warehouse(settings) as warehouse, ThreadPoolExecutor(16) as pool:
        calls = partial(spend, warehouse, limit=20)

        def race(_number: int) -> str:
            try:
                calls(NOON)
            except BudgetExhausted:
                return "none left"
            return "called"

        assert Counter(pool.map(race, range(64))) == {"called": 20, "none left": 44}
        assert usage(warehouse, NOON, limit=20).used == 20


RACER = """
import sys
from datetime import datetime, UTC
from bl_pipeline.warehouse.connections import open_engine
from bl_pipeline.records import Budget
from bl_pipeline.warehouse.ledger import BudgetExhausted, CallLedger
ledger = CallLedger(open_engine(sys.argv[1]), key=["key"], store="main", run_id="r", budget=Budget(40, 0))
input()
called = 0
for _ in range(40):
    try:
        ledger.begin("GET", "/", datetime(2026, 3, 29, 12, tzinfo=UTC))
        called += 1
    except BudgetExhausted:
        pass
ledger.close()
print(called)
"""


def test_processes_that_race_for_the_last_calls_get_each_one_once(warehouse: Warehouse, database_url: str) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, database_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    called = [int(racer.communicate()[0]) for racer in racers]

    assert sum(called) == 40
    assert usage(warehouse, NOON, limit=40).used == 40


@pytest.mark.parametrize("seed", range(5))
def test_the_next_reset_is_the_moment_a_sync_can_go_on(seed: int, warehouse: Warehouse) -> None:
    """Planted: the oldest call taken for the one that stands in the way; an offset one too small."""
    rng = Random(seed)
    budget = Budget(limit=rng.randrange(6, 20), reserve=rng.randrange(0, 3))
    for moment in sorted(NOON + timedelta(seconds=rng.randrange(0, 80_000)) for _ in range(budget.allowed)):
        spend(warehouse, moment, limit=budget.limit, reserve=budget.reserve)
    now = NOON + timedelta(seconds=80_000)

    with warehouse.engine.connect() as connection:
        usage = read_usage(connection, ["key"], budget, now)
        assert (usage.used, usage.left) == (budget.allowed, 0)
        reset = usage.next_reset_at
        assert reset is not None
        just_before = read_usage(connection, ["key"], budget, reset - timedelta(microseconds=1))
        then = read_usage(connection, ["key"], budget, reset)
    assert just_before.left < 4 <= then.left
    assert just_before.next_reset_at == reset
    assert then.next_reset_at is None


def test_with_no_budget_at_all_there_is_no_reset(warehouse: Warehouse) -> None:
    with warehouse.engine.connect() as connection:
        assert read_usage(connection, ["key"], Budget(250, 250), NOON).next_reset_at is None
        assert read_usage(connection, ["key"], Budget(252, 250), NOON).next_reset_at is None

"""kill -9 at every commit of a sync: the next run ends in the tables of a run that nothing disturbed.

The process that dies is a real one, killed by the kernel just before or just after its n-th commit, for each n.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from bl_pipeline.columns import AnswerKind
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.sync.fetching import LOADED_TOGETHER
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline.warehouse.lock import is_syncing
from bl_pipeline_tests.conftest import NOW, MakeSettings
from bl_pipeline_tests.support.processes import Commits, Task, contents, run_and_kill, run_job, run_steps, start
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.support.sessions import session_at
from bl_pipeline_tests.support.waiting import PATIENCE, wait_until
from bl_pipeline_tests.support.writing import write

pytestmark = pytest.mark.slow

BATCH = 4
LATER = timedelta(minutes=30)
SALES = ("sales.orders", "sales.order_items", "sales.replaced_items", "sales.order_status_history")


@pytest.fixture
def store() -> Store:
    """A store so small that every commit of a sync can be the last one."""
    return Store.grow(orders=6, seed=3, now=NOW, filed=2, purged=1)


@dataclass(frozen=True)
class Scene:
    """A database as it is before the run that dies, and the run."""

    postgres: Postgres
    server: SandboxServer
    template: str
    task: Task

    @contextmanager
    def copy(self) -> Iterator[tuple[Task, Warehouse]]:
        """A copy of the database, the run in it, and a look into it."""
        self.server.clear_requests()
        with self.postgres.database(self.template) as url:
            settings = self.task.settings.model_copy(update={"bl_database_url": SecretStr(url)})
            with open_warehouse(settings) as warehouse:
                yield replace(self.task, settings=settings), warehouse

    def fetched(self) -> Counter[tuple[str, str]]:
        """How often each answer about an order was asked for: by order id and kind."""
        asked: Counter[tuple[str, str]] = Counter()
        for request in self.server.requests:
            parts = request.path.split("/")[2:]
            if parts:
                asked[parts[0], parts[1] if len(parts) == 2 else AnswerKind.ORDER] += 1
        return asked


@pytest.fixture
def scene(
    request: pytest.FixtureRequest, postgres: Postgres, store: Store, server: SandboxServer, make_settings: MakeSettings
) -> Iterator[Scene]:
    """Before the first sync, or before one that finds changes of every kind."""
    with ExitStack() as stack:
        url = stack.enter_context(postgres.database("bl_pipeline_template"))
        # One request at a time makes the same commits in the same order each time.
        task = Task(make_settings(bl_database_url=url, bl_max_parallel_requests=1), NOW, batch_size=BATCH)
        if request.param == "incremental":
            assert task.run().success
            change(store)
            # Long enough for re-checks of open orders too.
            task = replace(task, now=NOW + timedelta(hours=25))
        yield Scene(postgres, server, url.rpartition("/")[2], task)


def change(store: Store) -> None:
    """Orders change in every way that brings one order's rows to move."""
    open_orders = [order for order in store.sales.values() if not order.is_filed and not order.is_purged]
    first, second, third = (order.order_id for order in open_orders[:3])
    store.add_batch(first)
    store.ship(second, "TR77")
    store.set_payment_status(third, "Bounced")
    store.purge(next(order.order_id for order in store.sales.values() if order.is_filed and not order.is_purged))
    store.edit_remarks(open_orders[-1].order_id, "seen by a re-check only")
    store.place_order(paid=True)


def landed(warehouse: Warehouse) -> set[tuple[str, str, int]]:
    """What has landed: order id, kind and document id."""
    with warehouse.engine.connect() as connection:
        rows = connection.execute(text("SELECT platform_order_id, kind, document_id FROM landing.documents"))
        return {(row.platform_order_id, row.kind, row.document_id) for row in rows}


def count_calls(warehouse: Warehouse) -> int:
    """Calls that count: noted, or reserved."""
    with warehouse.engine.connect() as connection:
        reserved = "(SELECT coalesce(sum(calls), 0) FROM sync.call_reservations)"
        return int(connection.scalar(text(f"SELECT count(*) + {reserved} FROM sync.api_calls")) or 0)


def statuses(warehouse: Warehouse) -> list[str]:
    with warehouse.engine.connect() as connection:
        return list(connection.scalars(text("SELECT status FROM sync.runs ORDER BY started_at, status DESC")))


FULL = pytest.mark.full
"""Between two commits of one thread there is at most a call: the other side of each is nearly the same death."""


def is_syncing_now(warehouse: Warehouse) -> bool:
    with warehouse.engine.connect() as connection:
        return is_syncing(connection, warehouse.store)


@pytest.mark.parametrize("half", ["even", "odd"])
@pytest.mark.parametrize(
    ("scene", "side"),
    [
        pytest.param("first", "before", marks=FULL),
        ("first", "after"),
        ("incremental", "before"),
        pytest.param("incremental", "after", marks=FULL),
    ],
    indirect=["scene"],
)
def test_killed_at_every_commit(scene: Scene, side: str, half: str) -> None:
    """Planted: the state of a batch committed before its rows; what has landed not looked for by the next run; the
    ledger written after the call; items deleted in a transaction of their own.
    """
    commits = Commits()
    with scene.copy() as (task, warehouse):
        before, landed_before, calls_before = contents(warehouse), landed(warehouse), count_calls(warehouse)
        assert task.run(commits).success
        undisturbed, least = contents(warehouse), scene.fetched()
    assert commits.count > 20
    assert len({order_id for order_id, _ in least}) > BATCH  # else there is but one batch

    for kill_at in range(half == "odd", commits.count, 2):
        with scene.copy() as (task, warehouse):
            assert run_and_kill(task, kill_at, after=side == "after")

            assert count_calls(warehouse) - calls_before >= len(scene.server.requests), "a call was not counted"
            halfway = contents(warehouse)
            for order_id in undisturbed["sales.orders"]:
                stored = [halfway[table].get(order_id) for table in SALES]
                assert stored in (
                    [before[table].get(order_id) for table in SALES],
                    [undisturbed[table].get(order_id) for table in SALES],
                ), f"half an order after kill {kill_at}"
            had_landed = {(order_id, kind) for order_id, kind, _ in landed(warehouse) - landed_before}
            asked_by_the_dead = scene.fetched()

            scene.server.clear_requests()
            assert replace(task, now=task.now + LATER).run().success

            assert contents(warehouse) == undisturbed, f"not the same tables after kill {kill_at}"
            assert set(scene.fetched()) & had_landed == set(), (
                f"fetched again after kill {kill_at} though it had landed"
            )
            twice = asked_by_the_dead + scene.fetched() - least
            assert twice.total() <= 1, f"more than was under way fetched twice after kill {kill_at}"
            assert statuses(warehouse).count("started") == 0
    print(f"{len(range(half == 'odd', commits.count, 2))} kills")  # noqa: T201  (shown with -rP)


@pytest.mark.parametrize("scene", ["first"], indirect=True)
@pytest.mark.parametrize("kill_at", [0, 4, 8, 11, pytest.param(6, marks=FULL), pytest.param(13, marks=FULL)])
def test_a_job_killed_with_requests_in_flight(scene: Scene, kill_at: int) -> None:
    """The same through Dagster, with four requests at a time: at most these are fetched twice."""
    with scene.copy() as (task, warehouse):
        assert task.run().success
        undisturbed, least = contents(warehouse), scene.fetched()

    with scene.copy() as (task, warehouse):
        in_parallel = task.settings.model_copy(update={"bl_max_parallel_requests": 4})
        process = start(_doomed_job, replace(task, settings=in_parallel), kill_at)
        process.join(PATIENCE)
        assert process.exitcode == -signal.SIGKILL
        dead = statuses(warehouse)
        wait_until(lambda: not is_syncing_now(warehouse))

        result = replace(task, settings=in_parallel, now=NOW + LATER).run()

        assert result.success
        assert contents(warehouse) == undisturbed
        assert (scene.fetched() - least).total() <= 4
        assert statuses(warehouse) == ["failed"] * len(dead) + ["succeeded"]


def _doomed_job(task: Task, kill_at: int) -> None:
    with session_at(task.settings, task.clock) as session:
        Commits(kill_at).watch(session.warehouse.engine)
        run_job(session)


def _doomed_load(task: Task, after: bool) -> None:
    with session_at(task.settings, task.clock) as session:
        dialect = session.warehouse.engine.dialect
        commit = dialect.do_commit

        def fatal(connection: Any) -> None:
            # The only commits of the main thread while others fetch are those of loads.
            fetching = any(thread.name.startswith("fetch_") for thread in threading.enumerate())
            is_load = fetching and threading.current_thread() is threading.main_thread()
            if after or not is_load:
                commit(connection)
            if is_load:
                os.kill(os.getpid(), signal.SIGKILL)

        dialect.do_commit = fatal  # type: ignore[assignment, method-assign]
        run_steps(session)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_a_load_while_others_are_fetched(
    after: bool, postgres: Postgres, server: SandboxServer, make_settings: MakeSettings
) -> None:
    """A batch is loaded in portions. Planted: what was fetched meanwhile taken for loaded; a portion not whole."""
    server.store = Store.grow(orders=3 * LOADED_TOGETHER, seed=3, now=NOW, filed=20, purged=5)
    with postgres.database("bl_pipeline_template") as url, postgres.database("bl_pipeline_template") as other:
        task = Task(make_settings(bl_database_url=url, bl_max_parallel_requests=4), NOW)
        scene = Scene(postgres, server, url.rpartition("/")[2], task)
        with scene.copy() as (undisturbed_task, warehouse):
            assert undisturbed_task.run().success
            undisturbed, least = contents(warehouse), scene.fetched()
        server.clear_requests()
        task = replace(task, settings=make_settings(bl_database_url=other, bl_max_parallel_requests=4))
        process = start(_doomed_load, task, after)
        process.join(PATIENCE)
        assert process.exitcode == -signal.SIGKILL
        with open_warehouse(task.settings) as warehouse:
            assert count_calls(warehouse) >= len(server.requests), "a call was not counted"
            stored = contents(warehouse)["sales.orders"]
            assert (len(stored) >= LOADED_TOGETHER) is after
            assert len(stored) < len(undisturbed["sales.orders"])
            had_landed = {(order_id, kind) for order_id, kind, _ in landed(warehouse)}
            assert len(had_landed) > 2 * len(stored)
            asked_by_the_dead = scene.fetched()

            server.clear_requests()
            assert replace(task, now=NOW + LATER).run().success

            assert contents(warehouse) == undisturbed
            assert set(scene.fetched()) & had_landed == set(), "fetched again though it had landed"
            assert (asked_by_the_dead + scene.fetched() - least).total() <= 4


@pytest.mark.parametrize("scene", ["first"], indirect=True)
def test_a_dead_run_is_marked_by_whoever_takes_the_lock_next(scene: Scene) -> None:
    """Planted: runs left started are not looked for; those of another store are marked too."""
    with scene.copy() as (task, warehouse):
        assert run_and_kill(task, 20, after=True)
        with warehouse.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO sync.runs (run_id, store, job, started_at, status) "
                    "VALUES ('of another', 'other', 'sync_orders', :now, 'started')"
                ),
                {"now": NOW},
            )
        assert statuses(warehouse) == ["started", "started"]

        assert replace(task, now=NOW + LATER).run().success

        with warehouse.engine.connect() as connection:
            rows = connection.execute(
                text("SELECT store, status, stop_reason, api_calls, finished_at, message FROM sync.runs ORDER BY 1, 2")
            ).all()
            calls = connection.scalar(
                text("SELECT count(*) FROM sync.api_calls WHERE store = 'main' AND started_at = :now"), {"now": NOW}
            )
        assert [tuple(row)[:5] for row in rows] == [
            ("main", "failed", "error", calls, NOW + LATER),
            ("main", "succeeded", None, rows[1].api_calls, NOW + LATER),
            ("other", "started", None, None, None),
        ]
        assert "next run goes on" in rows[0].message


def _doomed_write(task: Task, order_id: int, kill_at: int) -> None:
    with session_at(task.settings, task.clock) as session:
        Commits(kill_at, after=True).watch(session.warehouse.engine)
        write(session, order_id, status="PACKED", tracking_no="TR1")


@pytest.mark.parametrize("scene", ["first"], indirect=True)
def test_a_write_killed_at_a_commit_has_one_effect(scene: Scene, store: Store) -> None:
    """By the kernel, while it reads the order, before and after each request. The lock is free at once."""
    order_id = store.place_order()
    with scene.copy() as (task, warehouse):
        assert task.run().success
        killed = unsettled = 0
        for kill_at in (3, 8, 10, 12, 13, 14, 15, 16, 18):
            process = start(_doomed_write, task, order_id, kill_at)
            process.join(PATIENCE)
            assert process.exitcode in (0, -signal.SIGKILL)
            killed += process.exitcode != 0
            wait_until(lambda: not is_syncing_now(warehouse))
            with warehouse.engine.connect() as connection:
                left = connection.scalar(text("SELECT count(*) FROM sync.writes WHERE outcome IS NULL"))
            unsettled += bool(left)
        with session_at(task.settings, task.clock) as session:
            assert write(session, order_id, status="PACKED", tracking_no="TR1").success
        effects = [request.path.split("/")[-1] for request in scene.server.requests if request.had_effect]
        assert sorted(effects) == [str(order_id), "status"]
        assert (killed > 3, unsettled > 1) == (True, True)
        with warehouse.engine.connect() as connection:
            outcomes = list(connection.scalars(text("SELECT outcome FROM sync.writes")))
        assert outcomes.count("done") == 2
        assert None not in outcomes

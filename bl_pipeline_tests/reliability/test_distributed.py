"""A run whose steps are in several processes: nothing beside it, and nothing of it once it has lost its lease."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial

import psycopg
import pytest
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy import text

from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.settings import Settings
from bl_pipeline.sync import threads
from bl_pipeline.sync.fetching import fetch_batch
from bl_pipeline.sync.interruptions import Interrupted
from bl_pipeline.sync.session import NoProgress, RunLost, SyncSession
from bl_pipeline.warehouse.cancellation import request_cancel
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lease import LeaseTimes
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.conftest import NOW, MakeSettings
from bl_pipeline_tests.reliability.test_crashes import BATCH, LATER, Scene, is_syncing_now, scene, statuses, store
from bl_pipeline_tests.support.distributed import LONG, distributed_steps, expire_lease
from bl_pipeline_tests.support.processes import EVERYTHING, Commits, Task, contents, run_steps, start
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.support.sessions import lose_locks, session_at
from bl_pipeline_tests.support.waiting import PATIENCE, wait_until

__all__ = ["scene", "store"]
pytestmark = pytest.mark.slow


def steps_of(
    task: Task, open_one: Callable[[], AbstractContextManager[SyncSession]] | None = None, *, batch_size: int = BATCH
) -> Iterator[str]:
    open_one = open_one or partial(session_at, task.settings, task.clock)
    return distributed_steps(open_one, "distributed", request=EVERYTHING, batch_size=batch_size)


@pytest.mark.parametrize("scene", ["first", "incremental"], indirect=True)
def test_the_crash_matrix_over_step_boundaries(scene: Scene) -> None:
    """The run ends after its n-th step, as if its executor had died. Until its lease has gone every other sync is
    refused; the next one then ends with the tables of an undisturbed run, and fetches nothing twice.

    Planted: a lease that a step does not leave to the next.
    """
    with scene.copy() as (task, warehouse):
        names = [*steps_of(task)]
        undisturbed, least = contents(warehouse), scene.fetched()
        assert statuses(warehouse)[-1] == "succeeded"
        assert not is_syncing_now(warehouse)
    assert len(names) > 4
    for done in names[:-1]:
        with scene.copy() as (task, warehouse):
            for name in steps_of(task):
                assert is_syncing_now(warehouse)
                assert not SyncLock(warehouse).try_acquire(), f"an intruder after {name}"
                if name == done:
                    break

            expire_lease(warehouse)
            assert replace(task, now=task.now + LATER).run().success

            assert contents(warehouse) == undisturbed, f"not the same tables after {done}"
            assert (scene.fetched() - least).total() == 0, f"fetched twice after {done}"
            assert "started" not in statuses(warehouse)
    print(f"{len(names) - 1} boundaries")  # noqa: T201  (shown with -rP)


def _doomed_steps(task: Task, kill_at: int) -> None:
    commits = Commits(kill_at, after=True)

    @contextmanager
    def open_one() -> Iterator[SyncSession]:
        with session_at(task.settings, task.clock) as session:
            commits.watch(session.warehouse.engine)
            yield session

    for _ in steps_of(task, open_one):
        pass


@pytest.mark.parametrize("scene", ["first"], indirect=True)
@pytest.mark.parametrize("kill_at", [0, 3, 6, 9, 14, 20, *(pytest.param(n, marks=pytest.mark.full) for n in (12, 17))])
def test_killed_at_a_commit_of_a_step(scene: Scene, kill_at: int) -> None:
    """By the kernel. The store is free when the lease has gone, and not before."""
    with scene.copy() as (task, warehouse):
        assert task.run().success
        undisturbed, least = contents(warehouse), scene.fetched()
    with scene.copy() as (task, warehouse):
        process = start(_doomed_steps, task, kill_at)
        process.join(PATIENCE)
        assert process.exitcode == -signal.SIGKILL
        assert is_syncing_now(warehouse)
        assert not SyncLock(warehouse).try_acquire()

        expire_lease(warehouse)
        assert replace(task, now=NOW + LATER).run().success

        assert contents(warehouse) == undisturbed
        assert (scene.fetched() - least).total() <= 1
        assert sorted(statuses(warehouse)) == ["failed", "succeeded"]


def _lose_the_lock(warehouse: Warehouse) -> None:
    lose_locks(warehouse)
    wait_until(lambda: not is_syncing_now(warehouse))


@pytest.mark.parametrize("lose", [_lose_the_lock, expire_lease], ids=["lock", "lease"])
@pytest.mark.parametrize("call", [1, 2, 3, 9])
def test_a_run_that_was_replaced_calls_and_stores_nothing(
    call: int, lose: Callable[[Warehouse], None], make_settings: MakeSettings, server: SandboxServer,
    warehouse: Warehouse, store: Store, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """While BrickLink answers its n-th call another sync takes the store, does all there is to do, and ends.

    Planted: a look without the status of the row; a lost answer that lands.
    """
    task = Task(make_settings(bl_max_parallel_requests=1), NOW)
    replaced = threading.Event()
    # Else whoever waits for the answer may see it before the answer has come.
    monkeypatch.setattr(threads, "CANCEL_SEEN_WITHIN", 3600)

    def replace_it(_request: object) -> None:
        if len(server.requests) == call:
            server.on_request = None
            lose(warehouse)
            assert Task(task.settings, NOW).run().success
            replaced.set()

    server.on_request = replace_it
    with pytest.raises(RunLost, match="does not have the store"):
        if lose is expire_lease:
            for _ in steps_of(task):
                pass
        else:
            with session_at(task.settings, task.clock) as session:
                run_steps(session)

    assert replaced.wait(PATIENCE)
    with warehouse.engine.connect() as connection:
        answers = "SELECT FROM landing.documents GROUP BY platform_order_id, kind HAVING count(*) > 1"
        landed = connection.execute(text(answers)).all()
        ended = connection.execute(
            text(
                "SELECT status, (SELECT count(*) FROM sync.api_calls c WHERE c.run_id = r.run_id) AS calls "
                "FROM sync.runs r ORDER BY 1"
            )
        ).all()
    assert landed == [], "an answer has landed that another run had asked for since"
    assert [row.status for row in ended] == ["failed", "succeeded"]
    assert ended[0].calls == call, "it made a call"
    assert ended[0].calls + ended[1].calls == len(server.requests)


class _When(NoProgress):
    """Does something once all of so many orders have landed, before they are loaded."""

    def __init__(self, orders: int, what: Callable[[], None]) -> None:
        self._orders = orders
        self._what = what

    def fetched(self, order_id: str) -> None:
        self._orders -= 1
        if self._orders == 0:
            self._what()


def test_a_run_that_was_replaced_before_a_load_loads_nothing(
    settings: Settings, server: SandboxServer, warehouse: Warehouse, store: Store
) -> None:
    """Planted: a load whose transaction does not look."""
    task = Task(settings, NOW)

    def replace_it() -> None:
        expire_lease(warehouse)
        assert task.run().success

    progress = _When(len(store.sales), replace_it)
    with pytest.raises(RunLost):
        for _ in steps_of(task, partial(session_at, settings, task.clock, progress=progress), batch_size=1000):
            pass
    assert sorted(statuses(warehouse)) == ["failed", "succeeded"]
    with warehouse.engine.connect() as connection:
        outcomes = text("SELECT outcome FROM sync.run_orders WHERE run_id = 'distributed'")
        assert set(connection.scalars(outcomes)) == {None}


def test_a_run_that_has_lost_its_lease_stops_also_if_nobody_has_come(
    make_settings: MakeSettings, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Planted: a look without the lease of the row."""
    task = Task(make_settings(bl_max_parallel_requests=1), NOW)

    def lose(_request: object) -> None:
        if len(server.requests) == 4:
            expire_lease(warehouse)

    server.on_request = lose
    with pytest.raises(RunLost):
        for _ in steps_of(task):
            pass
    assert len(server.requests) == 4
    assert task.run().success
    assert sorted(statuses(warehouse)) == ["failed", "succeeded"]


def _work_and_stop(task: Task) -> None:
    for _ in steps_of(task, batch_size=1000):
        pass


def test_a_process_that_stops_and_comes_back(
    make_settings: MakeSettings, server: SandboxServer, warehouse: Warehouse
) -> None:
    """SIGSTOP while BrickLink answers; its lease goes; another sync does all there is to do; SIGCONT."""
    settings = make_settings(bl_max_parallel_requests=2)
    go_on = threading.Event()

    def hold(_request: object) -> None:
        if len(server.requests) > 4:
            go_on.wait(PATIENCE)

    server.on_request = hold
    process = start(_work_and_stop, Task(settings, NOW))
    wait_until(lambda: len(server.requests) == 6)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        server.on_request = None
        assert not SyncLock(warehouse).try_acquire()
        expire_lease(warehouse)
        assert Task(settings, NOW).run().success
        stored, asked = contents(warehouse), len(server.requests)
        go_on.set()
    finally:
        os.kill(process.pid, signal.SIGCONT)
    process.join(PATIENCE)

    assert process.exitcode == 1
    assert len(server.requests) == asked, "it made a call"
    assert contents(warehouse) == stored
    assert sorted(statuses(warehouse)) == ["failed", "succeeded"]


def test_steps_of_one_run_work_at_the_same_time(
    settings: Settings, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Two batches, each in a session of its own: both wait for BrickLink at once. Planted: a lock a step."""
    task = Task(settings, NOW)
    steps = steps_of(task)
    assert [next(steps), next(steps)] == ["list_orders", "plan_changes"]
    both = threading.Barrier(2, timeout=PATIENCE)
    first = {"1": True, "2": True}

    def meet(_request: object) -> None:
        name = _batch_of_request(server, warehouse)
        if first.pop(name, False):
            both.wait()

    server.on_request = meet

    def work(number: int) -> None:
        with session_at(task.settings, task.clock) as session:
            session.lease = LONG
            assert session.attach("distributed")
            with session.step():
                fetch_batch(session, number, include_items=True)

    working = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    assert first == {}
    assert not both.broken
    assert list(steps)[-1] == "finish_sync"
    assert statuses(warehouse) == ["succeeded"]


def _batch_of_request(server: SandboxServer, warehouse: Warehouse) -> str:
    order_id = server.requests[-1].path.split("/")[2]
    with warehouse.engine.connect() as connection:
        batch = text("SELECT batch_number FROM sync.run_orders WHERE platform_order_id = :order_id")
        return str(connection.scalar(batch, {"order_id": order_id}))


def test_a_lease_is_renewed_while_a_step_works_and_for_longer_at_its_end(
    settings: Settings, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Planted: a heartbeat that ends with its first renewal; one that does not renew at the end."""
    times = LeaseTimes(working_seconds=60, renewal_seconds=0.01, between_steps_seconds=3600)

    def until() -> tuple[datetime, bool]:
        lease = text("SELECT lease_until, lease_until > now() + interval '50 minutes' FROM sync.runs")
        with warehouse.engine.connect() as connection:
            [(at, is_long)] = connection.execute(lease).all()
        return at, is_long

    with session_at(settings, lambda: NOW) as session:
        session.lease = times
        assert session.try_begin_distributed("distributed", job="sync_orders")
        seen = set()

        def three() -> bool:
            seen.add(until())
            return len(seen) >= 3

        wait_until(three)
        assert {is_long for _, is_long in seen} == {False}
    assert until()[1] is True


def test_a_lease_is_renewed_again_after_the_database_was_away(
    settings: Settings, server: SandboxServer, postgres: Postgres, database_url: str
) -> None:
    """Every session ends and none begins for a while; and Dagster, too, cannot read its own tables.

    Caught: an error of Dagster's storage ended the heartbeat, so that a long step lost its store a minute later.
    Planted: a heartbeat that ends with an error of either.
    """
    asked: list[bool] = []

    def is_terminated() -> bool:
        asked.append(True)
        if len(asked) % 2:
            raise DagsterPostgresException("too many retries for DB connection")
        return False

    def wait_for_some_more() -> None:
        before = len(asked)
        wait_until(lambda: len(asked) > before + 3)

    database = database_url.rpartition("/")[2]
    look = "SELECT lease_until FROM sync.runs"
    with (
        session_at(settings, lambda: NOW) as session,
        psycopg.connect(postgres.admin_url, autocommit=True) as admin,
    ):
        session.lease = LeaseTimes(working_seconds=60, renewal_seconds=0.01, between_steps_seconds=3600)
        session.is_terminated = is_terminated
        assert session.try_begin_distributed("distributed", job="sync_orders")
        wait_for_some_more()
        admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false".encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])
        wait_for_some_more()
        admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true".encode())
        with psycopg.connect(database_url, autocommit=True) as looking:
            before = looking.execute(look).fetchone()
            wait_until(lambda: looking.execute(look).fetchone() != before)
        session.check_canceled()


@pytest.mark.parametrize("how", ["bl cancel", "terminated"])
def test_a_step_in_another_process_is_canceled(
    how: str, settings: Settings, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Terminate does not reach a step on another machine: it asks. Planted: nobody asks."""
    task = Task(settings, NOW)
    steps = steps_of(task, batch_size=1000)
    assert [next(steps), next(steps)] == ["list_orders", "plan_changes"]
    times = LeaseTimes(working_seconds=3600, renewal_seconds=0.01, between_steps_seconds=3600)
    terminated = threading.Event()

    def stop_it(_request: object) -> None:
        if len(server.requests) == 6:
            server.latency = PATIENCE
            if how == "terminated":
                terminated.set()
            else:
                with warehouse.engine.begin() as connection:
                    assert request_cancel(connection, warehouse, NOW) == "distributed"

    server.on_request = stop_it
    with session_at(settings, task.clock) as session:
        session.is_terminated = terminated.is_set
        session.lease = times
        assert session.attach("distributed")
        with pytest.raises(Interrupted), session.step():
            fetch_batch(session, 1, include_items=True)
    server.latency = 0.0
    assert statuses(warehouse) == ["canceled"]
    assert not is_syncing_now(warehouse)
    with pytest.raises(Interrupted):
        next(steps)

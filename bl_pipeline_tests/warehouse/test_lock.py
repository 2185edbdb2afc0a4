"""One sync per store at a time, and a dead process keeps nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import Any

import psycopg
import pytest

from bl_pipeline.settings import load_settings
from bl_pipeline.warehouse.database import Warehouse, WarehouseError, open_warehouse
from bl_pipeline.warehouse.lock import SyncLock, is_syncing
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.support.sessions import lose_locks
from bl_pipeline_tests.support.waiting import wait_until

HOLDER = """
import sys, time
from bl_pipeline.warehouse.connections import open_engine
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lock import SyncLock
lock = SyncLock(Warehouse(open_engine(sys.argv[1]), "main"))
print(lock.try_acquire(), flush=True)
time.sleep(600)
"""


def syncing(warehouse: Warehouse, store: str = "main") -> bool:
    with warehouse.engine.connect() as connection:
        return is_syncing(connection, store)


def test_only_one_has_the_lock(warehouse: Warehouse) -> None:
    first, second = SyncLock(warehouse), SyncLock(warehouse)
    assert not syncing(warehouse)

    assert first.try_acquire()
    assert first.taken
    assert not second.try_acquire()
    assert not second.taken
    assert syncing(warehouse)

    first.release()
    first.release()
    assert not syncing(warehouse)
    assert second.try_acquire()
    second.check()
    second.release()


def test_a_lock_given_back_is_free_for_everybody_at_once(warehouse: Warehouse) -> None:
    """Caught: `bl sync && bl status` said `syncing` now and then, and a second sync was refused.

    Planted: a release that only closes the session. One in some dozen was seen too late.
    """
    mine, other = SyncLock(warehouse), SyncLock(warehouse)
    for _ in range(40):
        assert mine.try_acquire()
        mine.release()
        assert not syncing(warehouse)
        assert other.try_acquire()
        other.release()


class Interruption(BaseException):
    """Ctrl-C, Terminate, or the end of a process in a test."""


def interrupt(lock: SyncLock, moment: str) -> None:
    """Let the next statement of the lock's session be interrupted: before it, in the middle of it, or after it."""
    session = lock._session
    assert session is not None
    execute = session.execute

    def interrupted(*arguments: Any, **keywords: Any) -> Any:
        session.execute = execute  # type: ignore[method-assign]
        if moment == "after":
            execute(*arguments, **keywords)
        if moment == "within":
            # As a signal leaves it that psycopg does not know: the answer is never read.
            session.pgconn.send_query(b"SELECT pg_sleep(0.3)")
        raise Interruption

    session.execute = interrupted  # type: ignore[method-assign]


@pytest.mark.parametrize("moment", ["before", "within", "after"])
@pytest.mark.parametrize("statement", ["check", "release"])
def test_the_lock_is_free_however_its_holder_was_interrupted(warehouse: Warehouse, statement: str, moment: str) -> None:
    """Caught: an interruption left the session open, and the next sync of the process waited for ever.

    Planted: a release that closes the session only if nothing interrupts the unlock; one that does not wait.
    """
    lock, other = SyncLock(warehouse), SyncLock(warehouse)
    assert lock.try_acquire()
    session = lock._session
    assert session is not None

    interrupt(lock, moment)
    with pytest.raises(Interruption):
        lock.check() if statement == "check" else lock.release()
    lock.release()

    assert not lock.taken
    assert session.closed
    assert not syncing(warehouse)
    assert other.try_acquire()
    other.release()


@pytest.mark.parametrize("moment", ["before", "within", "after"])
def test_a_lock_whose_taking_is_interrupted_is_not_kept(
    warehouse: Warehouse, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: the session is closed only if the lock was refused."""
    lock = SyncLock(warehouse)
    opened: list[psycopg.Connection[Any]] = []
    open_session = SyncLock._open_session

    def open_to_be_interrupted(taken: SyncLock) -> psycopg.Connection[Any]:
        taken._session = open_session(taken)
        opened.append(taken._session)
        interrupt(taken, moment)
        taken._session = None
        return opened[0]

    monkeypatch.setattr(SyncLock, "_open_session", open_to_be_interrupted)
    with pytest.raises(Interruption):
        lock.try_acquire()

    assert opened[0].closed
    assert not lock.taken


def test_a_server_that_is_gone_is_not_waited_for(postgres: Postgres, database_url: str) -> None:
    """Planted: a release that fails with its server, or waits for it."""
    name = database_url.rpartition("/")[2]
    with open_warehouse(load_settings(env_file=None, bl_database_url=database_url)) as warehouse:
        lock = SyncLock(warehouse)
        assert lock.try_acquire()
        with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

        lock.release()

        assert not lock.taken


def test_each_store_has_a_lock_of_its_own(warehouse: Warehouse) -> None:
    """Catches a key without the store."""
    mine, other = SyncLock(warehouse), SyncLock(Warehouse(warehouse.engine, "other"))

    assert mine.try_acquire()
    assert not syncing(warehouse, "other")
    assert other.try_acquire()

    mine.release()
    other.release()


def test_the_lock_of_a_killed_process_is_free(warehouse: Warehouse, database_url: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, database_url], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        lock = SyncLock(warehouse)
        assert not lock.try_acquire()
        assert syncing(warehouse)

        holder.send_signal(signal.SIGKILL)
        holder.wait()

    wait_until(lock.try_acquire)
    lock.release()


def test_a_lock_lost_with_its_connection_is_noticed(warehouse: Warehouse) -> None:
    """Catches a sync that goes on beside another after the server has dropped it."""
    lock = SyncLock(warehouse)
    with pytest.raises(WarehouseError, match="does not have its lock"):
        lock.check()
    assert lock.try_acquire()
    lose_locks(warehouse)

    with pytest.raises(WarehouseError, match=r"(?s)connection to the warehouse was lost.*administrator command"):
        lock.check()
    lock.release()


def test_who_waits_gets_the_lock_when_it_is_free(warehouse: Warehouse) -> None:
    holder, waiter = SyncLock(warehouse), SyncLock(warehouse)
    assert holder.try_acquire()
    seen: list[str] = []

    def wait(seconds: float) -> None:
        if len(seen) == 3:
            holder.release()
        seen.append(f"slept {seconds:g}")

    waiter.acquire(waiting=lambda: seen.append("waiting"), sleep=wait)

    assert seen == ["waiting", "slept 1", "slept 1", "slept 1"]
    assert waiter.taken
    waiter.release()


def test_a_free_lock_is_not_waited_for(warehouse: Warehouse) -> None:
    lock = SyncLock(warehouse)

    lock.acquire(waiting=lambda: pytest.fail("it was free"), sleep=lambda _: pytest.fail("it was free"))

    assert threading.active_count() >= 1
    lock.release()

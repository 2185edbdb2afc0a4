"""One sync per store at a time, and a dead process holds nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest
from sqlalchemy import text

from bl_pipeline.warehouse.database import Warehouse, WarehouseError
from bl_pipeline.warehouse.lock import SyncLock, is_syncing

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


def test_only_one_holds_the_lock(warehouse: Warehouse) -> None:
    first, second = SyncLock(warehouse), SyncLock(warehouse)
    assert not syncing(warehouse)

    assert first.try_acquire()
    assert first.held
    assert not second.try_acquire()
    assert not second.held
    assert syncing(warehouse)

    first.release()
    first.release()
    assert not syncing(warehouse)
    assert second.try_acquire()
    second.check()
    second.release()


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

    until = time.monotonic() + 10
    while not (taken := lock.try_acquire()) and time.monotonic() < until:
        time.sleep(0.01)
    assert taken
    lock.release()


def test_a_lock_lost_with_its_connection_is_noticed(warehouse: Warehouse) -> None:
    """Catches a sync that goes on beside another after the server has dropped it."""
    lock = SyncLock(warehouse)
    with pytest.raises(WarehouseError, match="does not hold its lock"):
        lock.check()
    assert lock.try_acquire()
    with warehouse.engine.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )

    with pytest.raises(WarehouseError, match="connection to the warehouse was lost"):
        lock.check()


def test_who_waits_gets_the_lock_when_it_is_free(warehouse: Warehouse) -> None:
    holder, waiter = SyncLock(warehouse), SyncLock(warehouse)
    assert holder.try_acquire()
    told: list[str] = []

    def wait(seconds: float) -> None:
        if len(told) == 3:
            holder.release()
        told.append(f"slept {seconds:g}")

    waiter.acquire(waiting=lambda: told.append("waiting"), sleep=wait)

    assert told == ["waiting", "slept 1", "slept 1", "slept 1"]
    assert waiter.held
    waiter.release()


def test_a_free_lock_is_not_waited_for(warehouse: Warehouse) -> None:
    lock = SyncLock(warehouse)

    lock.acquire(waiting=lambda: pytest.fail("it was free"), sleep=lambda _: pytest.fail("it was free"))

    assert threading.active_count() >= 1
    lock.release()

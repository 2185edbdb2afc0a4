"""A run that is distributed over processes has the store by the lease in its row, and nothing else goes beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from bl_pipeline.warehouse import runs
from bl_pipeline.warehouse.cancellation import request_cancel
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lease import DIED, LeaseStatus, end_lost_leases, lease_status, lock_row, renew
from bl_pipeline.warehouse.lock import SyncLock, is_syncing, try_for_transaction
from bl_pipeline_tests.support.distributed import expire_lease
from bl_pipeline_tests.support.waiting import wait_until

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


def begin(warehouse: Warehouse, run_id: str = "distributed", lease: float | None = 600) -> bool:
    with warehouse.engine.begin() as connection:
        if not try_for_transaction(connection, warehouse.store):
            return False
        runs.start_run(
            connection, warehouse, run_id=run_id, job="sync_orders", now=NOW, lease_seconds=lease, of_all_orders=True
        )
        return True


def stands(warehouse: Warehouse, run_id: str = "distributed") -> LeaseStatus:
    with warehouse.engine.connect() as connection:
        return lease_status(connection, run_id)


def syncing(warehouse: Warehouse, store: str = "main") -> bool:
    with warehouse.engine.connect() as connection:
        return is_syncing(connection, store)


def status(warehouse: Warehouse, run_id: str = "distributed") -> tuple[str, str | None]:
    with warehouse.engine.connect() as connection:
        run = runs.read_run(connection, run_id)
    assert run is not None
    return run.status, run.message


def test_nothing_goes_beside_a_lease(warehouse: Warehouse) -> None:
    """Planted: the lease not looked at by the lock, by another lease, or by who asks whether a sync is running."""
    assert begin(warehouse)

    lock = SyncLock(warehouse)
    assert not lock.try_acquire()
    assert not lock.taken
    assert not begin(warehouse, "second")
    assert syncing(warehouse)
    assert stands(warehouse) is LeaseStatus.GOES_ON

    other = SyncLock(Warehouse(warehouse.engine, "other"))
    assert other.try_acquire()
    other.release()
    assert not syncing(warehouse, "other")


def test_a_lease_is_refused_while_a_process_has_the_lock(warehouse: Warehouse) -> None:
    """Planted: a lease that is given without the lock."""
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    assert not begin(warehouse)

    lock.release()

    assert begin(warehouse)


def test_a_lock_that_a_lease_refused_is_free_at_once(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the session only closed, which frees the lock when Postgres has noticed it: here never."""
    assert begin(warehouse)
    closed: list[psycopg.Connection[Any]] = []

    def keep_open(session: psycopg.Connection[Any]) -> None:
        closed.append(session)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "close", keep_open)
        assert not SyncLock(warehouse).try_acquire()
    assert closed
    try:
        with warehouse.engine.begin() as connection:
            connection.execute(text("UPDATE sync.runs SET status = 'succeeded'"))
        assert begin(warehouse, "second")
    finally:
        for session in closed:
            session.close()


@pytest.mark.parametrize("by_lease", [False, True])
def test_who_takes_the_store_ends_the_run_whose_lease_has_gone(warehouse: Warehouse, by_lease: bool) -> None:
    """Planted: a lease that is renewed after it has gone."""
    assert begin(warehouse)
    expire_lease(warehouse)
    assert not syncing(warehouse)
    assert stands(warehouse) is LeaseStatus.LOST
    with warehouse.engine.begin() as connection:
        assert not renew(connection, "distributed", 600)

    lock = SyncLock(warehouse)
    assert begin(warehouse, "second") if by_lease else lock.try_acquire()

    assert status(warehouse) == ("failed", DIED)
    lock.release()


def test_a_renewed_lease_is_good(warehouse: Warehouse) -> None:
    assert begin(warehouse, lease=0.001)
    wait_until(lambda: not syncing(warehouse))
    assert begin(warehouse, "second", lease=600)
    with warehouse.engine.begin() as connection:
        assert renew(connection, "second", 3600)
        left = connection.scalar(text("SELECT max(lease_until) > clock_timestamp() + interval '50 min' FROM sync.runs"))
    assert left


def test_a_canceled_run_and_one_that_is_not_there(warehouse: Warehouse) -> None:
    """Planted: the run of another store canceled."""
    assert stands(warehouse) is LeaseStatus.LOST
    assert begin(warehouse)
    with warehouse.engine.begin() as connection:
        assert request_cancel(connection, Warehouse(warehouse.engine, "other"), NOW) is None
    assert stands(warehouse) is LeaseStatus.GOES_ON
    with warehouse.engine.begin() as connection:
        assert request_cancel(connection, warehouse, NOW) == "distributed"
    assert stands(warehouse) is LeaseStatus.CANCEL_REQUESTED
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sync.runs SET status = 'canceled'"))
    assert stands(warehouse) is LeaseStatus.CANCELED
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sync.runs SET status = 'succeeded'"))
    assert stands(warehouse) is LeaseStatus.LOST


def somebody_waits(connection: Connection) -> bool:
    """In a session of this database, for a lock."""
    # Within a transaction Postgres shows all the time what it has shown first.
    connection.execute(text("SELECT pg_stat_clear_snapshot()"))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(connection.scalar(text(waiting)))


@contextmanager
def storing(warehouse: Warehouse) -> Iterator[Connection]:
    """A transaction of the run that is open."""
    with warehouse.engine.connect() as connection:
        assert lease_status(connection, "distributed", lock=True) is LeaseStatus.GOES_ON
        yield connection


@pytest.mark.parametrize("lease", [600, None], ids=["lease", "lock"])
def test_an_end_waits_for_what_is_being_stored(warehouse: Warehouse, lease: float | None) -> None:
    """So that what a run stores is there before another begins, or never. Planted: a look that keeps nothing."""
    assert begin(warehouse, lease=lease)
    ended = threading.Event()

    def end() -> None:
        with warehouse.engine.begin() as connection:
            lock_row(connection, "distributed")
            connection.execute(text("UPDATE sync.runs SET status = 'failed'"))
        ended.set()

    with storing(warehouse) as connection:
        thread = threading.Thread(target=end)
        thread.start()
        wait_until(lambda: somebody_waits(connection) or ended.is_set())
        assert not ended.is_set()
        # Other steps, a renewal and bl cancel go on meanwhile.
        with warehouse.engine.begin() as second:
            second.execute(text("SET LOCAL lock_timeout = '5s'"))
            assert lease is None or renew(second, "distributed", 600)
            assert request_cancel(second, warehouse, NOW) == "distributed"
        connection.rollback()
    thread.join()

    with warehouse.engine.begin() as connection:
        assert lease_status(connection, "distributed", lock=True) is LeaseStatus.LOST


def test_a_look_that_has_waited_sees_the_end(warehouse: Warehouse) -> None:
    """Planted: a look without a lock of the row, which sees what was there before it waited."""
    assert begin(warehouse)
    found: list[LeaseStatus] = []

    def look() -> None:
        with warehouse.engine.begin() as connection:
            found.append(lease_status(connection, "distributed", lock=True))

    with warehouse.engine.begin() as connection:
        lock_row(connection, "distributed")
        connection.execute(text("UPDATE sync.runs SET status = 'failed'"))
        thread = threading.Thread(target=look)
        thread.start()
        wait_until(lambda: bool(found) or somebody_waits(connection))
        assert not found
    thread.join()
    assert found == [LeaseStatus.LOST]


def test_a_worker_that_stopped_in_a_transaction_keeps_nothing(warehouse: Warehouse) -> None:
    """Planted: a takeover that waits for it, for as long as it is stopped."""
    assert begin(warehouse)
    with storing(warehouse) as connection:
        expire_lease(warehouse)
        with warehouse.engine.begin() as taker:
            taker.execute(text("SET LOCAL lock_timeout = '60s'"))
            end_lost_leases(taker, warehouse)
        assert status(warehouse) == ("failed", DIED)
        with pytest.raises(DBAPIError, match="terminating connection"):
            connection.execute(text("SELECT 1"))
        connection.invalidate()

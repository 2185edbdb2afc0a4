"""One sync per store at a time: by a lock that a dead process cannot keep; of a distributed run by its lease."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.errors import UndefinedColumn, UndefinedTable
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from bl_pipeline.warehouse.database import Warehouse, WarehouseError
from bl_pipeline.warehouse.lease import end_lost_leases, leased_run

_KEY = "hashtextextended('bl_pipeline.sync:' || {store}, 0)"
_PARAMETER = _KEY.format(store="CAST(%(store)s AS text)")
_END_TIMEOUT = 10.0
"""Seconds to wait until Postgres has ended a closed session; it takes milliseconds unless the server is stuck."""


class SyncLock:
    """The store's advisory lock, in a database session of its own: Postgres frees it at the latest when that ends."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._session: psycopg.Connection[Any] | None = None
        self._backend = 0

    @property
    def taken(self) -> bool:
        """Whether this object has taken the lock."""
        return self._session is not None

    def try_acquire(self) -> bool:
        """Take the lock if it is free, and no run has a lease; returns whether it is taken now.

        Raises DBAPIError or psycopg.Error.
        """
        session = self._open_session()
        try:
            # Asked of Postgres: a connection pooler gives its clients ids of its own.
            asked = session.execute(f"SELECT pg_try_advisory_lock({_PARAMETER}), pg_backend_pid()", self._store)
            [(taken, self._backend)] = asked.fetchall()
            if taken:
                self._session = session
        finally:
            # Also if the statement was interrupted: else nobody would release the lock that it may have taken.
            if not self.taken:
                session.close()
        if self.taken:
            leased = True
            try:
                # With the lock, without which no run gets a lease.
                leased = self._is_leased()
            finally:
                if leased:
                    self.release()
        return self.taken

    def acquire(self, *, waiting: Callable[[], None], sleep: Callable[[float], None] = time.sleep) -> None:
        """Take the lock, and wait for it while another sync has it; `waiting` is called once if so.

        `sleep` takes seconds. Raises as `try_acquire`.
        """
        if self.try_acquire():
            return
        waiting()
        while not self.try_acquire():
            sleep(1.0)

    def check(self) -> None:
        """Raise WarehouseError if the lock was lost with its session: another sync may be running."""
        if self._session is None:
            raise WarehouseError("The sync does not have its lock.")
        try:
            self._session.execute("SELECT 1")
        except psycopg.Error as error:
            reason = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise WarehouseError(
                "The connection to the warehouse was lost, and with it the sync's lock. The next sync goes on "
                f"from what was stored.\nPostgres says: {reason}"
            ) from None

    def release(self) -> None:
        """Release the lock; nothing happens if it was not taken.

        When this returns, the lock is free for every other session, also if an interruption comes meanwhile. For a
        server that is gone or stuck it does not wait.
        """
        if self._session is None:
            return
        session, freed = self._session, False
        try:
            # A session that was interrupted in the middle of a statement takes no other one.
            if session.info.transaction_status is TransactionStatus.IDLE:
                with suppress(psycopg.Error):
                    session.execute(f"SELECT pg_advisory_unlock({_PARAMETER})", self._store)
                    freed = True
        finally:
            session.close()
            self._session = None
            if not freed:
                self._wait_for_end_of_session()

    def _is_leased(self) -> bool:
        """Whether a run has a lease; if one has lost it, its end is noted."""
        try:
            with self._warehouse.engine.begin() as connection:
                if leased_run(connection, self._warehouse.store):
                    return True
                end_lost_leases(connection, self._warehouse)
        except ProgrammingError as error:
            # Before a restore: the tables are not there, or those of a release without leases.
            if not isinstance(error.orig, UndefinedTable | UndefinedColumn):
                raise
        return False

    @property
    def _store(self) -> dict[str, str]:
        return {"store": self._warehouse.store}

    def _open_session(self) -> psycopg.Connection[Any]:
        """A session outside the pool, so that closing it really ends it, and the lock with it."""
        pooled = self._warehouse.engine.raw_connection()
        session = pooled.dbapi_connection
        assert isinstance(session, psycopg.Connection)
        pooled.detach()
        session.autocommit = True
        return session

    def _wait_for_end_of_session(self) -> None:
        """A closed session's lock becomes free some moments later, when Postgres has noticed."""
        until = time.monotonic() + _END_TIMEOUT
        locks = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = :pid")
        # A server that is gone has no locks.
        with suppress(DBAPIError), self._warehouse.engine.connect() as connection:
            while connection.scalar(locks, {"pid": self._backend}) and time.monotonic() < until:
                time.sleep(0.01)


def try_for_transaction(connection: Connection, store: str) -> bool:
    """Take the store's lock until the transaction has ended, if it is free and no run has a lease."""
    lock = text(f"SELECT pg_try_advisory_xact_lock({_KEY.format(store=':store')})")
    taken = connection.scalar(lock, {"store": store})
    # A statement of its own: it sees what was committed before the lock was taken.
    return bool(taken) and leased_run(connection, store) is None


def is_syncing(connection: Connection, store: str) -> bool:
    """Whether a sync of the store is running now, in whatever process or processes."""
    if leased_run(connection, store):
        return True
    # pg_locks shows an advisory lock with a bigint key as two halves, and objsubid 1.
    return bool(
        connection.scalar(
            text(
                f"""
                SELECT EXISTS (
                    SELECT FROM pg_locks
                    WHERE locktype = 'advisory' AND granted AND objsubid = 1
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                      AND (classid::bigint << 32 | objid::bigint) = {_KEY.format(store=":store")}
                )
                """
            ),
            {"store": store},
        )
    )

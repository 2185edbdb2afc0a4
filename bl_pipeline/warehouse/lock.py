"""One sync per store at a time, by a lock that a dead process cannot keep."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import Connection, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError

from bl_pipeline.warehouse.database import Warehouse, WarehouseError

_KEY = "hashtextextended('bl_pipeline.sync:' || :store, 0)"


class SyncLock:
    """The store's advisory lock, held by a connection of its own: Postgres frees it when that ends."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._connection: Connection | None = None
        self._session: DBAPIConnection | None = None

    @property
    def held(self) -> bool:
        """Whether this object has taken the lock."""
        return self._connection is not None

    def try_acquire(self) -> bool:
        """Take the lock if it is free."""
        engine = self._warehouse.engine.execution_options(isolation_level="AUTOCOMMIT")
        connection = engine.connect()
        # Out of the pool, so that closing it really ends the session and with it the lock.
        connection.detach()
        session = connection.connection.dbapi_connection
        taken = connection.scalar(
            text(f"SELECT pg_try_advisory_lock({_KEY})"),
            {"store": self._warehouse.store},
        )
        if not taken:
            connection.close()
            return False
        self._connection, self._session = connection, session
        return True

    def acquire(self, *, waiting: Callable[[], None], sleep: Callable[[float], None] = time.sleep) -> None:
        """Take the lock, waiting for it where another sync holds it; `waiting` is called once if so."""
        if self.try_acquire():
            return
        waiting()
        while not self.try_acquire():
            sleep(1.0)

    def check(self) -> None:
        """Raise WarehouseError where the lock was lost with its connection: another sync may be running."""
        try:
            if self._connection is None or self._connection.scalar(text("SELECT 1")) != 1:
                raise WarehouseError("The sync does not hold its lock.")
        except DBAPIError:
            raise WarehouseError(
                "The connection to the warehouse was lost, and with it the sync's lock. The next sync goes on "
                "from what was stored."
            ) from None

    def release(self) -> None:
        """Give the lock back; nothing happens where it is not held."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()
            # Interrupted in the middle of a statement, SQLAlchemy drops a detached connection without closing it.
            if self._session is not None:
                self._session.close()


def is_syncing(connection: Connection, store: str) -> bool:
    """Whether a sync of the store is running now, in whatever process."""
    # An advisory bigint lock shows in pg_locks as its two halves, objsubid 1.
    return bool(
        connection.scalar(
            text(
                f"""
                SELECT EXISTS (
                    SELECT FROM pg_locks
                    WHERE locktype = 'advisory' AND granted AND objsubid = 1
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                      AND (classid::bigint << 32 | objid::bigint) = {_KEY}
                )
                """
            ),
            {"store": store},
        )
    )

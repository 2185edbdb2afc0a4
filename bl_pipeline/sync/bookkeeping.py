"""The books and the runs: what a run has loaded is booked at its end, and no month is closed while one is going on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bl_pipeline.books.booking import book, is_behind
from bl_pipeline.settings import Settings
from bl_pipeline.sync.session import RunLost, SyncSession, open_session
from bl_pipeline.sync.unexpected import summary
from bl_pipeline.warehouse.database import refuse_unmade


def book_changes(session: SyncSession) -> str | None:
    """Bring the journal of the session's store up to date; returns what a user reads if that failed.

    A transaction of its own: what was loaded stays loaded, whatever happens here, and the next run books it.
    """
    warehouse = session.warehouse
    try:
        with warehouse.engine.connect() as connection:
            if not is_behind(connection, warehouse.store):
                return None
        with session.transaction() as connection:
            book(connection, warehouse.store, session.clock())
    except RunLost:
        raise
    except Exception as error:
        return (
            "The journal of the books could not be written. The orders are stored, nothing of them is lost, and the "
            f"next run writes the journal.\n{summary(error)}"
        )
    return None


@contextmanager
def open_books(settings: Settings) -> Iterator[SyncSession]:
    """The store's session with its lock, so that nothing is loaded while a month is closed. Raises LockTaken."""
    refuse_unmade(settings)
    with open_session(settings) as session:
        session.take_lock_now("nothing was changed: what it loads is to be booked first")
        yield session

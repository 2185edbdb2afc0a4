"""Sessions on a test's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from random import Random

from sqlalchemy import text

from bl_pipeline.bricklink import RetryPolicy
from bl_pipeline.records import Outcome
from bl_pipeline.settings import Settings
from bl_pipeline.sync.session import NoProgress, ProgressListener, SyncSession, open_session
from bl_pipeline.warehouse.database import Warehouse


def do_not_wait(_seconds: float) -> None:
    """A sleep that takes no time."""


class SeenDone(NoProgress):
    """What is said of each order once its end is stored."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}

    def done(self, order_id: str, outcome: Outcome) -> None:
        assert order_id not in self.outcomes
        self.outcomes[order_id] = outcome


@contextmanager
def session_at(
    settings: Settings,
    clock: Callable[[], datetime],
    *,
    sleep: Callable[[float], None] = do_not_wait,
    progress: ProgressListener | None = None,
) -> Iterator[SyncSession]:
    """A session on a clock, which waits for nothing, and draws lots in the same way each time."""
    with open_session(settings) as session:
        session.clock, session.sleep = clock, sleep
        session.retry = RetryPolicy(jitter=Random(1))
        session.progress = progress or NoProgress()
        yield session


def lose_locks(warehouse: Warehouse) -> None:
    """End the connections that have a store's lock, as an administrator does it; their processes go on."""
    with warehouse.engine.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )

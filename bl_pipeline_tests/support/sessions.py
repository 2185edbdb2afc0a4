"""Sessions on a test's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from random import Random

from bl_pipeline.bricklink import RetryPolicy
from bl_pipeline.settings import Settings
from bl_pipeline.sync.session import NoProgress, ProgressListener, SyncSession, open_session


def do_not_wait(_seconds: float) -> None:
    """A sleep that takes no time."""


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

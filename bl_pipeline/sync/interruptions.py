"""What ends a run from outside: Ctrl-C, Terminate, and the errors that these cause."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_RAISED_WITHIN = 1
"""Seconds in which the exception of a signal ends the run, unless it was lost."""


class Interrupted(BaseException):
    """The run is being canceled while a thread waits; no `except Exception` may swallow it."""


def interruption_behind(error: BaseException) -> BaseException | None:
    """The interruption that an error is, or hides, as a library may fail while it cleans up after one; else None.

    SQLAlchemy, for example, cannot return a connection to its pool that was interrupted while it was tested.
    """
    behind: BaseException | None = error
    # Dagster raises an error again while it handles its own wrapper of it: such a chain is a circle.
    seen: set[int] = set()
    while isinstance(behind, Exception) and id(behind) not in seen:
        seen.add(id(behind))
        behind = behind.__cause__ or behind.__context__
    return None if isinstance(behind, Exception | GeneratorExit | SystemExit) else behind


@contextmanager
def set_by_signals(canceled: threading.Event) -> Iterator[None]:
    """Set `canceled` a second after SIGINT or SIGTERM, for the case that the exception it becomes is lost.

    Python raises it in whatever the main thread does, and drops what is raised in a finalizer or in a callback, such as
    those of the import system. Does nothing outside the main thread, nor if something else listens for signals already.
    """
    if threading.current_thread() is not threading.main_thread() or _somebody_listens():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    listening = threading.Thread(target=_set_at_a_signal, args=(reading, canceled), name="signals", daemon=True)
    listening.start()
    try:
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        yield
    finally:
        signal.set_wakeup_fd(-1)
        os.close(writing)
        listening.join(_RAISED_WITHIN)


def _somebody_listens() -> bool:
    # Python says it only to those who set another.
    listener = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(listener)
    return listener != -1


def _set_at_a_signal(reading: int, canceled: threading.Event) -> None:
    """Until the pipe's other end is closed; each signal that has a handler comes as a byte, its number."""
    with os.fdopen(reading, "rb", buffering=0) as signals:
        while number := signals.read(1):
            if number[0] in (signal.SIGINT, signal.SIGTERM):
                # Not longer than the pipe is open.
                select.select([reading], [], [], _RAISED_WITHIN)
                canceled.set()

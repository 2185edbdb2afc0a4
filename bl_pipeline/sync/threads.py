"""Work that may wait minutes for an answer, on threads that a run which is canceled does not wait for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from threading import Thread
from typing import TypeVar

from bl_pipeline.sync.session import CANCEL_SEEN_WITHIN, SyncSession

T = TypeVar("T")
R = TypeVar("R")


def in_threads(count: int, work: Callable[[T], R], tasks: Iterable[T]) -> dict[Future[R], T]:
    """Start the work for each task on `count` threads; returns the tasks by the futures of their results.

    Unlike an executor's, these threads do not keep the process alive: an answer may take minutes, and whoever cancels
    a run does not wait for it.
    """
    futures: dict[Future[R], T] = {Future(): task for task in tasks}
    waiting = deque(futures.items())

    def work_on() -> None:
        while True:
            try:
                future, task = waiting.popleft()
            except IndexError:
                return
            try:
                result = work(task)
            except BaseException as error:  # raised again by future.result()
                future.set_exception(error)
            else:
                future.set_result(result)

    for number in range(min(count, len(futures))):
        Thread(target=work_on, name=f"fetch_{number}", daemon=True).start()
    return futures


def as_they_come(session: SyncSession, futures: Iterable[Future[R]]) -> Iterator[Future[R]]:
    """The futures as they are done. Raises Interrupted as soon as the run was canceled, whatever is under way."""
    left = set(futures)
    while left:
        done, left = wait(left, timeout=CANCEL_SEEN_WITHIN, return_when=FIRST_COMPLETED)
        session.check_canceled()
        yield from done


def in_a_thread(session: SyncSession, work: Callable[[], R]) -> R:
    """The result of the work, or what it raises. Raises Interrupted as soon as the run was canceled.

    After whatever else ends the wait, Ctrl-C too, the work makes no further call.
    """
    futures = in_threads(1, lambda _: work(), [None])
    try:
        (done,) = as_they_come(session, futures)
    except BaseException:
        session.canceled.set()
        raise
    return done.result()

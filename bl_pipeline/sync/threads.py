"""Work that may wait minutes for an answer, on threads that a run which is canceled does not wait for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeVar

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


def as_they_come(session: SyncSession, futures: Collection[Future[R]]) -> Iterator[list[Future[R]]]:
    """The futures as they are done: all that are, one at least, each time.

    Raises Interrupted as soon as the run was canceled, whatever is under way.
    """
    done: SimpleQueue[Future[R]] = SimpleQueue()
    for future in futures:
        future.add_done_callback(done.put)
    left = len(futures)
    while left:
        new: list[Future[R]] = []
        with suppress(Empty):
            new.append(done.get(timeout=CANCEL_SEEN_WITHIN))
            while True:
                new.append(done.get_nowait())
        session.check_canceled(unless_within_seconds=CANCEL_SEEN_WITHIN)
        if new:
            left -= len(new)
            yield new


def in_a_thread(session: SyncSession, work: Callable[[], R]) -> R:
    """The result of the work, or what it raises. Raises Interrupted as soon as the run was canceled.

    After whatever else ends the wait, Ctrl-C too, the work makes no further call.
    """
    try:
        [[done]] = as_they_come(session, in_threads(1, lambda _: work(), [None]))
    except BaseException:
        session.canceled.set()
        raise
    return done.result()


class Batcher(Generic[T, R]):
    """Work that is cheaper for many tasks at once: a thread whose turn it is does what others wait for, too.

    `work` gets the tasks, and returns their results in the same order; no two threads are in it at a time.
    """

    def __init__(self, work: Callable[[list[T]], list[R]]) -> None:
        self._work = work
        self._working = Lock()
        self._lock = Lock()
        self._waiting: list[tuple[T, Future[R]]] = []

    def do(self, task: T) -> R:
        """The result of the task, or what the work raised; returns when it is done, by this thread or by another."""
        result: Future[R] = Future()
        with self._lock:
            self._waiting.append((task, result))
        with self._working:
            if not result.done():
                self._do_what_waits()
        return result.result()

    def _do_what_waits(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        try:
            results = self._work([task for task, _ in waiting])
        except BaseException as error:  # raised again by `result`, in each thread
            for _, result in waiting:
                result.set_exception(error)
        else:
            for (_, result), found in zip(waiting, results, strict=True):
                result.set_result(found)

"""Work on several threads: each task once, errors to whoever asked, and what waits done together."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event, Lock, current_thread

import pytest

from bl_pipeline.sync.interruptions import Interrupted
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.sync.threads import Batcher, as_they_come, in_a_thread, in_threads
from bl_pipeline_tests.support.waiting import wait_until


def test_each_task_is_done_once_by_at_most_so_many_threads() -> None:
    names: set[str] = set()
    started = Event()

    def work(task: int) -> int:
        names.add(current_thread().name)
        assert current_thread().daemon, "a run that was canceled would wait for it"
        started.wait(60)
        return task * 10

    futures = in_threads(2, work, range(5))
    started.set()
    assert {task: future.result(60) for future, task in futures.items()} == {task: task * 10 for task in range(5)}
    assert names <= {"fetch_0", "fetch_1"}


def test_what_work_raises_is_raised_for_its_task_alone() -> None:
    def work(task: int) -> int:
        if task == 1:
            raise KeyboardInterrupt
        return task

    futures = {task: future for future, task in in_threads(1, work, range(3)).items()}
    wait(futures.values(), 60)
    assert (futures[0].result(), futures[2].result()) == (0, 2)
    with pytest.raises(KeyboardInterrupt):
        futures[1].result()
    assert in_threads(2, work, []) == {}


class Work:
    """Work whose first turn waits until it is let go."""

    def __init__(self) -> None:
        self.turns: list[list[int]] = []
        self.begun, self.go_on = Event(), Event()
        self._lock = Lock()

    def __call__(self, tasks: list[int]) -> Sequence[int]:
        assert self._lock.acquire(blocking=False), "no two threads are in it at a time"
        self.turns.append(tasks)
        self.begun.set()
        assert self.go_on.wait(60)
        self._lock.release()
        if 13 in tasks:
            raise ValueError(13)
        return [task * 10 for task in tasks]


def test_what_has_waited_is_done_by_one_turn() -> None:
    """Planted: each thread does its own task only; a result handed to another task."""
    work = Work()
    batcher: Batcher[int, int] = Batcher(lambda tasks: list(work(tasks)))
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batcher.do, 1)
        assert work.begun.wait(60)
        others = {task: pool.submit(batcher.do, task) for task in (2, 3, 4)}
        wait_until(lambda: len(batcher._waiting) == 3)
        work.go_on.set()
        assert first.result(60) == 10
        assert {task: future.result(60) for task, future in others.items()} == {2: 20, 3: 30, 4: 40}
    assert [sorted(turn) for turn in work.turns] == [[1], [2, 3, 4]]


def test_an_error_of_a_turn_is_raised_for_all_of_its_tasks_and_not_for_the_next() -> None:
    work = Work()
    work.go_on.set()
    batcher: Batcher[int, int] = Batcher(lambda tasks: list(work(tasks)))
    with pytest.raises(ValueError, match="13"):
        batcher.do(13)
    assert batcher.do(2) == 20


def test_the_result_of_a_thread_or_what_it_raises(session: SyncSession) -> None:
    assert in_a_thread(session, lambda: 7) == 7
    with pytest.raises(ValueError, match="why"):
        in_a_thread(session, lambda: int("why"))
    assert not session.canceled.is_set()


def test_after_ctrl_c_the_work_makes_no_further_call(session: SyncSession) -> None:
    """Caught: not if it came while the thread was started. Planted: calls go on that nobody waits for."""
    seen, ended = Event(), Event()

    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        if session.canceled.wait(60):
            seen.set()
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        in_a_thread(session, work)
    assert ended.wait(60)
    assert seen.is_set()


def test_results_come_as_they_are_done(session: SyncSession) -> None:
    go_on = {task: Event() for task in range(3)}
    futures = in_threads(3, lambda task: go_on[task].wait(60), range(3))
    come = as_they_come(session, futures)
    order = []
    for task in (2, 0, 1):
        go_on[task].set()
        (done,) = next(come)
        order.append(futures[done])
    assert order == [2, 0, 1]
    assert list(come) == []


def test_a_canceled_run_waits_for_no_result(session: SyncSession) -> None:
    """Planted: it waits until the work is done, as BrickLink may take a minute to answer."""
    go_on = Event()
    futures = in_threads(1, go_on.wait, [60])
    session.canceled.set()
    with pytest.raises(Interrupted):
        next(as_they_come(session, futures))
    go_on.set()

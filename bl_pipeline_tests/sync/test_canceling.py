"""A sync is asked to stop: what is waited for, what is withdrawn, and what a user reads of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bl_pipeline.records import EVERY_DATE, RunStatus
from bl_pipeline.sync.canceling import Cancellation, cancel_store
from bl_pipeline.sync.interruptions import Interrupted
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.warehouse.full_syncs import open_full_syncs, request_full_sync
from bl_pipeline.warehouse.lock import is_syncing
from bl_pipeline.warehouse.runs import Run
from bl_pipeline_tests.conftest import OpenSession

STARTED = datetime(2026, 6, 15, 12, tzinfo=UTC)
NOTHING = "Nothing to cancel: no sync is running, and no full sync is open."
KEPT = "What was stored is kept, and the next sync goes on from there."
DONE_STAYS = "What BrickLink has done stays, and nothing more is sent. Ask again for what is left."


def run(job: str = "sync_orders") -> Run:
    counts = dict.fromkeys(
        ("orders_listed", "orders_created", "orders_updated", "orders_skipped", "orders_deferred", "orders_failed")
    )
    return Run(
        "id", job, STARTED, None, RunStatus.STARTED, **counts, api_calls=None, duration_seconds=None, stop_reason=None,
        message=None,
    )  # fmt: skip


def said(run: Run | None, *, ended: bool = False, busy: bool = False, full_syncs: int = 0) -> str:
    return Cancellation(run, ended, busy, full_syncs).message(lambda moment: f"{moment:%H:%M}")


@pytest.mark.parametrize(
    ("job", "kept"), [("sync_orders", KEPT), ("update_order", DONE_STAYS), ("send_drive_thru", DONE_STAYS)]
)
def test_a_run_that_has_ended_says_what_stays(job: str, kept: str) -> None:
    assert said(run(job), ended=True) == f"Canceled: {job}, started 12:00. {kept}"


def test_a_run_that_goes_on_ends_with_its_step() -> None:
    going_on = "Asked to stop: sync_orders, started 12:00. It makes no further call, and ends with its step."
    assert said(run()) == said(run(), busy=True) == going_on
    assert said(run(), full_syncs=1) == f"{going_on}\nWithdrawn: 1 full sync that was still open."


def test_without_a_run() -> None:
    assert said(None) == NOTHING
    assert said(None, busy=True).startswith("No sync is running, but another command uses the store")
    # Caught: that the next sync goes on from there, with the full sync that is withdrawn.
    assert KEPT not in said(run(), ended=True, full_syncs=1)
    assert "the next sync fetches what is new or has changed." in said(run(), ended=True, full_syncs=1)
    assert said(None, full_syncs=2) == "Withdrawn: 2 full syncs that were still open."
    assert Cancellation(None, ended=False, busy=False, full_syncs=2).as_dict() == {
        "run_id": None, "ended": False, "full_syncs_withdrawn": 2,
    }  # fmt: skip
    assert Cancellation(run(), ended=True, busy=False, full_syncs=0).as_dict()["run_id"] == "id"


def never(_seconds: float = 0) -> None:
    raise AssertionError("there is nothing to wait for")


def ask_for_a_full_sync(session: SyncSession) -> None:
    with session.warehouse.engine.begin() as connection:
        request_full_sync(connection, session.warehouse, include_items=True, dates=EVERY_DATE, now=STARTED)


def is_busy(session: SyncSession) -> bool:
    with session.warehouse.engine.connect() as connection:
        return is_syncing(connection, session.warehouse.store)


def test_if_nothing_runs_only_full_syncs_are_withdrawn(session: SyncSession) -> None:
    nothing = Cancellation(None, ended=False, busy=False, full_syncs=0)
    assert cancel_store(session.warehouse, waiting=never, sleep=never) == nothing
    ask_for_a_full_sync(session)
    withdrawn = Cancellation(None, ended=False, busy=False, full_syncs=1)
    assert cancel_store(session.warehouse, waiting=never, sleep=never) == withdrawn
    with session.warehouse.engine.connect() as connection:
        assert open_full_syncs(connection, session.warehouse) == []


def test_a_run_is_waited_for_until_it_has_seen_it(session: SyncSession) -> None:
    """What it asks for just before is withdrawn too. Planted: the first look taken for the end."""
    session.begin("run", job="job")
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        assert seconds < 1
        if len(waits) == 3:
            ask_for_a_full_sync(session)
            with pytest.raises(Interrupted), session.step():
                raise AssertionError("it was canceled")
            session.cancel()
            session.close()

    with session.warehouse.engine.connect() as connection:
        assert not open_full_syncs(connection, session.warehouse)
    found = cancel_store(session.warehouse, waiting=never, sleep=sleep)
    assert found.run is not None
    assert (found.run.run_id, found.run.status, found.ended, found.full_syncs) == ("run", RunStatus.CANCELED, True, 1)
    assert len(waits) == 3
    assert not is_busy(session)


def test_a_run_that_has_the_lock_and_is_not_noted_yet_is_waited_for(session: SyncSession) -> None:
    """Its user is said so once; and if it is none, such as a rebuild, it ends by itself."""
    said: list[str] = []
    waits: list[float] = []
    session.take_lock(never)
    assert is_busy(session)

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            session.begin("run", job="job")
        if len(waits) == 3:
            session.cancel()
            session.close()

    found = cancel_store(session.warehouse, waiting=lambda: said.append("waiting"), sleep=sleep)
    assert found.run is not None
    assert (found.run.run_id, found.ended, said, len(waits)) == ("run", True, ["waiting"], 3)

    session.take_lock(never)
    waits.clear()
    ended = cancel_store(
        session.warehouse, waiting=lambda: said.append("again"), sleep=lambda _seconds: session.lock.release()
    )
    assert (ended.run, ended.ended, ended.busy, said) == (None, False, False, ["waiting", "again"])


def test_a_run_that_has_died_is_nothing_to_stop(session: SyncSession) -> None:
    """It is noted as started, and nobody has the lock."""
    session.begin("run", job="job")
    session.close()
    found = cancel_store(session.warehouse, waiting=never, sleep=never)
    assert (found.run, found.busy) == (None, False)


def is_canceled(session: SyncSession) -> bool:
    try:
        session.check_canceled()
    except Interrupted:
        return True
    return False


def test_the_run_that_begins_next_is_not_stopped(open_test_session: OpenSession) -> None:
    """It may have begun before the first look at the end of the one that was asked. Planted: asked to stop too."""
    first, second = open_test_session(), open_test_session()
    first.begin("run", job="job")

    def sleep(_seconds: float) -> None:
        first.cancel()
        first.close()
        second.begin("next", job="job")

    found = cancel_store(first.warehouse, waiting=never, sleep=sleep)
    assert found.run is not None
    assert (found.run.run_id, found.run.status, found.ended, found.busy) == ("run", RunStatus.CANCELED, True, True)
    assert not is_canceled(second)


@pytest.mark.parametrize("ends", [False, True])
def test_the_run_that_finds_one_dead_is_stopped_in_its_place(ends: bool, open_test_session: OpenSession) -> None:
    """If it has not ended already. Planted: the dead run taken for one that was stopped."""
    dead, second = open_test_session(), open_test_session()
    dead.begin("dead", job="job")
    dead.close()
    second.take_lock(never)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            second.begin("next", job="job")
        if len(waits) == 2 or ends:
            assert is_canceled(second) is not ends
            second.cancel()
            second.close()

    found = cancel_store(second.warehouse, waiting=never, sleep=sleep)
    assert len(waits) == (1 if ends else 2)
    stopped = None if found.run is None else (found.run.run_id, found.run.status)
    assert (stopped, found.ended) == ((None, False) if ends else (("next", RunStatus.CANCELED), True))

"""One run of a sync from inside: how it begins, waits, stops and ends, and that it never ends twice."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from bl_pipeline.records import RunStatus, Stop, StopReason
from bl_pipeline.settings import Settings
from bl_pipeline.sync.interruptions import Interrupted
from bl_pipeline.sync.session import SyncSession, open_session
from bl_pipeline.warehouse import runs
from bl_pipeline.warehouse.cancellation import request_cancel
from bl_pipeline.warehouse.database import PreconditionsFailed, read_warehouse
from bl_pipeline.warehouse.runs import Run
from bl_pipeline_tests.conftest import Clock, MakeSettings
from bl_pipeline_tests.support.distributed import LONG
from bl_pipeline_tests.support.servers import as_user
from bl_pipeline_tests.support.waiting import wait_until
from bl_pipeline_tests.warehouse.test_lease import somebody_waits


def row(session: SyncSession) -> Run:
    with session.warehouse.engine.connect() as connection:
        run = runs.read_run(connection, session.run_id)
    assert run is not None
    return run


def test_a_wait_ends_at_once_if_the_run_is_canceled(settings: Settings) -> None:
    """Planted: the whole time waited for."""
    with open_session(settings) as session:
        session.wait(0)
        session.wait(0.01)
        session.canceled.set()
        with pytest.raises(Interrupted):
            session.wait(600)


def test_a_wait_that_is_handed_in_is_used(session: SyncSession, clock: Clock) -> None:
    session.wait(600)
    assert clock.slept == [600]


def test_a_run_that_nobody_has_begun_is_not_joined(session: SyncSession) -> None:
    """Planted: a run that nobody has begun is joined, so that it has no row."""
    assert not session.attach("run")
    assert session.run_id == ""


def test_what_stops_a_run(session: SyncSession) -> None:
    """A budget that is used up has not made it fail."""
    session.begin("run", job="job")
    assert not session.is_stopped()
    assert not session.has_failed()
    session.stop(Stop(StopReason.BUDGET, "no calls"))
    assert session.is_stopped()
    assert not session.has_failed()

    session.begin("another", job="job")
    session.stop(Stop(StopReason.CREDENTIALS, "refused"))
    assert session.is_stopped()
    assert session.has_failed()


@pytest.mark.parametrize("distributed", [False, True])
def test_times_of_a_clock_that_was_ahead_are_corrected_as_the_next_run_begins(
    distributed: bool, session: SyncSession, clock: Clock
) -> None:
    """Else they would count for ten days. Planted: they stay as they are."""
    right = clock.now
    clock.advance(days=10)
    session.begin("ahead", job="job")
    ahead = row(session)
    assert session.cancel()
    clock.now = right
    if distributed:
        session.close()
        session.lease = LONG
        assert session.try_begin_distributed("run", job="job")
    else:
        session.begin("run", job="job")
    session.run_id = "ahead"
    corrected = row(session)
    assert (ahead.started_at - right, corrected.started_at, corrected.finished_at) == (timedelta(days=10), right, right)


def test_an_error_that_ends_a_step_ends_the_run(session: SyncSession) -> None:
    session.begin("run", job="job", of_all_orders=False)
    assert row(session).status is RunStatus.STARTED
    with session.step():
        pass
    assert row(session).status is RunStatus.STARTED
    with pytest.raises(ValueError, match="a buyer"), session.step():
        raise ValueError("a buyer")
    ended = row(session)
    assert (ended.status, ended.stop_reason) == (RunStatus.FAILED, StopReason.ERROR)
    assert "a buyer" not in (ended.message or "")
    # The first end stays.
    assert not session.cancel()
    assert row(session).status is RunStatus.FAILED


def test_the_end_of_a_run_waits_for_what_it_is_storing(session: SyncSession) -> None:
    """Else what it stores would be there after its end. Planted: its row not locked."""
    session.begin("run", job="job")
    ended = threading.Event()

    def end() -> None:
        session.cancel()
        ended.set()

    with session.warehouse.engine.connect() as connection:
        session.lock_run(connection)
        thread = threading.Thread(target=end)
        thread.start()
        wait_until(lambda: somebody_waits(connection) or ended.is_set())
        assert not ended.is_set()
        connection.rollback()
    thread.join()
    assert row(session).status is RunStatus.CANCELED


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, Interrupted])
def test_an_interruption_of_a_step_cancels_the_run(interruption: type[BaseException], session: SyncSession) -> None:
    """Also if a library fails while it cleans up after it. Planted: a failure with the library's words."""
    session.begin("run", job="job")
    hiding = ValueError("cannot clean up")
    hiding.__context__ = interruption()
    with pytest.raises(interruption), session.step():
        raise hiding
    assert row(session).status is RunStatus.CANCELED
    assert session.canceled.is_set()
    with pytest.raises(Interrupted), session.step():
        raise AssertionError("a canceled run does nothing more")
    session.fail(ValueError("too late"))
    assert row(session).status is RunStatus.CANCELED


def test_nothing_is_noted_of_a_run_that_was_not_begun(session: SyncSession) -> None:
    session.fail(ValueError("why"))
    with session.warehouse.engine.connect() as connection:
        assert runs.last_runs(connection, session.warehouse, limit=9) == []


def test_the_lock_is_taken_by_one_and_given_back(settings: Settings) -> None:
    with open_session(settings) as one, open_session(settings) as other:
        one.begin("run", job="job")
        assert not other.lock.try_acquire()
        one.check_lock()
        one.close()
        assert other.lock.try_acquire()


def test_a_run_that_another_process_has_begun_is_joined(settings: Settings) -> None:
    """Planted: joined, and said not to be, so that the step begins a run of its own."""
    with open_session(settings) as one, open_session(settings) as other:
        one.lease = other.lease = LONG
        assert one.try_begin_distributed("run", job="job")
        assert not other.try_begin_distributed("another", job="job")
        assert other.attach("run")
        assert row(other).status is RunStatus.STARTED


def test_a_run_that_was_given_up_is_canceled_when_it_renews_its_lease(session: SyncSession) -> None:
    """By whoever has launched it. Planted: nobody is asked; every run is canceled; the answer is not heeded."""
    given_up = threading.Event()
    asked: list[bool] = []

    def is_terminated() -> bool:
        asked.append(given_up.is_set())
        return asked[-1]

    session.lease, session.is_terminated = replace(LONG, renewal_seconds=0.001), is_terminated
    assert session.try_begin_distributed("run", job="job")
    wait_until(lambda: len(asked) > 1)
    assert not session.canceled.is_set()
    given_up.set()
    wait_until(session.canceled.is_set)
    with pytest.raises(Interrupted):
        session.check_canceled()


def test_no_call_is_reserved_for_a_run_that_was_canceled_elsewhere(session: SyncSession) -> None:
    """Planted: not looked at where calls are reserved."""
    session.begin("run", job="job")
    session.cancel()
    with (
        session.calling("run") as (_, ledger),
        session.warehouse.engine.begin() as connection,
        pytest.raises(Interrupted),
    ):
        ledger.check(connection)


def test_no_write_begins_after_a_run_was_canceled_elsewhere(session: SyncSession, clock: Clock) -> None:
    """Also if a call is reserved already. Planted: what the database has said a moment ago is enough."""
    session.begin("run", job="job")
    with session.calling("run") as (_, ledger):
        ledger.begin("GET", "/orders/1", clock())
        session.check_canceled()
        with session.warehouse.engine.begin() as connection:
            assert request_cancel(connection, session.warehouse, clock()) == "run"
        with pytest.raises(Interrupted):
            ledger.begin("PUT", "/orders/1", clock())


def test_a_session_is_not_opened_if_nothing_can_be_stored(
    database_url: str, weak_user: str, make_settings: MakeSettings
) -> None:
    """Planted: it is opened, as for a command that reads."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        for schema in ("sync", "landing", "sales", "books", "reports"):
            admin.execute(f"GRANT USAGE ON SCHEMA {schema} TO {weak_user}")
            admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {weak_user}")
    settings = make_settings(bl_database_url=as_user(database_url, weak_user))
    try:
        with read_warehouse(settings):
            pass
        with pytest.raises(PreconditionsFailed, match="may not write"), open_session(settings):
            pass
    finally:
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute(f'DROP OWNED BY "{weak_user}"')

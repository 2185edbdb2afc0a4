"""What counts as ended from outside."""

from __future__ import annotations

import signal
import sys
import threading

import pytest
import typer

from bl_pipeline.desk.launched import why
from bl_pipeline.desk.launching import CANCELED
from bl_pipeline.records import SyncRequest
from bl_pipeline.sandbox import SandboxServer
from bl_pipeline.sync.interruptions import Interrupted, interruption_behind, set_by_signals
from bl_pipeline.sync.run import run_sync
from bl_pipeline.sync.session import NoProgress, SyncSession
from bl_pipeline.terminal.failures import explain, explained
from bl_pipeline_tests.conftest import OpenSession
from bl_pipeline_tests.support.waiting import wait_until


def hiding(interruption: type[BaseException]) -> Exception:
    """The error of whoever clears up after the interruption, and fails at it."""
    with pytest.raises(ValueError, match="busy") as caught:
        try:
            try:
                raise interruption
            finally:
                raise RuntimeError("cannot be taken back")
        except RuntimeError as error:
            raise ValueError("busy") from error
    return caught.value


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, Interrupted])
def test_an_error_may_hide_an_interruption(interruption: type[BaseException]) -> None:
    assert isinstance(interruption_behind(hiding(interruption)), interruption)
    assert isinstance(interruption_behind(interruption()), interruption)
    assert explain(hiding(interruption)) == (1, "Canceled.")
    # Planted: taken for a fault in the process of a run that the desk has started.
    assert why(hiding(interruption)) == CANCELED


@pytest.mark.parametrize("other", [RuntimeError, GeneratorExit, SystemExit])
def test_what_hides_no_interruption(other: type[BaseException]) -> None:
    assert interruption_behind(hiding(other)) is None
    assert interruption_behind(other()) is None
    assert explain(hiding(other)) is None
    assert "a fault of bl_pipeline itself" in why(hiding(other))


def circle(interruption: type[BaseException] | None = None) -> Exception:
    """An error that is raised again while its own wrapper is handled, as Dagster does with the error of a step."""
    error = ZeroDivisionError("a fault")
    wrapper = RuntimeError("wrapped")
    with pytest.raises(ZeroDivisionError):
        try:
            raise wrapper from error
        except RuntimeError:
            raise error  # noqa: B904
    assert error.__context__ is wrapper
    assert wrapper.__cause__ is error
    if interruption:
        wrapper.__cause__ = interruption()
    return error


def test_a_run_is_canceled_while_it_goes_on(session: SyncSession) -> None:
    """Planted: canceled again after its end, so that the Dagster UI shows a second end."""
    assert not session.cancel()
    session.begin("a run", job="sync_orders")
    assert session.cancel()
    assert not session.cancel()


@pytest.mark.timeout(10)
def test_a_circle_of_errors_hides_no_interruption() -> None:
    """Caught: a walk that never came back to its end, so that `bl sync` never ended."""
    error = circle()
    assert interruption_behind(error) is None
    assert explain(error) is None
    assert isinstance(interruption_behind(circle(KeyboardInterrupt)), KeyboardInterrupt)


class _Finalized:
    """An object in whose finalizer the process gets a signal."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def lose_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Get a Ctrl-C whose exception Python drops."""
    dropped = []
    with monkeypatch.context() as patched:
        patched.setattr(sys, "unraisablehook", lambda lost: dropped.append(lost.exc_type))
        _Finalized()
    assert dropped == [KeyboardInterrupt]


def test_a_signal_whose_exception_is_lost_cancels_the_run(
    open_test_session: OpenSession, server: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: a run that goes on."""

    class Losing(NoProgress):
        def planned(self, total: int) -> None:
            lose_signal(monkeypatch)
            wait_until(session.canceled.is_set)

    session = open_test_session(progress=Losing())
    with pytest.raises(Interrupted):
        run_sync(session, SyncRequest(), run_id="a run")
    assert not any("/orders/" in asked.path for asked in server.requests)


def test_a_signal_whose_exception_is_lost_ends_the_wait_for_another_sync(open_test_session: OpenSession) -> None:
    """Planted: the signal looked at in a run only."""
    first, second = open_test_session(), open_test_session()
    first.begin("first", job="sync_orders")
    second.canceled.set()
    with pytest.raises(Interrupted):
        second.begin("second", job="sync_orders")


def test_a_command_that_is_interrupted_in_a_wait_says_that_it_was_canceled(capsys: pytest.CaptureFixture[str]) -> None:
    """Caught: a traceback of `bl plan`, which is no run."""
    with pytest.raises(typer.Exit) as ended, explained():
        raise Interrupted
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == "Error: Canceled.\n"


def test_what_listens_for_signals_ends_with_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the thread left; the listener of somebody else replaced, or taken for ours at the end."""
    first, second = threading.Event(), threading.Event()
    with set_by_signals(first):
        with set_by_signals(second):
            lose_signal(monkeypatch)
            wait_until(first.is_set)
        assert not second.is_set()
        first.clear()
        lose_signal(monkeypatch)
        wait_until(first.is_set)
    assert signal.set_wakeup_fd(-1) == -1
    wait_until(lambda: "signals" not in {thread.name for thread in threading.enumerate()})

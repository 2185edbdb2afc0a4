"""What counts as ended from outside."""

from __future__ import annotations

import pytest

from bl_pipeline.desk.launched import why
from bl_pipeline.desk.launching import CANCELED
from bl_pipeline.sync.interruptions import Interrupted, interruption_behind
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.terminal.failures import explain


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

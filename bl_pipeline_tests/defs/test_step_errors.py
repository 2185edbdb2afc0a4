"""What Dagster may store of an error: ours as it is, an interruption as it is, and of any other no word of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from bl_pipeline.defs.step_errors import StepFailed, explained
from bl_pipeline.settings import SettingsError
from bl_pipeline.sync.interruptions import Interrupted


def plain(error: BaseException) -> Callable[[], Any]:
    @explained
    def compute() -> None:
        raise error

    return compute


def generating(error: BaseException) -> Callable[[], Any]:
    @explained
    def generate() -> Iterator[int]:
        yield 1
        raise error

    return lambda: list(generate())


@pytest.mark.parametrize("kind", [plain, generating])
def test_an_error_of_a_step(kind: Callable[[BaseException], Callable[[], Any]]) -> None:
    for kept in (dg.Failure("why"), dg.DagsterError("why"), KeyboardInterrupt()):
        with pytest.raises(type(kept)) as raised:
            kind(kept)()
        assert raised.value is kept

    ours = SettingsError("what to do")
    with pytest.raises(StepFailed) as caught:
        kind(ours)()
    assert (caught.value.description, caught.value.error) == ("what to do", ours)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert caught.value.allow_retries is False

    with pytest.raises(StepFailed, match="ValueError: a fault of bl_pipeline itself") as caught:
        kind(ValueError("a buyer"))()
    assert "a buyer" not in str(caught.value.description)


@pytest.mark.parametrize("kind", [plain, generating])
def test_an_error_that_hides_an_interruption_is_raised_as_it_is(
    kind: Callable[[BaseException], Callable[[], Any]],
) -> None:
    """As a library's own error while it cleans up: the run was canceled, and has not failed."""
    hiding = ValueError("cannot clean up")
    hiding.__context__ = Interrupted()
    with pytest.raises(ValueError, match="cannot clean up") as raised:
        kind(hiding)()
    assert raised.value is hiding


def test_a_generator_stays_one() -> None:
    @explained
    def generate(first: int, *, last: int) -> Iterator[int]:
        """Its own words."""
        yield first
        yield last

    assert list(generate(1, last=2)) == [1, 2]
    assert generate.__doc__ == "Its own words."

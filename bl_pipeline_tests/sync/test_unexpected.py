"""What is logged and stored of an unexpected error: its class and its place, and no value."""

from __future__ import annotations

import logging

import pytest

from bl_pipeline.records import FailedOrder
from bl_pipeline.settings import SettingsError
from bl_pipeline.sync.unexpected import describe, frames, known_message, log_unexpected, summary


def failed(order_id: str, *calls: str, kind: str = "KeyError") -> FailedOrder:
    return FailedOrder(order_id, "why", kind, frames=calls)


def test_each_place_is_logged_once_with_the_first_order(caplog: pytest.LogCaptureFixture) -> None:
    """Planted: a line for each order; the error of one place under that of another."""
    log_unexpected([])
    log_unexpected(
        [
            failed("1", "a.py:1 in a", "b.py:2 in b"),
            failed("2"),
            failed("3", "a.py:1 in a", "b.py:2 in b"),
            failed("4", "a.py:1 in a", "b.py:2 in b", kind="ValueError"),
            failed("5", "a.py:1 in a", "b.py:2 in b"),
        ]
    )
    place = "at\n  a.py:1 in a\n  b.py:2 in b"
    assert caplog.record_tuples == [
        ("bl_pipeline.sync.unexpected", logging.ERROR, f"Order 1 and 2 more: unexpected KeyError {place}"),
        ("bl_pipeline.sync.unexpected", logging.ERROR, f"Order 4: unexpected ValueError {place}"),
    ]


def caught(error: BaseException) -> BaseException:
    with pytest.raises(type(error)) as raised:
        raise error
    return raised.value


def test_an_error_of_ours_says_it_in_its_words_and_any_other_does_not() -> None:
    ours, other = caught(SettingsError("what to do")), caught(ValueError("a buyer"))
    assert known_message(ours) == summary(ours) == "what to do"
    assert known_message(other) is None
    assert summary(other).startswith("ValueError: a fault of bl_pipeline itself. See the run's log in Dagster")
    (place,) = frames(other)
    assert place.startswith("bl_pipeline_tests/sync/test_unexpected.py:")
    assert place.endswith(" in caught")
    assert describe(other).splitlines() == [
        "ValueError: a fault of bl_pipeline itself.",
        "What was stored is kept. Please report this with the following lines.",
        f"  {place}",
    ]

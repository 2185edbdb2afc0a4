"""What `bl plan` calls the reasons to fetch an order."""

from __future__ import annotations

import pytest

from bl_pipeline.records import Reason
from bl_pipeline.rules.forecast import Forecast
from bl_pipeline_tests.terminal.test_planning import shown_of


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason != Reason.REQUESTED])
def test_every_reason_has_its_words(reason: Reason) -> None:
    """Without I/O, so that it is among the quick tests: planted, a reason without words."""
    shown = shown_of(
        Forecast(
            9,
            {str(reason): 3},
            3,
            0,
            least_calls=5,
            most_calls=8,
            calls_for_lists=2,
            calls_used=2,
            calls_left=10,
            days=0,
        )
    )
    assert "  3  " in shown
    assert "_" not in shown
    assert "All of it fits now." in shown

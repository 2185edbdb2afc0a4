"""How messages look in a terminal."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from bl_pipeline.terminal import console

_MESSAGE = "Free from 2026-03-14 09:30 UTC.\nKnown at 2026-07-14 12:00:45 UTC; 2026-07-14 is a day.\x1b[2J"


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("UTC", "Free from 2026-03-14 09:30 UTC.\nKnown at 2026-07-14 12:00:45 UTC; 2026-07-14 is a day. [2J"),
        (
            "Europe/Berlin",
            "Free from 2026-03-14 10:30 Europe/Berlin.\n"
            "Known at 2026-07-14 14:00:45 Europe/Berlin; 2026-07-14 is a day. [2J",
        ),
    ],
)
def test_a_message_has_its_times_in_the_time_zone_of_the_store(
    zone: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: its seconds left out, on which `--if-unchanged-since` depends; its lines joined."""
    monkeypatch.setattr(console, "_zone", ZoneInfo(zone))
    assert console.in_zone(_MESSAGE) == shown

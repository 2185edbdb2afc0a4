"""What a user writes of a change, as it is asked of BrickLink; and what is refused before anything is sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from bl_pipeline.settings import Settings, Store, load_settings
from bl_pipeline.sync.asking import NotAsked, WriteOrder, ask

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


@pytest.fixture
def berlin(isolated: pytest.MonkeyPatch) -> Store:
    """A store whose time is two hours ahead of UTC in summer."""
    settings: Settings = load_settings(env_file=None, bl_timezone="Europe/Berlin")
    return settings.store


def test_amounts_times_and_statuses_are_read(berlin: Store) -> None:
    given = {
        "shipping": " 4.50 ", "etc1": "0", "status": "packed", "date_shipped": "2026-06-14", "remarks": None,
        "tracking_no": "1e3",
    }  # fmt: skip
    asked = ask(berlin, "bl-31", given, now=NOW, mail_me=True)
    assert (asked.order_id, asked.unchanged_since, asked.mail_me) == ("31", None, True)
    assert asked.values == {
        "shipping": Decimal("4.50"),
        "etc1": Decimal(0),
        "status": "PACKED",
        "date_shipped": datetime(2026, 6, 13, 22, tzinfo=UTC),
        "tracking_no": "1e3",
    }
    assert not ask(berlin, "31", given, now=NOW).mail_me


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-06-14T09:30", datetime(2026, 6, 14, 7, 30, tzinfo=UTC)),
        ("2026-06-14T09:30Z", datetime(2026, 6, 14, 9, 30, tzinfo=UTC)),
        ("2026-06-15T12:00Z", NOW),
    ],
)
def test_since_when_the_order_is_to_be_unchanged(written: str, moment: datetime, berlin: Store) -> None:
    asked = ask(berlin, "31", {"remarks": "x"}, now=NOW, unchanged_since=written)
    assert asked.unchanged_since == moment
    assert asked.unchanged_since.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("given", "more", "why"),
    [
        ({"shipping": "-1"}, {}, "is no amount"),
        ({"shipping": "1e3"}, {}, "is no amount"),
        ({"shipping": "1_0"}, {}, "is no amount"),
        ({"credit": ".5"}, {}, "is no amount"),
        ({"credit": "1."}, {}, "is no amount"),
        ({"credit": "\u0661"}, {}, "is no amount"),
        ({"date_shipped": "2026"}, {}, "is no day"),
        ({"date_shipped": "2026-6"}, {}, "is no day"),
        ({"date_shipped": " 2026-06 "}, {}, "is no day"),
        ({"date_shipped": "yesterday"}, {}, "is no day"),
        ({"date_shipped": "0001-01-01T00:00+23:00"}, {}, "is no time of an order"),
        ({"status": "purged"}, {}, "A seller cannot set"),
        ({}, {}, "There is nothing to change"),
        ({"remarks": None}, {}, "There is nothing to change"),
        ({"remarks": "x"}, {"unchanged_since": "2026-06-15T12:00:00.000001Z"}, "is in the future"),
    ],
)
def test_what_is_refused(given: dict[str, Any], more: dict[str, Any], why: str, berlin: Store) -> None:
    with pytest.raises(NotAsked, match=why) as refused:
        ask(berlin, "31", given, now=NOW, **more)
    assert str(refused.value).endswith("\nNothing was sent.")
    with pytest.raises(NotAsked, match="is no order number"):
        ask(berlin, "x", {"remarks": "x"}, now=NOW)


def test_nobody_gets_a_copy_unless_it_is_asked_for() -> None:
    assert not WriteOrder("31", {"drive_thru": True}).mail_me

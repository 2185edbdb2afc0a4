"""Counts and amounts as people read them, and the times in messages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

_TIME = re.compile(r"\b(\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?) UTC\b")


def amount(value: Decimal | None) -> str:
    """An amount in full: two decimals, or four if it has parts of a cent."""
    return "" if value is None else f"{value:,.4f}".removesuffix("00")


def number(value: Decimal | int) -> str:
    """An amount in full, or a count."""
    return f"{value:,}" if isinstance(value, int) else amount(value)


def plural(number: int, noun: str) -> str:
    """A number with its noun: 1 order, 1,204 orders."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def parts_of_message(message: str) -> list[str | datetime]:
    """A message of ours as text and times in turn, beginning and ending with text: it has its times in UTC.

    So whoever shows it can show the times in the store's time zone.
    """
    parts: list[str | datetime] = list(_TIME.split(message))
    parts[1::2] = [datetime.fromisoformat(str(time)).replace(tzinfo=UTC) for time in parts[1::2]]
    return parts

"""What people ask for, as they write it: orders, days, times and known words."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from zoneinfo import ZoneInfo

_PERIOD = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?", re.ASCII)


class QuestionError(ValueError):
    """What was asked cannot be answered; the message says why and what can."""


def parse_order_number(written: str) -> str:
    """The order's number at BrickLink, from 15646315 or BL-15646315. Raises QuestionError."""
    number = written.strip().upper().removeprefix("BL-")
    if not (number.isascii() and number.isdigit()):
        raise QuestionError(f"{written!r} is no order number. Write it as 15646315 or BL-15646315.")
    return number.lstrip("0") or "0"


def parse_day(written: str, *, last: bool = False) -> date:
    """2026, 2026-03 or 2026-03-14 as its first day, or its last. Raises QuestionError."""
    found = _PERIOD.fullmatch(written.strip())
    try:
        if found is None:
            raise ValueError
        year, month, day = (int(part) if part else None for part in found.groups())
        assert year is not None
        month = month or (12 if last else 1)
        return date(year, month, day or (monthrange(year, month)[1] if last else 1))
    except ValueError:
        raise QuestionError(f"{written!r} is no year, month or day such as 2026, 2026-03 or 2026-03-14") from None


def in_utc(moment: datetime, timezone: str) -> datetime:
    """A time in UTC; a naive one is of the time zone. Raises OverflowError if it is none in UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(timezone))).astimezone(UTC)


def parse_time(written: str, *, end: bool = False) -> datetime:
    """When a year, a month, a day or a time such as 2026-03-14T09:30Z begins, or when it is over (`end`).

    Without a time zone in it, the result is naive: a time of the store. Raises QuestionError.
    """
    try:
        if _PERIOD.fullmatch(written.strip()):
            return datetime.combine(parse_day(written, last=end), time.min) + timedelta(days=end)
        # 20260314 and the other days of ISO 8601 would be taken for their midnight, and any sign between day and time.
        if not set("Tt ") & set(written.strip()):
            raise ValueError
        moment = datetime.fromisoformat(written.strip())
        # The moment itself is in the period that ends with it.
        return moment + timedelta(microseconds=end)
    except ValueError:
        raise QuestionError(
            f"{written!r} is no year, month, day or time such as 2026, 2026-03, 2026-03-14 or 2026-03-14T09:30Z"
        ) from None
    except OverflowError:
        raise QuestionError(f"{written!r} is too late: the last year that can be the end is 9998") from None


def one_of(written: str, kind: str, choices: Collection[str], hint: str = "") -> str:
    """The choice that was written, upper or lower case. Raises QuestionError with the nearest one, and all there are.

    `kind` is what the choices are, such as "report"; `hint` is one more line of the message.
    """
    known = {choice.casefold(): choice for choice in choices}
    if found := known.get(written.strip().casefold()):
        return found
    nearest = get_close_matches(written.strip().casefold(), known, n=1)
    lines = [f"There is no {kind} {written}." + (f" Did you mean {known[nearest[0]]}?" if nearest else "")]
    if hint:
        lines.append(hint)
    lines.append(f"There are: {', '.join(sorted(choices))}" if choices else "There are none yet.")
    raise QuestionError("\n".join(lines))

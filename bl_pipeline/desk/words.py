"""How the desk writes amounts, times and counts: the filters of its templates."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from bl_pipeline.wording import amount, parts_of_message, plural

_CENT = Decimal("0.01")


def money(value: Decimal | None, currency: str | None = None) -> Markup:
    """An amount at two decimals with its currency; the exact amount is shown on hover. Nothing if there is none."""
    if value is None:
        return Markup()
    after = f" {currency}" if currency else ""
    rounded = value.quantize(_CENT, ROUND_HALF_UP)
    exact = f"{value.normalize():f}{after}" if rounded != value else f"{rounded:f}{after}"
    return Markup('<span class="money" title="{}">{}</span>').format(exact, f"{rounded:,f}{after}")


def exact(value: Decimal, unit: str | None, *, fine: bool = False) -> Markup:
    """An amount with its own decimals, as reports show it; every decimal and the unit on hover.

    `fine`: others in the column have parts of a cent, so that their room is left free.
    """
    room = "\u2007\u2007" if fine and not has_fractions(value) else ""
    return Markup('<span title="{}">{}</span>{}').format(f"{value:f} {unit or ''}".rstrip(), amount(value), room)


def has_fractions(value: Decimal) -> bool:
    """Whether an amount is shown with parts of a cent."""
    return len(amount(value).partition(".")[2]) > 2


def when(time: datetime | None, zone: str) -> Markup:
    """A time to the minute in the store's time zone; nothing if there is none."""
    if time is None:
        return Markup()
    local = time.astimezone(ZoneInfo(zone))
    return Markup('<time datetime="{}" title="{} {}">{}</time>').format(
        time.isoformat(), f"{local:%Y-%m-%d %H:%M:%S}", zone, f"{local:%Y-%m-%d %H:%M}"
    )


def time_input(time: datetime | None, zone: str) -> str:
    """A time in the store's time zone as a field of a form takes it, to the minute; nothing if there is none."""
    return "" if time is None else f"{time.astimezone(ZoneInfo(zone)):%Y-%m-%dT%H:%M}"


def day(time: datetime | None, zone: str) -> str:
    """The day of a time in the store's time zone."""
    return "" if time is None else f"{time.astimezone(ZoneInfo(zone)):%Y-%m-%d}"


def ago(time: datetime | None, now: datetime) -> str:
    """How long ago, or in how long, in the largest unit that fits."""
    if time is None:
        return "never"
    passed = now - time
    seconds = abs(passed.total_seconds())
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            length_of_time = plural(int(seconds // length), unit)
            return f"{length_of_time} ago" if passed > timedelta(0) else f"in {length_of_time}"
    return "just now" if passed >= timedelta(0) else "in less than a minute"


def lines(text: str | None) -> Markup:
    """A text with its line breaks, everything in it escaped."""
    return Markup("<br>").join(escape(line) for line in (text or "").splitlines())


def reason(text: str, zone: str) -> Markup:
    """A message of ours in its lines: what happened, why, and what to do; a technical line, in brackets, is small.

    Its times, which are UTC, are in the store's zone, as all times of a page.
    """
    small = Markup("<small>{}</small>")
    return Markup("<br>").join(
        small.format(line) if line.startswith("[") else _in_zone(line, zone) for line in text.splitlines()
    )


def _in_zone(line: str, zone: str) -> Markup:
    if zone == "UTC":
        return escape(line)
    return Markup().join(
        when(part, zone) if isinstance(part, datetime) else escape(part) for part in parts_of_message(line)
    )

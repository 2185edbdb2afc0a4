"""The books as they look in a time zone, and the arithmetic of plain Python that reports are worked out with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from bl_pipeline_tests.support.report_store import Books
from bl_pipeline_tests.support.taxes import Taxes

Row = dict[str, object]
ZERO = Decimal(0)


@dataclass(frozen=True)
class Accounts:
    """The books with days as in `zone`, at the moment `now`, with these tax settings."""

    books: Books
    zone: ZoneInfo
    now: datetime
    taxes: Taxes | None = None

    def _day(self, moment: datetime) -> date:
        """The day of a moment."""
        return moment.astimezone(self.zone).date()

    def _month(self, moment: datetime) -> date:
        """The first day of its month."""
        return self._day(moment).replace(day=1)


def group(rows: Iterable[Row], keys: tuple[str, ...]) -> list[tuple[Row, list[Row]]]:
    """Rows by their keys."""
    found: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[key] for key in keys)].append(row)
    return [(dict(zip(keys, values, strict=True)), members) for values, members in found.items()]


def add_up(rows: Iterable[Row], keys: tuple[str, ...], sums: tuple[str, ...]) -> list[Row]:
    """Rows by their keys, with their number and sums."""
    return [
        {**key, "orders": len(members), **{name: sum((money(row[name]) for row in members), ZERO) for name in sums}}
        for key, members in group(rows, keys)
    ]


def money(value: object) -> Decimal:
    """An amount, which has to be one."""
    assert isinstance(value, Decimal | int)
    return Decimal(value)


def whole(value: object) -> int:
    """A number of pieces."""
    assert isinstance(value, int)
    return value


def quantile(values: list[Fraction], part: Fraction) -> Fraction:
    """So many of the values are less, with the way between two of them shared out."""
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

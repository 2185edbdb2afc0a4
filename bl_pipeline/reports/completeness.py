"""What is missing from every figure: orders that are listed and not stored, and what has happened since the lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from bl_pipeline.wording import plural


@dataclass(frozen=True, slots=True)
class Completeness:
    """How complete the store's figures are. Times are UTC; `lists_read_at` is None if no list was ever read.

    `as_of` is the moment of the figures, None is now. Of a moment in the past only `lists_read_at` is known.
    """

    missing_orders: int
    oldest_missing: datetime | None
    outdated_orders: int
    lists_read_at: datetime | None
    as_of: datetime | None = None

    @property
    def is_complete(self) -> bool:
        """Whether every listed order is stored as it was listed last, as far as is known."""
        return self.lists_read_at is not None and not self.missing_orders and not self.outdated_orders

    def in_words(self, timezone: str) -> str:
        """All of it, for a reader of a report, with times in this time zone."""
        if self.lists_read_at is None and self.as_of:
            return "BrickLink's lists had not been read by then: nothing was known."
        if self.lists_read_at is None:
            return "BrickLink's lists were never read: nobody knows whether orders are missing here. Sync the store."
        if self.as_of:
            return f"BrickLink's lists had last been read on {_written(self.lists_read_at, timezone)}."
        until = f"BrickLink's lists were read on {_written(self.lists_read_at, timezone)}"
        if self.is_complete:
            return f"{until}; every order in them is stored."
        facts = []
        if self.missing_orders:
            oldest = f", the oldest of {_written(self.oldest_missing, timezone)}" if self.oldest_missing else ""
            orders = plural(self.missing_orders, "order")
            facts.append(f"{orders} not stored and in no figure here{oldest} (see the report missing)")
        if self.outdated_orders:
            facts.append(f"{plural(self.outdated_orders, 'order')} changed at BrickLink and not loaded since")
        return f"Not complete: {'; '.join(facts)}. {until}. The next sync tries again."


def _written(time: datetime, timezone: str) -> str:
    return f"{time.astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M} {timezone}"


def read_completeness(connection: Connection, store: str, as_of: datetime | None = None) -> Completeness:
    """How complete the store's figures are, or what is known of that as of a moment."""
    if as_of:
        lists_read_at = connection.scalar(
            text(
                """
                SELECT max(started_at) FROM sync.runs
                WHERE store = :store AND orders_listed IS NOT NULL AND started_at <= :as_of
                """
            ),
            {"store": store, "as_of": as_of},
        )
        return Completeness(0, None, 0, lists_read_at, as_of)
    row = connection.execute(
        text(
            """
            SELECT missing_orders, oldest_missing_order_date, outdated_orders, lists_read_at
            FROM reports.completeness WHERE store = :store
            """
        ),
        {"store": store},
    ).one_or_none()
    return Completeness(*row) if row else Completeness(0, None, 0, None)

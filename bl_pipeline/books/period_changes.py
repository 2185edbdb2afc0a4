"""What has changed of closed months since their closing, added up; the report period_changes has each change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class PeriodChange:
    """What has changed of a closed month since its closing, in one currency: how many changes, and their sums."""

    changes: int
    currency: str
    revenue: Decimal
    vat: Decimal


def read_period_changes(connection: Connection, store: str) -> dict[date, list[PeriodChange]]:
    """What has changed of each closed month since its closing; months without a change are left out."""
    rows = connection.execute(
        text(
            """
            SELECT period, count(*) AS changes, currency, sum(revenue_movement) AS revenue, sum(vat_movement) AS vat
            FROM reports.period_changes
            WHERE store = :store GROUP BY period, currency ORDER BY period, currency
            """
        ),
        {"store": store},
    )
    found: dict[date, list[PeriodChange]] = {}
    for row in rows:
        found.setdefault(row.period, []).append(PeriodChange(row.changes, row.currency, row.revenue, row.vat))
    return found

"""Requested full syncs: one for the same orders at a time, of one store, until it is complete or withdrawn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from bl_pipeline.records import EVERY_DATE, FullSync, OrderDates
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.full_syncs import (
    complete_full_syncs,
    open_full_syncs,
    request_full_sync,
    withdraw_full_syncs,
)

T = datetime(2026, 6, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MAY = OrderDates(datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC))


def test_a_request_goes_on_until_it_is_complete_or_withdrawn(warehouse: Warehouse) -> None:
    """Planted: each condition of the statements left out, the store among them."""
    other = Warehouse(warehouse.engine, "other")

    def request(connection: Connection, store: Warehouse = warehouse, **given: Any) -> None:
        given = {"include_items": True, "dates": EVERY_DATE, "now": T, **given}
        request_full_sync(connection, store, **given)

    def asked(found: list[FullSync]) -> list[tuple[datetime, bool, OrderDates]]:
        return [(each.requested_at, each.include_items, each.dates) for each in found]

    with warehouse.engine.begin() as connection:
        request(connection)
        request(connection, now=T + HOUR)
        request(connection, dates=MAY, now=T + HOUR)
        request(connection, dates=MAY, now=T + 2 * HOUR)
        request(connection, dates=OrderDates(MAY.start), now=T + 2 * HOUR)
        request(connection, include_items=False, now=T + 3 * HOUR)
        request(connection, other)
        every, may, from_may, without = found = open_full_syncs(connection, warehouse)
        assert asked(found) == [
            (T, True, EVERY_DATE),
            (T + HOUR, True, MAY),
            (T + 2 * HOUR, True, OrderDates(MAY.start)),
            (T + 3 * HOUR, False, EVERY_DATE),
        ]

        complete_full_syncs(connection, [every, may], T)
        assert open_full_syncs(connection, warehouse) == [from_may, without]
        request(connection, now=T + 4 * HOUR)
        again = open_full_syncs(connection, warehouse)[-1]
        assert asked([again]) == [(T + 4 * HOUR, True, EVERY_DATE)]

        assert withdraw_full_syncs(connection, warehouse, T) == [from_may, without, again]
        assert open_full_syncs(connection, warehouse) == withdraw_full_syncs(connection, warehouse, T) == []
        request(connection, now=T + 5 * HOUR)
        assert asked(open_full_syncs(connection, warehouse)) == [(T + 5 * HOUR, True, EVERY_DATE)]
        assert asked(open_full_syncs(connection, other)) == [(T, True, EVERY_DATE)]

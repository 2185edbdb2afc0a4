"""How long open orders have waited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, text

from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.tables import order_status_history, orders
from bl_pipeline_tests.conftest import Sync

FIRST_DAYS = (3, 8, 15, 31, 61)


def test_an_age_begins_with_its_first_day_to_the_microsecond(synced: Sync, warehouse: Warehouse) -> None:
    """Planted: each limit a day earlier or later; a limit that belongs to the younger ones."""
    with warehouse.engine.connect() as connection:
        connection.execute(text("UPDATE sales.orders SET status = 'completed', platform_status = 'COMPLETED'"))
        waiting = connection.execute(
            text(
                """
                WITH ages AS (
                    SELECT row_number() OVER () AS number, days, younger
                    FROM unnest(CAST(:days AS integer[])) AS days,
                        unnest(ARRAY[interval '0', interval '1 us']) AS younger
                ), orders AS (
                    SELECT store, platform, platform_order_id, row_number() OVER () AS number FROM sales.orders
                )
                UPDATE sales.orders AS o
                SET status = 'processing', platform_status = 'PAID', currency = 'EUR',
                    order_date = now() - make_interval(days => days) + younger
                FROM orders JOIN ages USING (number)
                WHERE (o.store, o.platform, o.platform_order_id)
                    = (orders.store, orders.platform, orders.platform_order_id)
                """
            ),
            {"days": list(FIRST_DAYS)},
        )
        assert waiting.rowcount == 2 * len(FIRST_DAYS)
        shown = connection.execute(text("SELECT age, orders FROM reports.open_orders_by_age ORDER BY age"))
        assert [tuple(row) for row in shown] == [
            ("00-02 days", 1), ("03-07 days", 2), ("08-14 days", 2), ("15-30 days", 2), ("31-60 days", 2),
            ("61 days and more", 1),
        ]  # fmt: skip


def test_as_of_a_moment_an_order_has_waited_until_then(blank: Warehouse) -> None:
    """Planted: until now."""
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    with blank.engine.connect() as connection:
        for days in FIRST_DAYS:
            placed = moment - timedelta(days - 1)
            seen = {
                "store": "main", "platform": "bricklink", "platform_order_id": str(days), "status": "processing",
                "platform_status": "PAID", "currency": "EUR", "order_date": placed,
            }  # fmt: skip
            connection.execute(insert(order_status_history).values(**seen, document_id=days, observed_at=placed))
            connection.execute(
                insert(orders).values(
                    **seen, display_id=str(days), first_order_date=placed, order_document_id=days, fetched_at=placed
                )
            )
        connection.execute(text("SELECT set_config('bl_pipeline.as_of', :moment, true)"), {"moment": str(moment)})
        ages = connection.scalars(text("SELECT age FROM reports.open_orders_by_age ORDER BY oldest_order_date DESC"))
        assert list(ages) == ["00-02 days", "03-07 days", "08-14 days", "15-30 days", "31-60 days"]
        connection.rollback()

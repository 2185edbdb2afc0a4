"""How many orders of the lists are missing or outdated, and since when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from bl_pipeline.reports.views import set_timezone
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.reports.test_properties import read

LISTED_AT = datetime(2026, 10, 1, 12, tzinfo=UTC)
"""The lists were read at that time."""

STATES = [
    # Day of the order, document, stored and listed fingerprint, listed, minutes from the lists to its answer.
    (1, 1, "same", "same", True, 1),
    (2, 1, "before", "after", False, 1),
    (3, None, None, "after", True, None),
    (4, None, None, "after", False, None),
    # It has moved since the lists were read.
    (5, 1, "", "before", True, 0),
    (6, 1, "before", "after", True, 1),
    (7, 1, None, "after", True, 1),
    (8, 1, "", "after", True, -1),
]


def test_the_oldest_that_is_missing_and_the_oldest_that_is_outdated(blank: Warehouse) -> None:
    """Planted: the latest; one that is listed no more taken for outdated.

    Caught: so was an order that was filed with `bl update`, until the next sync.
    """
    with blank.engine.connect() as connection:
        set_timezone(connection, "main", "UTC")
        connection.execute(
            text(
                "INSERT INTO sync.runs (run_id, store, job, status, started_at, orders_listed) VALUES "
                "('earlier', 'main', 'sync_orders', 'succeeded', :at - interval '1 day', 1), "
                "('last', 'main', 'sync_orders', 'succeeded', :at, 1), "
                "('without lists', 'main', 'refresh_orders', 'succeeded', :at + interval '1 day', NULL)"
            ),
            {"at": LISTED_AT},
        )
        for day, document, stored, listed, is_listed, minutes in STATES:
            connection.execute(
                text(
                    "INSERT INTO sync.order_state (store, platform, platform_order_id, order_date, listed_status, "
                    "first_listed_at, order_document_id, stored_fingerprint, listed_fingerprint, is_listed, "
                    "order_fetched_at) VALUES ('main', 'bricklink', :day, :ordered, 'PAID', now(), :document, :stored, "
                    ":listed, :is_listed, :fetched_at)"
                ),
                {
                    "day": str(day), "ordered": datetime(2026, 9, day, tzinfo=UTC), "document": document,
                    "stored": stored, "listed": listed, "is_listed": is_listed,
                    "fetched_at": None if minutes is None else LISTED_AT + timedelta(minutes=minutes),
                },
            )  # fmt: skip
        (row,) = read(connection, "completeness", "store = 'main'")
        connection.rollback()
    assert (row["missing_orders"], row["oldest_missing_order_date"]) == (2, datetime(2026, 9, 3, tzinfo=UTC))
    assert (row["outdated_orders"], row["oldest_outdated_order_date"]) == (3, datetime(2026, 9, 6, tzinfo=UTC))

"""How many orders of the lists are missing or outdated, and since when."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import text

from bl_pipeline.reports.views import set_timezone
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.reports.test_properties import read

STATES = [
    # Day of the order, document, stored and listed fingerprint, listed.
    (1, 1, "same", "same", True),
    (2, 1, "before", "after", False),
    (3, None, None, "after", True),
    (4, None, None, "after", False),
    (5, 1, "before", "after", True),
    (6, 1, None, "after", True),
]


def test_the_oldest_that_is_missing_and_the_oldest_that_is_outdated(blank: Warehouse) -> None:
    """Planted: the latest; one that is listed no more taken for outdated."""
    with blank.engine.connect() as connection:
        set_timezone(connection, "main", "UTC")
        for day, document, stored, listed, is_listed in STATES:
            connection.execute(
                text(
                    "INSERT INTO sync.order_state (store, platform, platform_order_id, order_date, listed_status, "
                    "first_listed_at, order_document_id, stored_fingerprint, listed_fingerprint, is_listed) "
                    "VALUES ('main', 'bricklink', :day, :ordered, 'PAID', now(), :document, :stored, :listed, "
                    ":is_listed)"
                ),
                {
                    "day": str(day), "ordered": datetime(2026, 9, day, tzinfo=UTC), "document": document,
                    "stored": stored, "listed": listed, "is_listed": is_listed,
                },
            )  # fmt: skip
        (row,) = read(connection, "completeness", "store = 'main'")
        connection.rollback()
    assert (row["missing_orders"], row["oldest_missing_order_date"]) == (2, datetime(2026, 9, 3, tzinfo=UTC))
    assert (row["outdated_orders"], row["oldest_outdated_order_date"]) == (2, datetime(2026, 9, 5, tzinfo=UTC))

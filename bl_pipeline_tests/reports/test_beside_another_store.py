"""Every report says the same of a store with another one beside it, and of one whose time zone was never noted."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import Connection, text

from bl_pipeline.reports.files import read_reports
from bl_pipeline_tests.reports.conftest import Kept
from bl_pipeline_tests.support.other_store import put_other_beside


def rows_of_main(connection: Connection) -> dict[str, Counter[tuple[Any, ...]]]:
    """The rows that each report has of the store."""
    return {
        report.name: Counter(
            tuple(row) for row in connection.execute(text(f"SELECT * FROM reports.{report.name} WHERE store = 'main'"))
        )
        for report in read_reports()
    }


def test_the_orders_of_another_store_change_no_report(kept: Kept) -> None:
    """Planted: the store left out of a condition, in each report."""
    with kept.warehouse.engine.connect() as connection:
        alone = rows_of_main(connection)
        put_other_beside(connection)
        assert rows_of_main(connection) == alone
        connection.rollback()
    assert [name for name, rows in alone.items() if not rows] == []


def test_a_store_whose_time_zone_was_never_noted_has_days_in_utc(kept: Kept) -> None:
    """Planted: its rows left out; its days null."""
    with kept.warehouse.engine.connect() as connection:
        noted = rows_of_main(connection)
        connection.execute(text("DELETE FROM sync.stores"))
        # Which is about the stores that were noted.
        assert rows_of_main(connection) == {**noted, "completeness": Counter()}
        connection.rollback()

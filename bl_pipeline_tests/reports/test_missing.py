"""Which orders are without some of their items, though nothing counts the pieces."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from sqlalchemy import insert, text

from bl_pipeline.bricklink import InvalidResource
from bl_pipeline.reports.reading import find_report
from bl_pipeline.rules.normalise import NotNormalisable
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.landing import UnstorableAnswer
from bl_pipeline.warehouse.tables import orders

T = datetime(2026, 6, 1, tzinfo=UTC)


def test_an_amount_without_items_is_missing_also_if_no_piece_is_counted(blank: Warehouse) -> None:
    """Planted: an order that costs nothing taken for one; an amount that is not looked at."""
    with blank.engine.connect() as connection:
        for number, (pieces, subtotal) in enumerate([(None, 5), (0, 5), (None, 0), (0, 0), (3, 0)], start=1):
            connection.execute(
                insert(orders).values(
                    store="main", platform="bricklink", platform_order_id=str(number), display_id=str(number),
                    status="completed", platform_status="COMPLETED", currency="EUR", order_date=T, first_order_date=T,
                    fetched_at=T, order_document_id=number, subtotal=subtotal, total=subtotal, total_count=pieces,
                )
            )  # fmt: skip
        missing = connection.execute(
            text("SELECT platform_order_id, missing, missing_count, missing_total FROM reports.missing ORDER BY 1")
        )
        assert [tuple(row) for row in missing] == [
            ("1", "items", None, 5), ("2", "items", 0, 5), ("5", "items", 3, 0),
        ]  # fmt: skip
        connection.rollback()


def test_what_is_unreadable_is_told_by_the_names_of_our_own_errors() -> None:
    """Planted: an error renamed in Python only, so that its orders are said to be failed."""
    found = re.findall(r"error_class IN \(([^)]*)\)", find_report("missing").sql)
    expected = {kind.__name__ for kind in (InvalidResource, NotNormalisable, UnstorableAnswer)}
    assert [set(re.findall("'(.*?)'", names)) for names in found] == [expected] * 2

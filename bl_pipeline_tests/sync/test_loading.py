"""One order's value never stops its batch."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from bl_pipeline.rules.frames import ORDERS
from bl_pipeline.sync.loading import FetchedOrder, PreparedOrder, load_prepared, prepare
from bl_pipeline.warehouse import landing
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import Sync


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("buyer_name", "half an emoji: \ud83d"),
        ("buyer_name", "a zero: \0"),
        ("total_count", 2**70),
        ("total_count", "many"),
        ("total", Decimal(10) ** 30),
        ("total", Decimal("NaN")),
        ("total", "25.00 EUR"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_value_that_cannot_be_stored_costs_its_own_order_only(
    synced: Sync, warehouse: Warehouse, column: str, value: Any
) -> None:
    """Refused by Postgres, by its driver, or by Arrow. Planted: only Postgres's own refusals taken for such."""
    place = ORDERS.get_field_index(column)
    batch: list[list[PreparedOrder]] = []
    with warehouse.engine.begin() as connection:
        ids = connection.scalars(text("SELECT order_document_id FROM sales.orders ORDER BY 1 LIMIT 3")).all()
        for document in [landing.read_document(connection, document_id) for document_id in ids]:
            prepared = prepare(FetchedOrder([document]), None)
            assert isinstance(prepared, list)
            batch.append(prepared)
        bad = batch[1][0]
        row = (*bad.order_row[:place], value, *bad.order_row[place + 1 :])
        batch[1] = [replace(bad, order_row=row)]
        result = load_prepared(connection, warehouse, batch)
    good = [batch[0][0].state.order_id, batch[2][0].state.order_id]
    assert [failure.order_id for failure in result.failures] == [bad.state.order_id]
    assert list(result.outcomes) == good

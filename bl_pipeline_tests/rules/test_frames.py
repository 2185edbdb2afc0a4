"""The types of the columns, and that a value comes through exactly or not at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from bl_pipeline.columns import AnswerKind, ColumnType
from bl_pipeline.rules.frames import ARROW, SCHEMAS, frame

LOT = SCHEMAS[AnswerKind.ITEMS]


def test_amounts_have_four_decimals_and_times_microseconds() -> None:
    exact, text = pa.decimal128(19, 4), pa.string()
    assert {
        ColumnType.TEXT: text, ColumnType.HTML: text, ColumnType.JSON: text, ColumnType.TEXTS: pa.list_(text),
        ColumnType.MONEY: exact, ColumnType.WEIGHT: exact, ColumnType.RATE: exact,
        ColumnType.TIME: pa.timestamp("us", tz="UTC"), ColumnType.COUNT: pa.int64(), ColumnType.NUMBER: pa.int32(),
        ColumnType.FLAG: pa.bool_(),
    } == ARROW  # fmt: skip
    assert set(ARROW) == set(ColumnType)


def row(**values: Any) -> list[Any]:
    return [values.get(name) for name in LOT.names]


def test_rows_keep_their_order_and_their_values() -> None:
    found = frame(AnswerKind.ITEMS, [row(unit_price=Decimal("0.0001"), line_number=2), row(remarks="x", line_number=1)])
    assert list(found.columns) == LOT.names
    assert found["line_number"].tolist() == [2, 1]
    assert found["unit_price"][0] == Decimal("0.0001")
    assert found["unit_price"].isna().tolist() == found["remarks"].isna().tolist()[::-1] == [False, True]


@pytest.mark.parametrize(("name", "value"), [("unit_price", Decimal("0.00001")), ("line_number", 2**31)])
def test_what_does_not_fit_is_refused(name: str, value: Any) -> None:
    """Planted: an amount that is rounded."""
    with pytest.raises(pa.ArrowInvalid):
        frame(AnswerKind.ITEMS, [row(**{name: value})])

"""The columns of `sales`: each source is a field of the API, of the kind that the column says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bl_pipeline import columns
from bl_pipeline.bricklink.resources import Order, OrderItem
from bl_pipeline.columns import Column, Kind

AMOUNTS = {Kind.MONEY, Kind.WEIGHT, Kind.RATE}
TYPES = {
    Kind.TEXT: msgspec.inspect.StrType,
    Kind.HTML: msgspec.inspect.StrType,
    **dict.fromkeys(AMOUNTS, msgspec.inspect.StrType),
    Kind.TIME: msgspec.inspect.DateTimeType,
    Kind.COUNT: msgspec.inspect.IntType,
    Kind.FLAG: msgspec.inspect.BoolType,
}


def of(types: Any) -> list[msgspec.inspect.Type]:
    """The types that a field may have, but None."""
    members = types.types if isinstance(types, msgspec.inspect.UnionType) else (types,)
    return [each for each in members if not isinstance(each, msgspec.inspect.NoneType)]


@pytest.mark.parametrize(("resource", "listed"), [(Order, columns.ORDERS), (OrderItem, columns.ORDER_ITEMS)])
def test_sources_are_fields_of_the_api(resource: type, listed: tuple[Column, ...]) -> None:
    """Catches a source that is misspelled, or of another type than the column. Planted: cost.tax; TEXT for a time."""
    for column in listed:
        if column.source is None:
            continue
        found: Any = msgspec.inspect.type_info(resource)
        for name in column.source.split("."):
            assert isinstance(found, msgspec.inspect.StructType), column
            (found,) = of(next(field.type for field in found.fields if field.name == name))
        assert isinstance(found, TYPES[column.kind]), column
        if isinstance(found, msgspec.inspect.StrType):
            assert bool(found.pattern) is (column.kind in AMOUNTS), column


def test_each_column_is_named_once() -> None:
    for listed in (columns.ORDERS, columns.ORDER_ITEMS):
        names = [column.name for column in listed]
        assert len(set(names)) == len(names)

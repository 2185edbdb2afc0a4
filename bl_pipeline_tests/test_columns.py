"""The columns of `sales`: each source is a field of the API, of the kind that the column says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bl_pipeline.bricklink.resources import Order
from bl_pipeline.columns import TABLES, AnswerKind, Column, ColumnType
from bl_pipeline.rules.kinds import KINDS

AMOUNTS = {ColumnType.MONEY, ColumnType.WEIGHT, ColumnType.RATE}
TYPES = {
    ColumnType.TEXT: msgspec.inspect.StrType,
    ColumnType.HTML: msgspec.inspect.StrType,
    **dict.fromkeys(AMOUNTS, msgspec.inspect.StrType),
    ColumnType.TIME: msgspec.inspect.DateTimeType,
    ColumnType.COUNT: msgspec.inspect.IntType,
    ColumnType.FLAG: msgspec.inspect.BoolType,
}


def of(types: Any) -> list[msgspec.inspect.Type]:
    """The types that a field may have, but None."""
    members = types.types if isinstance(types, msgspec.inspect.UnionType) else (types,)
    return [each for each in members if not isinstance(each, msgspec.inspect.NoneType)]


RESOURCES = {AnswerKind.ORDER: Order, **{kind: part.line for kind, part in KINDS.items()}}


def test_each_kind_of_answer_has_a_table_and_each_part_its_entry() -> None:
    assert list(TABLES) == list(RESOURCES) == list(AnswerKind)


@pytest.mark.parametrize(("resource", "listed"), [(RESOURCES[kind], table.columns) for kind, table in TABLES.items()])
def test_sources_are_fields_of_the_api(resource: type, listed: tuple[Column, ...]) -> None:
    """Catches a source that is misspelled, or of another type than the column. Planted: cost.tax; TEXT for a time."""
    for column in listed:
        if column.source is None:
            continue
        found: Any = msgspec.inspect.type_info(resource)
        for name in column.source.split("."):
            assert isinstance(found, msgspec.inspect.StructType), column
            (found,) = of(next(field.type for field in found.fields if field.name == name))
        assert isinstance(found, TYPES[column.type]), column
        if isinstance(found, msgspec.inspect.StrType):
            assert bool(found.pattern) is (column.type in AMOUNTS), column


def test_each_column_is_named_once() -> None:
    for table in TABLES.values():
        names = [column.name for column in table.columns]
        assert len(set(names)) == len(names)

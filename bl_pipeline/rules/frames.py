"""The shape of normalised data: a DataFrame on Arrow for each table of columns.py, with its columns.

Money and weights are decimal128(19, 4), times timestamps in UTC with microseconds; what is absent is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from bl_pipeline.columns import TABLES, AnswerKind, ColumnType

ARROW: dict[ColumnType, pa.DataType] = {
    ColumnType.TEXT: pa.string(),
    ColumnType.HTML: pa.string(),
    ColumnType.MONEY: pa.decimal128(19, 4),
    ColumnType.WEIGHT: pa.decimal128(19, 4),
    ColumnType.RATE: pa.decimal128(19, 4),
    ColumnType.TIME: pa.timestamp("us", tz="UTC"),
    ColumnType.COUNT: pa.int64(),
    ColumnType.NUMBER: pa.int32(),
    ColumnType.FLAG: pa.bool_(),
    ColumnType.TEXTS: pa.list_(pa.string()),
    ColumnType.JSON: pa.string(),
}


SCHEMAS: dict[AnswerKind, pa.Schema] = {
    kind: pa.schema([pa.field(column.name, ARROW[column.type]) for column in table.columns])
    for kind, table in TABLES.items()
}


def frame(kind: AnswerKind, rows: Iterable[Sequence[Any]]) -> pd.DataFrame:
    """Rows in the order of the table's columns as a DataFrame on Arrow, so that decimals stay exact.

    Raises pyarrow.ArrowInvalid if a value does not fit its column exactly.
    """
    schema = SCHEMAS[kind]
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)]
    return as_frame(pa.Table.from_arrays(arrays, schema=schema))


def as_frame(table: pa.Table) -> pd.DataFrame:
    """The same columns as a DataFrame on Arrow: nothing is copied or converted."""
    return table.to_pandas(types_mapper=pd.ArrowDtype)

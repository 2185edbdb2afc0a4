"""Rows into a table by COPY, as Arrow writes them: exact, and without a Python object for each value."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import csv
from sqlalchemy import Connection

from bl_pipeline.warehouse.database import PLATFORM, Warehouse

if TYPE_CHECKING:
    import pandas as pd

_ROWS_AT_A_TIME = 20_000


def copy_rows(connection: Connection, warehouse: Warehouse, table: str, rows: pd.DataFrame) -> None:
    """Add rows to a table, each with the store and the platform; the names of the columns are those of the table.

    Raises psycopg's errors.
    """
    table_rows = _as_arrow(rows, warehouse)
    driver = connection.connection.driver_connection
    assert driver is not None
    statement = f"COPY {table} ({', '.join(table_rows.column_names)}) FROM STDIN (FORMAT csv)"
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for batch in table_rows.to_batches(_ROWS_AT_A_TIME):
            text = io.BytesIO()
            # What is absent is written as nothing, an empty text as "": so does COPY read them.
            csv.write_csv(batch, text, csv.WriteOptions(include_header=False))
            copy.write(text.getbuffer())


def _as_arrow(rows: pd.DataFrame, warehouse: Warehouse) -> pa.Table:
    columns: dict[str, Any] = {
        "store": pa.repeat(warehouse.store, len(rows)),
        "platform": pa.repeat(PLATFORM, len(rows)),
    }
    for name in rows.columns:
        column = rows[name].array.__arrow_array__()
        columns[name] = _as_text(column) if pa.types.is_list(column.type) else column
    return pa.table(columns)


def _as_text(lists: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    """Lists of texts as Postgres writes arrays; CSV has no lists."""
    if lists.null_count == len(lists):
        return pa.nulls(len(lists), pa.string())
    return pa.array([None if texts is None else _array(texts) for texts in lists.to_pylist()], pa.string())


def _array(texts: list[str]) -> str:
    quoted = (text.replace("\\", r"\\").replace('"', r"\"") for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"

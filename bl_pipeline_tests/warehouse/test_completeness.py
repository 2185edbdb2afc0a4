"""Every table and column that was dropped is named."""

from __future__ import annotations

from sqlalchemy import Connection, text

from bl_pipeline.warehouse.completeness import missing
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.tables import metadata


def missing_without(connection: Connection, statement: str) -> list[str]:
    """What is missing after the statement, which is undone."""
    with connection.begin_nested() as savepoint:
        connection.execute(text(statement))
        found = missing(connection)
        savepoint.rollback()
    return found


def test_each_table_and_column_is_missed(warehouse: Warehouse) -> None:
    """Planted: the tables of one schema left out."""
    with warehouse.engine.connect() as connection:
        assert missing(connection) == []
        for name, table in metadata.tables.items():
            assert missing_without(connection, f"DROP TABLE {name} CASCADE") == [f"table {name}"]
            column = list(table.columns)[-1]
            assert missing_without(connection, f"ALTER TABLE {name} DROP COLUMN {column.name} CASCADE") == [
                f"column {name}.{column.name}"
            ]
        assert missing_without(connection, "DROP SCHEMA sales CASCADE") == [
            f"table {name}" for name in metadata.tables if name.startswith("sales.")
        ]
        assert missing(connection) == []

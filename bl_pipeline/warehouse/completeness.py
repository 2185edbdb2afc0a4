"""Whether all tables and columns are there: somebody may have dropped one by hand."""

from __future__ import annotations

from sqlalchemy import Connection, text

from bl_pipeline.warehouse.tables import metadata


def missing(connection: Connection) -> list[str]:
    """What a warehouse that is up to date should have and has not: such as `table sales.orders`."""
    rows = connection.execute(
        text(
            """
            SELECT n.nspname || '.' || c.relname, a.attname
            FROM pg_catalog.pg_class c
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(:schemas)
            """
        ),
        {"schemas": sorted({str(table.schema) for table in metadata.tables.values()})},
    )
    there: dict[str, set[str]] = {}
    for table, column in rows:
        there.setdefault(table, set()).add(column)
    found = []
    for name, declared in metadata.tables.items():
        if name in there:
            found += [f"column {name}.{column.name}" for column in declared.columns if column.name not in there[name]]
        else:
            found.append(f"table {name}")
    return found

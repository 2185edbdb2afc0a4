"""Alembic's entry: runs migrations on the connection it is handed."""

from __future__ import annotations

from alembic import context

from bl_pipeline.warehouse.tables import SCHEMAS, metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    include_schemas=True,
    include_name=lambda name, kind, _parents: kind != "schema" or name in SCHEMAS,
    version_table_schema="sync",
    transactional_ddl=False,  # all in the caller's transaction
)
context.run_migrations()

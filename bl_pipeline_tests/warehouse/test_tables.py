"""The tables, their migrations, and the frames that are loaded into them: three times the same columns."""

from __future__ import annotations

import warnings
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from bl_pipeline.columns import AnswerKind
from bl_pipeline.rules.frames import SCHEMAS
from bl_pipeline.settings import load_settings
from bl_pipeline.warehouse import tables
from bl_pipeline.warehouse.connections import open_engine
from bl_pipeline.warehouse.database import Warehouse, WarehouseError, open_warehouse, upgrade
from bl_pipeline_tests.support.servers import Postgres

KEY = ["store", "platform"]


@pytest.mark.parametrize(("kind", "table"), {AnswerKind.ORDER: tables.orders, **tables.parts}.items())
def test_frames_have_the_columns_of_their_table(kind: AnswerKind, table: sa.Table) -> None:
    schema = SCHEMAS[kind]
    kinds: dict[pa.DataType, Any] = {
        pa.decimal128(19, 4): sa.Numeric,
        pa.timestamp("us", tz="UTC"): sa.TIMESTAMP,
        pa.list_(pa.string()): sa.ARRAY,
        pa.string(): (sa.Text, sa.dialects.postgresql.JSONB),
        pa.int64(): sa.BigInteger,
        pa.bool_(): sa.Boolean,
        pa.int32(): sa.Integer,
    }

    assert [*KEY, *schema.names] == [column.name for column in table.columns]
    for field in schema:
        assert isinstance(table.columns[field.name].type, kinds[field.type]), field.name


def test_migrations_make_the_tables_as_they_are_declared(warehouse: Warehouse) -> None:
    """Catches a column, type, index or comment changed in one place only."""
    with warehouse.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "compare_server_default": True,
                "include_schemas": True,
                "include_name": lambda name, kind, _parents: kind != "schema" or name in tables.SCHEMAS,
                "include_object": lambda item, name, kind, *_: name != "alembic_version",
                "version_table_schema": "sync",
            },
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert compare_metadata(context, tables.metadata) == []


def test_migrations_make_the_primary_keys_as_they_are_declared(warehouse: Warehouse) -> None:
    """Alembic does not compare them. Planted: a column more, and a column less, in one place only."""
    inspector = sa.inspect(warehouse.engine)
    for table in tables.metadata.sorted_tables:
        made = inspector.get_pk_constraint(table.name, table.schema)["constrained_columns"]
        assert made == [column.name for column in table.primary_key], table.fullname


def test_every_table_and_column_has_a_comment() -> None:
    assert [table.name for table in tables.metadata.tables.values() if not table.comment] == []
    assert [
        str(column) for table in tables.metadata.tables.values() for column in table.columns if not column.comment
    ] == []


def test_every_key_starts_with_the_store() -> None:
    for table in (tables.orders, *tables.parts.values(), tables.order_status_history, tables.order_state):
        assert [column.name for column in table.primary_key][:3] == ["store", "platform", "platform_order_id"]


def test_a_database_is_migrated_once(empty_database_url: str) -> None:
    settings = load_settings(env_file=None, bl_database_url=empty_database_url)
    for _ in range(2):
        with open_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM sync.alembic_version")) == 1
            assert connection.scalar(text("SELECT count(*) FROM sales.orders")) == 0


def test_processes_that_come_at_once_migrate_once(empty_database_url: str) -> None:
    """Catches the race between the look at the version and the migration."""
    from concurrent.futures import ThreadPoolExecutor

    engine = open_engine(empty_database_url)

    def migrate(_number: int) -> None:
        with engine.begin() as connection:
            upgrade(connection)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, range(4)))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM sync.alembic_version")) == 1
    engine.dispose()


def test_a_warehouse_of_a_newer_release_is_not_touched(warehouse: Warehouse, database_url: str) -> None:
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sync.alembic_version SET version_num = '9999'"))

    with (
        pytest.raises(WarehouseError, match=r"newer bl_pipeline \(revision 9999\)"),
        open_warehouse(load_settings(env_file=None, bl_database_url=database_url)),
    ):
        pass


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [("postgresql://x:pass-word@127.0.0.1:9/warehouse", "127.0.0.1:9/warehouse"), (None, "cannot be reached")],
    ids=["nobody there", "password refused"],
)
def test_an_unreachable_warehouse_says_where_and_not_the_password(
    wrong: str | None, reason: str, postgres: Postgres
) -> None:
    url = wrong or postgres.admin_url.replace(":", ":pass-word", 2).replace(":pass-word", ":", 1)
    assert "pass-word" in url

    with (
        pytest.raises(WarehouseError, match=reason) as caught,
        open_warehouse(load_settings(env_file=None, bl_database_url=url)),
    ):
        pass

    assert "pass-word" not in str(caught.value)
    assert "BL_DATABASE_URL" in str(caught.value)

"""Databases that are set up oddly: doctor, a sync and a report do what they do on any other, or say what to repair.

Each setting is what a server, a database or a role may set for every session. Planted: `pin_sessions` left out, each
entry of its settings left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.engine import make_url

from bl_pipeline.warehouse.connections import open_engine
from bl_pipeline_tests.support.bouncer import bouncer
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.terminal.conftest import Bl, expect, json_of

pytestmark = pytest.mark.slow

SETTINGS = {
    "default_transaction_isolation": ["repeatable read", "serializable", "read uncommitted"],
    "datestyle": ["German, DMY", "SQL, DMY", "Postgres, MDY"],
    "intervalstyle": ["sql_standard", "iso_8601", "postgres_verbose"],
    "timezone": ["Asia/Kolkata", "America/St_Johns", "Pacific/Kiritimati"],
    "search_path": ["nowhere", "", "pg_temp, shadow, pg_catalog"],
    "client_encoding": ["LATIN1", "SQL_ASCII", "WIN1252"],
    "bytea_output": ["escape"],
    "extra_float_digits": ["-15", "3"],
    "standard_conforming_strings": ["off"],
    "transform_null_equals": ["on"],
    "array_nulls": ["off"],
    "statement_timeout": ["1s"],
    "lock_timeout": ["1s"],
    "idle_in_transaction_session_timeout": ["1s"],
    "idle_session_timeout": ["1s"],
    "synchronous_commit": ["off", "local"],
    "default_transaction_deferrable": ["on"],
    "exit_on_error": ["on"],
}
TABLES = {
    "orders": "platform_order_id",
    "order_items": "platform_order_id, batch_number, line_number",
    "order_status_history": "platform_order_id, document_id",
}
CHANGING = {"fetched_at", "observed_at", "order_document_id", "items_document_id", "document_id", "loaded_at"}


def together(number: int) -> dict[str, str]:
    """Each setting at one of its values."""
    return {name: values[number % len(values)] for name, values in SETTINGS.items()}


def set_up(url: str, settings: dict[str, str], *, by_role: bool = False) -> None:
    """For every later session in the database, whoever it is or as its user."""
    target = make_url(url)
    whose = sql.SQL("DATABASE {}").format(sql.Identifier(target.database or ""))
    if by_role:
        whose = sql.SQL("ROLE {} IN {}").format(sql.Identifier(target.username or ""), whose)
    with psycopg.connect(url, autocommit=True) as admin:
        # The names of Postgres's own tables may mean something else first.
        admin.execute(
            "CREATE SCHEMA shadow; CREATE TABLE shadow.pg_class (oid oid); CREATE TABLE shadow.pg_settings (x int)"
        )
        for name, value in settings.items():
            # What reads as a list is one.
            values = value.split(", ") if name == "search_path" and value else [value]
            listed = sql.SQL(", ").join(sql.Literal(one) for one in values)
            admin.execute(sql.SQL("ALTER {} SET {} = {}").format(whose, sql.Identifier(name), listed))


def stored(url: str) -> dict[str, list[dict[str, Any]]]:
    """All of `sales` but what differs from one sync to the next."""
    engine = open_engine(url)
    with engine.connect() as connection:
        rows = {
            table: [
                {name: value for name, value in row._mapping.items() if name not in CHANGING}
                for row in connection.execute(text(f"SELECT * FROM sales.{table} ORDER BY {key}"))
            ]
            for table, key in TABLES.items()
        }
    engine.dispose()
    return rows


def report(bl: Bl, url: str) -> Any:
    return json_of(expect(bl("report", "revenue_by_month", "--json", BL_DATABASE_URL=url), 0))


@pytest.fixture
def works_as_ever(bl: Bl, postgres: Postgres, templates: tuple[str, str], tmp_path: Path) -> Any:
    """Run doctor, a sync, a report, a backup and a restore, and compare with what they do if nothing was set.

    Planted: sessions of the backup that are not set up, where a restore took stored orders for none.
    """

    def check(url: str) -> None:
        found = json_of(expect(bl("doctor", "--json", BL_DATABASE_URL=url), 0))
        assert {check["name"]: check["verdict"] for check in found["checks"]}["Database"] == "ok"
        result = json_of(expect(bl("sync", "--json", BL_DATABASE_URL=url), 0))
        assert (result["orders_created"], result["errors"]) == (12, [])
        with postgres.database(templates[1]) as usual:
            assert stored(url) == stored(usual)
            assert report(bl, url) == report(bl, usual)
            file = str(tmp_path / "warehouse.zip")
            expect(bl("backup", file, BL_DATABASE_URL=url), 0)
            assert "Nothing was changed" in expect(bl("restore", file, BL_DATABASE_URL=url), 2).stderr
            expect(bl("restore", "--replace", file, BL_DATABASE_URL=url), 0)
            assert stored(url) == stored(usual)

    return check


@pytest.mark.parametrize("number", [1, 2])
def test_any_settings_of_the_database_and_the_role(works_as_ever: Any, empty_database_url: str, number: int) -> None:
    """Every setting at once; the migrations are run under them too."""
    set_up(empty_database_url, together(number), by_role=number == 1)
    works_as_ever(empty_database_url)


def test_any_settings_on_the_oldest_postgres(works_as_ever: Any, postgres_15: Postgres) -> None:
    with postgres_15.database() as url:
        set_up(url, together(0))
        works_as_ever(url)


def test_every_switch_thrown(works_as_ever: Any, empty_database_url: str) -> None:
    """Whatever a user may switch in this Postgres is the other way round, but for those that only slow it down."""
    with psycopg.connect(empty_database_url) as connection:
        switches = connection.execute(
            """
            SELECT name, CASE WHEN vartype = 'bool' THEN CASE setting WHEN 'on' THEN 'off' ELSE 'on' END
                ELSE (SELECT max(value) FROM unnest(enumvals) AS value WHERE value <> setting) END
            FROM pg_settings WHERE context = 'user' AND vartype IN ('bool', 'enum')
              AND name !~ '^(transaction|debug|trace|log|enable)_|^default_transaction_read_only$'
              AND coalesce(array_length(enumvals, 1), 2) > 1
            """
        ).fetchall()
    assert len(switches) > 20
    set_up(empty_database_url, dict(switches))
    works_as_ever(empty_database_url)


def test_parameters_of_the_users_own(works_as_ever: Any, empty_database_url: str) -> None:
    """They are kept, and ours are added: for the warehouse and for Dagster's storage."""
    options = "options=-c%20search_path%3Dpublic%20-c%20statement_timeout%3D60s%20-c%20datestyle%3DGerman"
    works_as_ever(f"{empty_database_url}?{options}&sslmode=prefer&application_name=mine")


def test_pgbouncer_in_session_mode(works_as_ever: Any, empty_database_url: str) -> None:
    """It passes no start-up options on. Planted: the settings as start-up options."""
    with bouncer(empty_database_url, "session") as url:
        works_as_ever(url)


@pytest.mark.full
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in SETTINGS.items() for value in values])
def test_each_setting_by_itself(works_as_ever: Any, database_url: str, name: str, value: str) -> None:
    set_up(database_url, {name: value})
    works_as_ever(database_url)

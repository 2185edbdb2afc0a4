"""A role of docs/analyst-role.sql that is limited to one store: what it sees, and that there is no way around it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege

from bl_pipeline.postgres.binaries import installed
from bl_pipeline.reports.files import read_reports, reports_as_of
from bl_pipeline.warehouse.tables import metadata
from bl_pipeline_tests.reports.conftest import DIFFICULT, Kept
from bl_pipeline_tests.reports.test_analyst_role import SCRIPT
from bl_pipeline_tests.support.other_store import BY_STORE, NEVER_BY_STORE
from bl_pipeline_tests.support.servers import Postgres

REPORTS = [report.name for report in read_reports()]
WITH_A_PAST = [report.name for report in reports_as_of(read_reports())]
TABLES = [table.fullname for table in metadata.sorted_tables]
VIEWS = ["sales.known_orders", "sales.known_items", "sales.known_states"]
_READ = [*TABLES, *VIEWS, *(f"reports.{name}" for name in REPORTS)]


@dataclass
class Limited:
    """A warehouse with the same orders in two stores, `main` and `other`, and a role that is limited to `main`."""

    superuser: str
    role: str

    def script(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the script for the role, as a superuser."""
        folder, _ = next(installed(None))
        given = [f"{name}={value}" for name, value in {"role": self.role, "password": "reads", **variables}.items()]
        return subprocess.run(
            [folder / "psql", self.superuser, "-q", *(part for one in given for part in ("-v", one)), "-f", SCRIPT],
            check=False, capture_output=True, text=True,
        )  # fmt: skip

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection[Any]]:
        """A session of the role, in which it has switched off what it may switch off; statements are by themselves."""
        url = make_conninfo(self.superuser, user=self.role, password="reads")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            yield connection

    @contextmanager
    def owner(self) -> Iterator[psycopg.Connection[Any]]:
        """A session of a superuser."""
        with psycopg.connect(self.superuser, autocommit=True) as connection:
            yield connection


@pytest.fixture(scope="module")
def limited(postgres: Postgres, kept: Kept) -> Iterator[Limited]:
    with postgres.database(DIFFICULT) as url:
        limited = Limited(url, f"test_limited_{uuid4().hex}")
        with limited.owner() as owner:
            for table in BY_STORE:
                kept_out = NEVER_BY_STORE.get(table.fullname, ())
                names = [column.name for column in table.columns if column.name not in kept_out]
                selected = ", ".join(
                    {"store": "'other'", "run_id": "'other-' || run_id"}.get(one, one) for one in names
                )
                owner.execute(
                    f"INSERT INTO {table.fullname} ({', '.join(names)}) SELECT {selected} FROM {table.fullname} "
                    "WHERE store = 'main'"
                )
        done = limited.script(store="main")
        assert (done.returncode, done.stderr) == (0, "")
        yield limited
        with limited.owner() as owner:
            owner.execute(f"DROP OWNED BY {limited.role} CASCADE")
            owner.execute(f"DROP ROLE {limited.role}")


@pytest.mark.parametrize("name", REPORTS)
def test_it_sees_the_rows_of_its_store(limited: Limited, name: str) -> None:
    """Planted: a view without the condition, and one of another store."""
    with limited.owner() as owner, limited.session() as session:
        both = {
            store: sorted(map(repr, owner.execute(f"SELECT * FROM reports.{name} WHERE store = %s", [store])))
            for store in ("main", "other")
        }
        assert sorted(map(repr, session.execute(f"SELECT * FROM store_reports.{name}"))) == both["main"]
        assert both["main"]
        assert both["other"]
        assert session.execute(f"SELECT count(*) FROM {name} WHERE store = 'other'").fetchone() == (0,)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_A_PAST)
def test_it_sees_the_past_of_its_store(limited: Limited, name: str) -> None:
    """As of a moment by the function, and by the setting that the function sets. Planted: SECURITY DEFINER."""
    with limited.owner() as owner, limited.session() as session:
        moment = owner.execute(
            "SELECT max(observed_at) - interval '20 days' FROM sales.order_status_history"
        ).fetchone()
        assert moment
        called = f"{name}_as_of(%s)"
        then = sorted(map(repr, owner.execute(f"SELECT * FROM reports.{called} WHERE store = 'main'", moment)))
        assert sorted(map(repr, session.execute(f"SELECT * FROM store_reports.{called}", moment))) == then
        session.execute("SELECT set_config('bl_pipeline.as_of', %s, false)", [moment[0].isoformat()])
        assert sorted(map(repr, session.execute(f"SELECT * FROM {name}"))) == then
        with pytest.raises(InsufficientPrivilege):
            session.execute(f"SELECT * FROM reports.{called}", moment)


@pytest.mark.parametrize("name", _READ)
def test_it_reads_nothing_else(limited: Limited, name: str) -> None:
    """Planted: a right to read reports that an earlier run of the script had granted."""
    with limited.session() as session, pytest.raises(InsufficientPrivilege):
        session.execute(f"SELECT FROM {name}")


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE {owner}",
        "SET SESSION AUTHORIZATION {owner}",
        "SET session_replication_role = replica",
        "INSERT INTO sync.store_readers VALUES (current_user, 'other')",
        "UPDATE sync.store_readers SET store = 'other'",
        "CREATE OR REPLACE VIEW store_reports.revenue_orders AS SELECT 1",
        "ALTER VIEW store_reports.revenue_orders RESET (security_barrier)",
        "CREATE VIEW store_reports.mine AS SELECT 1",
        "CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
        "CREATE SCHEMA mine",
        "CREATE EXTENSION dblink",
        "GRANT USAGE ON SCHEMA reports TO {role}",
        "ALTER ROLE {role} SUPERUSER",
        "SELECT sales.as_of()",
        "SELECT books.us_state('US', 'NY', '10001')",
        "SELECT pg_read_file('PG_VERSION')",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
    ],
)
def test_it_cannot_widen_what_it_sees(limited: Limited, statement: str) -> None:
    with limited.owner() as owner, limited.session() as session:
        (name,) = owner.execute("SELECT current_user").fetchone() or ("",)
        with pytest.raises((InsufficientPrivilege, psycopg.errors.FeatureNotSupported)) as refused:
            session.execute(statement.format(owner=name, role=limited.role))
        assert "dblink" in statement or isinstance(refused.value, InsufficientPrivilege)


@pytest.mark.parametrize(
    "leak",
    [
        "SELECT * FROM store_reports.{name} r WHERE pg_temp.say(r::text)",
        "SELECT * FROM store_reports.{name} r WHERE pg_temp.say(r.store)",
        "SELECT * FROM store_reports.{name} r ORDER BY pg_temp.say(r::text)",
        "SELECT count(*) FILTER (WHERE pg_temp.say(r::text)) FROM store_reports.{name} r",
        "SELECT * FROM store_reports.{name} r WHERE r.store = 'other' AND pg_temp.say(r::text)",
        "SELECT * FROM (VALUES (1)) v JOIN store_reports.{name} r ON pg_temp.say(r::text)",
    ],
)
@pytest.mark.parametrize("name", ["revenue_orders", "status_history", "journal"])
def test_a_function_of_its_own_gets_no_other_row(limited: Limited, leak: str, name: str) -> None:
    """Planted: the views without security_barrier: the cheapest condition comes first, and is shown every row."""
    with limited.session() as session:
        session.execute(
            "CREATE FUNCTION pg_temp.say(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE COST 0.0000001 AS "
            "$$BEGIN RAISE NOTICE '%', $1; RETURN true; END$$"
        )
        # A condition that an index answers comes before all others.
        session.execute("SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off")
        said: list[str] = []
        session.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
        session.execute(leak.format(name=name))
        assert [line for line in said if "other" in line] == []
        assert said or "r.store = 'other'" in leak


def test_another_name_for_what_the_views_use_is_not_taken(limited: Limited) -> None:
    """A search path of its own, and temporary tables of the same names. Planted: a report without its schema."""
    with limited.session() as session:
        before = session.execute("SELECT count(*) FROM store_reports.revenue_orders").fetchone()
        session.execute("CREATE TEMP TABLE store_readers (role_name text, store text)")
        session.execute("INSERT INTO store_readers VALUES (current_user, 'other')")
        session.execute(
            "CREATE FUNCTION pg_temp.current_setting(text, boolean) RETURNS text LANGUAGE sql AS 'SELECT null'"
        )
        session.execute("CREATE TEMP TABLE revenue_by_month AS TABLE store_reports.revenue_by_month WITH NO DATA")
        session.execute("SET search_path = pg_temp, store_reports, sync, pg_catalog")
        assert session.execute("SELECT count(*) FROM store_reports.revenue_orders").fetchone() == before
        rows = session.execute("SELECT DISTINCT store FROM store_reports.revenue_by_month_as_of(now())").fetchall()
        assert rows == [("main",)]


def test_the_script_gives_another_store_or_all(limited: Limited) -> None:
    """Planted: rights of an earlier run that stay."""

    def seen(schema: str) -> list[Any]:
        with limited.session() as session:
            return session.execute(f"SELECT DISTINCT store FROM {schema}.revenue_orders ORDER BY 1").fetchall()

    try:
        assert limited.script(store="other").returncode == 0
        assert seen("store_reports") == [("other",)]
        assert limited.script().returncode == 0
        assert seen("reports") == [("main",), ("other",)]
        with pytest.raises(InsufficientPrivilege):
            seen("store_reports")
    finally:
        assert limited.script(store="main").returncode == 0
    with pytest.raises(InsufficientPrivilege):
        seen("reports")
    assert seen("store_reports") == [("main",)]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (
            "GRANT CREATE ON SCHEMA public TO PUBLIC",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            "functions in the schema public",
        ),
        ("GRANT pg_read_all_data TO {role}", "REVOKE pg_read_all_data FROM {role}", "a member of pg_read_all_data"),
        ("ALTER ROLE {role} SUPERUSER", "ALTER ROLE {role} NOSUPERUSER", "it is a superuser"),
        ("ALTER ROLE {role} CREATEROLE", "ALTER ROLE {role} NOCREATEROLE", "it may make roles"),
        (
            "GRANT USAGE ON SCHEMA sales TO PUBLIC; GRANT SELECT ON sales.orders TO PUBLIC",
            "REVOKE USAGE ON SCHEMA sales FROM PUBLIC; REVOKE SELECT ON sales.orders FROM PUBLIC",
            "it may read sales.orders",
        ),
    ],
)
def test_what_would_open_a_way_is_refused(limited: Limited, before: str, after: str, why: str) -> None:
    """And nothing is changed. Planted: each check left out."""
    with limited.owner() as owner:
        owner.execute(before.format(role=limited.role))
        try:
            refused = limited.script(store="other")
        finally:
            owner.execute(after.format(role=limited.role))
        assert refused.returncode != 0
        assert why in refused.stderr
        found = owner.execute("SELECT store FROM sync.store_readers WHERE role_name = %s", [limited.role]).fetchall()
        assert found == [("main",)]


def test_a_store_that_there_is_not_is_named(limited: Limited) -> None:
    refused = limited.script(store="mian")
    assert refused.returncode != 0
    assert "there is no store mian in this warehouse. Its stores are: main, other" in refused.stderr

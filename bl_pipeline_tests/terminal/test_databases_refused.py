"""Databases that the pipeline cannot work with: what is wrong is named with its repair, and no call is made.

Each repair is carried out as it is written, and is enough. Planted: each of the checks left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy.engine import make_url

from bl_pipeline.sandbox import SandboxServer
from bl_pipeline.settings import load_settings
from bl_pipeline.warehouse.database import open_warehouse
from bl_pipeline.warehouse.preconditions import CONNECTIONS, Server
from bl_pipeline_tests.support.bouncer import bouncer
from bl_pipeline_tests.support.clusters import external_postgres
from bl_pipeline_tests.support.servers import Postgres, as_user
from bl_pipeline_tests.terminal.conftest import Bl, expect, json_of

pytestmark = pytest.mark.slow


def name_of(url: str) -> str:
    return make_url(url).database or ""


def problems(bl: Bl, url: str) -> list[dict[str, Any]]:
    """What doctor finds wrong with the database."""
    checks = json_of(bl("doctor", "--json", BL_DATABASE_URL=url))["checks"]
    return [check for check in checks if check["name"] in ("Database", "Warehouse") and check["verdict"] == "error"]


@pytest.fixture
def refused(bl: Bl, server: SandboxServer) -> Callable[[str, str], str]:
    """Doctor and a sync say the same reason and exit 6, and BrickLink is not asked. Returns the repair."""

    def check(url: str, reason: str) -> str:
        server.clear_requests()
        found = problems(bl, url)
        assert [problem["finding"] for problem in found if reason in problem["finding"]], found
        expect(bl("doctor", BL_DATABASE_URL=url), 6)
        stopped = expect(bl("sync", BL_DATABASE_URL=url), 6)
        assert " ".join(reason.split()) in " ".join(stopped.stderr.split())
        assert server.requests == []
        return "\n".join(problem["repair"] for problem in found)

    return check


def carry_out(repair: str, url: str) -> None:
    """Run the statements of a repair, in the database of the URL."""
    statements = re.findall(r"(?:GRANT|CREATE|ALTER|SELECT) [^;]*;", repair)
    assert statements, repair
    with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as admin:
        for statement in statements:
            admin.execute(statement)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
def test_another_encoding(bl: Bl, refused: Any, postgres: Postgres, encoding: str) -> None:
    name = f"odd_{uuid4().hex}"
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
        url = make_url(postgres.admin_url).set(database=name)
        repair = refused(url.render_as_string(hide_password=False), f"has the encoding {encoding}, and it must be UTF8")
        carry_out(repair, postgres.admin_url)
        better = url.set(database=f"{name}_utf8").render_as_string(hide_password=False)
        assert problems(bl, better) == []
        for made in (name, f"{name}_utf8"):
            admin.execute(f"DROP DATABASE {made} WITH (FORCE)")


@pytest.mark.parametrize("whose", ["DATABASE {database}", "ROLE {user} IN DATABASE {database}", "URL"])
def test_read_only(synced_bl: Bl, refused: Any, database_url: str, whose: str) -> None:
    """What reads works all the same."""
    url = database_url
    if whose == "URL":
        url += "?options=-c%20default_transaction_read_only%3Don"
    else:
        target = make_url(url)
        with psycopg.connect(url, autocommit=True) as admin:
            named = whose.format(database=target.database, user=target.username)
            admin.execute(f"ALTER {named} SET default_transaction_read_only = on")
    repair = refused(url, "Transactions are read-only by default here")
    expect(synced_bl("report", "revenue_by_month", BL_DATABASE_URL=url), 0)
    if whose == "URL":
        assert "out of the options in BL_DATABASE_URL" in repair
    else:
        carry_out(repair, url)
        assert problems(synced_bl, url) == []


@pytest.mark.parametrize("whose", ["DATABASE {database}", "ROLE {user} IN DATABASE {database}"])
def test_triggers_that_are_off(synced_bl: Bl, refused: Any, database_url: str, whose: str) -> None:
    """Without them no order is in a list, and none is booked."""
    target = make_url(database_url)
    with psycopg.connect(database_url, autocommit=True) as admin:
        named = whose.format(database=target.database, user=target.username)
        admin.execute(f"ALTER {named} SET session_replication_role = replica".encode())
    carry_out(refused(database_url, "Triggers are off here"), database_url)
    assert problems(synced_bl, database_url) == []


@pytest.mark.parametrize("whose", ["DATABASE", "ROLE"])
def test_a_limit_of_connections_that_is_too_low(
    bl: Bl, refused: Any, empty_database_url: str, weak_user: str, whose: str
) -> None:
    database = name_of(empty_database_url)
    url = as_user(empty_database_url, weak_user)
    with psycopg.connect(empty_database_url, autocommit=True) as admin:
        admin.execute(f'GRANT ALL ON DATABASE "{database}" TO "{weak_user}"'.encode())
        limited = database if whose == "DATABASE" else weak_user
        admin.execute(f'ALTER {whose} "{limited}" CONNECTION LIMIT {CONNECTIONS - 1}'.encode())
        carry_out(refused(url, f"may have {CONNECTIONS - 1} connections"), empty_database_url)
        assert problems(bl, url) == []
        admin.execute(f'ALTER ROLE "{weak_user}" CONNECTION LIMIT {CONNECTIONS}'.encode())
        expect(bl("sync", BL_DATABASE_URL=url), 0)
        admin.execute(f'DROP OWNED BY "{weak_user}" CASCADE'.encode())


def test_a_locale_with_other_small_letters(bl: Bl, refused: Any, postgres_15: Postgres) -> None:
    """As in Turkish, where the small letter of I has no dot: codes of states and postal codes would not be found."""
    name = f"odd_{uuid4().hex}"
    with psycopg.connect(postgres_15.admin_url, autocommit=True) as admin:
        admin.execute(
            f"CREATE DATABASE {name} ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR' LOCALE 'C' "
            "TEMPLATE template0".encode()
        )
        url = make_url(postgres_15.admin_url).set(database=name)
        repair = refused(url.render_as_string(hide_password=False), "other small letters for I")
        carry_out(repair.partition(" What is stored")[0], postgres_15.admin_url)
        better = url.set(database=f"{name}_c").render_as_string(hide_password=False)
        assert problems(bl, better) == []
        for made in (name, f"{name}_c"):
            admin.execute(f"DROP DATABASE {made} WITH (FORCE)".encode())


@pytest.mark.full
def test_a_standby(bl: Bl, refused: Any) -> None:
    """A real one: a server in recovery, with the tables of the time before."""
    with external_postgres() as server:
        with open_warehouse(load_settings(env_file=None, bl_database_url=server.url)):
            pass
        server.stop()
        (server.folder / "data" / "standby.signal").touch()
        server.start()
        repair = refused(server.url, "is a standby: it can be read, but nothing can be stored in it")
        assert "the address of the primary server" in repair
        expect(bl("status", BL_DATABASE_URL=server.url), 0)


def test_a_database_closed_to_the_public(bl: Bl, refused: Any, empty_database_url: str, weak_user: str) -> None:
    """The right TEMP goes with the others; each right that is missing is named."""
    database = name_of(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as admin:
        admin.execute(f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC')
        url = as_user(empty_database_url, weak_user)
        assert "CONNECT" in refused(url, "cannot be reached")
        admin.execute(f'GRANT CONNECT, CREATE ON DATABASE "{database}" TO "{weak_user}"')
        repair = refused(url, "may not make temporary tables")
        assert f'GRANT TEMPORARY ON DATABASE "{database}" TO "{weak_user}";' in repair
        carry_out(repair, empty_database_url)
        assert problems(bl, url) == []
        admin.execute(f'REVOKE CREATE ON DATABASE "{database}" FROM "{weak_user}"')
        # Every schema but Dagster's is there by now.
        carry_out(refused(url, "may not make schemas in the database"), empty_database_url)
        expect(bl("sync", BL_DATABASE_URL=url), 0)
        admin.execute(f'DROP OWNED BY "{weak_user}" CASCADE')


def test_tables_of_another_user(bl: Bl, refused: Any, database_url: str, weak_user: str) -> None:
    """What doctor says to grant, round by round, lets a user write tables that another has made."""
    url = as_user(database_url, weak_user)
    refused(url, f'The user "{weak_user}" may not read the tables in the schema sync')
    rounds = 0
    while found := problems(bl, url):
        rounds += 1
        assert rounds <= 3, found
        carry_out("\n".join(problem["repair"] for problem in found), database_url)
    expect(bl("sync", BL_DATABASE_URL=url), 0)
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"REVOKE INSERT ON sales.order_items FROM {weak_user}")
        assert "may not write the tables in the schema sales (order_items)" in problems(bl, url)[0]["finding"]
        admin.execute(f'DROP OWNED BY "{weak_user}"')


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_that_shares_sessions(bl: Bl, refused: Any, database_url: str, mode: str, tmp_path: Path) -> None:
    with bouncer(database_url, mode) as url:
        assert "pool_mode = session" in refused(url, "A connection pooler")
        expect(bl("status", BL_DATABASE_URL=url), 6)
        file = tmp_path / "warehouse.zip"
        assert "A connection pooler" in expect(bl("backup", str(file), BL_DATABASE_URL=url), 6).stderr
        assert not file.exists()


def test_a_pooler_with_one_connection(refused: Any, database_url: str) -> None:
    """Caught: the message asked for a session for each client, which it gave."""
    with bouncer(database_url, "session", "default_pool_size = 1\nquery_wait_timeout = 5\n") as url:
        assert "Raise default_pool_size" in refused(url, "has no connection left for us")


def test_a_standby_is_read_and_not_written() -> None:
    server = Server("u", "d", 150000, "15.0", standby=True, read_only_by="default")
    assert server.reading_problems() == []
    (problem,) = server.writing_problems()
    assert "is a standby" in problem.finding


def test_a_server_that_is_too_old() -> None:
    server = Server(user="u", database="d", version=140012, version_name="14.12")
    (problem,) = server.reading_problems()
    assert "version 14.12, and 15 is the oldest that works" in problem.finding


def test_a_locale_that_does_not_go_with_utf8() -> None:
    server = Server("u", "d", 150000, "15.0", encoding="LATIN1", unicode_locale=False)
    assert "ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0;" in server.reading_problems()[0].repair


@pytest.mark.parametrize(
    "theirs",
    ["CREATE SCHEMA sales; CREATE TABLE sales.orders (theirs int)",
     "CREATE SCHEMA reports; CREATE VIEW reports.revenue_orders AS SELECT 1 AS theirs"],
)  # fmt: skip
def test_a_database_with_tables_of_another_program(bl: Bl, postgres: Postgres, theirs: str) -> None:
    """Caught: 'relation "orders" already exists', and nothing of what to do."""
    with postgres.database("template1") as url:
        with psycopg.connect(url) as connection:
            connection.execute(theirs.encode())
        said = " ".join(expect(bl("sync", BL_DATABASE_URL=url), 6).stderr.split())
        assert "Nothing was changed: give another database in BL_DATABASE_URL" in said
        [found] = problems(bl, url)
        assert "of another program" in " ".join(found["finding"].split() + found["repair"].split())
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT FROM pg_namespace WHERE nspname = 'landing'").fetchone() is None

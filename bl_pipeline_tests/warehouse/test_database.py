"""A warehouse that cannot be used: what its user reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from bl_pipeline.settings import SettingsError, load_settings
from bl_pipeline.warehouse.database import (
    DamagedWarehouse,
    NothingStored,
    OutdatedWarehouse,
    PreconditionsFailed,
    WarehouseError,
    known_revisions,
    open_warehouse,
    place,
    read_warehouse,
    refuse_unmade,
)
from bl_pipeline_tests.support.servers import PASSWORD, as_user


def why_not(url: str) -> str:
    """The message if a warehouse cannot be opened; the password is never in it."""
    with pytest.raises(WarehouseError) as caught, open_warehouse(load_settings(env_file=None, bl_database_url=url)):
        pass
    message = str(caught.value)
    assert PASSWORD not in message
    assert len(message.splitlines()) % 2 == 0  # of each problem: what it is, and what to do
    assert caught.value.__cause__ is None
    return message


def test_a_user_who_may_not_make_tables(empty_database_url: str, weak_user: str) -> None:
    message = why_not(as_user(empty_database_url, weak_user))
    database = empty_database_url.rpartition("/")[2]
    assert "may not make schemas in the database" in message
    assert f'GRANT CREATE ON DATABASE "{database}" TO "{weak_user}"' in message


def test_a_time_out_that_is_too_short(empty_database_url: str) -> None:
    """Caught: it was said that Postgres could not be reached."""
    message = why_not(f"{empty_database_url}?options=-c%20statement_timeout%3D1ms")
    # If the statement ends as its time does, Postgres says "due to user request" (3 of 400 times).
    assert message.startswith("Postgres ended a statement before it was done: canceling statement due to ")
    assert "a time-out in BL_DATABASE_URL is too short" in message


def test_tables_of_another_user(database_url: str, weak_user: str) -> None:
    message = why_not(as_user(database_url, weak_user))
    assert f'The user "{weak_user}" may not read the tables in the schema sync' in message
    assert f'GRANT USAGE ON SCHEMA sync TO "{weak_user}"' in message


def test_reports_of_another_user_that_have_to_be_made_anew(database_url: str, weak_user: str) -> None:
    """Only their owner can, which no grant on a table changes."""
    owner = urlsplit(database_url).username
    with psycopg.connect(database_url, autocommit=True) as admin:
        for schema in ("sync", "landing", "sales", "books", "reports"):
            admin.execute(f"GRANT ALL ON SCHEMA {schema} TO {weak_user}")
            admin.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {weak_user}")
        url = as_user(database_url, weak_user)
        with open_warehouse(load_settings(env_file=None, bl_database_url=url)):
            pass
        admin.execute("UPDATE sync.report_views SET digest = 'old'")
        message = why_not(url)
        assert f"They belong to {owner}, and only their owner may change them" in message
        assert f'GRANT "{owner}" TO "{weak_user}";' in message
        admin.execute(f'DROP OWNED BY "{weak_user}"')


Spoil = Callable[[str], str]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda url: f"{url}_of_nobody", "does not exist"),
        (lambda url: as_user(url, "nobody"), "authentication failed"),
        (lambda url: url.replace("127.0.0.1", "nowhere.invalid"), "failed to resolve host"),
    ],
    ids=["database", "user", "host"],
)
def test_a_connection_that_fails_says_what_to_check(empty_database_url: str, spoil: Spoil, reason: str) -> None:
    message = why_not(spoil(empty_database_url))
    assert "cannot be reached" in message
    assert reason in message
    assert "Check BL_DATABASE_URL (host, port, database, user, password)" in message


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("sslmode=full", 'invalid sslmode value: "full"'),
        ("connect_timeout=soon", "bad value for connect_timeout: 'soon'"),
        ("keepalives=yes", 'invalid integer value "yes" for connection option "keepalives"'),
        ("port=99999", 'invalid port number: "99999"'),
    ],
)
def test_a_value_in_the_url_that_no_connection_takes_is_a_wrong_setting(parameter: str, said: str) -> None:
    """Caught: it was a warehouse that cannot be reached (exit 6)."""
    settings = load_settings(env_file=None, bl_database_url=f"postgresql://me:{PASSWORD}@127.0.0.1:1/db?{parameter}")
    with pytest.raises(SettingsError) as caught, open_warehouse(settings):
        pass
    assert str(caught.value) == f"Settings to correct:\n  BL_DATABASE_URL: {said}"


def refused_to_read(url: str) -> WarehouseError:
    with pytest.raises(WarehouseError) as caught, read_warehouse(load_settings(env_file=None, bl_database_url=url)):
        pass
    return caught.value


def test_a_command_that_only_reads_is_refused_a_change_by_postgres(database_url: str) -> None:
    settings = load_settings(env_file=None, bl_database_url=database_url, bl_store="brick")
    with read_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
        assert (warehouse.store, warehouse.timezone) == ("brick", "UTC")
        assert connection.scalar(text("SELECT count(*) FROM sales.orders")) == 0
        with pytest.raises(DBAPIError, match="read-only transaction"):
            connection.execute(text("CREATE TABLE sales.new ()"))


def test_a_command_that_only_reads_makes_and_changes_no_tables(database_url: str, empty_database_url: str) -> None:
    """Planted: each of the looks at the tables left out."""
    assert isinstance(refused_to_read(empty_database_url), NothingStored)
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT FROM pg_namespace WHERE nspname = 'sync'").fetchall() == []

    head = known_revisions()[-1]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE sync.alembic_version SET version_num = '0007'")
        older = refused_to_read(database_url)
        assert isinstance(older, OutdatedWarehouse)
        assert str(older).endswith(f"(tables of revision 0007, this release has {head})")
        connection.execute("UPDATE sync.alembic_version SET version_num = '9999'")
        assert "was made by a newer bl_pipeline (revision 9999)" in str(refused_to_read(database_url))
        assert "was made by a newer bl_pipeline (revision 9999)" in str(opened_to_write(database_url))
        connection.execute("UPDATE sync.alembic_version SET version_num = %s", [head])
        connection.execute("DROP TABLE sales.order_items CASCADE")
        assert isinstance(refused_to_read(database_url), DamagedWarehouse)
        assert isinstance(opened_to_write(database_url), DamagedWarehouse)


def opened_to_write(url: str) -> WarehouseError:
    with pytest.raises(WarehouseError) as caught, open_warehouse(load_settings(env_file=None, bl_database_url=url)):
        pass
    return caught.value


def test_a_user_who_may_not_read_is_said_so_before_the_tables_are_looked_at(database_url: str, weak_user: str) -> None:
    refused = refused_to_read(as_user(database_url, weak_user))
    assert isinstance(refused, PreconditionsFailed)
    assert {problem.finding.partition(": ")[2] for problem in refused.problems} == {"no command works."}


def test_what_is_missing_is_named_but_not_all_of_it() -> None:
    names = [f"sales.{number}" for number in range(99)]
    few, many = str(DamagedWarehouse(names[:2])), str(DamagedWarehouse(names))
    assert few.startswith("Tables or columns of the warehouse are missing: sales.0, sales.1. They were dropped")
    shown = many.partition(". They")[0].partition(": ")[2]
    listed, _, more = shown.rpartition(" and ")
    assert listed.split(", ") == names[: len(listed.split(", "))]
    assert more == f"{99 - len(listed.split(', '))} more"
    just_fits = str(DamagedWarehouse(names[: len(listed.split(", "))]))
    assert " more. " not in just_fits


def test_an_embedded_postgres_that_was_never_made_is_not_made_to_be_read(
    isolated: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = load_settings(env_file=None, bl_home=tmp_path / "home")
    with pytest.raises(NothingStored):
        refuse_unmade(settings)
    with pytest.raises(NothingStored), read_warehouse(settings):
        pass
    assert not (tmp_path / "home" / "postgres").exists()
    refuse_unmade(load_settings(env_file=None, bl_database_url="postgresql://127.0.0.1/db"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@host/shop", "host:5432/shop"),
        ("postgresql://u@host:6000/shop", "host:6000/shop"),
        ("postgresql:///shop?host=/run/postgresql&port=6000", "/run/postgresql:6000/shop"),
        ("postgresql:///shop", "localhost:5432/shop"),
    ],
)
def test_where_a_database_is(url: str, shown: str) -> None:
    """Planted: the port of a Unix socket left out; the password shown."""
    assert place(make_url(url)) == shown

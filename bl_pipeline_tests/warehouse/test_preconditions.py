"""What the pipeline needs of a Postgres: each setup that does not do, and the statement that repairs it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.preconditions import CONNECTIONS, Schema, Server, look

SCHEMAS = ("sync", "landing", "sales", "books", "reports", "store_reports", "dagster")
GOOD = Server(
    user='Ann "A"',
    database="shop",
    version=180001,
    version_name="18.1",
    schemas={name: Schema("ann") for name in SCHEMAS},
)
USER = '"Ann ""A"""'


def with_schema(name: str, **rights: Any) -> Server:
    return replace(GOOD, schemas={**GOOD.schemas, name: Schema("bob", **rights)})


def test_a_good_setup_has_no_problem() -> None:
    assert GOOD.reading_problems() == GOOD.writing_problems() == []
    assert replace(GOOD, version=150000).reading_problems() == []
    assert replace(GOOD, schemas={}).reading_problems() == replace(GOOD, schemas={}).writing_problems() == []


@pytest.mark.parametrize("name", ["sync", "sales", "books", "reports"])
@pytest.mark.parametrize(
    ("rights", "which"),
    [({"usage": False}, ""), ({"unreadable": ["b"]}, " (b)"), ({"unreadable": ["b", "c"]}, " (b, ...)")],
)
def test_what_must_be_readable(name: str, rights: Any, which: str) -> None:
    (problem,) = with_schema(name, **rights).reading_problems()
    assert problem.finding == f"The user {USER} may not read the tables in the schema {name}{which}: no command works."
    assert problem.repair == (
        f"As bob or a superuser: GRANT USAGE ON SCHEMA {name} TO {USER}; "
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO {USER};"
    )


@pytest.mark.parametrize("name", ["landing", "dagster"])
def test_what_only_a_sync_reads(name: str) -> None:
    assert with_schema(name, usage=False, unreadable=["b"]).reading_problems() == []


def test_an_old_postgres() -> None:
    (problem,) = replace(GOOD, version=149999, version_name="14.9").reading_problems()
    assert "is version 14.9, and 15 is the oldest" in problem.finding


@pytest.mark.parametrize(("unicode_locale", "locale"), [(True, ""), (False, " LOCALE 'C'")])
def test_another_encoding(unicode_locale: bool, locale: str) -> None:
    (problem,) = replace(GOOD, encoding="LATIN1", unicode_locale=unicode_locale).reading_problems()
    assert '"shop" has the encoding LATIN1' in problem.finding
    assert problem.repair.endswith(
        f"CREATE DATABASE \"shop_utf8\" OWNER {USER} ENCODING 'UTF8'{locale} TEMPLATE template0;"
    )


def test_triggers_that_are_off() -> None:
    (problem,) = replace(GOOD, triggers_off_by="database").writing_problems()
    assert "session_replication_role" in problem.finding
    assert problem.repair.endswith('ALTER DATABASE "shop" RESET session_replication_role;')
    (problem,) = replace(GOOD, triggers_off_by="configuration file").writing_problems()
    assert "ALTER SYSTEM SET session_replication_role = origin;" in problem.repair
    assert replace(GOOD, triggers_off_by="client").reading_problems() == []


def test_a_locale_with_other_small_letters() -> None:
    (problem,) = replace(GOOD, usual_case=False).writing_problems()
    assert 'CREATE DATABASE "shop_c"' in problem.repair
    assert replace(GOOD, usual_case=False).reading_problems() == []


def test_too_few_connections() -> None:
    (problem,) = replace(GOOD, connections=CONNECTIONS - 1).writing_problems()
    assert f"may have {CONNECTIONS - 1} connections" in problem.finding
    assert f"ALTER ROLE {USER} CONNECTION LIMIT -1;" in problem.repair
    assert replace(GOOD, connections=CONNECTIONS).writing_problems() == []


def test_a_standby_has_no_other_problem() -> None:
    (problem,) = replace(GOOD, standby=True, read_only_by="user", may_make_temporary=False).writing_problems()
    assert "is a standby" in problem.finding


RESET = "RESET default_transaction_read_only;"


@pytest.mark.parametrize(
    ("source", "repair"),
    [
        ("database", f'ALTER DATABASE "shop" {RESET}'),
        ("user", f"ALTER ROLE {USER} {RESET}"),
        ("database user", f'ALTER ROLE {USER} IN DATABASE "shop" {RESET}'),
        ("global", f"ALTER ROLE ALL {RESET}"),
        ("configuration file", "ALTER SYSTEM SET default_transaction_read_only = off; SELECT pg_reload_conf();"),
        ("client", "BL_DATABASE_URL or PGOPTIONS."),
    ],
)
def test_transactions_that_are_read_only(source: str, repair: str) -> None:
    (problem,) = replace(GOOD, read_only_by=source).writing_problems()
    assert "read-only" in problem.finding
    assert problem.repair.endswith(repair)


def test_schemas_that_are_missing_are_a_problem_only_if_they_cannot_be_made() -> None:
    some = replace(GOOD, schemas={name: Schema("ann") for name in SCHEMAS if name not in ("sales", "dagster")})
    assert some.writing_problems() == replace(GOOD, may_create=False).writing_problems() == []
    (problem,) = replace(some, may_create=False).writing_problems()
    assert problem.finding.endswith("there is no place for the tables (sales, dagster).")
    assert problem.repair == f'As the database\'s owner or a superuser: GRANT CREATE ON DATABASE "shop" TO {USER};'


def test_without_temporary_tables() -> None:
    (problem,) = replace(GOOD, may_make_temporary=False).writing_problems()
    assert problem.repair.endswith(f'GRANT TEMPORARY ON DATABASE "shop" TO {USER};')


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_must_be_writable(name: str) -> None:
    for rights in ({"usage": False}, {"create": False}):
        (problem,) = with_schema(name, **rights).writing_problems()
        assert f"may not use the schema {name}, or make tables in it" in problem.finding
        assert problem.repair == f"As bob or a superuser: GRANT USAGE, CREATE ON SCHEMA {name} TO {USER};"
    # Nothing is inserted into the views of the reports.
    problems = with_schema(name, unwritable=["b"]).writing_problems()
    assert [f"may not write the tables in the schema {name} (b)" in each.finding for each in problems] == (
        [] if name in ("reports", "store_reports") else [True]
    )


def test_a_database_as_it_should_be(warehouse: Warehouse) -> None:
    """Planted: a locale that no database has."""
    with warehouse.engine.connect() as connection:
        found = look(connection)
    assert (found.encoding, found.unicode_locale, found.usual_case, found.standby) == ("UTF8", True, True, False)

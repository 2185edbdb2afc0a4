"""The embedded Postgres brought to a newer major version: everything goes over, and nothing is ever lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bl_pipeline.postgres.binaries import installed, major
from bl_pipeline.postgres.cluster import EmbeddedPostgresError
from bl_pipeline.postgres.embedded import acquire, exists
from bl_pipeline.postgres.upgrade import upgrade_embedded
from bl_pipeline.settings import load_settings
from bl_pipeline.warehouse.database import open_warehouse
from bl_pipeline_tests.support.clusters import ask, cluster, is_stopped, new_home
from bl_pipeline_tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

VERSIONS = {major(version): folder for folder, version in [*installed(None)][::-1]}
NEWEST = max(VERSIONS)
OLD = [pytest.param(version, id=str(version)) for version in sorted(VERSIONS) if version < NEWEST]


@pytest.fixture
def home() -> Iterator[Path]:
    with new_home() as path:
        yield path


def fill(home: Path, version: int) -> None:
    """A warehouse of that version, a role that reads it, and a schema of the user's own."""
    with acquire(home, binaries=VERSIONS[version]) as lease, psycopg.connect(lease.url) as connection:
        with open_warehouse(load_settings(env_file=None, bl_database_url=lease.url)):
            pass
        connection.execute("CREATE SCHEMA mine")
        connection.execute("CREATE TABLE mine.notes AS SELECT n, 'Café 🧱' AS note FROM generate_series(1, 500) n")
        connection.execute("CREATE ROLE analyst LOGIN PASSWORD 'reads'")
        connection.execute("GRANT USAGE ON SCHEMA mine TO analyst")
        connection.execute("GRANT SELECT ON mine.notes TO analyst")
        connection.execute(
            "INSERT INTO sync.api_calls (store, run_id, started_at, method, path) "
            "VALUES ('main', 'r', now(), 'GET', '/')"
        )
    wait_until(lambda: is_stopped(home))


def is_as_it_was(home: Path, version: int) -> None:
    with acquire(home, binaries=VERSIONS[version]) as lease:
        assert str(ask(lease, "SHOW server_version")).startswith(f"{version}.")
        assert ask(lease, "SELECT count(*), max(note) FROM mine.notes") == (500, "Café 🧱")
        assert ask(lease, "SELECT count(*) FROM sync.api_calls") == 1
        as_analyst = psycopg.conninfo.make_conninfo(lease.url, user="analyst", password="reads")
        with psycopg.connect(as_analyst) as connection:
            assert connection.execute("SELECT count(*) FROM mine.notes").fetchone() == (500,)
        with open_warehouse(load_settings(env_file=None, bl_database_url=lease.url)):
            pass
    wait_until(lambda: is_stopped(home))


@pytest.mark.parametrize("old", OLD)
def test_everything_goes_over_roles_and_passwords_too(old: int, home: Path) -> None:
    """Planted: roles left behind; another password in the file than in the data."""
    fill(home, old)
    with pytest.raises(EmbeddedPostgresError, match=rf"of PostgreSQL {old}.*Nothing is lost(?s:.*)bl upgrade-postgres"):
        acquire(home, binaries=VERSIONS[NEWEST])
    password = cluster(home).password.read_text()

    done = upgrade_embedded(home, binaries=None)

    assert (done.old, done.new, done.rows["mine.notes"], done.rows["sync.api_calls"]) == (old, NEWEST, 500, 1)
    assert done.kept
    assert (done.kept / "PG_VERSION").read_text().strip() == str(old)
    assert cluster(home).password.read_text() == password
    is_as_it_was(home, NEWEST)
    assert sorted(path.name for path in (home / "postgres").iterdir() if path.is_dir() and path.name != "binaries") == [
        "data",
        done.kept.name,
    ]
    assert upgrade_embedded(home, binaries=None).kept is None


def test_postgres_has_looked_at_what_went_over(home: Path) -> None:
    """Planted: tables of which Postgres knows nothing, which it reads from end to end."""
    old = min(VERSIONS)
    fill(home, old)
    upgrade_embedded(home, binaries=None)
    with acquire(home, binaries=VERSIONS[NEWEST]) as lease:
        assert ask(lease, "SELECT reltuples FROM pg_class WHERE oid = 'mine.notes'::regclass") == 500


def test_while_it_is_used_it_is_not_upgraded(home: Path) -> None:
    """Planted: what is written meanwhile would be lost."""
    old = min(VERSIONS)
    fill(home, old)
    with acquire(home, binaries=VERSIONS[old]), pytest.raises(EmbeddedPostgresError, match="is in use, and was not"):
        upgrade_embedded(home, binaries=None)
    wait_until(lambda: is_stopped(home))
    is_as_it_was(home, old)


def test_cut_off_at_any_step_it_is_the_old_data_or_the_new(home: Path) -> None:
    """Planted: between the two names a start makes empty data."""
    old = min(VERSIONS)
    fill(home, old)
    data, upgraded = cluster(home).data, cluster(home).upgraded
    # Before the new data are whole.
    (home / "postgres" / "upgrade" / "postgres" / "data").mkdir(parents=True)
    is_as_it_was(home, old)
    done = upgrade_embedded(home, binaries=None)
    assert done.kept
    # Whole, and nothing renamed yet.
    data.rename(upgraded)
    assert exists(home), "Caught: nothing was said to be there"
    done.kept.rename(data)
    is_as_it_was(home, old)
    # The old data renamed, and the new ones not yet.
    data.rename(done.kept)
    is_as_it_was(home, NEWEST)
    assert not upgraded.exists()


def test_without_the_programs_of_the_old_version_it_says_what_to_install(home: Path) -> None:
    """Caught: "move that folder away to begin anew"."""
    wanted = next(version for version in range(16, 99) if version not in VERSIONS)
    cluster(home).data.mkdir(parents=True)
    (cluster(home).data / "PG_VERSION").write_text(f"{wanted}\n")
    if wanted < NEWEST:
        with pytest.raises(EmbeddedPostgresError, match=rf"(?s)Nothing is lost.*apt install postgresql-{wanted}"):
            upgrade_embedded(home, binaries=None)
    with pytest.raises(EmbeddedPostgresError, match="Nothing is lost: leave that folder as it is") as caught:
        acquire(home)
    assert "anew" not in str(caught.value)


def test_another_setting_is_named_if_the_right_programs_are_there(home: Path) -> None:
    """Caught: "Install PostgreSQL 18 again", though 18 comes with bl_pipeline."""
    acquire(home).close()
    wait_until(lambda: is_stopped(home))
    with pytest.raises(EmbeddedPostgresError, match=rf"Unset BL_POSTGRES_BIN: the programs of PostgreSQL {NEWEST}"):
        acquire(home, binaries=VERSIONS[min(VERSIONS)])


def test_if_there_is_nothing_nothing_is_upgraded(home: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="There are no data"):
        upgrade_embedded(home, binaries=None)
    shutil.rmtree(home / "postgres", ignore_errors=True)

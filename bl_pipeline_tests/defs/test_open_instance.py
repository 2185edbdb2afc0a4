"""Dagster's history in Postgres, as this project's own processes open it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.storage.runs import SqliteRunStorage, SqlRunStorage
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bl_pipeline.dagster_names import Names
from bl_pipeline.defs.instance import dagster_home, limit_pools, open_instance
from bl_pipeline.defs.old_runs import delete_runs_before
from bl_pipeline.project import PROJECT
from bl_pipeline.settings import load_settings
from bl_pipeline_tests.defs.test_instance import idle, something
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.support.waiting import wait_until


@pytest.fixture
def instance(isolated: pytest.MonkeyPatch, empty_database_url: str) -> Iterator[dg.DagsterInstance]:
    """A new one, open."""
    isolated.setenv("BL_DATABASE_URL", empty_database_url)
    with open_instance(load_settings()) as instance:
        yield instance


def ask(instance: dg.DagsterInstance, query: str, **values: object) -> object:
    """What Postgres says in a connection of the history of runs."""
    assert isinstance(instance.run_storage, SqlRunStorage)
    with instance.run_storage.connect() as connection:
        return connection.execute(text(query), values).scalar()


def sessions(postgres: Postgres, url: str) -> int:
    """How many connections there are to a database."""
    with psycopg.connect(postgres.admin_url) as admin:
        rows = admin.execute("SELECT FROM pg_stat_activity WHERE datname = %s", [url.rpartition("/")[2]])
        return len(rows.fetchall())


def test_its_folder_and_its_settings_may_be_the_users(isolated: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Planted: DAGSTER_HOME not looked at; the dagster.yaml in it."""
    settings = load_settings(bl_home=tmp_path / "home")
    assert dagster_home(settings) == tmp_path / "home" / "dagster"
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    isolated.setenv("DAGSTER_HOME", str(mine))
    assert dagster_home(settings) == mine
    # Without a storage, which this project's own file names.
    with open_instance(settings) as instance:
        assert isinstance(instance.run_storage, SqliteRunStorage)


def test_a_connection_is_kept_while_it_is_open_and_no_longer(
    isolated: pytest.MonkeyPatch, empty_database_url: str, postgres: Postgres
) -> None:
    """Planted: a new one for each query; none closed at the end."""
    isolated.setenv("BL_DATABASE_URL", empty_database_url)
    with open_instance(load_settings()) as instance:
        first = ask(instance, "SELECT pg_backend_pid()")
        instance.get_runs_count()
        assert ask(instance, "SELECT pg_backend_pid()") == first
        assert sessions(postgres, empty_database_url) > 0
    # Postgres ends a session a moment after its connection was closed.
    wait_until(lambda: sessions(postgres, empty_database_url) == 0)


def test_no_query_is_cut_off_and_no_error_shows_a_value(instance: dg.DagsterInstance) -> None:
    """Planted: a time limit of a millisecond; parameters in the text of an error."""
    assert ask(instance, "SHOW statement_timeout") == "0"
    with pytest.raises(DBAPIError, match="division by zero") as caught:
        ask(instance, "SELECT 1 / (length(:secret) - 8)", secret="between ")
    assert "between" not in str(caught.value)


def test_each_store_has_one_run_at_a_time(instance: dg.DagsterInstance) -> None:
    """Before a run of it has started. Planted: no limit; that of the first store only."""
    stores = [Names("bricks_uk"), Names("bricks_de")]
    limit_pools(instance, stores)
    slots = [instance.event_log_storage.get_concurrency_info(store.pool).slot_count for store in stores]
    assert slots == [1, 1]


def test_an_old_run_leaves_neither_tags_nor_a_place_in_a_pool(
    instance: dg.DagsterInstance, empty_database_url: str
) -> None:
    """One whose process has died keeps its place until then. Planted: the place not freed; the tags of events left."""
    old, last = [dg.materialize([something], instance=instance).run_id for _ in range(2)]
    dead = idle.execute_in_process(instance=instance).run_id
    events = instance.event_log_storage
    events.set_concurrency_slots("pool", 1)
    assert events.claim_concurrency_slot("pool", dead, "nothing").is_claimed

    def tags() -> tuple[int, int]:
        with psycopg.connect(empty_database_url, options="-csearch_path=dagster") as connection:
            rows = connection.execute(
                "SELECT e.run_id FROM asset_event_tags t LEFT JOIN event_logs e ON e.id = t.event_id"
            ).fetchall()
        return len([run_id for (run_id,) in rows if run_id == last]), len(rows)

    of_last, of_all = tags()
    assert 0 < of_last < of_all
    assert delete_runs_before(instance, datetime.now(UTC) + timedelta(minutes=1)) == 2
    assert {run.run_id for run in instance.get_runs()} == {last}
    assert instance.get_run_by_id(old) is None
    assert tags() == (of_last, of_last)
    assert events.get_concurrency_info("pool").active_slot_count == 0
    assert events.claim_concurrency_slot("pool", last, "something").is_claimed


def test_what_the_steps_of_an_old_run_have_printed_goes_too(
    isolated: pytest.MonkeyPatch, empty_database_url: str, tmp_path: Path
) -> None:
    """In the instance of the nightly job. Planted: left."""
    isolated.setenv("BL_DATABASE_URL", empty_database_url)
    isolated.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copy(PROJECT / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.get() as instance:
        printed = tmp_path / "storage" / idle.execute_in_process(instance=instance).run_id
        assert printed.exists()
        assert delete_runs_before(instance, datetime.now(UTC) + timedelta(minutes=1)) == 1
        assert not printed.exists()

"""Thousands of old runs are deleted in a minute, some hundred at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import dagster as dg
import psycopg
import pytest

from bl_pipeline.defs.instance import open_instance
from bl_pipeline.defs.old_runs import delete_runs_before
from bl_pipeline.settings import load_settings

pytestmark = pytest.mark.slow

OLD = 1200
SOON = timedelta(minutes=1)


@dg.op
def nothing() -> None:
    """Does nothing."""


@dg.job(tags={"kind": "old"})
def idle() -> None:
    nothing()


@dg.asset
def something() -> None:
    """An asset."""


@pytest.fixture
def instance(isolated: pytest.MonkeyPatch, empty_database_url: str) -> Iterator[dg.DagsterInstance]:
    """Dagster's history in Postgres, with a run that was executed and many copies of it."""
    isolated.setenv("BL_DATABASE_URL", empty_database_url)
    with open_instance(load_settings()) as instance:
        yield instance


def copy_runs(url: str, run_id: str, copies: int) -> None:
    """So many runs like this one: rows of all of Dagster's tables that name a run."""
    with psycopg.connect(url, options="-csearch_path=dagster") as connection:
        for _ in range(copies):
            values = {"old": run_id, "new": str(uuid4())}
            connection.execute(
                """
                INSERT INTO runs (run_id, snapshot_id, pipeline_name, status, run_body, create_timestamp)
                SELECT %(new)s::text, snapshot_id, pipeline_name, status,
                    replace(run_body, %(old)s::text, %(new)s::text), create_timestamp
                FROM runs WHERE run_id = %(old)s::text
                """,
                values,
            )
            connection.execute(
                "INSERT INTO run_tags (run_id, key, value) "
                "SELECT %(new)s::text, key, value FROM run_tags WHERE run_id = %(old)s::text",
                values,
            )
            connection.execute(
                """
                INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
                SELECT %(new)s::text, event, dagster_event_type, timestamp, step_key, asset_key, partition
                FROM event_logs WHERE run_id = %(old)s::text
                """,
                values,
            )
        connection.execute("ANALYZE")


def test_old_runs_go_by_the_hundred(instance: dg.DagsterInstance, empty_database_url: str) -> None:
    """Caught: 250 a minute on a busy machine. The ratio does not depend on how busy it is."""
    last = dg.materialize([something], instance=instance).run_id
    pattern = idle.execute_in_process(instance=instance).run_id
    copy_runs(empty_database_url, pattern, OLD)
    some = instance.get_run_ids(dg.RunsFilter(job_name="idle"), limit=20)
    started = time.perf_counter()
    for run_id in some:
        instance.delete_run(run_id)
    one_by_one = (time.perf_counter() - started) / len(some)

    started = time.perf_counter()
    assert delete_runs_before(instance, datetime.now(UTC) + SOON) == OLD + 1 - len(some)
    at_once = (time.perf_counter() - started) / (OLD + 1 - len(some))

    print(f"a run: {one_by_one * 1000:.1f} ms one by one, {at_once * 1000:.2f} ms at once")  # noqa: T201
    assert at_once * 5 < one_by_one
    with psycopg.connect(empty_database_url, options="-csearch_path=dagster") as connection:
        for table in ("runs", "event_logs", "run_tags"):
            left = {run_id for (run_id,) in connection.execute(f"SELECT DISTINCT run_id FROM {table}")}
            assert left <= {last}
    assert instance.get_latest_materialization_event(something.key) is not None


def test_cut_off_it_goes_on_with_the_next_call(instance: dg.DagsterInstance, empty_database_url: str) -> None:
    """Planted: the runs deleted before their events, which nothing would find again."""
    pattern = idle.execute_in_process(instance=instance).run_id
    copy_runs(empty_database_url, pattern, 700)
    with psycopg.connect(empty_database_url, options="-csearch_path=dagster", autocommit=True) as connection:
        # As the runs themselves are deleted.
        connection.execute("CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'cut off'; END$$")
        connection.execute("CREATE TRIGGER cut BEFORE DELETE ON runs FOR EACH STATEMENT EXECUTE FUNCTION cut()")
        with pytest.raises(Exception, match="cut off"):
            delete_runs_before(instance, datetime.now(UTC) + SOON)
        connection.execute("DROP TRIGGER cut ON runs")
        assert delete_runs_before(instance, datetime.now(UTC) + SOON) == 701
        for table in ("runs", "event_logs", "run_tags"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)

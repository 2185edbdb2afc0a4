"""Dagster's own storage: it runs while it is used, and old runs are deleted."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.runs import RunStorage, SqlRunStorage
from dagster._core.storage.runs.schema import RunsTable
from sqlalchemy import update
from sqlalchemy.engine import make_url

from bl_pipeline.defs.old_runs import delete_runs_before
from bl_pipeline.defs.retention import delete_old_runs
from bl_pipeline.defs.storage import WarehouseStorage


def test_the_embedded_postgres_runs_while_the_instance_uses_its_storage(empty_database_url: str) -> None:
    """An instance keeps the run storage and the others, not what made them. Catches Postgres stopping under `bl up`."""
    ended: list[str] = []

    @contextmanager
    def lease() -> Iterator[None]:
        try:
            yield
        finally:
            ended.append("let go")

    def open_storage() -> RunStorage[Any]:
        leases = ExitStack()
        leases.enter_context(lease())
        url = make_url(empty_database_url).set(drivername="postgresql+psycopg2")
        return WarehouseStorage(url, leases, None).run_storage

    part = open_storage()
    gc.collect()
    assert ended == []
    part.dispose()


@dg.asset
def something() -> None:
    """An asset."""


@dg.asset
def something_else() -> None:
    """Another, made only once."""


@dg.op
def nothing() -> None:
    """Does nothing."""


@dg.job
def idle() -> None:
    nothing()


def test_old_runs_go_with_their_events_and_logs() -> None:
    """All but the last of each asset, and none that is not over."""
    with dg.DagsterInstance.ephemeral() as instance:
        once = dg.materialize([something, something_else], instance=instance).run_id
        first, last = [dg.materialize([something], instance=instance).run_id for _ in range(2)]
        plain = idle.execute_in_process(instance=instance).run_id
        alive = instance.create_run_for_job(idle).run_id
        young = datetime.now(UTC) - timedelta(minutes=1)

        assert delete_runs_before(instance, young) == 0
        assert delete_runs_before(instance, datetime.now(UTC) + timedelta(minutes=1)) == 2

        assert {run.run_id for run in instance.get_runs()} == {once, last, alive}
        assert not instance.all_logs(first)
        assert not instance.all_logs(plain)
        assert instance.get_latest_materialization_event(something_else.key) is not None


@dg.asset_check(asset=something)
def checked() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def test_results_of_checks_go_with_their_runs() -> None:
    """All but the last one, so that the check does not look as if it had never been made.

    Caught: they stayed for ever, since Dagster itself does not delete them with their run.
    """
    with dg.DagsterInstance.ephemeral() as instance:
        runs = [dg.materialize([something, checked], instance=instance).run_id for _ in range(3)]

        def results() -> list[str]:
            found = instance.event_log_storage.get_asset_check_execution_history(checked.check_key, limit=9)
            return [result.run_id for result in found]

        delete_runs_before(instance, datetime.now(UTC) - timedelta(minutes=1))
        assert results() == runs[::-1]
        delete_runs_before(instance, datetime.now(UTC) + timedelta(minutes=1))
        assert results() == runs[-1:]


@pytest.mark.parametrize(("days", "config"), [(None, {}), (3, {}), (30, {"days": 3})])
def test_the_settings_say_how_long_runs_are_kept(
    isolated: pytest.MonkeyPatch, days: int | None, config: dict[str, int]
) -> None:
    """The nightly run has no configuration. Planted: its default in the place of the setting."""
    if days:
        isolated.setenv("BL_RUN_HISTORY_DAYS", str(days))
    with dg.DagsterInstance.ephemeral() as instance:
        old = idle.execute_in_process(instance=instance).run_id
        assert isinstance(instance.run_storage, SqlRunStorage)
        with instance.run_storage.connect() as connection:
            connection.execute(update(RunsTable).values(create_timestamp=datetime.now(UTC) - timedelta(days=4)))
        delete_old_runs.execute_in_process(instance=instance, run_config={"ops": {"delete_runs": {"config": config}}})
        assert (instance.get_run_by_id(old) is None) is (days == 3 or "days" in config)

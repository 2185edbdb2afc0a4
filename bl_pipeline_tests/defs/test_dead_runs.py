"""Which runs of Dagster sync a store, as only these can keep its place; and how those end that Dagster has ended."""

from __future__ import annotations

import dagster as dg
import pytest

from bl_pipeline.dagster_names import SYNC_JOBS, Job, Names
from bl_pipeline.definitions import defs
from bl_pipeline.defs.dead_runs import end_given_up_run, is_sync_of
from bl_pipeline.defs.of_a_store import asset_key
from bl_pipeline.defs.store_state import newest_event
from bl_pipeline.records import RunStatus
from bl_pipeline.settings import Settings
from bl_pipeline.sync.session import open_session
from bl_pipeline.warehouse.database import open_warehouse
from bl_pipeline.warehouse.lease import DIED
from bl_pipeline.warehouse.runs import read_run
from bl_pipeline_tests.support.distributed import LONG

ASSET_JOB = "__ASSET_JOB"
"""What Dagster calls a run of chosen assets."""


@pytest.mark.parametrize("names", [Names(), Names("bricks_uk")], ids=["one store", "of several"])
def test_a_run_syncs_a_store_by_its_job_or_by_an_asset(names: Names) -> None:
    """Planted: only the job looked at, or only the assets; a run without chosen assets; the assets of another store."""

    def syncs(job: str, *assets: dg.AssetKey) -> bool:
        return is_sync_of(names, dg.DagsterRun(job_name=job, asset_selection=frozenset(assets) or None))

    other = Names("bricks_de")
    assert all(syncs(names.of(job)) for job in SYNC_JOBS)
    assert not syncs(names.of(Job.REBUILD))
    assert not syncs(other.of(Job.SYNC_ORDERS))
    assert not syncs(ASSET_JOB)
    report = dg.AssetKey("revenue_dates")
    assert syncs(ASSET_JOB, report, asset_key(names, "orders"))
    assert not syncs(ASSET_JOB, report, asset_key(other, "orders"))


@pytest.mark.parametrize(
    ("ended", "noted"),
    [
        (dg.DagsterRunStatus.CANCELED, (RunStatus.CANCELED, None)),
        (dg.DagsterRunStatus.FAILURE, (RunStatus.FAILED, DIED)),
        (dg.DagsterRunStatus.STARTED, (RunStatus.STARTED, None)),
    ],
)
def test_a_run_that_dagster_has_ended_between_two_steps_has_ended_as_dagster_says(
    ended: dg.DagsterRunStatus, noted: tuple[RunStatus, str | None], settings: Settings
) -> None:
    """Planted: each end as a failure; the end of a run that still goes on."""
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = instance.create_run_for_job(defs.resolve_job_def(Job.SYNC_ORDERS), status=ended).run_id
        with open_session(settings) as session:
            session.lease = LONG
            assert session.try_begin_distributed(run_id, job=Job.SYNC_ORDERS)

        end_given_up_run(instance, settings, run_id)

        with open_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
            found = read_run(connection, run_id)
        assert found is not None
        assert (found.status, found.message) == noted
        assert (newest_event(instance, Names()) is None) == (ended is dg.DagsterRunStatus.STARTED)

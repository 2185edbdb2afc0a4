"""Which runs of Dagster sync a store: only these can keep its place in the pool of syncs."""

from __future__ import annotations

import dagster as dg
import pytest

from bl_pipeline.dagster_names import SYNC_JOBS, Job, Names
from bl_pipeline.defs.dead_runs import is_sync_of
from bl_pipeline.defs.of_a_store import asset_key

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

"""Runs whose process died together with the daemon, for example in a power failure: nothing else would end them.

They would keep their place in the pool of syncs, and no sync would run again.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

import dagster as dg

SILENT_FOR = timedelta(minutes=5)
"""A sync that is alive has the store's lock a moment after its first event, and keeps it to the end."""


def end_dead_runs(
    instance: dg.DagsterInstance, jobs: Collection[str], assets: Collection[str], now: datetime
) -> list[str]:
    """Mark the syncs among the started runs as failed if they have stored no event for a while; returns their ids.

    The caller has checked that no process has the store's lock. A sync is a run of one of the jobs, or one that
    materializes one of the assets.
    """
    from bl_pipeline.warehouse.runs import DIED  # noqa: PLC0415

    keys = {dg.AssetKey(name) for name in assets}
    dead = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        run = record.dagster_run
        if run.job_name not in jobs and not keys & set(run.asset_selection or ()):
            continue
        last = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
        heard = max([entry.event_log_entry.timestamp for entry in last], default=record.create_timestamp.timestamp())
        # An event in the future, from a clock that was ahead, does not show that the run is alive either.
        if abs(now.timestamp() - heard) >= SILENT_FOR.total_seconds():
            instance.report_run_failed(run, message=DIED)
            dead.append(run.run_id)
    return dead

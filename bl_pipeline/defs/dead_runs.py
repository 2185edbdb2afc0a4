"""Runs whose process died together with the daemon, for example in a power failure: nothing else would end them.

They would keep their place in the pool of syncs, and no sync would run again.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

import dagster as dg

from bl_pipeline.dagster_names import SYNC_JOBS, Names
from bl_pipeline.defs.of_a_store import asset_key
from bl_pipeline.defs.sync_graph import ASSETS
from bl_pipeline.settings import Settings

SILENT_FOR = timedelta(minutes=5)
"""A sync that is alive has the store's lock a moment after its first event, and keeps it to the end."""


def end_dead_runs(instance: dg.DagsterInstance, stores: Collection[Names], now: datetime) -> list[str]:
    """Mark the syncs of these stores among the started runs as failed if they have stored no event for a while.

    Returns their ids. The caller has checked that no process has the stores' locks.
    """
    from bl_pipeline.warehouse.lease import DIED  # noqa: PLC0415

    dead = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        run = record.dagster_run
        if not any(is_sync_of(names, run) for names in stores):
            continue
        last = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
        heard = max([entry.event_log_entry.timestamp for entry in last], default=record.create_timestamp.timestamp())
        # An event in the future, from a clock that was ahead, does not show that the run is alive either.
        if abs(now.timestamp() - heard) >= SILENT_FOR.total_seconds():
            instance.report_run_failed(run, message=DIED)
            dead.append(run.run_id)
    return dead


def end_given_up_run(instance: dg.DagsterInstance, settings: Settings, run_id: str) -> None:
    """Note the end of the store's run, which has a lease, if Dagster has ended it: it was terminated between two
    steps, or lost the process of one. Else the store would wait for the end of the lease. A step of the run that still
    works sees it, and stops.
    """
    from bl_pipeline.defs.store_state import show_end_outside_of_a_run  # noqa: PLC0415
    from bl_pipeline.sync.session import open_session  # noqa: PLC0415
    from bl_pipeline.warehouse.database import WarehouseError  # noqa: PLC0415
    from bl_pipeline.warehouse.lease import DIED  # noqa: PLC0415

    run = instance.get_run_by_id(run_id)
    if run is None or not run.is_finished:
        return
    with open_session(settings) as session:
        session.run_id = run_id
        if run.status is dg.DagsterRunStatus.CANCELED:
            session.cancel()
        else:
            session.fail(WarehouseError(DIED))
        show_end_outside_of_a_run(instance, session)


def is_sync_of(names: Names, run: dg.DagsterRun) -> bool:
    """Whether a run syncs the store: by one of its jobs, or because it materializes one of its assets."""
    assets = {asset_key(names, name) for name in ASSETS}
    return run.job_name in map(names.of, SYNC_JOBS) or not assets.isdisjoint(run.asset_selection or ())

"""Old runs of Dagster's history are deleted by a job of our own: its retention settings are about ticks only."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetEventTagsTable,
    ConcurrencySlotsTable,
    PendingStepsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunsTable
from pydantic import Field
from sqlalchemy import delete, select

from bl_pipeline.defs.step_errors import explained

_AT_A_TIME = 500
"""Runs a transaction: Dagster's own way takes some connections and statements for each run."""


class RetentionConfig(dg.Config):
    """Which runs to delete."""

    days: int = Field(
        default=30,
        ge=1,
        description="Runs that were created longer ago are deleted with their events and logs. The sales and the "
        "pipeline's own records, sync.runs among them, stay.",
    )


@dg.op(description="Deletes old runs; the last one of each asset stays, however old it is.")
@explained
def delete_runs(context: dg.OpExecutionContext, config: RetentionConfig) -> None:
    deleted = delete_runs_before(context.instance, datetime.now(UTC) - timedelta(days=config.days))
    context.log.info(f"{deleted} runs deleted")
    context.add_output_metadata({"runs_deleted": deleted})


@dg.job(description="Deletes old runs from Dagster's history.", executor_def=dg.in_process_executor)
def delete_old_runs() -> None:
    delete_runs()


delete_old_runs_schedule = dg.ScheduleDefinition(
    name="delete_old_runs_schedule",
    job=delete_old_runs,
    cron_schedule="17 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night.",
)


def delete_runs_before(instance: dg.DagsterInstance, before: datetime) -> int:
    """Delete the runs that ended and were created before then, with events and logs; returns how many.

    Some hundred at a time: an interruption leaves the others as they are, and the next call goes on with them.
    """
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    run_ids = instance.get_run_ids(dg.RunsFilter(created_before=before, statuses=ended))
    kept = _runs_last_seen(instance)
    old = [run_id for run_id in reversed(run_ids) if run_id not in kept]  # the oldest first
    for start in range(0, len(old), _AT_A_TIME):
        _delete(instance, old[start : start + _AT_A_TIME])
    return len(old)


def _delete(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> None:
    """Like `instance.delete_run`, for many runs at once; the runs come last, so that it can be repeated."""
    events, runs = instance.event_log_storage, instance.run_storage
    assert isinstance(events, SqlEventLogStorage)
    assert isinstance(runs, SqlRunStorage)
    of_these = SqlEventLogStorageTable.c.run_id.in_(run_ids)
    with events.index_connection() as connection:
        waiting = {
            run_id
            for table in (ConcurrencySlotsTable, PendingStepsTable)
            for (run_id,) in connection.execute(select(table.c.run_id).where(table.c.run_id.in_(run_ids)))
        }
        event_ids = select(SqlEventLogStorageTable.c.id).where(of_these)
        connection.execute(delete(AssetEventTagsTable).where(AssetEventTagsTable.c.event_id.in_(event_ids)))
        connection.execute(delete(SqlEventLogStorageTable).where(of_these))
    for run_id in waiting:
        events.free_concurrency_slots_for_run(run_id)
    for run_id in run_ids:
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    with runs.connect() as connection:
        connection.execute(delete(RunsTable).where(RunsTable.c.run_id.in_(run_ids)))


def _runs_last_seen(instance: dg.DagsterInstance) -> set[str]:
    """The run of each asset's last materialization: without it, the asset would look as if it had never been made."""
    events = [instance.get_latest_materialization_event(key) for key in instance.get_asset_keys()]
    return {event.run_id for event in events if event is not None}

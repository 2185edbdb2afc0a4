"""Old runs of Dagster's history are deleted by a job of our own: its retention settings are about ticks only."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

_AT_A_TIME = 100


class RetentionConfig(dg.Config):
    """Which runs to delete."""

    days: int = Field(
        default=30,
        ge=1,
        description="Runs that were created longer ago are deleted with their events and logs. The sales and the "
        "pipeline's own records, sync.runs among them, stay.",
    )


@dg.op(description="Deletes old runs; the last one of each asset stays, however old it is.")
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
    """Delete the runs that ended and were created before then, with events and logs; returns how many."""
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    run_ids: list[str] = []
    while True:
        records = instance.get_run_records(
            dg.RunsFilter(created_before=before, statuses=ended),
            limit=_AT_A_TIME,
            cursor=run_ids[-1] if run_ids else None,
        )
        if not records:
            break
        run_ids += [record.dagster_run.run_id for record in records]
    old = set(run_ids) - _runs_last_seen(instance)
    for run_id in old:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    return len(old)


def _runs_last_seen(instance: dg.DagsterInstance) -> set[str]:
    """The run of each asset's last materialization: without it, the asset would look as if it had never been made."""
    events = [instance.get_latest_materialization_event(key) for key in instance.get_asset_keys()]
    return {event.run_id for event in events if event is not None}

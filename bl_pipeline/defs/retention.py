"""Old runs of Dagster's history are deleted by a job of our own: its retention settings are about ticks only."""

from datetime import timedelta

import dagster as dg
from pydantic import Field

from bl_pipeline.clock import utc_now
from bl_pipeline.defs.step_errors import explained
from bl_pipeline.settings import load_installation
from bl_pipeline.wording import plural


class RetentionConfig(dg.Config):
    """Which runs to delete."""

    days: int | None = Field(
        default=None,
        ge=1,
        description="Runs that were created longer ago are deleted with their events, logs and results of checks; if "
        "not set, those older than BL_RUN_HISTORY_DAYS. The sales and the pipeline's own records, sync.runs among "
        "them, stay.",
    )


@dg.op(description="Deletes old runs; the last one of each asset stays, however old it is.")
@explained
def delete_runs(context: dg.OpExecutionContext, config: RetentionConfig) -> None:
    # Dagster's storage takes a third of a second to import: only a run of this job waits for it.
    from bl_pipeline.defs.old_runs import delete_runs_before  # noqa: PLC0415

    days = config.days or load_installation().bl_run_history_days
    deleted = delete_runs_before(context.instance, utc_now() - timedelta(days=days))
    context.log.info(f"{plural(deleted, 'run')} deleted")
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

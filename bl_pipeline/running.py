"""Jobs of the pipeline, run in this process for somebody who waits; the Dagster UI shows their history."""

from __future__ import annotations

import logging
import os
import uuid
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bl_pipeline.dagster_names import Job, names_of
from bl_pipeline.records import SyncResult
from bl_pipeline.settings import Settings
from bl_pipeline.sync.interruptions import interruption_behind
from bl_pipeline.sync.run_errors import Canceled, RunError, timezone_changed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bl_pipeline.sync.session import ProgressListener, SyncSession


def run_job(
    settings: Settings,
    job: str,
    config: Mapping[str, Any],
    progress: ProgressListener,
    *,
    warn: Callable[[str], None],
    run_id: str | None = None,
) -> SyncResult:
    """Run a job under this id, or a new one, and return what it reports; `warn` gets a line to show.

    Raises SettingsError without credentials, WarehouseError without a warehouse, RunError if the run did not reach
    its end, and an unexpected error as the run raised it.
    """
    settings.store.known_credentials()
    with _quiet_dagster():
        # Dagster takes seconds to import: only those who run a job wait for it.
        from bl_pipeline.sync.finishing import read_result  # noqa: PLC0415
        from bl_pipeline.sync.session import open_session  # noqa: PLC0415

        with open_session(settings) as session:
            session.take_lock_now("this one was not started")
            session.progress = progress
            try:
                _execute(settings, session, job, config, run_id or str(uuid.uuid4()))
                if session.result is None:
                    raise RunError("The run ended without a report; the Dagster UI has its log: bl up")
            except RunError as error:
                error.result = read_result(session.warehouse, session.run_id)
                raise
            result, timezone_before = session.result, session.timezone_before
    # Before, standard error is not shown: Dagster writes there, too.
    if timezone_before:
        warn(timezone_changed(timezone_before, settings.bl_timezone))
    return result


def _execute(settings: Settings, session: SyncSession, job: str, config: Mapping[str, Any], run_id: str) -> None:
    """Run a job of Dagster in this process, with the session in place of its resource; raises what ended a step."""
    import dagster as dg  # noqa: PLC0415

    from bl_pipeline.defs.installation import of_store  # noqa: PLC0415
    from bl_pipeline.defs.instance import open_instance  # noqa: PLC0415
    from bl_pipeline.defs.resources import OpenedSession  # noqa: PLC0415
    from bl_pipeline.defs.step_errors import StepFailed  # noqa: PLC0415
    from bl_pipeline.defs.store_state import show_end_outside_of_a_run  # noqa: PLC0415

    asked = {"config": dict(config)} if config else {}
    names = names_of(session.store)
    # Of the store of these settings, which need not be those of the environment.
    definition = of_store(session.store).resolve_job_def(names.of(job))
    with open_instance(settings) as instance:
        try:
            definition.execute_in_process(
                # In the asset job the graph is one of the ops, the other jobs are the graph.
                run_config={
                    **({"ops": {names.graph: asked} if job == Job.SYNC_ORDERS else asked} if asked else {}),
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
                instance=instance,
                resources={names.resource: OpenedSession(session)},
                # With it the UI shows the run under its job.
                tags={".dagster/repository": "__repository__@bl_pipeline"},
                run_id=run_id,
            )
        except StepFailed as failed:
            raise failed.error from None
        except dg.Failure as failure:
            if session.result is None:
                raise RunError(failure.description or "The run failed.") from None
        except BaseException as error:
            if interruption_behind(error) is None:
                # Dagster's own, between two steps.
                session.fail(error)
                raise
            if session.cancel():
                # It came between two steps, so no step could note and show it.
                show_end_outside_of_a_run(instance, session)
            # Dagster knows cancellation only by request; for one from the keyboard it reports a failure.
            run = instance.get_run_by_id(run_id)
            if run is not None and run.status is not dg.DagsterRunStatus.CANCELED:
                instance.report_run_canceled(run)
            by = " by bl cancel" if session.cancel_requested else ""
            raise Canceled(f"Canceled{by}. What was stored is kept, and the next run goes on from there.") from None


@contextmanager
def _quiet_dagster() -> Iterator[None]:
    """Hide what Dagster and its libraries log: it is not for the user of `bl`."""
    logger, root, silence = logging.getLogger("dagster"), logging.getLogger(), logging.NullHandler()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    root.addHandler(silence)
    # Whatever it cannot store, Dagster writes to standard error, the statement too; it then raises the error as well.
    with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            root.removeHandler(silence)
            logger.setLevel(level)

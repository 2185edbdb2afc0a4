"""A step that bl cancel has ended: what Dagster reports, and that it reports it once."""

from collections.abc import Callable

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from bl_pipeline.defs.sync_graph import run_step
from bl_pipeline.sync.interruptions import Interrupted
from bl_pipeline.sync.session import SyncSession

Report = Callable[[dg.DagsterInstance, dg.DagsterRun], object]
CANCELED = "Canceled by bl cancel."


def nothing(_instance: dg.DagsterInstance, _run: dg.DagsterRun) -> None:
    """Dagster knows nothing of it."""


def terminated(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """By Terminate in the UI."""
    instance.report_run_canceling(run, message="Terminated.")


def ended(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """By somebody who has marked it so."""
    instance.report_run_canceled(run)


@pytest.mark.parametrize(
    ("before", "requested", "reported"),
    [
        (nothing, True, [CANCELED]),
        (nothing, False, ["Canceled."]),
        (terminated, True, ["Terminated."]),
        (ended, True, []),
    ],
)
def test_dagster_reports_once_that_a_run_is_being_canceled(
    before: Report, requested: bool, reported: list[str], session: SyncSession, dagster_instance: dg.DagsterInstance
) -> None:
    """Planted: never, also if the run has ended, or once more."""
    run_ids: list[str] = []

    @dg.op
    def step(context: dg.OpExecutionContext) -> None:
        run_ids.append(context.run_id)
        session.begin(context.run_id, job="sync_orders")
        with run_step(context, session):
            run = context.instance.get_run_by_id(context.run_id)
            assert run is not None
            before(context.instance, run)
            session.cancel_requested = requested
            raise Interrupted

    @dg.job
    def job() -> None:
        step()

    with pytest.raises(DagsterExecutionInterruptedError):
        job.execute_in_process(instance=dagster_instance)
    events = dagster_instance.all_logs(run_ids[0], of_type=dg.DagsterEventType.PIPELINE_CANCELING)
    assert [event.dagster_event.message for event in events if event.dagster_event] == reported


def test_a_run_that_dagster_does_not_have_any_more_ends_all_the_same(session: SyncSession) -> None:
    """Planted: an error of our own in place of the interruption."""
    session.begin("run", job="sync_orders")
    with (
        dg.build_op_context() as context,
        pytest.raises(DagsterExecutionInterruptedError),
        run_step(context, session),
    ):
        raise Interrupted

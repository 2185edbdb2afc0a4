"""Terminate in the UI that comes between two steps, where nothing of the pipeline is under way."""

from __future__ import annotations

import os
import signal

import pytest

from bl_pipeline.settings import Settings
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.runs import last_runs
from bl_pipeline_tests.reliability.processes import start


def _terminated_after(settings: Settings, step: str) -> None:
    """A run as Dagster launches it, which is told to end when this step has."""
    import dagster as dg
    from dagster._utils.interrupts import setup_interrupt_handlers

    from bl_pipeline.defs import defs

    os.environ.update(settings.as_environment())
    setup_interrupt_handlers()

    @dg.success_hook
    def terminate(context: dg.HookContext) -> None:
        if context.op.name == step:
            run = context.instance.get_run_by_id(context.run_id)
            assert run is not None
            context.instance.report_run_canceling(run)
            os.kill(os.getpid(), signal.SIGTERM)

    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("sync_orders").with_hooks({terminate})
        job.execute_in_process(instance=instance, raise_on_error=False)


@pytest.mark.parametrize("step", ["list_orders", "plan_changes", "fetch_orders"])
def test_a_run_terminated_between_two_steps_is_noted(settings: Settings, warehouse: Warehouse, step: str) -> None:
    """Planted: the resource closed without a look at what became of the run."""
    process = start(_terminated_after, settings, step)
    process.join(60)
    assert process.exitcode is not None

    with warehouse.engine.connect() as connection:
        (run,) = last_runs(connection, warehouse, limit=5)
    assert (run.status, run.finished_at is not None) == ("canceled", True)

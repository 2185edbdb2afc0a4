"""Terminate in the UI between two steps, when nothing of the pipeline is under way, and Ctrl-C at any moment."""

from __future__ import annotations

import os
import signal
import sys
import time
from random import Random

import pytest

from bl_pipeline.sandbox import Store
from bl_pipeline.settings import Settings
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.runs import Run, last_runs
from bl_pipeline_tests.conftest import NOW
from bl_pipeline_tests.support.processes import Task, start
from bl_pipeline_tests.support.sales_rows import assert_in_step
from bl_pipeline_tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow


def runs_of(warehouse: Warehouse) -> list[Run]:
    with warehouse.engine.connect() as connection:
        return last_runs(connection, warehouse, limit=5)


def _terminated_after(settings: Settings, step: str) -> None:
    """A run as Dagster launches it, which has to end when this step has."""
    import dagster as dg
    from dagster._utils.interrupts import setup_interrupt_handlers

    from bl_pipeline.definitions import defs

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
    process.join(PATIENCE)
    assert process.exitcode is not None

    (run,) = runs_of(warehouse)
    assert (run.status, run.finished_at is not None) == ("canceled", True)


def _sync_in_the_terminal(settings: Settings) -> None:
    from bl_pipeline.running import run_job
    from bl_pipeline.sync.run_errors import Canceled
    from bl_pipeline.sync.session import NoProgress

    os.environ.update(settings.as_environment())
    try:
        run_job(settings, "sync_orders", {}, NoProgress(), warn=print)
    except Canceled:
        sys.exit(7)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(60))
def test_ctrl_c_at_any_moment(seed: int, settings: Settings, warehouse: Warehouse, store: Store) -> None:
    """Caught: one in fifty met a connection that was being tested, and was noted as failed."""
    process = start(_sync_in_the_terminal, settings)
    wait_until(lambda: bool(runs_of(warehouse)) or not process.is_alive())
    time.sleep(Random(seed).uniform(0, 0.6))
    assert process.pid is not None
    if process.is_alive():
        os.kill(process.pid, signal.SIGINT)
    process.join(PATIENCE)

    (run,) = runs_of(warehouse)
    # After its end there is nothing left to cancel but the checks.
    assert (run.status, process.exitcode) in [("canceled", 7), ("succeeded", 7), ("succeeded", 0)]
    assert Task(settings, NOW).run().success
    assert_in_step(warehouse, store)

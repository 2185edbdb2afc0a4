"""A run of sync_orders as Dagster launches it, with the executor of the settings; `python -m` this file starts one.

With the argument `intrude`, `bl sync` is tried each time a step has ended and before the next one is started. Its exit
codes are printed. With `stop STEP` the run stops after this step, and prints its name. With `die STEP EVENT` the
process of the step is killed as soon as this event of it is stored.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import dagster as dg

BL = [sys.executable, "-c", "from bl_pipeline.terminal.cli import main; main()"]
"""The command `bl`."""


_DIE = "BL_TEST_DIE"
"""The variable that says to the processes of the steps which of them dies, and when."""


def sync_orders() -> dg.JobDefinition:
    """The job of the code location. Each process that does a step loads it."""
    from bl_pipeline.definitions import defs

    if _DIE in os.environ:
        _die_at(*os.environ[_DIE].split())
    return defs.resolve_job_def("sync_orders")


def _die_at(step: str, last_event: str) -> None:
    store = dg.DagsterInstance.handle_new_event

    def store_and_die(instance: dg.DagsterInstance, event: Any, **options: Any) -> None:
        store(instance, event, **options)
        if event.step_key == step and event.dagster_event and event.dagster_event.event_type_value == last_event:
            os.kill(os.getpid(), signal.SIGKILL)

    dg.DagsterInstance.handle_new_event = store_and_die  # type: ignore[assignment, method-assign]


def main(what: str = "", step: str = "", last_event: str = "") -> None:
    """Start it, and wait for its end."""
    from dagster._core.definitions.reconstruct import ReconstructableJob
    from dagster._core.execution.api import execute_run_iterator
    from dagster._utils.interrupts import setup_interrupt_handlers

    from bl_pipeline.defs.instance import open_instance
    from bl_pipeline.settings import load_settings

    if what == "die":
        os.environ[_DIE] = f"{step} {last_event}"
    # SIGTERM is Terminate in the UI.
    setup_interrupt_handlers()
    # Other processes know it by the name of its module, not as __main__.
    job = ReconstructableJob.for_module("bl_pipeline_tests.support.launched_run", "sync_orders")
    with open_instance(load_settings()) as instance:
        run = instance.create_run_for_job(sync_orders(), job_code_origin=job.get_python_origin())
        for event in execute_run_iterator(job, run, instance):
            if not (event.is_step_success and event.step_key):
                continue
            if what == "intrude" and event.step_key.startswith("sync."):
                code = subprocess.run([*BL, "sync"], capture_output=True, check=False).returncode
                print(event.step_key, code, flush=True)  # noqa: T201
            if what == "stop" and event.step_key == step:
                print(event.step_key, flush=True)  # noqa: T201
                sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])

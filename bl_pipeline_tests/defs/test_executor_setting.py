"""BL_EXECUTOR chooses the executor of every job, and says which package is missing."""

from __future__ import annotations

import subprocess
import sys

import dagster as dg
import pytest

from bl_pipeline.defs.executors import executor_of
from bl_pipeline.defs.resources import SyncSessionResource
from bl_pipeline.settings import Executor, SettingsError, load_settings
from bl_pipeline_tests.conftest import MakeSettings
from bl_pipeline_tests.support.slow import some_slow

LOOK = """
from bl_pipeline.definitions import defs
# One deletes runs, and has no steps to distribute.
jobs = [job for job in defs.resolve_all_job_defs() if job.name != "delete_old_runs"]
print(len(jobs), *{job.executor_def.name for job in jobs})
"""
BROKER = "redis://:sesame-open@127.0.0.1:1/0"


@pytest.mark.parametrize("executor", some_slow(Executor, [Executor.MULTIPROCESS]))
def test_every_job_has_the_executor(executor: Executor, isolated: pytest.MonkeyPatch) -> None:
    isolated.setenv("BL_EXECUTOR", executor)
    isolated.setenv("BL_CELERY_BROKER", BROKER)
    found = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True).stdout.split()
    assert int(found[0]) >= 9
    assert found[1:] == [executor]


@pytest.mark.parametrize(("executor", "package"), [("celery", "dagster_celery"), ("k8s", "dagster_k8s")])
def test_a_missing_package_is_named(executor: str, package: str, isolated: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        isolated.delitem(sys.modules, name)
    isolated.setitem(sys.modules, package, None)
    with pytest.raises(
        SettingsError, match=rf"(?s)BL_EXECUTOR={executor} needs.*bl-pipeline\[{executor}\].*{package} is"
    ):
        executor_of(load_settings(bl_executor=executor, bl_celery_broker=BROKER))


@pytest.mark.parametrize("executor", [Executor.IN_PROCESS, Executor.MULTIPROCESS])
def test_a_run_has_a_lease_if_its_steps_are_spread(
    executor: Executor, make_settings: MakeSettings, isolated: pytest.MonkeyPatch
) -> None:
    for name, value in make_settings(bl_executor=executor).as_environment().items():
        isolated.setenv(name, value)
    with dg.build_resources({"sync": SyncSessionResource()}) as resources:
        assert (resources.sync.session.lease is not None) == (executor is not Executor.IN_PROCESS)


def test_a_step_sees_that_its_run_is_being_terminated(
    make_settings: MakeSettings, isolated: pytest.MonkeyPatch, dagster_instance: dg.DagsterInstance
) -> None:
    """On another machine no signal reaches it. Planted: no run is; every run is."""
    for name, value in make_settings().as_environment().items():
        isolated.setenv(name, value)
    seen: list[bool] = []

    @dg.op(required_resource_keys={"sync"})
    def look(context) -> None:  # type: ignore[no-untyped-def]
        for _ in range(2):
            seen.append(context.resources.sync.session.is_terminated())
            context.instance.report_run_canceling(context.run)

    @dg.job(resource_defs={"sync": SyncSessionResource()})
    def looking() -> None:
        look()

    looking.execute_in_process(instance=dagster_instance, raise_on_error=False)
    assert seen == [False, True]


@pytest.mark.slow
def test_a_worker_of_other_settings_does_not_start(isolated: pytest.MonkeyPatch) -> None:
    """Its steps would have no lease. Planted: only the broker looked at."""
    isolated.setenv("BL_CELERY_BROKER", BROKER)
    worker = [sys.executable, "-c", "import bl_pipeline.defs.celery_worker"]
    refused = subprocess.run(worker, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "The workers of Celery need the same settings as the Dagster UI: BL_EXECUTOR=celery" in refused.stderr
    isolated.setenv("BL_EXECUTOR", "celery")
    subprocess.run(worker, check=True)

"""The session of a run, as a resource of Dagster."""

import dagster as dg
import pytest

from bl_pipeline.defs.resources import SyncSessionResource
from bl_pipeline.settings import Settings


def test_a_run_that_was_deleted_while_it_goes_on_is_not_terminated(
    settings: Settings, isolated: pytest.MonkeyPatch
) -> None:
    """Planted: the status of a run that the history does not have."""
    for name, value in settings.as_environment().items():
        isolated.setenv(name, value)
    found: list[bool] = []

    @dg.op
    def delete_itself(context: dg.OpExecutionContext, sync: SyncSessionResource) -> None:
        context.instance.delete_run(context.run_id)
        found.append(sync.session.is_terminated())

    @dg.job
    def one_step() -> None:
        delete_itself()

    with dg.DagsterInstance.ephemeral() as instance:
        one_step.execute_in_process(resources={"sync": SyncSessionResource()}, instance=instance, raise_on_error=False)
    assert found == [False]

"""The session of a run, as a resource of Dagster."""

from __future__ import annotations

import dagster as dg
import pytest

from bl_pipeline.defs.resources import SyncSessionResource
from bl_pipeline.settings import Settings


def test_a_run_that_the_history_does_not_have_is_not_terminated(
    settings: Settings, isolated: pytest.MonkeyPatch
) -> None:
    """Such as one that was deleted while it was going on. Planted: its status is asked for."""
    for name, value in settings.as_environment().items():
        isolated.setenv(name, value)
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_init_resource_context(instance=instance) as context,
        SyncSessionResource().yield_for_execution(context) as resource,
    ):
        assert resource.session.is_terminated() is False

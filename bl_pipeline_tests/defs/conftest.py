"""In this folder a sync is a run of Dagster."""

from __future__ import annotations

import pytest

from bl_pipeline_tests.conftest import DagsterSync


@pytest.fixture
def sync(dagster_sync: DagsterSync) -> DagsterSync:
    """Run a job of Dagster."""
    return dagster_sync


@pytest.fixture
def synced(dagster_synced: DagsterSync) -> DagsterSync:
    """The same, but `store` has been synced once already, an hour ago."""
    return dagster_synced

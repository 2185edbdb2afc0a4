"""What the jobs do if nothing is asked of them, and what those that sync nothing show."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from bl_pipeline.columns import OPTIONAL_PARTS
from bl_pipeline.defs import jobs
from bl_pipeline.defs.retention import RetentionConfig
from bl_pipeline.defs.sync_graph import RequestConfig
from bl_pipeline_tests.conftest import DagsterSync, MakeSettings
from bl_pipeline_tests.defs.test_write_jobs import run_job

NOTHING_ELSE = {"include_items": True, "full_sync": False, "only_failed": False, "messages": False, "feedback": False}


@pytest.mark.parametrize(
    ("mapping", "given", "asked"),
    [
        (jobs.sync_config, {}, {"include_filed": True, "order_ids": None}),
        (jobs.sync_config, {"order_ids": ["31"]}, {"order_ids": ["31"]}),
        (jobs.full_sync_config, {}, {"full_sync": True}),
        (jobs.refresh_config, {"order_ids": ["31"]}, {"order_ids": ["31"]}),
        (jobs.retry_config, {}, {"only_failed": True}),
    ],
    ids=["sync", "sync of orders", "full sync", "refresh", "retry"],
)
def test_what_is_not_given_is_the_ordinary(
    mapping: dg.ConfigMapping, given: dict[str, Any], asked: dict[str, Any]
) -> None:
    """Planted: each default turned round."""
    for step in mapping.resolve_from_unvalidated_config(given).values():
        assert step["config"].items() >= {**NOTHING_ELSE, **asked}.items()


def test_a_day_is_the_least_that_dagster_keeps() -> None:
    """Planted: no limit, which would delete the runs of today; a limit of two days."""
    assert RetentionConfig(days=1).days == 1
    assert RetentionConfig().days is None
    with pytest.raises(ValueError, match="days"):
        RetentionConfig(days=0)


def test_how_many_full_syncs_were_withdrawn_is_shown(dagster_synced: DagsterSync, make_settings: MakeSettings) -> None:
    """Planted: nothing shown."""
    dagster_synced.clock.advance(days=1)
    dagster_synced(settings=make_settings(bl_daily_call_limit=5, bl_call_reserve=0), full_sync=True)
    shown = []
    for _ in range(2):
        done = run_job(dagster_synced, "cancel_full_sync")
        assert done.success
        (output,) = (event.step_output_data for event in done.all_events if event.is_successful_output)
        shown.append(output.metadata["full_syncs_withdrawn"].value)
    assert shown == [1, 0]


def test_a_rebuild_shows_the_state_of_the_store(dagster_synced: DagsterSync) -> None:
    """What it repaired is no fault any more. Planted: nothing shown."""
    done = run_job(dagster_synced, "rebuild")
    assert done.success
    (observed,) = (
        event.asset_observation_data.asset_observation
        for event in done.all_events
        if event.event_type is dg.DagsterEventType.ASSET_OBSERVATION
    )
    assert (observed.asset_key, observed.metadata["indicator"].value) == (dg.AssetKey("orders"), "synced")
    assert done.get_asset_check_evaluations()


def test_a_run_can_ask_for_each_optional_part() -> None:
    """Planted: a kind of answer without its field, at which every run would fail."""
    assert {*map(str, OPTIONAL_PARTS)} <= RequestConfig.model_fields.keys()

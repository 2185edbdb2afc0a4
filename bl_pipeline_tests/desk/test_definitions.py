"""What the code location offers, and how long it takes to load."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from statistics import median

import pytest

from bl_pipeline.definitions import defs
from bl_pipeline.defs.jobs import MONTHS

pytestmark = pytest.mark.slow

ASSETS = {"order_changes", "order_items", "order_summaries", "orders"}
CHECKS = {
    "order_items:items_are_stored",
    "order_items:items_match_counts",
    "order_items:items_match_subtotal",
    "orders:budget_is_kept",
    "orders:fees_match_their_parts",
    "orders:fields_are_readable",
    "orders:listed_orders_are_stored",
    "orders:loaded_orders_are_stored",
    "orders:statuses_are_known",
    "orders:store_is_in_step",
    "orders:totals_add_up",
}
JOBS = {
    "delete_old_runs",
    "full_sync",
    "rebuild",
    "refresh_order",
    "retry_failed_orders",
    "sync_orders",
}
SCHEDULES = {
    "delete_old_runs_schedule": ("17 3 * * *", "RUNNING"),
    "sync_orders_schedule": ("*/30 * * * *", "RUNNING"),
}
SENSORS = {
    "automation": "RUNNING",
    "run_failed": "RUNNING",
    "runs_cut_short": "RUNNING",
    "sync_incomplete": "RUNNING",
}
EMPTY = "import dagster as dg; defs = dg.Definitions(); defs.get_repository_def()"
OURS = "from bl_pipeline.definitions import defs; defs.get_repository_def()"
SECONDS = "import os; times = os.times(); print(times.user + times.system)"


def test_the_code_location_offers_these_things() -> None:
    """Names that people, bookmarks and scripts rely on: a change here belongs in the CHANGELOG."""
    repository = defs.get_repository_def()

    assets = {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs() if spec.group_name == "sales"}
    checks = {
        f"{key.asset_key.to_user_string()}:{key.name}"
        for key in repository.asset_graph.asset_check_keys
        if key.asset_key.to_user_string() in ASSETS
    }
    assert assets == ASSETS
    assert checks == CHECKS
    assert {job.name for job in repository.get_all_jobs()} - {"__ASSET_JOB"} >= JOBS
    assert {
        schedule.name: (schedule.cron_schedule, schedule.default_status.value) for schedule in repository.schedule_defs
    } == SCHEDULES
    assert {sensor.name: sensor.default_status.value for sensor in repository.sensor_defs} == SENSORS


def test_months_are_of_utc_and_hold_the_current_one() -> None:
    keys = MONTHS.get_partition_keys()

    assert keys[:2] == ["2000-01-01", "2000-02-01"]
    now = datetime.now(UTC)
    assert keys[-1] == f"{now:%Y-%m}-01"
    assert MONTHS.timezone == "UTC"


def test_every_column_says_what_it_is() -> None:
    for spec in defs.resolve_all_asset_specs():
        if spec.group_name == "sales":
            columns = spec.metadata["dagster/column_schema"].columns
            assert columns, spec.key
            assert all(column.type and column.description for column in columns), spec.key


def test_definitions_load_without_a_warning() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", OURS], capture_output=True, text=True, timeout=120, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_definitions_load_in_less_than_twice_the_time_of_an_empty_project() -> None:
    """In seconds of the processor, which the machine's other work does not lengthen much."""

    def seconds(program: str) -> float:
        command = [sys.executable, "-c", f"{program}; {SECONDS}"]
        return float(subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout)

    empty, ours = zip(*((seconds(EMPTY), seconds(OURS)) for _ in range(3)), strict=True)

    assert median(ours) < 2 * median(empty), json.dumps({"empty": empty, "ours": ours})

"""The code location: what it offers, and that it loads quickly and without a warning."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import dagster as dg
import pytest
from dagster._core.definitions.decorators.op_decorator import DecoratedOpFunction

from bl_pipeline.definitions import defs
from bl_pipeline.defs import of_a_store, sensors
from bl_pipeline.defs.jobs import MONTHS
from bl_pipeline.defs.step_errors import StepFailed
from bl_pipeline.reports.files import read_reports

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
REPOSITORY = defs.get_repository_def()
ASSETS = {"order_changes", "order_feedback", "order_items", "order_messages", "order_summaries", "orders"}
CHECKS = {
    "order_items:items_are_stored",
    "order_items:items_match_counts",
    "order_items:items_match_subtotal",
    "orders:budget_is_kept",
    "orders:collected_tax_is_explained",
    "orders:fees_match_their_parts",
    "orders:fields_are_readable",
    "orders:listed_orders_are_stored",
    "orders:loaded_orders_are_stored",
    "orders:statuses_are_known",
    "orders:store_is_in_step",
    "orders:totals_add_up",
}
JOBS = {
    "cancel_full_sync",
    "delete_old_runs",
    "full_sync",
    "rebuild",
    "refresh_order",
    "retry_failed_orders",
    "send_drive_thru",
    "sync_orders",
    "update_order",
}
SCHEDULES = {
    "delete_old_runs_schedule": ("17 3 * * *", "RUNNING"),
    "sync_orders_schedule": ("*/30 * * * *", "RUNNING"),
}
SENSORS = {
    "reports_due": "RUNNING",
    "run_failed": "RUNNING",
    "runs_cut_short": "RUNNING",
    "sync_incomplete": "RUNNING",
}


@dataclass(frozen=True)
class Offered:
    """What a code location offers, by name."""

    assets: set[str]
    checks: set[str]
    groups: set[str | None]
    jobs: set[str]
    schedules: Mapping[str, tuple[object, str]]
    sensors: dict[str, str]
    pools: set[str]
    fresh: set[str]


def names_in(defs: dg.Definitions) -> Offered:
    """The names of the definitions; assets, checks and pools are those of the sync."""
    repository = defs.get_repository_def()
    graph = repository.asset_graph
    specs = list(defs.resolve_all_asset_specs())
    return Offered(
        assets={spec.key.to_user_string() for spec in specs if spec.group_name != "reports"},
        checks={f"{key.asset_key.to_user_string()}:{key.name}" for key in graph.asset_check_keys},
        groups={spec.group_name for spec in specs},
        jobs={job.name for job in repository.get_all_jobs()} - {"__ASSET_JOB"},
        schedules={
            schedule.name: (schedule.cron_schedule, schedule.default_status.value)
            for schedule in repository.schedule_defs
        },
        sensors={sensor.name: sensor.default_status.value for sensor in repository.sensor_defs},
        pools={op.pool for job in repository.get_all_jobs() for op in job.graph.iterate_op_defs() if op.pool},
        fresh={spec.key.to_user_string() for spec in specs if spec.freshness_policy},
    )


def test_the_code_location_offers_these_things() -> None:
    """Names that people, bookmarks and scripts rely on: a change here belongs in the CHANGELOG."""
    graph = REPOSITORY.asset_graph
    assert names_in(defs) == Offered(
        assets=ASSETS,
        checks=CHECKS,
        groups={"sales", "reports"},
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=SENSORS,
        pools={"bricklink_api"},
        fresh={"orders"},
    )
    assert {key.to_user_string() for key in graph.get(dg.AssetKey("orders")).parent_keys} == {"order_changes"}
    assert {key.to_user_string() for key in graph.get(dg.AssetKey("order_changes")).parent_keys} == {"order_summaries"}
    assert {op.name: op.pool for op in REPOSITORY.get_job("refresh_order").graph.iterate_op_defs()} == {
        "list_orders": "bricklink_api",
        "plan_changes": None,
        "fetch_orders": "bricklink_api",
        "finish_sync": None,
    }
    assert {spec.key for spec in defs.resolve_all_asset_specs() if spec.group_name == "reports"} == {
        dg.AssetKey(report.name) for report in read_reports()
    }


def test_the_schedule_is_on_and_in_utc() -> None:
    schedule = REPOSITORY.get_schedule_def("sync_orders_schedule")

    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("*/30 * * * *", "UTC")
    assert schedule.job_name == "sync_orders"


def test_months_are_of_utc_and_hold_the_current_one() -> None:
    keys = MONTHS.get_partition_keys()
    assert REPOSITORY.get_job("full_sync").partitions_def == MONTHS

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


def test_every_job_and_op_says_what_it_does() -> None:
    jobs = [job for job in REPOSITORY.get_all_jobs() if not job.name.startswith("__")]
    assert [job.name for job in jobs if not job.description] == []
    assert [
        node.name for job in jobs for node in job.nodes_in_topological_order if not node.definition.description
    ] == []


def test_dagster_gets_no_error_with_its_own_words() -> None:
    """Planted: an op without `explained`; a sensor."""
    functions = {
        node.name: node.compute_fn.decorated_fn
        for job in REPOSITORY.get_all_jobs()
        for node in job.graph.iterate_op_defs()
        if isinstance(node.compute_fn, DecoratedOpFunction)
    }
    assert {"list_orders", "replay_answers", "check_sales", "revenue_by_month", "delete_runs"} <= set(functions)
    bare = [name for name, function in functions.items() if not hasattr(function, "__wrapped__")]
    assert bare == []


@pytest.mark.parametrize("name", ["sync_incomplete", "runs_cut_short", "sync_orders_schedule"])
def test_nor_from_what_is_evaluated_by_the_daemon(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("jane@example.com")

    monkeypatch.setattr(of_a_store, "load_settings", broken)
    monkeypatch.setattr(sensors, "load_stores", broken)
    with pytest.raises(StepFailed, match="ZeroDivisionError: a fault of bl_pipeline itself") as caught:
        if name == "sync_orders_schedule":
            REPOSITORY.get_schedule_def(name)(dg.build_schedule_context())
        else:
            found = getattr(sensors, name)(dg.build_sensor_context())
            list(found)
    assert "jane@" not in "".join(traceback.format_exception(caught.value))


def test_the_location_has_one_name_wherever_it_is_loaded() -> None:
    """Schedules are on or off by it."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["dagster"]
    assert project["code_location_name"] == "bl_pipeline"
    assert "location_name: bl_pipeline" in (PROJECT / "workspace.yaml").read_text()
    assert project["module_name"] in (PROJECT / "workspace.yaml").read_text()


LOAD = """
import warnings
warnings.simplefilter("error")
from bl_pipeline.definitions import defs
dg_repository = defs.get_repository_def()
dg_repository.load_all_definitions()
print(sorted(dg_repository.job_names))
"""


@pytest.mark.parametrize("filters", ["error"])
def test_the_location_loads_without_a_warning(filters: str) -> None:
    """In a process of its own, as Dagster does; no setting, no warehouse and no API is needed for it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BL_", "BRICKLINK_"))}
    loaded = subprocess.run(
        [sys.executable, "-W", filters, "-c", LOAD], cwd=PROJECT, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert loaded.returncode == 0, loaded.stderr[-3000:]
    assert loaded.stderr == ""
    assert "sync_orders" in loaded.stdout


EMPTY = "import dagster as dg; defs = dg.Definitions(); defs.get_repository_def()"
OURS = "from bl_pipeline.definitions import defs; defs.get_repository_def()"
SECONDS = "import os; times = os.times(); print(times.user + times.system)"


def test_definitions_load_in_less_than_twice_the_time_of_an_empty_project() -> None:
    """In seconds of the processor, which the machine's other work does not lengthen much."""

    def seconds(program: str) -> float:
        command = [sys.executable, "-c", f"{program}; {SECONDS}"]
        return float(subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout)

    empty, ours = zip(*((seconds(EMPTY), seconds(OURS)) for _ in range(3)), strict=True)

    assert median(ours) < 2 * median(empty), json.dumps({"empty": empty, "ours": ours})


@pytest.mark.parametrize(
    "command", [("list", "defs", "--json"), pytest.param(("check", "defs"), marks=pytest.mark.full)], ids=" ".join
)
def test_dg_finds_the_definitions(command: tuple[str, ...]) -> None:
    """Planted: `[tool.dg]` left out, or its target module misspelt."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BL_", "BRICKLINK_"))}
    dg_command = [str(Path(sys.executable).with_name("dg")), *command]
    done = subprocess.run(dg_command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if "--json" in command:
        listed = json.loads(done.stdout)
        assert {"sync_orders", "full_sync", "rebuild"} <= {job["name"] for job in listed["jobs"]}
        assert {"orders", "revenue_by_month"} <= {asset["asset_key"] for asset in listed["assets"]}

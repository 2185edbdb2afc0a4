"""The definitions of an installation with several stores: each has its own, and touches no other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from bl_pipeline.dagster_names import Job, Names
from bl_pipeline.definitions import defs as defs_of_one_store
from bl_pipeline.defs.installation import of_stores
from bl_pipeline.defs.store_state import newest_event
from bl_pipeline.desk.launching import Launches
from bl_pipeline.rules.indicator import sync_offset
from bl_pipeline.settings import load_settings, load_stores
from bl_pipeline.warehouse.database import open_warehouse
from bl_pipeline_tests.defs.test_definitions import (
    ASSETS,
    CHECKS,
    PROJECT,
    SCHEDULES,
    SENSORS,
    names_in,
)
from bl_pipeline_tests.support.several_stores import KEYS, SeveralStores, serve_stores
from bl_pipeline_tests.support.waiting import wait_until


@pytest.fixture
def stores(isolated: pytest.MonkeyPatch, tmp_path: Path, database_url: str) -> Iterator[SeveralStores]:
    """Three stores, which the environment names."""
    with serve_stores(tmp_path, now=datetime.now(UTC)) as stores:
        for name, value in {**stores.variables, "BL_DATABASE_URL": database_url, "BL_HOME": str(tmp_path)}.items():
            isolated.setenv(name, value)
        yield stores


def load() -> dg.Definitions:
    """As bl_pipeline.definitions does."""
    return of_stores([settings.store for settings in load_stores()], dg.in_process_executor)


def sales_of(*stores: str) -> set[dg.AssetKey]:
    """The assets of the syncs of these stores."""
    return {dg.AssetKey([store, asset]) for store in stores for asset in ASSETS}


def materialize(selection: set[dg.AssetKey], instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """What the button does, in a run with the resources of the settings."""
    job = load().resolve_implicit_global_asset_job_def()
    return job.get_subset(asset_selection=selection).execute_in_process(instance=instance, raise_on_error=False)


def stores_of_events(run: dg.ExecuteInProcessResult) -> set[str]:
    """The stores of the assets of which a run has logged something: an event, or the result of a check."""
    made = [event.asset_key for event in run.all_events if event.asset_key]
    checked = [check.asset_key for check in run.get_asset_check_evaluations()]
    return {key.path[0] for key in (*made, *checked)}


def stored() -> dict[str, int]:
    """Orders in the warehouse by store."""
    with open_warehouse(load_stores()[0]) as warehouse, warehouse.engine.connect() as connection:
        rows = connection.execute(text("SELECT store, count(*) AS orders FROM sales.orders GROUP BY store"))
        return {row.store: row.orders for row in rows}


@pytest.mark.slow
def test_each_store_has_definitions_of_its_own(stores: SeveralStores) -> None:
    """Names that people, bookmarks and scripts rely on: a change here belongs in the CHANGELOG."""
    defs = load()
    found = names_in(defs)
    assert found.assets == {f"{key}/{asset}" for key in KEYS for asset in ASSETS}
    assert found.checks == {f"{key}/{check}" for key in KEYS for check in CHECKS}
    assert found.groups == {f"sales_{key}" for key in KEYS} | {"reports"}
    assert found.jobs == {f"{job}_{key}" for key in KEYS for job in Job} | {"delete_old_runs"}
    assert found.schedules == {
        "delete_old_runs_schedule": SCHEDULES["delete_old_runs_schedule"],
        "sync_orders_schedule_bricks_uk": ("*/30 * * * *", "RUNNING"),
        "sync_orders_schedule_bricks_de": ("10,40 * * * *", "RUNNING"),
        "sync_orders_schedule_bricks_us": ("20,50 * * * *", "RUNNING"),
    }
    assert found.sensors == SENSORS
    assert found.pools == {f"bricklink_api_{key}" for key in KEYS}
    assert found.fresh == {f"{key}/orders" for key in KEYS}
    graph = defs.get_repository_def().asset_graph
    above = graph.get(dg.AssetKey("revenue_orders")).parent_keys
    assert {dg.AssetKey([key, "orders"]) for key in KEYS} <= above
    # A job, a schedule and a pool of one store have nothing of another.
    for key in KEYS:
        for name in Job:
            job = defs.resolve_job_def(f"{name}_{key}")
            words = [node.name for node in job.graph.iterate_op_defs()] + [
                str(op.pool) for op in job.graph.iterate_op_defs() if op.pool
            ]
            assert all(word.endswith(f"_{key}") for word in words), words


@pytest.mark.slow
def test_no_two_stores_have_a_name_in_common(isolated: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever their keys. Caught: with `uk` and `orders_uk` a job and a graph were `sync_orders_uk`."""
    file = tmp_path / "stores.toml"
    isolated.setenv("BL_STORES_FILE", str(file))
    file.write_text(
        "".join(f'[{key}]\ncredentials = "{key.upper()}"\n' for key in ("uk", "orders_uk", "sales_uk", "one"))
    )
    jobs = load().get_repository_def().get_all_jobs()
    names = {name for job in jobs for name in (job.name, *(node.name for node in job.all_node_defs))}
    of_each = {name.removesuffix("_one") for name in names if name.endswith("_one")}
    assert {"sync_orders", "plan_changes", "check_sales"} <= of_each
    assert [(name, other) for name in of_each for other in of_each if name.startswith(f"{other}_")] == []


@pytest.mark.slow
def test_a_file_with_one_store_changes_no_name(isolated: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with serve_stores(tmp_path, KEYS[:1]) as stores:
        for name, value in stores.variables.items():
            isolated.setenv(name, value)
        assert names_in(load()) == names_in(defs_of_one_store)


@pytest.mark.slow
def test_schedules_are_spread_over_the_half_hour() -> None:
    """Planted: all at the full and the half hour."""

    def minutes(stores: int) -> list[int]:
        return [sync_offset(place, stores).seconds // 60 for place in range(stores)]

    assert minutes(1) == [0]
    assert minutes(2) == [0, 15]
    assert minutes(7) == [0, 4, 8, 12, 17, 21, 25]
    assert minutes(30) == list(range(30))
    # cron has minutes and no seconds.
    assert sorted(map(minutes(50).count, range(30))) == [1] * 10 + [2] * 20


@pytest.mark.slow
def test_one_store_is_materialized_and_no_other(stores: SeveralStores, dagster_instance: dg.DagsterInstance) -> None:
    """Planted: one resource for all stores."""
    run = materialize(sales_of("bricks_de"), dagster_instance)
    assert run.success
    assert [requests > 0 for requests in stores.requests] == [False, True, False]
    assert stored() == {"bricks_de": 7}
    assert stores_of_events(run) == {"bricks_de"}


def test_a_run_syncs_one_store(stores: SeveralStores, dagster_instance: dg.DagsterInstance) -> None:
    """Planted: no refusal, so that both share a row of sync.runs and one fetches the orders of the other."""
    run = materialize(sales_of("bricks_de", "bricks_uk"), dagster_instance)
    assert not run.success
    failures = [str(event.step_failure_data.user_failure_data) for event in run.all_events if event.is_step_failure]
    assert failures
    assert all("This run has assets of several stores: bricks_de, bricks_uk." in failure for failure in failures)
    assert stores.requests == [0, 0, 0]
    assert stored() == {}


@pytest.mark.slow
def test_a_job_is_of_its_store(stores: SeveralStores, dagster_instance: dg.DagsterInstance) -> None:
    """Planted: events of its assets without the store."""
    order_id = str(next(iter(stores.servers["bricks_us"].store.sales)))
    job = load().resolve_job_def("refresh_order_bricks_us")
    asked = {"ops": {"config": {"order_ids": [order_id]}}}
    run = job.execute_in_process(run_config=asked, instance=dagster_instance)
    assert run.success
    assert stores_of_events(run) == {"bricks_us"}
    assert stored() == {"bricks_us": 1}
    assert [requests > 0 for requests in stores.requests] == [False, False, True]
    with open_warehouse(load_stores()[0]) as warehouse, warehouse.engine.connect() as connection:
        assert connection.execute(text("SELECT store, job FROM sync.runs")).all() == [("bricks_us", "refresh_order")]


@pytest.mark.slow
def test_a_refused_store_stops_no_other(
    stores: SeveralStores, isolated: pytest.MonkeyPatch, dagster_instance: dg.DagsterInstance
) -> None:
    """Planted: the end of a run shown at `orders` without the store."""
    isolated.setenv("BRICKS_UK_TOKEN_SECRET", "wrong")
    defs = load()
    done = [
        defs.resolve_job_def(f"sync_orders_{key}").execute_in_process(instance=dagster_instance, raise_on_error=False)
        for key in KEYS
    ]
    assert [run.success for run in done] == [False, True, True]
    assert [stores_of_events(run) for run in done[1:]] == [{key} for key in KEYS[1:]]
    assert (newest_event(dagster_instance, Names("bricks_uk")) or {})["indicator"] == "error"
    assert stored() == {"bricks_de": 7, "bricks_us": 8}


@pytest.mark.slow
def test_a_store_that_is_not_connected_skips_for_a_reason_of_its_own(
    stores: SeveralStores, isolated: pytest.MonkeyPatch
) -> None:
    """Planted: the reason of the first store for all."""
    for name in stores.variables:
        if name.startswith("BRICKS_DE_"):
            isolated.delenv(name)
    repository = load().get_repository_def()
    with dg.instance_for_test() as instance, dg.build_schedule_context(instance=instance) as context:
        said = {key: repository.get_schedule_def(f"sync_orders_schedule_{key}")(context) for key in KEYS}
    assert [isinstance(result, dg.RunRequest) for result in said.values()] == [True, False, True]
    assert isinstance(said["bricks_de"], dg.SkipReason)
    assert str(said["bricks_de"].skip_message).startswith(
        "The store's API credentials are not set: BRICKS_DE_CONSUMER_KEY, "
    )


@pytest.mark.slow
def test_a_report_counts_the_rows_of_each_store(stores: SeveralStores, dagster_instance: dg.DagsterInstance) -> None:
    """Planted: the rows of the first store only."""
    for key in KEYS[:2]:
        assert materialize(sales_of(key), dagster_instance).success
    run = materialize({dg.AssetKey("revenue_orders")}, dagster_instance)
    (event,) = run.get_asset_materialization_events()
    shown = event.materialization.metadata
    by_store = shown["rows_by_store"]
    assert isinstance(by_store, dg.TableMetadataValue)
    rows = {record.data["store"]: record.data["rows"] for record in by_store.records}
    with open_warehouse(load_stores()[0]) as warehouse, warehouse.engine.connect() as connection:
        counted = connection.execute(
            text("SELECT store, count(*) AS orders FROM reports.revenue_orders GROUP BY store")
        )
        stored_rows: dict[str, int] = {row.store: row.orders for row in counted}
    assert rows == {**dict.fromkeys(KEYS, 0), **stored_rows}
    assert shown["dagster/row_count"].value == sum(stored_rows.values()) > 0


@pytest.mark.slow
def test_the_terminal_and_the_desk_run_the_job_of_the_store(stores: SeveralStores) -> None:
    """Planted: the job of the first store; a run in the UI under no job."""
    from bl_pipeline.defs.instance import open_instance

    settings = load_settings(bl_store="bricks_de")
    launches = Launches(settings)
    run_id = launches.start("sync_orders", {"full_sync": False})
    wait_until(lambda: launches.ended(run_id) is not None)
    ended = launches.ended(run_id)
    launches.close()
    assert ended is not None
    assert (ended.exit_code, ended.message) == (0, None)
    assert stored() == {"bricks_de": 7}
    with open_instance(settings) as instance:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert (run.job_name, run.status) == ("sync_orders_bricks_de", dg.DagsterRunStatus.SUCCESS)
        assert run.tags[".dagster/repository"] == "__repository__@bl_pipeline"
        assert instance.get_latest_materialization_event(dg.AssetKey(["bricks_de", "orders"])) is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [("dg", "check", "defs"), ("dagster", "definitions", "validate", "-m", "bl_pipeline.definitions")],
    ids=lambda command: command[0],
)
def test_the_definitions_are_valid_and_wrong_settings_are_named(
    command: tuple[str, ...], stores: SeveralStores, tmp_path: Path
) -> None:
    """Planted: an error that only says that the location cannot be loaded."""
    file = tmp_path / "stores.toml"

    def check() -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name(command[0])
        return subprocess.run([str(program), *command[1:]], cwd=PROJECT, capture_output=True, text=True, check=False)

    done = check()
    assert done.returncode == 0, done.stdout + done.stderr
    file.write_text(file.read_text() + "\n[bricks_fr]\ntimezon = 1\n")
    done = check()
    assert done.returncode != 0
    assert "[bricks_fr] timezon: there is no such key; perhaps timezone" in done.stdout + done.stderr


@pytest.mark.slow
def test_names_of_a_job_lead_back_to_it() -> None:
    assert Names("ASSET_JOB").job("__ASSET_JOB") == "__ASSET_JOB"
    assert Names("bricks_uk").job("sync_orders_bricks_uk") == "sync_orders"
    assert Names("bricks_uk").job("sync_orders_bricks_de") == "sync_orders_bricks_de"
    assert Names().job("sync_orders") == "sync_orders"

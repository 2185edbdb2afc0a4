"""The sensors go over all stores, and what is known, sent or ended of one says nothing of another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from bl_pipeline.dagster_names import Names
from bl_pipeline.defs import sensors
from bl_pipeline.defs.dead_runs import end_dead_runs
from bl_pipeline.defs.installation import of_stores
from bl_pipeline.defs.notify import without_secrets
from bl_pipeline.defs.store_state import newest_event
from bl_pipeline.sandbox import Fault
from bl_pipeline.settings import load_installation, load_settings, load_stores
from bl_pipeline.warehouse.database import open_warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.conftest import Clock, DagsterSync
from bl_pipeline_tests.defs.test_sensors import evaluate_incomplete, evaluate_run_failed, start_run
from bl_pipeline_tests.support.inbox import Inbox
from bl_pipeline_tests.support.several_stores import KEYS, SeveralStores, serve_stores

# Apprise loads all of its services, and one of them asks for a module that newer Pythons do not have.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
def stores(isolated: pytest.MonkeyPatch, tmp_path: Path, database_url: str, inbox: Inbox) -> Iterator[SeveralStores]:
    """Three stores, which the environment names, and the inbox."""
    with serve_stores(tmp_path) as stores:
        for name, value in {**stores.variables, "BL_DATABASE_URL": database_url, "BL_NOTIFY_URLS": inbox.url}.items():
            isolated.setenv(name, value)
        yield stores


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A history of the test's own."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def sync(key: str, instance: dg.DagsterInstance, *, now: datetime | None = None) -> DagsterSync:
    """A sync of a store, now or at another time."""
    done = DagsterSync(load_settings(bl_store=key), Clock(now or datetime.now(UTC)), instance)
    done()
    return done


@pytest.mark.slow
def test_each_store_is_reported_for_itself(stores: SeveralStores, inbox: Inbox, instance: dg.DagsterInstance) -> None:
    """Planted: one cursor for all stores."""
    day_before = datetime.now(UTC) - timedelta(hours=25)
    for key in KEYS:
        sync(key, instance, now=day_before if key == "bricks_de" else None)
    cursor = evaluate_incomplete(instance=instance)
    assert [text.partition(": No sync")[0] for text in inbox.texts] == [
        "bl_pipeline: bricks_de: the warehouse is stale"
    ]
    server = stores.servers["bricks_uk"]
    server.faults.on(f"/orders/{server.store.place_order()}", Fault.FORBIDDEN)
    sync("bricks_uk", instance)
    cursor = evaluate_incomplete(cursor, instance)
    assert inbox.texts[1:] == [
        "bl_pipeline: bricks_uk: orders failed: 1 order could not be fetched or read; "
        "`bl errors --store bricks_uk` says why."
    ]
    # The same becomes true of another store: it is news, and of the first two it is not.
    server = stores.servers["bricks_de"]
    server.faults.on(f"/orders/{server.store.place_order()}", Fault.FORBIDDEN)
    sync("bricks_de", instance)
    cursor = evaluate_incomplete(cursor, instance)
    assert [text.partition(": 1 order")[0] for text in inbox.texts[2:]] == ["bl_pipeline: bricks_de: orders failed"]
    evaluate_incomplete(cursor, instance)
    assert len(inbox.texts) == 3
    assert json.loads(cursor or "") == {"bricks_uk": ["failed"], "bricks_de": ["failed"], "bricks_us": []}


@pytest.mark.slow
def test_the_cursor_of_the_only_store_is_read_when_there_are_more(
    stores: SeveralStores, inbox: Inbox, instance: dg.DagsterInstance
) -> None:
    """Of a release before, and of an installation that had one store."""
    for key in KEYS:
        sync(key, instance)
    for before in ('["stale"]', '{"main": ["stale"]}'):
        assert json.loads(evaluate_incomplete(before, instance) or "") == {key: [] for key in KEYS}


@pytest.mark.slow
def test_a_word_that_has_changed_is_shown_at_the_asset_of_its_store(
    stores: SeveralStores, instance: dg.DagsterInstance
) -> None:
    """Planted: the newest event of another store's `orders`."""
    for key in KEYS:
        sync(key, instance, now=datetime.now(UTC) - timedelta(hours=25 if key == "bricks_us" else 0))
    evaluate_incomplete(instance=instance)
    evaluate_incomplete(instance=instance)
    events = {key: newest_event(instance, Names(key)) for key in KEYS}
    assert {key: event and event["indicator"] for key, event in events.items()} == {
        "bricks_uk": "synced", "bricks_de": "synced", "bricks_us": "stale",
    }  # fmt: skip
    observed = {key: len(instance.fetch_observations(dg.AssetKey([key, "orders"]), limit=9).records) for key in KEYS}
    assert observed == {"bricks_uk": 0, "bricks_de": 0, "bricks_us": 1}
    assert newest_event(instance, Names()) is None


@pytest.mark.slow
def test_the_same_failure_of_two_stores_is_two_messages(
    stores: SeveralStores, inbox: Inbox, isolated: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    """Planted: the run before, whatever its store."""
    for key in ("BRICKS_UK", "BRICKS_DE"):
        isolated.setenv(f"{key}_TOKEN_SECRET", "not-the-right-one")
    for key in ("bricks_uk", "bricks_de", "bricks_uk"):
        evaluate_run_failed(sync(key, instance))
    assert [text.split(" failed: ")[0] for text in inbox.texts] == [
        "bl_pipeline: bricks_uk: sync_orders",
        "bl_pipeline: bricks_de: sync_orders",
    ]


def test_any_job_that_fails_is_reported_with_its_store(
    stores: SeveralStores, inbox: Inbox, isolated: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    """One that syncs nothing, and one of no store. Planted: only jobs that sync looked for among those of a store."""
    of_all = of_stores([settings.store for settings in load_stores()], dg.in_process_executor)

    def run(job: str, **config: object) -> DagsterSync:
        ended = of_all.resolve_job_def(job).execute_in_process(config, instance=instance, raise_on_error=False)
        return DagsterSync(load_settings(bl_store="bricks_uk"), Clock(datetime.now(UTC)), instance, ended)

    evaluate_run_failed(run("delete_old_runs", ops={"delete_runs": {"config": {"days": 99999999}}}))
    isolated.setenv("BL_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    evaluate_run_failed(run("rebuild_bricks_de"))
    assert [text.partition(" failed: ")[0] for text in inbox.texts] == [
        "bl_pipeline: delete_old_runs",
        "bl_pipeline: bricks_de: rebuild",
    ]


@pytest.mark.slow
def test_secrets_of_every_store_are_removed(stores: SeveralStores) -> None:
    """Planted: those of the store only whose settings they are."""
    secrets = [value for name, value in stores.variables.items() if name.startswith("BRICKS_")]
    for settings in (load_installation(), *load_stores()):
        assert without_secrets(settings, " ".join(secrets)) == " ".join(["***"] * len(secrets))


@pytest.mark.slow
def test_a_sync_whose_process_is_gone_is_ended_while_other_stores_sync(
    stores: SeveralStores, instance: dg.DagsterInstance
) -> None:
    """Planted: all stores quiet, or none; the runs of every store ended."""
    now = datetime.now(UTC)
    dead = {key: start_run(instance, f"sync_orders_{key}", at=now - timedelta(minutes=6)) for key in KEYS}
    assert end_dead_runs(instance, [Names("bricks_de")], now) == [dead["bricks_de"]]

    with open_warehouse(load_settings(bl_store="bricks_uk")) as warehouse:
        lock = SyncLock(warehouse)
        assert lock.try_acquire()
        with dg.build_sensor_context(instance=instance) as context:
            said = sensors.runs_cut_short(context)
        lock.release()
    assert isinstance(said, dg.SkipReason)
    assert said.skip_message == f"Ended: {dead['bricks_us']}"
    found = {key: instance.get_run_by_id(run_id) for key, run_id in dead.items()}
    assert {key: run and run.status.value for key, run in found.items()} == {
        "bricks_uk": "STARTED", "bricks_de": "FAILURE", "bricks_us": "FAILURE",
    }  # fmt: skip

"""The sensors as the daemon evaluates them; messages really arrive, over HTTP."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import astuple
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

from bl_pipeline.dagster_names import Names
from bl_pipeline.definitions import defs
from bl_pipeline.defs import sensors
from bl_pipeline.defs.dead_runs import end_dead_runs
from bl_pipeline.defs.notify import notify, without_secrets
from bl_pipeline.defs.report_assets import reports_sensor
from bl_pipeline.defs.store_state import newest_event
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.settings import Settings, SettingsError
from bl_pipeline.stores_file import CREDENTIAL_VARIABLES
from bl_pipeline.sync.interruptions import Interrupted
from bl_pipeline.sync.session import RunLost, SyncSession
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lease import DIED
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline.warehouse.runs import last_runs
from bl_pipeline_tests.conftest import Clock, DagsterSync, MakeSettings, OpenSession
from bl_pipeline_tests.support.distributed import LONG
from bl_pipeline_tests.support.inbox import Inbox

LOG = logging.getLogger(__name__)
SCHEDULE = defs.get_repository_def().get_schedule_def("sync_orders_schedule")

# Apprise loads all of its services, and one of them asks for a module that newer Pythons do not have.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
def as_set(isolated: pytest.MonkeyPatch, make_settings: MakeSettings, inbox: Inbox) -> Settings:
    """Settings with the inbox, in the environment, from which the sensors read them."""
    settings = make_settings(bl_notify_urls=inbox.url, bl_store="main")
    for name, value in settings.as_environment().items():
        isolated.setenv(name, value)
    return settings


def evaluate_run_failed(sync: DagsterSync) -> None:
    """Evaluate the failure sensor for the last run."""
    assert sync.last is not None
    with dg.build_run_status_sensor_context(
        sensor_name="run_failed",
        dagster_event=sync.last.get_run_failure_event(),
        dagster_instance=sync.instance,
        dagster_run=sync.last.dagster_run,
    ) as context:
        sensors.run_failed(context.for_run_failure())


def evaluate_incomplete(cursor: str | None = None, instance: dg.DagsterInstance | None = None) -> str | None:
    """Evaluate the other sensor, with a history of its own if none is given, and return its cursor."""
    with (
        nullcontext(instance) if instance else dg.DagsterInstance.ephemeral() as history,
        dg.build_sensor_context(instance=history, cursor=cursor) as context,
    ):
        results = sensors.sync_incomplete(context)
        assert isinstance(results, Iterator)
        assert [type(result) for result in results] == [dg.SkipReason]
        return context.cursor


def test_a_failed_run_is_reported_with_what_to_do(
    as_set: Settings,
    sync: DagsterSync,
    make_settings: MakeSettings,
    inbox: Inbox,
    server: SandboxServer,
    capfd: pytest.CaptureFixture[str],
) -> None:
    sync(settings=make_settings(bricklink_token_secret="not-the-right-one"))

    evaluate_run_failed(sync)
    assert "As the run before: " not in capfd.readouterr().err

    sync(settings=make_settings(bricklink_token_secret="not-the-right-one"))
    evaluate_run_failed(sync)

    assert len(inbox.texts) == 1, "sent once, until it ends otherwise"
    assert "As the run before: " in capfd.readouterr().err
    assert inbox.texts[0].startswith("bl_pipeline: sync_orders failed: ")
    assert "SIGNATURE_INVALID" in inbox.texts[0] or "BRICKLINK_" in inbox.texts[0]

    server.faults.on("/orders", Fault.HTML503)
    sync()
    evaluate_run_failed(sync)
    assert len(inbox.texts) == 2, "it failed for another reason"


@pytest.mark.slow
def test_an_unexpected_failure_is_reported_without_secrets(
    as_set: Settings, sync: DagsterSync, inbox: Inbox, isolated: pytest.MonkeyPatch, database_url: str
) -> None:
    """Catches a library's error that quotes what it was given."""
    secrets = [*astuple(as_set.store.known_credentials()), database_url, inbox.url, "hook-password"]
    isolated.setattr("bl_pipeline.sync.session.SyncSession.usage", lambda _self: _fail(" and ".join(secrets)))

    sync()
    evaluate_run_failed(sync)

    assert len(inbox.texts) == 1
    for secret in secrets:
        assert secret not in json.dumps(inbox.messages)


def _fail(message: str) -> None:
    raise dg.Failure(message)


def test_a_stale_store_is_reported_once_until_it_is_in_step(
    as_set: Settings, inbox: Inbox, sync: DagsterSync, warehouse: Warehouse
) -> None:
    cursor = evaluate_incomplete()
    assert inbox.texts == [], "nothing has run as yet"
    ended = sync.clock.now = datetime.now(UTC) - timedelta(hours=25)
    sync()
    cursor = evaluate_incomplete(cursor)
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    cursor = evaluate_incomplete(cursor)
    lock.release()
    cursor = evaluate_incomplete(cursor)

    assert inbox.texts == [
        "bl_pipeline: the warehouse is stale: No sync was complete for 24 hours; "
        f"the last one ended {ended:%Y-%m-%d %H:%M} UTC. "
        "Sync now with: bl sync. Sync every half hour with: bl up. What is wrong: bl doctor"
    ]
    sync.clock.now = datetime.now(UTC)
    sync()
    assert evaluate_incomplete(cursor) == '{"main": []}'
    assert len(inbox.texts) == 1


@pytest.mark.slow
def test_a_sync_in_the_future_is_reported_too(as_set: Settings, inbox: Inbox, sync: DagsterSync) -> None:
    """It was stored while a clock was ahead, and does not say how old the warehouse is."""
    cursor = evaluate_incomplete()
    sync.clock.now = datetime.now(UTC) + timedelta(hours=25)
    sync()
    evaluate_incomplete(cursor)
    assert [text.startswith("bl_pipeline: the warehouse is stale: ") for text in inbox.texts] == [True]


@pytest.mark.slow
def test_a_word_that_has_changed_without_a_run_is_shown_once(as_set: Settings, sync: DagsterSync) -> None:
    """Time makes stale. Planted: an event each five minutes; none."""
    sync.clock.now = datetime.now(UTC) - timedelta(hours=25)
    sync()
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(3):
            with dg.build_sensor_context(instance=instance) as context:
                results = sensors.sync_incomplete(context)
                assert isinstance(results, Iterator)
                list(results)
        shown = instance.fetch_observations(dg.AssetKey("orders"), limit=10).records
        event = newest_event(instance, Names())
    assert (len(shown), event and event["indicator"]) == (1, "stale")


def test_failed_and_deferred_orders_are_reported(
    as_set: Settings, inbox: Inbox, sync: DagsterSync, server: SandboxServer, store: Store, make_settings: MakeSettings
) -> None:
    sync.clock.now = datetime.now(UTC)
    server.faults.on(f"/orders/{max(store.sales)}", Fault.FORBIDDEN)
    sync()

    cursor = evaluate_incomplete()

    assert inbox.texts == ["bl_pipeline: orders failed: 1 order could not be fetched or read; `bl errors` says why."]
    sync(settings=make_settings(bl_daily_call_limit=1, bl_call_reserve=0), full_sync=True)
    evaluate_incomplete(cursor)
    budget = "bl_pipeline: stopped at the call budget: The call budget is used up. Calls are free again from "
    assert inbox.texts[1].startswith(budget)


def test_a_run_that_has_stopped_at_the_budget_is_not_reported_as_stale_too(
    as_set: Settings, inbox: Inbox, sync: DagsterSync, make_settings: MakeSettings
) -> None:
    """The last complete sync is not long ago. Planted: every store that is stale."""
    sync.clock.now = datetime.now(UTC)
    sync()
    sync(settings=make_settings(bl_daily_call_limit=1, bl_call_reserve=0), full_sync=True)
    evaluate_incomplete()
    assert [text[:41] for text in inbox.texts] == ["bl_pipeline: stopped at the call budget: "]


@pytest.mark.slow
def test_a_run_that_has_failed_is_not_reported_as_stale_too(
    as_set: Settings, inbox: Inbox, sync: DagsterSync, make_settings: MakeSettings
) -> None:
    """However long ago the last sync was. Planted: the word of the indicator not looked at."""
    sync.clock.now = datetime.now(UTC) - timedelta(hours=25)
    sync()
    sync.clock.advance(seconds=1)
    sync(settings=make_settings(bricklink_token_secret="wrong"))
    assert evaluate_incomplete() == '{"main": []}'
    assert inbox.texts == []


@pytest.mark.slow
def test_a_message_that_did_not_arrive_is_sent_again(as_set: Settings, inbox: Inbox, sync: DagsterSync) -> None:
    sync.clock.now = datetime.now(UTC) - timedelta(hours=25)
    sync()
    inbox.status = 500
    cursor = evaluate_incomplete()
    inbox.status = 200

    assert cursor == '{"main": []}'
    evaluate_incomplete(cursor)
    assert len(inbox.texts) == 1


def test_without_addresses_the_log_has_it(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    assert notify(settings, title="bl_pipeline: stale", message="since yesterday", log=LOG)

    assert "bl_pipeline: stale: since yesterday" in caplog.text


def test_an_address_that_is_none_is_named_by_its_place(make_settings: MakeSettings) -> None:
    settings = make_settings(bl_notify_urls="json://127.0.0.1/ nonsense://user:password@host")

    with pytest.raises(SettingsError, match=r"^BL_NOTIFY_URLS: address 2 is not one that Apprise understands\.$"):
        notify(settings, title="t", message="m", log=LOG)


def test_passwords_are_struck_out_as_written_and_as_meant(make_settings: MakeSettings) -> None:
    settings = make_settings(bl_database_url="postgresql://seller:p%40ssword@db.example.org/sales")

    text = without_secrets(settings, "p@ssword, p%40ssword, postgresql://seller:p%40ssword@db.example.org/sales, sales")

    assert text == "***, ***, ***, sales"


@pytest.mark.parametrize(("password", "text"), [("sesame", "***"), ("sales", "sales")])
def test_a_secret_of_less_than_six_characters_is_a_part_of_words(
    make_settings: MakeSettings, password: str, text: str
) -> None:
    settings = make_settings(bl_database_url=f"postgresql://seller:{password}@db.example.org/warehouse")

    assert without_secrets(settings, password) == text


def test_a_sync_whose_process_is_gone_is_ended(dagster_instance: dg.DagsterInstance) -> None:
    """Its place in the pool is free again; what may be alive, or is no sync, is left alone."""

    sync, other = start_run(dagster_instance, "sync_orders"), start_run(dagster_instance, "report")
    now = datetime.now(UTC)

    assert end_dead_runs(dagster_instance, [Names()], now + timedelta(minutes=4)) == []
    assert end_dead_runs(dagster_instance, [Names()], now + timedelta(minutes=6)) == [sync]
    statuses = [dagster_instance.get_run_by_id(run_id) for run_id in (sync, other)]
    assert [run.status.value for run in statuses if run] == ["FAILURE", "STARTED"]


def start_run(instance: dg.DagsterInstance, job: str, at: datetime | None = None) -> str:
    """A run of a job of this name that has started, now or then, and whose process does nothing; its id."""
    run = instance.create_run_for_job(_job(job))
    event = dg.DagsterEvent(event_type_value="PIPELINE_START", job_name=job)
    instance.report_dagster_event(event, run_id=run.run_id, timestamp=at.timestamp() if at else None)
    return run.run_id


@pytest.mark.slow
@pytest.mark.parametrize("ended", ["canceled", "failed"])
def test_a_run_that_dagster_has_ended_does_not_keep_the_store(
    ended: str,
    as_set: Settings,
    dagster_instance: dg.DagsterInstance,
    session: SyncSession,
    open_test_session: OpenSession,
) -> None:
    """Terminated between two steps, or a process of a step killed. Planted: the store kept until the lease has gone."""

    def look() -> None:
        with dg.build_sensor_context(instance=dagster_instance) as context:
            sensors.runs_cut_short(context)

    run = dagster_instance.create_run_for_job(_job("sync_orders"))
    session.lease = LONG
    assert session.try_begin_distributed(run.run_id, job="sync_orders")
    other = open_test_session()
    look()
    assert not other.lock.try_acquire()

    if ended == "canceled":
        dagster_instance.report_run_canceled(run)
    else:
        dagster_instance.report_run_failed(run)
    look()

    assert other.lock.try_acquire()
    with session.warehouse.engine.connect() as connection:
        [noted] = last_runs(connection, session.warehouse, limit=5)
    assert (noted.status, noted.message) == (ended, None if ended == "canceled" else DIED)
    with pytest.raises(Interrupted if ended == "canceled" else RunLost):
        session.check_canceled()


def _job(name: str) -> dg.JobDefinition:
    @dg.op
    def nothing() -> None:
        """Does nothing."""

    @dg.graph(name=name)
    def graph() -> None:
        nothing()

    return graph.to_job()


def test_without_credentials_nothing_is_scheduled_and_what_is_missing_is_reported(
    as_set: Settings, inbox: Inbox, isolated: pytest.MonkeyPatch
) -> None:
    for name in CREDENTIAL_VARIABLES:
        isolated.delenv(name)

    with dg.build_schedule_context() as context:
        skipped = SCHEDULE(context)

    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message is not None
    assert skipped.skip_message.startswith("The store's API credentials are not set: BRICKLINK_CONSUMER_KEY, ")
    evaluate_incomplete()
    assert inbox.texts == [
        "bl_pipeline: the store is not connected: The store is not connected: its API credentials are not set, so "
        "nothing is synced. Put the store's four API credentials into .env, then: bl doctor"
    ]


def test_no_second_sync_is_scheduled_behind_a_waiting_one(as_set: Settings) -> None:
    location = RegisteredCodeLocationOrigin("bl_pipeline")
    origin = RemoteRepositoryOrigin(location, "__repository__").get_job_origin("sync_orders")
    with dg.instance_for_test() as instance, dg.build_schedule_context(instance=instance) as context:
        assert isinstance(SCHEDULE(context), dg.RunRequest)
        instance.create_run_for_job(
            _job("sync_orders"),
            status=dg.DagsterRunStatus.QUEUED,
            remote_job_origin=origin,
            job_code_origin=ReconstructableRepository.for_module("bl_pipeline.definitions", "defs")
            .get_reconstructable_job("sync_orders")
            .get_python_origin(),
        )
        assert isinstance(SCHEDULE(context), dg.SkipReason)


def evaluate_reports_due(clock: Clock) -> str | None:
    """The key of the run of all reports that is asked for, if one is."""
    with dg.build_sensor_context(repository_def=defs.get_repository_def()) as context:
        data = reports_sensor([Names()], clock).evaluate_tick(context)
    assert len(data.run_requests or ()) <= 1
    return data.run_requests[0].run_key if data.run_requests else None


def test_reports_of_one_store_are_looked_at_more_often() -> None:
    """Of many stores there is always one that has stored something. Planted: the same of one and of several."""
    seconds = [reports_sensor(stores).minimum_interval_seconds for stores in ([Names()], [Names("a"), Names("b")])]
    assert seconds == [60, 1800]


@pytest.mark.slow
def test_reports_are_due_when_an_order_was_stored_and_once_a_day(
    as_set: Settings, sync: DagsterSync, store: Store, server: SandboxServer
) -> None:
    """Dagster launches one run for each key. Planted: a key of the last run; a key without the day."""
    server.faults.on("/orders", Fault.HTML503)
    sync()
    assert evaluate_reports_due(sync.clock) is None
    server.faults.clear()
    sync()
    first = evaluate_reports_due(sync.clock)
    assert first
    sync.clock.advance(minutes=30)
    sync()
    server.faults.on("/orders", Fault.HTML503)
    sync.clock.advance(minutes=30)
    sync()
    assert evaluate_reports_due(sync.clock) == first
    server.faults.clear()
    sync.clock.advance(minutes=30)
    store.place_order()
    sync()
    second = evaluate_reports_due(sync.clock)
    assert second not in (None, first)
    sync.clock.advance(days=1)
    assert evaluate_reports_due(sync.clock) not in (None, first, second)

"""When the desk says that the store is synced next: as Dagster has it, and the truth if nothing does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from bl_pipeline.desk.app import create_app
from bl_pipeline.desk.serving import desks_of_stores
from bl_pipeline.settings import Settings
from bl_pipeline.warehouse.connections import open_engine
from bl_pipeline.warehouse.schedule import read_schedule
from bl_pipeline_tests.conftest import Clock
from bl_pipeline_tests.desk.test_overview import NONE, words
from bl_pipeline_tests.support.servers import as_user

UI = "http://127.0.0.1:3000"
Show = Callable[..., str]


@pytest.fixture
def show(settings: Settings, clock: Clock) -> Iterator[Show]:
    """What the card says of the next sync: `show(UI)` beside the Dagster UI, `show()` of the desk alone."""
    with ExitStack() as stack:

        def show_(dagster_url: str | None = None, **changed: object) -> str:
            used = replace_settings(settings, **changed)
            client = stack.enter_context(TestClient(create_app(desks_of_stores(used, [used], dagster_url, clock))))
            said = words(client.get("/").text).partition("Next sync ")[2].partition(" API calls")[0]
            planned = client.get("/api/integrations/bricklink/status").json()["nextSyncAt"]
            assert (planned is not None) == said.startswith("2026-"), (planned, said)
            return said

        yield show_


def replace_settings(settings: Settings, **changed: object) -> Settings:
    return settings.model_copy(update=changed)


def test_nothing_is_known_without_dagster(show: Show) -> None:
    assert show() == "not known: this desk runs alone. If bl up runs too, it syncs the store every half hour"
    assert show(UI).startswith("not known: Dagster does not keep its state in this warehouse.")
    assert show(UI, **NONE) == "when the store is connected"


@pytest.mark.slow
def test_the_next_sync_is_as_dagster_has_it(
    show: Show, settings: Settings, clock: Clock, isolated: pytest.MonkeyPatch, weak_user: str
) -> None:
    """All is written by Dagster itself. Planted: another name of the field; a sign of life that is old."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.remote_origin import (
        RegisteredCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData
    from dagster._daemon.types import DaemonHeartbeat

    from bl_pipeline.definitions import defs
    from bl_pipeline.defs.instance import open_instance

    schedule = defs.get_repository_def().get_schedule_def("sync_orders_schedule").name
    assert settings.bl_database_url is not None
    isolated.setenv("BL_DATABASE_URL", settings.bl_database_url.get_secret_value())
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("bl_pipeline"), "__repository__")

    def state(name: str, status: InstigatorStatus) -> InstigatorState:
        made_of = ScheduleInstigatorData("*/30 * * * *", None)
        return InstigatorState(RemoteInstigatorOrigin(origin, name), InstigatorType.SCHEDULE, status, made_of)

    clock.now = clock.now.replace(hour=10, minute=29, second=59)
    with open_instance(settings) as instance:
        assert show(UI) == "2026-06-15 10:30 , in less than a minute"
        assert show().startswith("not scheduled: bl up does not run")
        instance.add_daemon_heartbeat(DaemonHeartbeat(clock.now.timestamp(), "SCHEDULER", None, []))
        clock.now += timedelta(minutes=2)
        assert show() == "2026-06-15 11:00 , in 28 minutes"
        clock.now += timedelta(minutes=10)
        assert show().startswith("not scheduled: bl up does not run")

        instance.add_instigator_state(state("another_schedule", InstigatorStatus.STOPPED))
        assert show(UI) == "2026-06-15 11:00 , in 18 minutes"
        stopped = state(schedule, InstigatorStatus.STOPPED)
        instance.add_instigator_state(stopped)
        assert show(UI).startswith("not scheduled: the schedule is switched off in Dagster. To switch it on")
        engine = open_engine(as_user(settings.bl_database_url.get_secret_value(), weak_user))
        with engine.connect() as connection:
            assert read_schedule(connection, schedule, clock.now) is None, (
                "a user who may read the warehouse, and not this"
            )
        engine.dispose()
        instance.update_instigator_state(stopped.with_status(InstigatorStatus.DECLARED_IN_CODE))
        assert show(UI) == "2026-06-15 11:00 , in 18 minutes"

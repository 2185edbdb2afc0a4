"""A write that somebody waits for: it is refused before anything is stored, and it never waits for a sync."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from bl_pipeline.sandbox import SandboxServer
from bl_pipeline.settings import Settings, SettingsError
from bl_pipeline.stores_file import CREDENTIAL_VARIABLES
from bl_pipeline.sync.direct_writes import write_order
from bl_pipeline.sync.previewing import Preview
from bl_pipeline.sync.run_errors import LockTaken, timezone_changed
from bl_pipeline.sync.writing import WriteResult
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import Clock, MakeSettings, OpenSession


def ask_for_a_remark(
    settings: Settings, order_id: int, clock: Clock, *, dry_run: bool = False
) -> WriteResult | Preview:
    warned: list[str] = []
    result = write_order(
        settings, str(order_id), {"remarks": "x"},
        job="update_order", dry_run=dry_run, warn=warned.append, clock=clock,
    )  # fmt: skip
    assert warned == []
    return result


def runs(warehouse: Warehouse) -> int:
    with warehouse.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM sync.runs")).scalar_one())


@pytest.mark.parametrize("dry_run", [False, True])
def test_without_credentials_no_run_begins(
    dry_run: bool, order_id: int, make_settings: MakeSettings, warehouse: Warehouse, clock: Clock
) -> None:
    """It is the user's to repair, and no failure of a run. Planted: noticed only by the run itself."""
    before = runs(warehouse)
    unset = make_settings(**dict.fromkeys(map(str.lower, CREDENTIAL_VARIABLES), ""))
    with pytest.raises(SettingsError, match="credentials are not set"):
        ask_for_a_remark(unset, order_id, clock, dry_run=dry_run)
    assert runs(warehouse) == before


def test_only_a_dry_run_sends_nothing(
    order_id: int, settings: Settings, server: SandboxServer, warehouse: Warehouse, clock: Clock
) -> None:
    """Planted: one taken for the other."""
    before = runs(warehouse)
    assert isinstance(ask_for_a_remark(settings, order_id, clock, dry_run=True), Preview)
    assert ({request.method for request in server.requests}, runs(warehouse)) == ({"GET"}, before)
    assert isinstance(ask_for_a_remark(settings, order_id, clock), WriteResult)
    assert (server.store.order(order_id).remarks, runs(warehouse)) == ("x", before + 1)


def test_a_time_zone_that_it_changes_is_said(
    order_id: int, make_settings: MakeSettings, warehouse: Warehouse, clock: Clock
) -> None:
    """Planted: the days of all reports moved without a word."""
    warned: list[str] = []
    write_order(
        make_settings(bl_timezone="Asia/Tokyo"), str(order_id), {"remarks": "x"},
        job="update_order", dry_run=False, warn=warned.append, clock=clock,
    )  # fmt: skip
    assert warned == [timezone_changed(warehouse.timezone, "Asia/Tokyo")]


def test_it_does_not_wait_for_a_sync(
    order_id: int, open_test_session: OpenSession, settings: Settings, server: SandboxServer, clock: Clock
) -> None:
    """Planted: the lock waited for, as a job of Dagster does; a preview refused too."""
    assert open_test_session().lock.try_acquire()
    with pytest.raises(LockTaken, match="so nothing was written"):
        ask_for_a_remark(settings, order_id, clock)
    assert isinstance(ask_for_a_remark(settings, order_id, clock, dry_run=True), Preview)
    assert {request.method for request in server.requests} == {"GET"}

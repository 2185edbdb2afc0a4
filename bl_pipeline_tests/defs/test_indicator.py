"""The indicator: the whole table of cases, and the same word in the terminal and in the UI."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import dagster as dg
import pytest
from dagster._serdes import serialize_value

from bl_pipeline.dagster_names import Names
from bl_pipeline.defs import metadata
from bl_pipeline.defs.charts import bars
from bl_pipeline.defs.store_state import newest_event
from bl_pipeline.records import RunStatus, Stop, StopReason, SyncResult
from bl_pipeline.rules.indicator import Indicator
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.sync.status import read_status, state_after_runs
from bl_pipeline.warehouse import runs
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline.warehouse.usage import Usage
from bl_pipeline_tests.conftest import NOW, DagsterSync, MakeSettings

SYNCED, STALE, ERROR, SYNCING = Indicator.SYNCED, Indicator.STALE, Indicator.ERROR, Indicator.SYNCING


def shown(sync: DagsterSync) -> dict[str, Any]:
    """The metadata of `orders`, or of the failure, in the last run."""
    assert sync.last is not None
    for event in sync.last.all_events:
        if event.is_step_materialization and event.asset_key == dg.AssetKey("orders"):
            return dict(event.step_materialization_data.materialization.metadata)
        if event.is_step_failure and event.step_failure_data.user_failure_data:
            return dict(event.step_failure_data.user_failure_data.metadata)
    raise AssertionError("the run shows nothing")


def test_a_run_under_way_hides_what_the_one_before_left(sync: DagsterSync, warehouse: Warehouse) -> None:
    """While one runs, the terminal says so, and the check judges what has ended."""
    sync()
    sync.clock.advance(seconds=1)
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    with warehouse.engine.begin() as connection:
        runs.start_run(connection, warehouse, run_id="alive", job="sync_orders", now=sync.clock(), of_all_orders=True)
        assert read_status(sync.settings.store, warehouse, sync.clock()).indicator is SYNCING
        assert state_after_runs(sync.settings.store, connection, warehouse, sync.clock()).indicator is SYNCED
    lock.release()
    with warehouse.engine.connect() as connection:
        # Started, and no process has the lock: it has died.
        assert read_status(sync.settings.store, warehouse, sync.clock()).indicator is ERROR
        assert state_after_runs(sync.settings.store, connection, warehouse, sync.clock()).indicator is ERROR


@pytest.mark.parametrize(
    ("status", "calls", "is_over"),
    [
        (RunStatus.SUCCEEDED, 1, True),
        (RunStatus.COMPLETED_WITH_ERRORS, 1, True),
        (RunStatus.STOPPED_AT_BUDGET, 1, True),
        (RunStatus.STOPPED_AT_BUDGET, 0, False),
        (RunStatus.SUCCEEDED, 0, False),
        (RunStatus.FAILED, 1, False),
    ],
)
def test_a_fault_of_the_connection_is_over_when_a_later_run_reached_bricklink(
    status: RunStatus, calls: int, is_over: bool, warehouse: Warehouse
) -> None:
    def run(run_id: str, status: RunStatus, calls: int, now: datetime, stop: Stop | None, of_all_orders: bool) -> None:
        runs.start_run(connection, warehouse, run_id=run_id, job="j", now=now, of_all_orders=of_all_orders)
        runs.finish_run(
            connection, run_id, status=status, counts=Counter(), api_calls=calls, detected_by={}, now=now, stop=stop
        )

    with warehouse.engine.begin() as connection:
        run("refused", RunStatus.FAILED, 1, NOW, Stop(StopReason.CREDENTIALS, "refused"), True)
        run("of some orders", status, calls, NOW + timedelta(seconds=1), None, False)
        judging = runs.judging_run(connection, warehouse, syncing=False)
    assert (judging is None) is is_over


@pytest.mark.slow
def test_a_run_about_some_orders_neither_hides_nor_makes_an_error(
    sync: DagsterSync, server: SandboxServer, store: Store, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    def word() -> str:
        return read_status(sync.settings.store, warehouse, sync.clock()).indicator

    def run(job: str = "sync_orders", **asked: Any) -> SyncResult:
        sync.clock.advance(seconds=1)
        return sync(job, **asked)

    run()
    good = str(max(store.sales))
    typo = run("refresh_order", order_ids=["99", good])
    assert (typo.exit_code, [error["order_id"] for error in typo.errors], typo.orders_skipped) == (3, ["99"], 1)
    assert run("refresh_order", order_ids=["99"]).exit_code == 3
    assert run("refresh_order", order_ids=[]).message == (
        "Which orders? Give at least one number in order_ids, such as 15646315."
    )
    # The same, asked by "Materialize".
    assert run(order_ids=["99"]).exit_code == 3
    assert word() == SYNCED
    server.faults.on("/orders", Fault.HTML503)
    run()
    server.faults.clear()
    assert run("retry_failed_orders").api_calls == 0
    assert word() == ERROR
    # A run that has reached BrickLink shows that the connection is good again.
    assert run("refresh_order", order_ids=[good]).api_calls == 2
    assert word() == SYNCED
    run("refresh_order", settings=make_settings(bricklink_token_secret="wrong"), order_ids=["99"])
    assert word() == ERROR


def test_what_a_retry_has_repaired_is_no_error_any_more(
    sync: DagsterSync, server: SandboxServer, store: Store, warehouse: Warehouse
) -> None:
    server.faults.on(f"/orders/{max(store.sales)}", Fault.FORBIDDEN)
    sync()
    assert read_status(sync.settings.store, warehouse, sync.clock()).indicator == ERROR
    server.faults.clear()
    sync("retry_failed_orders")
    assert read_status(sync.settings.store, warehouse, sync.clock()).indicator == SYNCED


def test_the_check_says_the_word_too(sync: DagsterSync, server: SandboxServer, store: Store) -> None:
    server.faults.on(f"/orders/{max(store.sales)}", Fault.FORBIDDEN)

    sync()

    assert sync.last is not None
    checks = {check.check_name: check for check in sync.last.get_asset_check_evaluations()}
    in_step = checks["store_is_in_step"]
    assert (in_step.passed, in_step.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert in_step.metadata["indicator"].value == "error"
    assert {name for name, check in checks.items() if not check.passed} == {
        "store_is_in_step",
        "listed_orders_are_stored",
    }


def test_what_is_shown_is_small_and_names_no_buyer(sync: DagsterSync, store: Store, server: SandboxServer) -> None:
    """Every event keeps its copy for a month, and many may read it."""
    server.faults.on(f"/orders/{max(store.sales)}", Fault.FORBIDDEN)

    sync()

    values = shown(sync)
    assert values["orders_created"].value == 23
    assert str(max(store.sales)) in values["failed_orders"].value
    assert "https://www.bricklink.com/orderDetail.asp?ID=" in values["new_orders"].value
    assert values["new_orders"].value.endswith("and 11 more")
    assert [record.data["orders"] for record in values["detected_by"].records]
    assert values["last_runs"].records[0].data["created"] == 23
    assert "![API calls by hour](data:image/svg+xml;base64," in values["calls_by_hour"].value
    text = serialize_value(dict(values))
    assert len(text) < 10_000
    for order in store.sales.values():
        assert order.buyer.email not in text
        assert order.buyer.address.full_name not in text


def test_another_time_zone_is_shown_once(sync: DagsterSync, make_settings: MakeSettings) -> None:
    """With the one before. Planted: shown if it is the same."""
    sync()
    assert "time_zone_before" not in shown(sync)
    sync.clock.advance(hours=1)
    sync(settings=make_settings(bl_timezone="Europe/Berlin"))
    assert (shown(sync)["time_zone"].value, shown(sync)["time_zone_before"].value) == ("Europe/Berlin", "UTC")


def test_only_what_was_asked_for_is_made(sync: DagsterSync, store: Store, make_settings: MakeSettings) -> None:
    """Planted: parts that were not asked for; not those that were."""

    def made() -> set[str]:
        assert sync.last is not None
        events = (event.asset_key for event in sync.last.all_events if event.is_step_materialization)
        return {key.to_user_string() for key in events if key} - {"order_summaries", "order_changes"}

    sync()
    assert made() == {"orders", "order_items"}
    store.pay(store.place_order())
    sync.clock.advance(hours=1)
    sync(settings=make_settings(bl_messages="all"))
    assert made() == {"orders", "order_items", "order_messages"}


def test_the_newest_event_may_be_either_kind(synced: DagsterSync, store: Store) -> None:
    """A run that makes something materializes `orders`, one that changes nothing observes it. Planted: one kind."""
    order_id = store.place_order()
    assert synced().orders_created == 1
    made = newest_event(synced.instance, Names())
    assert made is not None
    assert (made["indicator"], made["orders_created"]) == ("synced", 1)
    assert synced("refresh_order", order_ids=[str(order_id)]).orders_skipped == 1
    seen = newest_event(synced.instance, Names())
    assert seen is not None
    assert (seen["indicator"], seen["orders_created"], seen["orders_skipped"]) == ("synced", 0, 1)
    assert not made_by(synced)
    store.set_status(order_id, "CANCELLED")
    assert synced("refresh_order", order_ids=[str(order_id)]).orders_updated == 1
    assert "orders" in made_by(synced)
    assert synced("refresh_order", order_ids=[str(store.place_order())]).orders_created == 1
    assert "orders" in made_by(synced)


def made_by(sync: DagsterSync) -> set[str]:
    """The assets that the last run has materialized; whatever it did, each check was evaluated once."""
    assert sync.last is not None
    checks = [each.check_name for each in sync.last.get_asset_check_evaluations()]
    assert "store_is_in_step" in checks
    assert len(checks) == len(set(checks))
    return {
        str(event.asset_key.to_user_string())
        for event in sync.last.all_events
        if event.is_step_materialization and event.asset_key
    }


def test_links_and_charts_are_shown_in_place() -> None:
    """The UI hides longer Markdown behind a click, so the most there can be has to fit."""
    usage = Usage(used=99_999, left=0, limit=100_000, reserve=0, next_reset_at=None)
    shown = [
        metadata.calls_chart([99_999] * 24, usage),
        metadata.orders_chart([99_999] * 30, NOW),
        metadata.order_links(["123456789"] * metadata.ORDERS_LINKED, total=99_999),
    ]

    assert max(len(value.md_str or "") for value in shown) <= 999  # characters that the UI shows in place


def test_a_chart_is_as_high_as_its_numbers() -> None:
    """Read as XML: zero draws nothing, the highest is full, the smallest is still there."""
    svg = ElementTree.fromstring(bars([0, 1, 500, 1000]))

    assert [svg.get("width"), svg.get("height")] == ["480", "64"]
    assert svg[1].get("d") == "M1 0v1M2 0v10M3 0v20"
    assert svg[1].get("transform") == "matrix(120 0 0 -3.15 60 63)"
    assert ElementTree.fromstring(bars([0, 1]))[1].get("d") == "M1 0v20"

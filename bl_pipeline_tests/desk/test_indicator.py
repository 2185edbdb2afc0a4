"""The indicator: the whole table of cases, and the same word in the terminal and in the UI."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import dagster as dg
import pytest
from dagster._serdes import serialize_value

from bl_pipeline.defs import metadata
from bl_pipeline.defs.charts import SHOWN_IN_PLACE, bars
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.status import indicator_after_runs, read_status
from bl_pipeline.sync.indicator import Indicator, indicator
from bl_pipeline.sync.result import RunStatus, StopReason
from bl_pipeline.warehouse import runs
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.ledger import Usage
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.conftest import NOW, MakeSettings, Sync

SYNCED, STALE, ERROR, SYNCING = Indicator.SYNCED, Indicator.STALE, Indicator.ERROR, Indicator.SYNCING
SECOND = timedelta(seconds=1)
AGES = {
    "never": None,
    "just now": timedelta(0),
    "59 minutes": timedelta(minutes=59),
    "an hour and more": timedelta(hours=1, seconds=1),
    "12 hours": timedelta(hours=12),
    "a day": timedelta(hours=24),
    "a day and a second": timedelta(hours=24) + SECOND,
    "a year": timedelta(days=365),
}
FRESH = {"just now", "59 minutes", "an hour and more", "12 hours", "a day"}


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("last", [None, *RunStatus])
@pytest.mark.parametrize("syncing", [False, True])
def test_every_case(age: str, last: RunStatus | None, syncing: bool) -> None:
    """A run that is under way is told before all, an error before the age; only the age makes stale."""
    since = AGES[age]
    word = indicator(syncing=syncing, last_ended=last, last_synced_at=None if since is None else NOW - since, now=NOW)

    if syncing:
        assert word is SYNCING
    elif last in (RunStatus.FAILED, RunStatus.COMPLETED_WITH_ERRORS):
        assert word is ERROR
    else:
        assert word is (SYNCED if age in FRESH else STALE)


def shown(sync: Sync) -> dict[str, Any]:
    """The metadata of `orders`, or of the failure, in the last run."""
    assert sync.last is not None
    for event in sync.last.all_events:
        if event.is_step_materialization and event.asset_key == dg.AssetKey("orders"):
            return dict(event.step_materialization_data.materialization.metadata)
        if event.is_step_failure and event.step_failure_data.user_failure_data:
            return dict(event.step_failure_data.user_failure_data.metadata)
    raise AssertionError("the run shows nothing")


@pytest.mark.parametrize("case", ["synced", "an order failed", "at the budget", "credentials refused", "a month"])
def test_the_ui_says_the_word_of_the_terminal(
    case: str, sync: Sync, store: Store, server: SandboxServer, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings, job, partition = sync.settings, "sync_orders", None
    if case == "an order failed":
        server.faults.on(f"/orders/{max(store.sales)}", Fault.FORBIDDEN)
    elif case == "at the budget":
        settings = make_settings(bl_daily_call_limit=10, bl_call_reserve=0)
    elif case == "credentials refused":
        settings = make_settings(bricklink_token_secret="wrong")
    elif case == "a month":
        job, partition = "full_sync", "2026-05-01"

    sync(job, settings=settings, partition=partition)

    word = read_status(settings, warehouse, sync.clock()).indicator
    assert shown(sync)["indicator"].value == word
    assert word == {"synced": SYNCED, "an order failed": ERROR, "credentials refused": ERROR}.get(case, STALE)


def test_a_run_under_way_hides_what_the_one_before_left(sync: Sync, warehouse: Warehouse) -> None:
    """While one runs, the terminal says so, and the check judges what has ended."""
    sync()
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    with warehouse.engine.begin() as connection:
        runs.start_run(connection, warehouse, run_id="alive", job="sync_orders", now=sync.clock())
        assert read_status(sync.settings, warehouse, sync.clock()).indicator is SYNCING
        assert indicator_after_runs(connection, warehouse, sync.clock()) is SYNCED
    lock.release()
    with warehouse.engine.connect() as connection:
        # Started, and no process has the lock: it has died.
        assert read_status(sync.settings, warehouse, sync.clock()).indicator is ERROR
        assert indicator_after_runs(connection, warehouse, sync.clock()) is ERROR


def test_a_run_about_some_orders_neither_hides_nor_makes_an_error(
    sync: Sync, server: SandboxServer, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    def word() -> str:
        return read_status(sync.settings, warehouse, sync.clock()).indicator

    sync()
    assert sync("refresh_order", order_ids=["99"]).stop_reason is StopReason.ERROR
    assert sync("refresh_order", order_ids=[]).message == (
        "Which orders? Give at least one number in order_ids, such as 15646315."
    )
    assert word() == SYNCED
    server.faults.on("/orders", Fault.HTML503)
    sync()
    server.faults.clear()
    assert sync("retry_failed_orders").api_calls == 0
    assert word() == ERROR
    sync()
    sync("refresh_order", settings=make_settings(bricklink_token_secret="wrong"), order_ids=["99"])
    assert word() == ERROR


def test_what_a_retry_has_mended_is_no_error_any_more(
    sync: Sync, server: SandboxServer, store: Store, warehouse: Warehouse
) -> None:
    server.faults.on(f"/orders/{max(store.sales)}", Fault.FORBIDDEN)
    sync()
    assert read_status(sync.settings, warehouse, sync.clock()).indicator == ERROR
    server.faults.clear()
    sync("retry_failed_orders")
    assert read_status(sync.settings, warehouse, sync.clock()).indicator == SYNCED


def test_the_check_says_the_word_too(sync: Sync, server: SandboxServer, store: Store) -> None:
    server.faults.on(f"/orders/{max(store.sales)}", Fault.FORBIDDEN)

    sync()

    assert sync.last is not None
    checks = {check.check_name: check for check in sync.last.get_asset_check_evaluations()}
    in_step = checks["store_is_in_step"]
    assert (in_step.passed, in_step.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert in_step.metadata["indicator"].value == "error"
    assert {name for name, check in checks.items() if not check.passed} == {
        "store_is_in_step",
        "listed_orders_are_held",
    }


def test_what_is_shown_is_small_and_tells_of_no_buyer(sync: Sync, store: Store, server: SandboxServer) -> None:
    """Every event keeps its copy for a month, and many may read it."""
    server.faults.on(f"/orders/{max(store.sales)}", Fault.FORBIDDEN)

    sync()

    told = shown(sync)
    assert told["orders_created"].value == 23
    assert str(max(store.sales)) in told["failed_orders"].value
    assert "https://www.bricklink.com/orderDetail.asp?ID=" in told["new_orders"].value
    assert told["new_orders"].value.endswith("and 11 more")
    assert [record.data["orders"] for record in told["detected_by"].records]
    assert told["last_runs"].records[0].data["created"] == 23
    assert "![API calls by hour](data:image/svg+xml;base64," in told["calls_by_hour"].value
    text = serialize_value(dict(told))
    assert len(text) < 10_000
    for order in store.sales.values():
        assert order.buyer.email not in text
        assert order.buyer.address.full_name not in text


def test_links_and_charts_are_shown_in_place() -> None:
    """The UI hides longer Markdown behind a click, so the most there can be has to fit."""
    usage = Usage(used=99_999, left=0, limit=100_000, reserve=0, next_reset_at=None)
    shown = [
        metadata.calls_chart([99_999] * 24, usage),
        metadata.orders_chart([99_999] * 30, NOW),
        metadata.order_links(["123456789"] * metadata.ORDERS_LINKED, total=99_999),
    ]

    assert max(len(value.md_str or "") for value in shown) <= SHOWN_IN_PLACE


def test_a_chart_is_as_high_as_its_numbers() -> None:
    """Read as XML: zero draws nothing, the highest is full, the smallest is still there."""
    svg = ElementTree.fromstring(bars([0, 1, 500, 1000]))

    assert [svg.get("width"), svg.get("height")] == ["480", "64"]
    assert svg[1].get("d") == "M1 0v1M2 0v10M3 0v20"
    assert svg[1].get("transform") == "matrix(120 0 0 -3.15 60 63)"

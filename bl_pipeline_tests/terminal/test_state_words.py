"""One indicator and one reason for the state of the store, in all places, however a run has ended.

Each case drives `bl` into one end. Then the function, `bl status`, the newest event of `orders` and the check
`store_is_in_step` must say the same, each check must have been evaluated since, and only a run that stored something
may have made `orders` fresh.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.definitions.freshness_evaluator import TimeWindowFreshnessPolicyEvaluator
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.test_utils import freeze_time

from bl_pipeline.dagster_names import Names
from bl_pipeline.definitions import defs
from bl_pipeline.defs.check_results import check_specs
from bl_pipeline.defs.instance import open_instance
from bl_pipeline.defs.sensors import sync_incomplete
from bl_pipeline.defs.store_state import newest_event
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.settings import load_settings
from bl_pipeline.stores_file import CREDENTIAL_VARIABLES
from bl_pipeline.sync.status import read_status
from bl_pipeline.warehouse.database import open_warehouse
from bl_pipeline_tests.terminal.conftest import BL, Bl, expect, json_of

pytestmark = pytest.mark.slow

ORDERS = dg.AssetKey("orders")
IN_STEP = dg.AssetCheckKey(ORDERS, "store_is_in_step")
SMALL = {"BL_DAILY_CALL_LIMIT": "10", "BL_CALL_RESERVE": "0"}
WRONG = {"BRICKLINK_TOKEN_SECRET": "wrong"}
NOBODY = {"BRICKLINK_API_URL": "http://127.0.0.1:1/api"}
UNSET = dict.fromkeys(CREDENTIAL_VARIABLES, "...")


@dataclass
class Desk:
    """What a case drives."""

    bl: Bl
    server: SandboxServer
    store: Store

    @property
    def order_id(self) -> int:
        return max(key for key, order in self.store.sales.items() if not (order.is_purged or order.is_filed))

    def sync(self, code: int = 0, *arguments: str, **changed: str) -> None:
        expect(self.bl("sync", *arguments, **changed), code)

    @contextmanager
    def process(self, calls: int) -> Iterator[subprocess.Popen[str]]:
        """`bl sync` in a process of its own, once it has made this number of calls and waits for an answer."""
        self.server.latency = 30.0 if calls == 1 else 0.0
        self.server.clear_requests()

        def slow(_request: object) -> None:
            if len(self.server.requests) >= calls:
                self.server.latency = 30.0

        self.server.on_request = slow
        with subprocess.Popen([*BL, "sync"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                until = time.monotonic() + 120
                while len(self.server.requests) < calls and time.monotonic() < until and process.poll() is None:
                    time.sleep(0.05)
                assert process.poll() is None
                yield process
                process.communicate(timeout=60)
            finally:
                process.kill()
                self.server.on_request, self.server.latency = None, 0.0


def evaluate_sensor() -> None:
    """The daemon's look at the store, every five minutes."""
    with open_instance(load_settings()) as instance:
        context = dg.build_sensor_context(instance=instance, definitions=defs)
        sync_incomplete.evaluate_tick(context)


def success(desk: Desk) -> None:
    desk.sync()


def nothing_to_do(desk: Desk) -> None:
    desk.sync()
    desk.sync()


def an_order_failed(desk: Desk) -> None:
    desk.server.faults.on(f"/orders/{desk.order_id}$", Fault.FORBIDDEN)
    desk.sync(3)


def a_retry_left_it_failing(desk: Desk) -> None:
    an_order_failed(desk)
    expect(desk.bl("retry"), 3)


def a_retry_repaired_it(desk: Desk) -> None:
    an_order_failed(desk)
    desk.server.faults.clear()
    expect(desk.bl("retry"), 0)


def in_dagster(job: str, **options: Any) -> None:
    """A job as the UI launches it, with the resource from the settings."""
    with open_instance(load_settings()) as instance:
        assert defs.resolve_job_def(job).execute_in_process(instance=instance, **options).success


def an_order_refreshed(desk: Desk) -> None:
    desk.sync()
    expect(desk.bl("refresh", str(desk.order_id)), 0)


def a_month_of_a_full_sync(desk: Desk) -> None:
    desk.sync()
    in_dagster("full_sync", partition_key=f"{desk.store.sales[desk.order_id].date_ordered:%Y-%m}-01")


def a_month_without_enough_calls(desk: Desk) -> None:
    desk.sync()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BL_DAILY_CALL_LIMIT", str(len(desk.server.requests)))
        patch.setenv("BL_CALL_RESERVE", "0")
        in_dagster("full_sync", partition_key=f"{desk.store.sales[desk.order_id].date_ordered:%Y-%m}-01")


def a_rebuild(desk: Desk) -> None:
    """Of an order that somebody deleted: the sync before shows it."""
    desk.sync()
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        connection.execute("DELETE FROM sales.order_items")
        connection.execute("DELETE FROM sales.orders WHERE platform_order_id = %s", [str(desk.order_id)])
    desk.sync()
    in_dagster("rebuild")


def a_typing_error(desk: Desk) -> None:
    desk.sync()
    expect(desk.bl("refresh", "99999999"), 3)


def budget(desk: Desk) -> None:
    desk.sync(4, **SMALL)


def rate_limited(desk: Desk) -> None:
    desk.sync()
    desk.store.edit_remarks(desk.order_id, "rate")
    desk.server.faults.on("/orders", Fault.RATE_LIMIT_ENVELOPE)
    desk.sync(4)


def rate_limited_at_an_order(desk: Desk) -> None:
    desk.sync()
    order_id = desk.store.place_order()
    desk.server.faults.on(f"/orders/{order_id}", Fault.RATE_LIMIT_ENVELOPE)
    desk.sync(4)


def refused(desk: Desk) -> None:
    desk.sync()
    desk.sync(5, **WRONG)


def refused_then_nothing_to_retry(desk: Desk) -> None:
    refused(desk)
    expect(desk.bl("retry"), 0)


def refused_then_accepted(desk: Desk) -> None:
    refused(desk)
    expect(desk.bl("refresh", str(desk.order_id)), 0)


def refused_then_accepted_for_a_typing_error(desk: Desk) -> None:
    refused(desk)
    expect(desk.bl("refresh", "99999999"), 3)


def unreachable(desk: Desk) -> None:
    desk.sync()
    desk.sync(6, **NOBODY)


def no_orders_at_all(desk: Desk) -> None:
    desk.sync()
    desk.server.store = Store.grow(orders=0)
    desk.sync(1)


def an_open_full_sync(desk: Desk) -> None:
    desk.sync()
    desk.sync(4, "--full", **{**SMALL, "BL_DAILY_CALL_LIMIT": str(len(desk.server.requests) + 10)})


def canceled(desk: Desk) -> None:
    desk.sync()
    desk.store.edit_remarks(desk.order_id, "canceled")
    with desk.process(calls=2) as process:
        process.send_signal(signal.SIGINT)


def killed(desk: Desk) -> None:
    desk.sync()
    with desk.process(calls=1) as process:
        process.kill()
        process.communicate()
        desk.server.latency = 0.0
    evaluate_sensor()


def killed_then_synced(desk: Desk) -> None:
    killed(desk)
    desk.sync()


def an_unexpected_error(desk: Desk) -> None:
    desk.sync()
    desk.store.place_order()
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        connection.execute(
            "CREATE FUNCTION sync.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON sync.run_orders FOR EACH ROW EXECUTE FUNCTION sync.broken()"
        )
    assert desk.bl("sync").exit_code == 1


def no_credentials(desk: Desk) -> None:
    for name, value in UNSET.items():
        os.environ[name] = value
    desk.sync(2)
    evaluate_sensor()


def a_day_without_a_sync(desk: Desk) -> None:
    desk.sync()
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        connection.execute(
            "UPDATE sync.runs SET (started_at, finished_at) = "
            "(started_at - interval '25 h', finished_at - interval '25 h')"
        )
    evaluate_sensor()


CASES: list[tuple[Callable[[Desk], None], str, str]] = [
    (success, "synced", "Every order of BrickLink's lists is stored"),
    (nothing_to_do, "synced", "Every order of BrickLink's lists is stored"),
    (an_order_failed, "error", "1 order could not be fetched or read"),
    (a_retry_left_it_failing, "error", "1 order could not be fetched or read"),
    (a_retry_repaired_it, "synced", "Every order of BrickLink's lists is stored"),
    (an_order_refreshed, "synced", "Every order of BrickLink's lists is stored"),
    (a_month_of_a_full_sync, "synced", "Every order of BrickLink's lists is stored"),
    (a_month_without_enough_calls, "synced", "Withdraw it with: bl cancel"),
    (a_rebuild, "synced", "Every order of BrickLink's lists is stored"),
    (a_typing_error, "synced", "Every order of BrickLink's lists is stored"),
    (budget, "stale", "orders. The call budget is used up."),
    (rate_limited, "stale", "The last sync stopped before its end."),
    (rate_limited_at_an_order, "stale", "Left for the next run: 1 order."),
    (refused, "error", "(sync_orders, started 2"),
    (refused_then_nothing_to_retry, "error", "BrickLink refused"),
    (refused_then_accepted, "synced", "Every order of BrickLink's lists is stored"),
    (refused_then_accepted_for_a_typing_error, "synced", "Every order of BrickLink's lists is stored"),
    (unreachable, "error", "cannot be reached"),
    (no_orders_at_all, "error", "lists no orders at all"),
    (an_open_full_sync, "stale", "Withdraw it with: bl cancel"),
    (canceled, "synced", "The last run was canceled"),
    (killed, "error", "The process ended before it could report"),
    (killed_then_synced, "synced", "Every order of BrickLink's lists is stored"),
    (an_unexpected_error, "error", "The warehouse refuses: raised by PL/pgSQL function sync.broken()"),
    (no_credentials, "not_connected", "Put the store's four API credentials into .env, then: bl doctor"),
    (a_day_without_a_sync, "stale", "No sync was complete for 24 hours"),
]


OF_THE_RUN_ALONE = (
    a_typing_error,
    a_month_without_enough_calls,
    canceled,
    refused_then_nothing_to_retry,
    refused_then_accepted_for_a_typing_error,
)
"""How these runs ended says nothing of the store: `success` is of the run, the word is of the store."""


def freshness(instance: dg.DagsterInstance, age: timedelta) -> FreshnessState:
    """The freshness of `orders` that the UI shows after this time, as the daemon finds it."""
    node = defs.resolve_asset_graph().get(ORDERS)
    found = TimeWindowFreshnessPolicyEvaluator().evaluate_freshness(LoadingContextForTest(instance), node)
    with freeze_time(datetime.now(UTC) + age):
        return asyncio.run(found)


@pytest.mark.parametrize(("drive", "word", "reason"), CASES, ids=[case[0].__name__ for case in CASES])
def test_all_places_agree(
    drive: Callable[[Desk], None], word: str, reason: str, bl: Bl, server: SandboxServer, store: Store
) -> None:
    """Planted: no event after a failed run; one more place that judges by itself; checks left as they were."""
    drive(Desk(bl, server, store))

    settings = load_settings()
    with open_warehouse(settings) as warehouse:
        stands = read_status(settings.store, warehouse)
    status = json_of(expect(bl("status", "--json"), 0))
    with open_instance(settings) as instance:
        event = newest_event(instance, Names())
        records = {
            spec.key: instance.event_log_storage.get_asset_check_execution_history(spec.key, limit=1)
            for spec in check_specs(Names())
        }
        stored = instance.fetch_materializations(ORDERS, limit=1).records
        fresh = freshness(instance, timedelta(hours=25 if drive is a_day_without_a_sync else 0))
    assert event is not None
    check: Any = records[IN_STEP][0].evaluation
    assert check is not None
    said = {
        "function": (str(stands.indicator), stands.reason),
        "bl status": (status["indicator"], status["reason"]),
        "event": (event["indicator"], event["reason"]),
        "check": (check.metadata["indicator"].value, check.metadata["reason"].value),
    }
    assert set(said.values()) == {(word, stands.reason)}, said
    assert reason in stands.reason
    # It knows only when something was stored last: it never contradicts the word, but an error may come after that.
    never, long_ago = drive is no_credentials, drive is a_day_without_a_sync
    assert fresh is (FreshnessState.UNKNOWN if never else FreshnessState.FAIL if long_ago else FreshnessState.PASS)
    assert fresh is FreshnessState.PASS or word != "synced"
    assert check.passed is (word == "synced")
    screen = " ".join(expect(bl("status"), 0).stdout.split())
    assert word in screen
    assert " ".join(stands.reason.split()) in screen
    if drive not in OF_THE_RUN_ALONE and "success" in event:
        assert event["success"] is (word == "synced")
    if word != "not_connected":
        # None is "Not Evaluated" or "Execution failed": each was evaluated after what was stored last.
        for key, (record,) in records.items():
            if drive is a_rebuild:
                assert record.status is AssetCheckExecutionRecordStatus.SUCCEEDED, key
            assert record.status is not AssetCheckExecutionRecordStatus.PLANNED, key
            assert record.run_id == stored[0].run_id or record.create_timestamp >= stored[0].timestamp - 1, key


@pytest.mark.parametrize(
    "drive", [refused, unreachable, no_orders_at_all, a_typing_error, refused_then_nothing_to_retry]
)
def test_only_what_stored_something_is_fresh(
    drive: Callable[[Desk], None], bl: Bl, server: SandboxServer, store: Store
) -> None:
    """Freshness counts from the last materialization. Planted: one logged by a run that changed nothing."""
    desk = Desk(bl, server, store)
    drive(desk)
    with open_instance(load_settings()) as instance:
        found = instance.fetch_materializations(ORDERS, limit=9).records
    assert len(found) == 1


def test_the_sensor_says_the_word_once(bl: Bl, server: SandboxServer, store: Store) -> None:
    """Planted: an event at every look."""
    a_day_without_a_sync(Desk(bl, server, store))
    evaluate_sensor()
    with open_instance(load_settings()) as instance:
        assert len(instance.fetch_observations(ORDERS, limit=9).records) == 1

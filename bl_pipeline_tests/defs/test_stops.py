"""What stops a sync: at once, with a message that says what to do, and with nothing lost."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from bl_pipeline.defs.installation import of_store
from bl_pipeline.defs.resources import OpenedSession
from bl_pipeline.defs.sync_graph import run_step
from bl_pipeline.records import RunStatus, StopReason, SyncResult
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.stores_file import CREDENTIAL_VARIABLES
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.runs import read_run
from bl_pipeline_tests.conftest import NOW, DagsterSync, MakeSettings
from bl_pipeline_tests.defs.test_first_sync import assert_holds
from bl_pipeline_tests.support.sales_rows import as_json, dump, stored_orders
from bl_pipeline_tests.support.sessions import session_at
from bl_pipeline_tests.support.slow import some_slow


def statuses(warehouse: Warehouse) -> list[tuple[str, str | None]]:
    with warehouse.engine.connect() as connection:
        rows = connection.execute(text("SELECT status, stop_reason FROM sync.runs ORDER BY started_at"))
        return [(row.status, row.stop_reason) for row in rows]


@pytest.mark.parametrize(
    "fault",
    some_slow([Fault.UNAUTHORIZED, Fault.UNAUTHORIZED_HTTP, Fault.IP_MISMATCH, Fault.FORBIDDEN], [Fault.UNAUTHORIZED]),
)
def test_refused_credentials_cost_one_call_and_nothing_else(
    fault: Fault, synced: DagsterSync, server: SandboxServer, warehouse: Warehouse
) -> None:
    before = dump(warehouse)
    server.faults.on("/orders", fault)

    result = synced()

    assert len(server.requests) == 1
    assert (result.stop_reason, result.exit_code, result.api_calls) == (StopReason.CREDENTIALS, 5, 1)
    assert result.last_synced_at == NOW
    assert synced.last is not None
    assert not synced.last.success
    # Green is only what was done.
    assert [event for event in synced.last.all_events if event.is_step_materialization] == []
    assert as_json(dump(warehouse)) == as_json(before)
    assert statuses(warehouse)[-1] == ("failed", "credentials")
    assert result.message is not None
    assert server.credentials.consumer_key not in result.message
    server.faults.clear()
    assert synced().success


def test_a_job_of_the_users_that_retries_its_steps_repeats_no_refusal(
    synced: DagsterSync, server: SandboxServer
) -> None:
    """Planted: a failure that Dagster may retry."""
    sales = dg.AssetSelection.assets("orders").required_multi_asset_neighbors()
    mine = dg.define_asset_job("mine", selection=sales, op_retry_policy=dg.RetryPolicy(max_retries=2))
    server.faults.on("/orders", Fault.UNAUTHORIZED)
    with session_at(synced.settings, synced.clock) as session:
        run = (
            dg.Definitions.merge(of_store(session.store), dg.Definitions(jobs=[mine]))
            .resolve_job_def("mine")
            .execute_in_process(
                resources={"sync": OpenedSession(session)}, instance=synced.instance, raise_on_error=False
            )
        )
    assert not run.success
    assert [event.step_key for event in run.all_events if event.is_step_up_for_retry] == []
    assert len(server.requests) == 1


@pytest.mark.slow
def test_credentials_refused_in_the_middle_stop_the_others(
    sync: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    """What was fetched before is stored; the refusal is met once a thread, not once an order."""
    details = [0]

    def refuse_from_the_fifth(request: Any) -> None:
        details[0] += request.path.startswith("/orders/") and not request.path.endswith("/items")
        if details[0] == 5:
            server.faults.on("/orders/", Fault.UNAUTHORIZED)

    server.on_request = refuse_from_the_fifth
    result = sync(settings=make_settings(bl_max_parallel_requests=1))

    assert (result.stop_reason, result.exit_code, result.errors) == (StopReason.CREDENTIALS, 5, [])
    assert sum(request.code == 401 for request in server.requests) == 1
    assert result.orders_created == len(stored_orders(warehouse)) > 0
    assert result.orders_deferred == 24 - result.orders_created
    server.on_request = None
    server.faults.clear()
    assert sync().success
    assert_holds(warehouse, store)


def test_an_api_that_is_down_stops_the_sync(synced: DagsterSync, server: SandboxServer, warehouse: Warehouse) -> None:
    before = dump(warehouse)
    server.faults.on("/orders", Fault.HTML503)

    result = synced()

    assert (result.stop_reason, result.exit_code) == (StopReason.UNREACHABLE, 6)
    assert result.api_calls == len(server.requests) == 4
    assert synced.last is not None
    assert not synced.last.success
    assert as_json(dump(warehouse)) == as_json(before)
    assert len(synced.clock.slept) == 3


def test_nobody_at_the_address_stops_the_sync(
    synced: DagsterSync, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    before = dump(warehouse)

    result = synced(settings=make_settings(bricklink_api_url="http://127.0.0.1:9/api"))

    assert (result.stop_reason, result.exit_code, result.api_calls) == (StopReason.UNREACHABLE, 6, 4)
    assert as_json(dump(warehouse)) == as_json(before)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [Fault.HTML200, Fault.CUT, Fault.WRONG_TYPE_DATA])
def test_what_is_no_list_is_never_no_orders(
    fault: Fault, synced: DagsterSync, server: SandboxServer, warehouse: Warehouse
) -> None:
    before = dump(warehouse)
    server.faults.on("filed=true", fault)

    result = synced()

    assert not result.success
    assert result.exit_code == 6
    assert as_json(dump(warehouse)) == as_json(before)


def test_empty_lists_stop_a_sync_that_knows_orders(
    synced: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dump(warehouse)
    server.store = Store.grow(orders=0, now=NOW)

    result = synced()

    assert (result.stop_reason, result.exit_code, result.api_calls) == (StopReason.ERROR, 1, 2)
    assert "lists no orders at all" in str(result.message)
    assert as_json(dump(warehouse)) == as_json(before)
    server.store = store
    assert synced() == SyncResult(orders_skipped=24, api_calls=2, last_synced_at=synced.clock.now)


def test_an_empty_store_is_synced(sync: DagsterSync, server: SandboxServer) -> None:
    server.store = Store.grow(orders=0, now=NOW)

    assert sync() == SyncResult(api_calls=2, last_synced_at=NOW)


@pytest.mark.slow
@pytest.mark.parametrize("job", ["sync_orders", "refresh_order"])
def test_missing_credentials_stop_before_any_call(
    job: str, synced: DagsterSync, store: Store, server: SandboxServer, make_settings: MakeSettings
) -> None:
    config: dict[str, Any] = {"order_ids": [str(next(iter(store.sales)))]} if job == "refresh_order" else {}
    nothing = dict.fromkeys((name.lower() for name in CREDENTIAL_VARIABLES), None)

    result = synced(job, settings=make_settings(**nothing), **config)

    assert (result.stop_reason, result.exit_code, result.api_calls) == (StopReason.SETTINGS, 2, 0)
    assert "BRICKLINK_CONSUMER_KEY" in str(result.message)
    assert server.requests == []


BUDGETS: Mapping[str, dict[str, int]] = {
    "no call at all": {"bl_daily_call_limit": 0, "bl_call_reserve": 0},
    "one call": {"bl_daily_call_limit": 1, "bl_call_reserve": 0},
    "all but one reserved": {"bl_daily_call_limit": 100, "bl_call_reserve": 99},
}


@pytest.mark.slow
@pytest.mark.parametrize("budget", BUDGETS)
def test_a_budget_too_small_for_the_lists_is_not_touched(
    budget: str, sync: DagsterSync, server: SandboxServer, make_settings: MakeSettings
) -> None:
    result = sync(settings=make_settings(**BUDGETS[budget]))

    assert (result.stop_reason, result.exit_code, result.api_calls) == (StopReason.BUDGET, 4, 0)
    assert server.requests == []
    assert sync.last is not None
    assert sync.last.success  # a run that stopped in good order is no failed run


def test_at_the_budget_the_sync_stops_and_the_next_day_goes_on(
    sync: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    """24 orders at two calls each, 20 calls a day: three days, no call wasted, none above the limit."""
    settings = make_settings(bl_daily_call_limit=25, bl_call_reserve=5)
    stored = []
    for _ in range(4):
        server.clear_requests()
        result = sync(settings=settings)
        assert result.api_calls == len(server.requests) <= 20
        stored.append((result.exit_code, len(stored_orders(warehouse)), result.orders_deferred))
        assert sync.last is not None
        assert sync.last.success
        if result.exit_code:
            assert result.stop_reason is StopReason.BUDGET
            assert f"{sync.clock.now.replace(day=sync.clock.now.day + 1):%Y-%m-%d %H:%M} UTC" in str(result.message)
            assert sync(settings=settings).api_calls == 0  # not a call before they are free again
        sync.clock.advance(hours=24)

    assert stored == [(4, 9, 15), (4, 18, 6), (0, 24, 0), (0, 24, 0)]
    assert_holds(warehouse, store)


@pytest.mark.slow
def test_new_orders_come_before_old_ones_if_the_budget_ends(
    synced: DagsterSync, store: Store, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    """Catches a cut in the order of the list."""
    order_ids = [str(store.place_order()) for _ in range(3)]
    synced.clock.advance(hours=24)
    settings = make_settings(bl_daily_call_limit=8, bl_call_reserve=0)

    result = synced(settings=settings, full_sync=True)

    assert (result.orders_created, result.exit_code, result.api_calls) == (3, 4, 8)
    assert set(order_ids) <= set(stored_orders(warehouse))


@pytest.mark.slow
def test_rate_limited_by_bricklink_is_a_stop_at_the_budget(
    synced: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse
) -> None:
    order_id = store.place_order()
    server.faults.on(f"/orders/{order_id}", Fault.RATE_LIMIT_ENVELOPE)

    result = synced()

    assert (result.stop_reason, result.exit_code, result.errors) == (StopReason.BUDGET, 4, [])
    assert result.api_calls == 2 + 2
    assert result.orders_deferred == 1
    server.faults.clear()
    assert synced().orders_created == 1


@pytest.mark.slow
def test_failed_orders_do_not_make_a_stop_at_the_budget_hopeless(
    sync: DagsterSync, server: SandboxServer, make_settings: MakeSettings
) -> None:
    """Orders that cost less than planned leave calls: the message says that these are free, not that none ever is."""
    server.faults.on(r"/orders/\d+$", Fault.FORBIDDEN)

    result = sync(settings=make_settings(bl_daily_call_limit=20, bl_call_reserve=0))

    assert (result.stop_reason, result.orders_deferred, len(result.errors)) == (StopReason.BUDGET, 15, 9)
    assert result.api_calls == 11
    assert "Calls are free again from 2026-06-15 12:00 UTC" in str(result.message)


@pytest.mark.slow
@pytest.mark.parametrize("of_dagster", [False, True])
def test_a_step_that_was_never_entered_ends_no_run(session: SyncSession, of_dagster: bool) -> None:
    """An interruption may come between two instructions, just before the step: whoever catches it notes the end.

    Caught: a canceled run noted as failed, and a traceback on standard error when Python cleared the step away.
    """
    session.begin("run", job="sync_orders")
    context: Any = None  # nobody may use it
    step = run_step(context, session) if of_dagster else session.step()
    step.__enter__()
    del step
    gc.collect()

    with session.warehouse.engine.connect() as connection:
        run = read_run(connection, "run")
    assert run is not None
    assert run.status is RunStatus.STARTED

"""`bl plan` and `bl rebuild`: no sync, and nothing stored but the calls and what was received before."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from rich.console import Console
from sqlalchemy import text

from bl_pipeline.rules.forecast import Forecast
from bl_pipeline.sandbox import Fault, SandboxServer, Store, move_on
from bl_pipeline.terminal.planning import forecast_view
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.support.sales_rows import as_json, dump, versions
from bl_pipeline_tests.terminal.conftest import NOWHERE, Bl, expect, json_of

pytestmark = pytest.mark.slow

SALES = ("sales.orders", "sales.order_items", "sales.order_status_history")
LISTS = ["direction=in&filed=false", "direction=in&filed=true"]


@pytest.fixture
def syncing(warehouse: Warehouse) -> Iterator[None]:
    """Another process syncs the store."""
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    yield
    lock.release()


def count_runs(warehouse: Warehouse) -> int:
    with warehouse.engine.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM sync.runs")) or 0)


def test_a_plan_says_what_a_sync_would_do_and_the_sync_does_it(
    synced_bl: Bl, server: SandboxServer, store: Store
) -> None:
    unfiled = [order.order_id for order in store.sales.values() if not (order.is_filed or order.is_purged)]
    store.place_order()
    store.set_payment_status(unfiled[0], "Bounced")

    values = json_of(expect(synced_bl("plan", "--json"), 0))

    left = json_of(synced_bl("status", "--json"))["calls"]["left"]
    assert values == {
        "orders_listed": 13, "orders_by_reason": {"backlog": 1, "content_changed": 1}, "orders_now": 2,
        "orders_deferred": 0, "least_calls": 5, "most_calls": 6, "calls_for_lists": 2, "calls_used": 2,
        "calls_left": left, "days": 0,
    }  # fmt: skip
    shown = expect(synced_bl("plan"), 0).stdout.splitlines()
    assert shown[0] == "A sync would fetch 2 orders:"
    assert sorted(shown[1:3]) == [
        "  1  not stored yet, older",
        "  1  with a changed payment, total or count, or filed",
    ]
    assert shown[3:] == [
        "It takes 5 to 6 calls in all, 2 of them for the lists.",
        f"{left - 2:,} calls left now, after the 2 that this plan has used.",
        "All of it fits now.",
    ]
    server.clear_requests()
    done = json_of(expect(synced_bl("sync", "--json"), 0))
    assert (done["orders_created"], done["orders_updated"], done["api_calls"]) == (1, 1, values["least_calls"])
    assert json_of(synced_bl("status", "--json"))["calls"]["left"] == left - values["calls_used"] - done["api_calls"]


def test_a_plan_takes_two_calls_and_writes_nothing_else(
    synced_bl: Bl, server: SandboxServer, store: Store, warehouse: Warehouse
) -> None:
    """Catches the lists of a plan stored as if a sync had asked them: the next sync would not know what is new."""
    move_on(store, new=2, changed=3)
    before, written, runs = as_json(dump(warehouse)), versions(warehouse), count_runs(warehouse)
    used = json_of(synced_bl("status", "--json"))["calls"]["used"]

    for arguments in (["plan"], ["plan", "--full", "--json"]):
        server.clear_requests()
        expect(synced_bl(*arguments), 0)
        assert [request.query for request in server.requests] == LISTS

    assert as_json(dump(warehouse)) == before
    assert versions(warehouse) == written
    assert count_runs(warehouse) == runs
    status = json_of(synced_bl("status", "--json"))
    assert status["calls"]["used"] == used + 4
    assert status["open_full_syncs"] == []
    assert json_of(synced_bl("sync", "--json"))["orders_created"] == 2


def test_the_plan_of_an_unchanged_store_is_empty(synced_bl: Bl) -> None:
    values = json_of(synced_bl("plan", "--json"))
    assert (values["orders_by_reason"], values["most_calls"], values["days"]) == ({}, 2, 0)
    assert expect(synced_bl("plan"), 0).stdout == (
        "Nothing to fetch: 12 listed orders, all in step.\n"
        "A sync takes 2 calls, for the lists.\n"
        f"{values['calls_left'] - 2:,} calls left now, after the 2 that this plan has used.\n"
    )


def test_the_calls_of_a_plan_that_had_to_ask_again_are_counted(
    synced_bl: Bl, server: SandboxServer, database_url: str
) -> None:
    """An attempt is a call. Planted: one name in the ledger for the calls of all plans, which may run at once."""
    server.faults.next(Fault.HTTP500)
    used = [json_of(expect(synced_bl("plan", "--json"), 0))["calls_used"] for _ in range(2)]
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT count(*) FROM sync.api_calls WHERE run_id LIKE 'plan %' GROUP BY run_id ORDER BY 1 DESC"
        )
        assert used == [3, 2] == [row[0] for row in rows]


def test_a_plan_at_the_budget_leaves_room_for_the_lists(bl: Bl, server: SandboxServer) -> None:
    """Caught: the two calls for the lists of the sync were not counted, and an order more was said to fit."""
    limit = {"BL_DAILY_CALL_LIMIT": "12", "BL_CALL_RESERVE": "0"}
    values = json_of(expect(bl("plan", "--json", **limit), 0))
    assert (values["calls_left"], values["orders_now"]) == (10, 4)
    assert json_of(expect(bl("sync", "--json", **limit), 4))["orders_processed"] == 4


def test_the_plan_of_a_full_sync_is_every_order(synced_bl: Bl) -> None:
    values = json_of(expect(synced_bl("plan", "--full", "--json"), 0))
    # Two for the lists; the items of the two orders that are purged are not asked for again.
    assert (values["orders_by_reason"], values["least_calls"]) == ({"full_sync": 12}, 2 + 22)
    assert "  12  of a full sync" in synced_bl("plan", "--full").stdout.splitlines()


def shown_of(forecast: Forecast) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(forecast_view(forecast))
    return capture.get()


def test_a_plan_that_may_just_not_fit_does_not_promise_it() -> None:
    shown = shown_of(
        Forecast(
            9,
            {"status_changed": 3},
            3,
            0,
            least_calls=5,
            most_calls=8,
            calls_for_lists=2,
            calls_used=2,
            calls_left=6,
            days=0,
        )
    )
    assert "All of it fits now, unless many items have changed too; the next run would do the rest." in shown


def test_a_plan_beyond_the_budget_says_how_many_days(bl: Bl, warehouse: Warehouse) -> None:
    """A run every half hour asks two lists, 96 a day: of 106 calls a day ten are left for orders."""
    small = {"BL_DAILY_CALL_LIMIT": "100", "BL_CALL_RESERVE": "90"}
    values = json_of(expect(bl("plan", "--json", **small), 0))
    assert values["calls_left"] == 8
    assert (values["orders_now"], values["orders_deferred"], values["most_calls"]) == (3, 9, 26)
    assert values["days"] is None
    assert "The lists alone use this budget up: raise BL_DAILY" in expect(bl("plan", **small), 0).stdout
    some = {"BL_DAILY_CALL_LIMIT": "106", "BL_CALL_RESERVE": "0"}
    with warehouse.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO sync.api_calls (store, run_id, started_at, method, path) "
                "SELECT 'main', 'earlier', now(), 'GET', '/' FROM generate_series(1, 90)"
            )
        )
    values = json_of(expect(bl("plan", "--json", **some), 0))
    assert (values["calls_left"], values["orders_now"], values["days"]) == (10, 4, 2)
    shown = expect(bl("plan", **some), 0).stdout
    assert "3 orders fit now, and the scheduled runs of 2 more days do the rest." in shown


def test_no_call_left_for_the_lists_is_exit_4(bl: Bl, server: SandboxServer) -> None:
    result = expect(bl("plan", "--json", BL_DAILY_CALL_LIMIT="1", BL_CALL_RESERVE="0"), 4)
    assert result.stdout == ""
    assert "The call budget is used up" in result.stderr
    assert server.requests == []


def test_what_stands_in_the_way_of_a_plan_has_its_exit_code(
    bl: Bl, server: SandboxServer, credentials: dict[str, str]
) -> None:
    without = {name: "" for name in credentials if name != "BRICKLINK_API_URL"}
    for changed, code, hint in (
        (without, 2, "BRICKLINK_CONSUMER_KEY"),
        ({"BL_CALL_RESERVE": "x"}, 2, "BL_CALL_RESERVE"),
        ({"BRICKLINK_TOKEN_SECRET": "topsecretwrong"}, 5, "SIGNATURE_INVALID"),
        ({"BRICKLINK_API_URL": "http://127.0.0.1:1/api"}, 6, "cannot be reached"),
        ({"BL_DATABASE_URL": NOWHERE}, 6, "127.0.0.1:1/nothing cannot be reached"),
    ):
        result = expect(bl("plan", "--json", **changed), code)
        assert result.stdout == ""
        assert result.stderr.startswith("Error: ")
        assert hint in result.stderr
        assert "hunter2" not in result.stderr
        assert "topsecretwrong" not in result.stderr
    assert len(server.requests) == 1  # a refusal is not tried again
    server.faults.next(Fault.FORBIDDEN)
    expect(bl("plan"), 5)


@pytest.mark.usefixtures("syncing")
@pytest.mark.parametrize("command", ["plan", "rebuild"])
def test_while_a_sync_runs_they_are_refused(command: str, bl: Bl, server: SandboxServer) -> None:
    result = expect(bl(command, "--json"), 1)
    assert result.stdout == ""
    assert "A sync or another command of this store is running, so nothing was done" in result.stderr
    assert server.requests == []


def test_a_rebuild_makes_the_same_rows_without_a_call(
    synced_bl: Bl, server: SandboxServer, store: Store, warehouse: Warehouse
) -> None:
    move_on(store, new=1, changed=4)
    expect(synced_bl("sync"), 0)
    before, states = dump(warehouse, *SALES), dump(warehouse, "sync.order_state", "landing.documents")
    assert len(before["sales.order_status_history"]) > 13
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sales.orders SET total = 0"))
        connection.execute(text("DELETE FROM sales.order_items"))
    server.clear_requests()

    result = expect(synced_bl("rebuild"), 0)

    assert result.stdout == "13 orders rebuilt from what was received\n"
    assert result.stderr.splitlines()[0] == "Rebuilding 13 orders ..."
    assert as_json(dump(warehouse, *SALES)) == as_json(before)
    assert as_json(dump(warehouse, "sync.order_state", "landing.documents")) == as_json(states)
    assert server.requests == []
    assert json_of(expect(synced_bl("rebuild", "--json"), 0)) == {"orders_rebuilt": 13, "errors": []}


def test_a_rebuild_needs_no_credentials(synced_bl: Bl, credentials: dict[str, str]) -> None:
    without = {name: "" for name in credentials if name != "BRICKLINK_API_URL"}
    assert json_of(expect(synced_bl("rebuild", "--json", **without), 0))["orders_rebuilt"] == 12


def test_a_rebuild_that_would_lose_an_order_is_undone(synced_bl: Bl, store: Store, warehouse: Warehouse) -> None:
    order_id = str(max(store.sales))
    with warehouse.engine.begin() as connection:
        connection.execute(
            text("UPDATE landing.documents SET body = '[]' WHERE kind = 'order' AND platform_order_id = :id"),
            {"id": order_id},
        )
    before = as_json(dump(warehouse, *SALES))

    result = expect(synced_bl("rebuild", "--json"), 1)

    assert result.stdout == ""
    assert "Nothing was changed" in result.stderr
    assert order_id in result.stderr
    assert as_json(dump(warehouse, *SALES)) == before

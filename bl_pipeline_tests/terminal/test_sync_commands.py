"""`bl sync`, `refresh` and `retry`: what they print on which stream, and how they exit."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from bl_pipeline.sandbox import Fault, SandboxServer, Store, move_on
from bl_pipeline.terminal.cli import app
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.terminal.conftest import FIELDS, NOWHERE, Bl, expect, json_of, only_message, only_message_of_run

pytestmark = pytest.mark.slow


def test_a_sync_reports_what_it_did(bl: Bl, server: SandboxServer) -> None:
    result = expect(bl("sync"), 0)
    assert result.stdout.splitlines()[0] == "Done: 12 created, 0 updated, 0 skipped"
    assert result.stdout.splitlines()[1].startswith(f"{len(server.requests)} API calls in ")
    assert result.stderr.splitlines()[0] == "Fetching 12 orders ..."
    assert result.stderr.splitlines()[-1] == "  12 of 12: 12 created"
    assert "\x1b" not in result.stdout + result.stderr


def test_the_result_as_json_is_all_of_standard_output(synced_bl: Bl, server: SandboxServer, store: Store) -> None:
    move_on(store, new=2, changed=3)
    values = json_of(expect(synced_bl("sync", "--json"), 0))
    assert list(values) == FIELDS
    assert values["success"] is True
    assert [values[f"orders_{name}"] for name in ("created", "updated", "skipped", "processed", "deferred")] == [
        2,
        3,
        9,
        14,
        0,
    ]
    assert values["errors"] == []
    assert values["api_calls"] == len(server.requests)
    assert datetime.fromisoformat(values["last_synced_at"]).utcoffset() is not None
    assert values["duration_seconds"] > 0


def test_options_reach_the_sync(bl: Bl, server: SandboxServer, store: Store) -> None:
    assert json_of(bl("sync", "--no-filed", "--no-items", "--json"))["orders_created"] == 8
    assert {request.path.rpartition("/")[2] for request in server.requests}.isdisjoint({"items"})
    assert [request.query for request in server.requests if request.path == "/orders"] == ["direction=in&filed=false"]
    values = json_of(bl("sync", "--full", "--json"))
    assert (values["orders_created"], values["orders_updated"], values["orders_skipped"]) == (4, 8, 0)


def test_runs_show_in_the_dagster_ui_under_their_job(synced_bl: Bl) -> None:
    expect(synced_bl("retry"), 0)
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        runs = connection.execute("SELECT pipeline_name, status FROM dagster.runs ORDER BY id").fetchall()
    assert runs == [("sync_orders", "SUCCESS"), ("retry_failed_orders", "SUCCESS")]


@pytest.mark.parametrize("form", ["{}", "BL-{}"])
def test_an_order_is_fetched_again(synced_bl: Bl, server: SandboxServer, store: Store, form: str) -> None:
    order_id = max(key for key, order in store.sales.items() if not (order.is_purged or order.is_filed))
    store.edit_remarks(order_id, "packed with care")
    server.clear_requests()
    values = json_of(expect(synced_bl("refresh", form.format(order_id), "--json"), 0))
    assert values["orders_updated"] == 1
    assert server.requests[0].path == f"/orders/{order_id}"


def test_a_number_that_no_list_has_costs_the_others_nothing(synced_bl: Bl, server: SandboxServer, store: Store) -> None:
    """Caught: a typing error among the numbers, and none of them was fetched."""
    order_id = max(key for key, order in store.sales.items() if not (order.is_purged or order.is_filed))
    store.edit_remarks(order_id, "packed with care")
    values = json_of(expect(synced_bl("refresh", str(order_id), "77", "--json"), 3))
    assert values["orders_updated"] == 1
    assert [error["order_id"] for error in values["errors"]] == ["77"]
    assert "as BrickLink shows it" in values["errors"][0]["error"]
    # It is no order of the store, so nothing of the store has failed.
    assert json_of(synced_bl("errors", "--json")) == []
    assert "BL-77" in expect(synced_bl("refresh", "77"), 3).stdout


def test_orders_that_fail_are_exit_3_until_they_are_retried(bl: Bl, server: SandboxServer, store: Store) -> None:
    order_id = max(key for key, order in store.sales.items() if not order.is_purged)
    server.faults.on(f"/orders/{order_id}$", Fault.FORBIDDEN)
    result = expect(bl("sync"), 3)
    assert result.stdout.startswith("Done, but some orders failed: 11 created, 0 updated, 0 skipped, 1 failed\n")
    assert f"BL-{order_id}" in result.stdout
    values = json_of(expect(bl("sync", "--json"), 3))
    assert [error["order_id"] for error in values["errors"]] == [str(order_id)]
    assert values["success"] is False
    shown = expect(bl("errors"), 0).stdout
    assert f"BL-{order_id}" in shown
    (failed,) = json_of(bl("errors", "--json"))
    assert failed["order_id"] == str(order_id)
    assert " ".join(failed["error"].split()) in " ".join(shown.split())
    assert json_of(bl("status", "--json"))["failed_orders"] == 1
    expect(bl("retry", "--json"), 3)
    server.faults.clear()
    assert json_of(expect(bl("retry", "--json"), 0))["orders_created"] == 1
    assert json_of(bl("errors", "--json")) == []
    assert expect(bl("errors"), 0).stdout == expect(bl("retry"), 0).stdout == "No order has failed.\n"


def test_an_order_that_cannot_be_read_is_explained_before_the_details(
    bl: Bl, server: SandboxServer, store: Store
) -> None:
    order_id = max(key for key, order in store.sales.items() if not order.is_purged)
    server.faults.on(f"/orders/{order_id}$", Fault.WRONG_TYPE_ID)
    result = expect(bl("sync"), 3)
    assert f"BL-{order_id}  BrickLink sent order {order_id} in a form that cannot be read" in result.stdout
    # Caught: it asked for a report "with the line below", and no line was there.
    shown = " ".join(result.stdout.split())
    assert "report it with its details. See the details with: bl errors Try these again with: bl retry" in shown
    for command in ("order", "messages"):
        # Caught: such an order was said to be not there, and to be fetched.
        said = expect(bl(command, str(order_id)), 1).stderr
        assert f"Order {order_id} could not be fetched or read" in said
        assert f"See why with: bl errors\nFetch it with: bl refresh {order_id}, or" in said
    (failed,) = json_of(bl("errors", "--json"))
    says, details = failed["error"].split("\n")
    assert says.startswith(f"BrickLink sent order {order_id} in a form that cannot be read, so the reports are without")
    assert "Expected" not in says
    assert "Expected" in details


def test_details_of_a_refusal_are_on_a_line_of_their_own(bl: Bl, server: SandboxServer) -> None:
    server.faults.on("/orders", Fault.UNAUTHORIZED)
    *lines, details = expect(bl("sync"), 5).stderr.splitlines()
    assert details.startswith("[GET /orders?")
    assert not any("[GET" in line for line in lines)
    assert "API consumer page (bricklink.com/v2/api/register_consumer.page)" in " ".join(lines)


def test_the_call_budget_is_exit_4_and_says_when_it_goes_on(bl: Bl, server: SandboxServer) -> None:
    small = {"BL_DAILY_CALL_LIMIT": "10", "BL_CALL_RESERVE": "0"}
    values = json_of(expect(bl("sync", "--json", **small), 4))
    assert list(values) == FIELDS
    assert values["success"] is False
    assert values["errors"] == []
    assert values["api_calls"] == len(server.requests) <= 10
    assert values["orders_created"] + values["orders_deferred"] == 12
    status = json_of(bl("status", "--json", **small))
    assert datetime.fromisoformat(status["calls"]["next_reset_at"]) > datetime.fromisoformat(status["now"])
    # Now not even the lists can be asked.
    none = {"BL_DAILY_CALL_LIMIT": str(len(server.requests)), "BL_CALL_RESERVE": "0"}
    server.clear_requests()
    result = expect(bl("sync", **none), 4)
    assert "Stopped at the call budget" in result.stdout
    assert "Calls are free again from" in result.stderr
    expect(bl("sync", "--json", **none), 4)
    assert server.requests == []


def test_refused_credentials_are_exit_5(bl: Bl, server: SandboxServer) -> None:
    wrong = {"BRICKLINK_TOKEN_SECRET": "topsecretwrong"}
    result = expect(bl("sync", "--json", **wrong), 5)
    assert len(server.requests) == 1
    message = only_message(result)
    assert "SIGNATURE_INVALID" in message
    assert "topsecretwrong" not in result.stdout + result.stderr
    plain = expect(bl("sync", **wrong), 5)
    assert plain.stderr.startswith("Error: ")
    assert json_of(bl("status", "--json"))["indicator"] == "error"


def test_an_api_that_is_not_reached_is_exit_6(bl: Bl) -> None:
    result = expect(bl("sync", "--json", BRICKLINK_API_URL="http://127.0.0.1:1/api"), 6)
    assert "cannot be reached" in only_message(result)


def test_a_database_that_is_not_reached_is_exit_6(bl: Bl) -> None:
    for command in ("sync", "retry"):
        result = expect(bl(command, "--json", BL_DATABASE_URL=NOWHERE), 6)
        assert "127.0.0.1:1/nothing cannot be reached" in only_message(result)
        assert "hunter2" not in result.stdout + result.stderr
    for reading in (["status"], ["orders", "--json"], ["order", "1"], ["errors"]):
        result = expect(bl(*reading, BL_DATABASE_URL=NOWHERE), 6)
        assert result.stdout == ""
        assert "cannot be reached" in result.stderr
        assert "hunter2" not in result.stderr


@pytest.mark.full  # Dagster tries for 20 seconds to reach its own tables
def test_a_database_that_goes_away_is_exit_6(
    isolated: pytest.MonkeyPatch, store: Store, postgres: Postgres, database_url: str, tmp_path: Path
) -> None:
    name = database_url.rpartition("/")[2]
    gone = False

    def pull_the_plug(request: Any) -> None:
        nonlocal gone
        if not gone and request.path.endswith("/items"):
            gone = True
            with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
                admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    with SandboxServer(store, on_request=pull_the_plug) as server:
        variables = {**server.environment(), "BL_DATABASE_URL": database_url, "BL_HOME": str(tmp_path / "home")}
        result = CliRunner().invoke(app, ["sync", "--json"], env=variables)
    assert gone
    expect(result, 6)
    assert "The connection to the warehouse was lost" in only_message_of_run(result)
    assert "postgresql" not in result.stderr.replace("Postgres", "")


@pytest.mark.parametrize("command", [["sync"], ["refresh", "1"], ["retry"]])
def test_missing_credentials_are_wrong_usage(bl: Bl, credentials: dict[str, str], command: list[str]) -> None:
    without = {name: "" for name in credentials if name != "BRICKLINK_API_URL"}
    result = expect(bl(*command, "--json", **without), 2)
    assert "BRICKLINK_CONSUMER_KEY" in only_message(result)
    assert "bl demo" in result.stderr


def test_a_bad_setting_is_wrong_usage(bl: Bl) -> None:
    result = expect(bl("sync", "--json", BL_MAX_PARALLEL_REQUESTS="many"), 2)
    assert "BL_MAX_PARALLEL_REQUESTS" in only_message(result)
    result = expect(bl("status", BL_DATABASE_URL="mysql://u:hunter2@host/db"), 2)
    assert result.stdout == ""
    assert "BL_DATABASE_URL: must look like postgresql://" in result.stderr
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize(
    "arguments", [["sync", "--json", "--fast"], ["refresh", "--json"], ["refresh", "--json", "15646315", "abc"]]
)
def test_wrong_usage_is_exit_2_and_still_json(bl: Bl, server: SandboxServer, arguments: list[str]) -> None:
    values = json_of(expect(bl(*arguments), 2))
    assert list(values) == FIELDS
    assert [error["order_id"] for error in values["errors"]] == [None]
    assert server.requests == []


def test_a_second_sync_is_exit_1_and_says_so(bl: Bl, warehouse: Any, server: SandboxServer) -> None:
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    try:
        result = expect(bl("sync", "--json"), 1)
        assert json_of(bl("status", "--json"))["indicator"] == "syncing"
    finally:
        lock.release()
    assert "A sync or another command of this store is running, so this one was not started" in only_message(result)
    assert server.requests == []


def test_no_secrets_and_no_buyers_beside_the_result(bl: Bl, server: SandboxServer, store: Store) -> None:
    server.faults.next(Fault.IP_MISMATCH)
    results = [bl("sync", "--json"), bl("sync", "--json"), bl("sync")]
    assert [result.exit_code for result in results] == [5, 0, 0]
    said = "".join(result.stdout + result.stderr for result in results)
    secrets = [value for name, value in server.environment().items() if name != "BRICKLINK_API_URL"]
    buyers = [order.buyer for order in store.sales.values()]
    for private in [*secrets, *(buyer.name or "?" for buyer in buyers), *(buyer.email for buyer in buyers)]:
        assert private not in said

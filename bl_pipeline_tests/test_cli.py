"""`bl` as its users meet it: what it prints where, and how it exits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from bl_pipeline.cli import app
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.conftest import NOW, Postgres

NOWHERE = "postgresql://someone:hunter2@127.0.0.1:1/nothing"
FIELDS = [
    "success",
    "orders_processed",
    "orders_created",
    "orders_updated",
    "orders_skipped",
    "orders_deferred",
    "errors",
    "api_calls",
    "last_synced_at",
    "duration_seconds",
]
BL = [sys.executable, "-c", "from bl_pipeline.cli import main; main()"]

Bl = Callable[..., Result]


def grow_store() -> Store:
    return Store.grow(orders=12, seed=7, now=NOW, filed=4, purged=2)


@pytest.fixture
def store() -> Store:
    return grow_store()


@pytest.fixture(scope="session")
def templates(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Databases to copy that have Dagster's tables too: an empty one, and one in which the store was synced."""
    home = str(tmp_path_factory.mktemp("home"))

    def run(url: str, server: SandboxServer, *arguments: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**server.environment(), "BL_DATABASE_URL": url, "BL_HOME": home}.items():
                patch.setenv(name, value)
            expect(CliRunner().invoke(app, arguments), 0)

    def make_empty(url: str) -> None:
        with SandboxServer(Store.grow(orders=0)) as server:
            run(url, server, "sync")
        with psycopg.connect(url) as connection:
            connection.execute("TRUNCATE sync.runs, sync.api_calls, dagster.runs, dagster.event_logs CASCADE")

    def make_synced(url: str) -> None:
        with SandboxServer(grow_store(), timestamp_lifetime=10**9) as server:
            run(url, server, "sync")

    postgres.make_template("bl_empty", "template1", make_empty)
    postgres.make_template("bl_synced", "bl_empty", make_synced)
    return "bl_empty", "bl_synced"


@pytest.fixture
def database_url(request: pytest.FixtureRequest, postgres: Postgres, templates: tuple[str, str]) -> Iterator[str]:
    empty, synced = templates
    with postgres.database(synced if "synced_bl" in request.fixturenames else empty) as url:
        yield url


@pytest.fixture
def credentials(server: SandboxServer) -> dict[str, str]:
    return server.environment()


@pytest.fixture
def bl(isolated: pytest.MonkeyPatch, credentials: dict[str, str], database_url: str, tmp_path: Path) -> Bl:
    """Run `bl` in this process on the sandbox and a database of the test's own, save for the variables given."""
    variables = {**credentials, "BL_DATABASE_URL": database_url, "BL_HOME": str(tmp_path / "home"), "COLUMNS": "100"}
    for name, value in variables.items():
        isolated.setenv(name, value)

    def run(*arguments: str, **changed: str) -> Result:
        return CliRunner().invoke(app, arguments, env=changed, prog_name="bl")

    return run


def expect(result: Result, code: int) -> Result:
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    assert "Traceback" not in result.stdout + result.stderr
    return result


def told(result: Result) -> Any:
    """The JSON that is all of standard output."""
    return json.loads(result.stdout)


def only_message(result: Result) -> str:
    """The message of a run that did not come to its end, from a whole SyncResult."""
    values = told(result)
    assert list(values) == FIELDS
    assert values["success"] is False
    (error,) = values["errors"]
    assert error["order_id"] is None
    assert error["error"].splitlines()[0] in result.stderr
    return str(error["error"])


@pytest.fixture
def synced_bl(bl: Bl) -> Bl:
    """The same, where the store has been synced."""
    return bl


# --- sync


def test_a_sync_reports_what_it_did(bl: Bl, server: SandboxServer) -> None:
    result = expect(bl("sync"), 0)
    assert result.stdout.splitlines()[0] == "Done: 12 created, 0 updated, 0 skipped"
    assert result.stdout.splitlines()[1].startswith(f"{len(server.requests)} API calls in ")
    assert result.stderr.splitlines()[0] == "Fetching 12 orders ..."
    assert result.stderr.splitlines()[-1] == "  12 of 12: 12 created"
    assert "\x1b" not in result.stdout + result.stderr


def test_the_result_as_json_is_all_of_standard_output(synced_bl: Bl, server: SandboxServer, store: Store) -> None:
    store.live(new=2, changed=3)
    values = told(expect(synced_bl("sync", "--json"), 0))
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
    assert told(bl("sync", "--no-filed", "--no-items", "--json"))["orders_created"] == 8
    assert {request.path.rpartition("/")[2] for request in server.requests}.isdisjoint({"items"})
    assert [request.query for request in server.requests if request.path == "/orders"] == ["direction=in&filed=false"]
    values = told(bl("sync", "--full", "--json"))
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
    values = told(expect(synced_bl("refresh", form.format(order_id), "--json"), 0))
    assert values["orders_updated"] == 1
    assert server.requests[0].path == f"/orders/{order_id}"


def test_an_order_that_is_not_of_the_store_is_refused(synced_bl: Bl) -> None:
    result = expect(synced_bl("refresh", "77", "--json"), 1)
    assert "77" in only_message_of_run(result)


def only_message_of_run(result: Result) -> str:
    values = told(result)
    assert list(values) == FIELDS
    (error,) = [error for error in values["errors"] if error["order_id"] is None]
    return str(error["error"])


def test_orders_that_fail_are_exit_3_until_they_are_retried(bl: Bl, server: SandboxServer, store: Store) -> None:
    order_id = max(key for key, order in store.sales.items() if not order.is_purged)
    server.faults.on(f"/orders/{order_id}$", Fault.FORBIDDEN)
    result = expect(bl("sync"), 3)
    assert result.stdout.startswith("Done, but some orders failed: 11 created, 0 updated, 0 skipped, 1 failed\n")
    assert f"BL-{order_id}" in result.stdout
    values = told(expect(bl("sync", "--json"), 3))
    assert [error["order_id"] for error in values["errors"]] == [str(order_id)]
    assert values["success"] is False
    shown = expect(bl("errors"), 0).stdout
    assert f"BL-{order_id}" in shown
    (failed,) = told(bl("errors", "--json"))
    assert failed["order_id"] == str(order_id)
    assert failed["error"] in shown.replace("\n", " ").replace("   ", " ")
    assert told(bl("status", "--json"))["failed_orders"] == 1
    expect(bl("retry", "--json"), 3)
    server.faults.clear()
    assert told(expect(bl("retry", "--json"), 0))["orders_created"] == 1
    assert told(bl("errors", "--json")) == []
    assert expect(bl("errors"), 0).stdout == "No order has failed.\n"


def test_the_call_budget_is_exit_4_and_says_when_it_goes_on(bl: Bl, server: SandboxServer) -> None:
    small = {"BL_DAILY_CALL_LIMIT": "10", "BL_CALL_RESERVE": "0"}
    values = told(expect(bl("sync", "--json", **small), 4))
    assert list(values) == FIELDS
    assert values["success"] is False
    assert values["errors"] == []
    assert values["api_calls"] == len(server.requests) <= 10
    assert values["orders_created"] + values["orders_deferred"] == 12
    status = told(bl("status", "--json", **small))
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
    assert told(bl("status", "--json"))["indicator"] == "error"


def test_an_api_that_is_not_reached_is_exit_6(bl: Bl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bl_pipeline.bricklink.retry.RetryPolicy.wait_seconds", lambda *_: 0.0)
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


@pytest.mark.parametrize("arguments", [["sync", "--json", "--fast"], ["refresh", "--json"]])
def test_wrong_usage_is_exit_2_and_still_json(bl: Bl, arguments: list[str]) -> None:
    only_message(expect(bl(*arguments), 2))


def test_a_second_sync_is_exit_1_and_says_so(bl: Bl, warehouse: Any, server: SandboxServer) -> None:
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    try:
        result = expect(bl("sync", "--json"), 1)
        assert told(bl("status", "--json"))["indicator"] == "syncing"
    finally:
        lock.release()
    assert "Another sync of this store is running" in only_message(result)
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


# --- reading


def test_status_before_and_after_the_first_sync(bl: Bl) -> None:
    assert expect(bl("status"), 0).stdout.startswith("● stale  store main, Postgres at 127.0.0.1:")
    assert told(bl("status", "--json"))["last_run"] is None
    expect(bl("sync"), 0)
    text = expect(bl("status"), 0).stdout
    assert text.startswith("● synced  store main")
    assert "12 orders with" in text
    assert "sync_orders succeeded: 12 created, 0 updated, 0 skipped" in text
    values = told(bl("status", "--json"))
    assert (values["indicator"], values["orders"], values["failed_orders"]) == ("synced", 12, 0)
    assert values["calls"]["used"] + values["calls"]["left"] == 4750
    assert values["last_run"]["api_calls"] == values["calls"]["used"]


def test_status_is_quick_as_it_does_without_dagster() -> None:
    script = (
        "import sys\n"
        "import bl_pipeline.cli, bl_pipeline.status, bl_pipeline.terminal.views, bl_pipeline.warehouse.database\n"
        "print([name for name in ('dagster', 'pandas', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_orders_list(synced_bl: Bl, store: Store) -> None:
    rows = told(expect(synced_bl("orders", "--json"), 0))
    by_date = sorted(store.sales.values(), key=lambda order: order.date_ordered, reverse=True)
    assert [row["display_id"] for row in rows] == [f"BL-{order.order_id}" for order in by_date]
    assert all(isinstance(row["total"], str) and Decimal(row["total"]) > 0 for row in rows)
    assert all(row["order_date"].endswith("+00:00") for row in rows)
    latest = by_date[0]
    text = expect(synced_bl("orders", "--limit", "1"), 0).stdout.splitlines()
    assert len(text) == 3
    assert text[2].startswith(f"BL-{latest.order_id}  {latest.date_ordered:%Y-%m-%d}  ")


def test_the_orders_list_is_filtered(synced_bl: Bl, store: Store) -> None:
    def ids(*arguments: str) -> set[int]:
        return {int(row["platform_order_id"]) for row in told(expect(synced_bl("orders", "--json", *arguments), 0))}

    orders = store.sales
    some = next(iter(orders.values()))
    assert ids("--status", some.status.lower()) >= {some.order_id}
    assert ids("--search", some.buyer.email.upper()) == {
        order.order_id for order in orders.values() if order.buyer.email == some.buyer.email
    }
    assert ids("--search", f"BL-{some.order_id}") == {some.order_id}
    middle = sorted(order.date_ordered for order in orders.values())[6]
    assert ids("--since", middle.isoformat()) == {key for key, order in orders.items() if order.date_ordered >= middle}
    assert ids("--since", f"{middle:%Y-%m-%d}") >= ids("--since", middle.isoformat())
    assert ids("--platform", "BrickLink") == set(orders)
    nothing = expect(synced_bl("orders", "--search", "nobody of this name"), 0)
    assert (nothing.stdout, nothing.stderr) == ("", "No orders like that.\n")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["orders", "--since", "yesterday"], "2026-05-31"),
        (["orders", "--status", "sent"], "shipped"),
        (["orders", "--platform", "ebay"], "bricklink"),
        (["orders", "--limit", "0"], "1"),
        (["order", "BL-12x"], "BL-15646315"),
        (["refresh"], "ID"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_values_are_exit_2_with_what_to_write(bl: Bl, arguments: list[str], hint: str) -> None:
    result = expect(bl(*arguments), 2)
    assert result.stdout == ""
    assert hint in result.stderr


def test_one_order_in_full(synced_bl: Bl, store: Store) -> None:
    order = max((order for order in store.sales.values() if not order.is_purged), key=lambda order: len(order.lots))
    text = expect(synced_bl("order", f"BL-{order.order_id}"), 0).stdout
    assert text.startswith(f"BL-{order.order_id}  ")
    for shown in (order.buyer.email, "Subtotal", "Shipping", "Total", "Seen (UTC)"):
        assert shown in text
    assert not any(line != line.rstrip() for line in text.splitlines())
    values = told(expect(synced_bl("order", str(order.order_id), "--json"), 0))
    assert len(values["items"]) == len(order.lots)
    assert isinstance(values["items"][0]["unit_price"], str)
    assert len(values["status_history"]) == 1
    missing = expect(synced_bl("order", "77"), 1)
    assert missing.stdout == ""
    assert "bl refresh 77" in missing.stderr


@pytest.mark.parametrize("columns", ["80", "100", "120"])
def test_tables_fit_the_terminal(synced_bl: Bl, store: Store, columns: str) -> None:
    order = max(store.sales.values(), key=lambda order: len(order.lots))
    for arguments in (["orders"], ["order", str(order.order_id)], ["status"]):
        text = expect(synced_bl(*arguments, COLUMNS=columns), 0).stdout
        assert max(map(len, text.splitlines())) <= int(columns)
    rows = expect(synced_bl("orders", COLUMNS=columns), 0).stdout.splitlines()
    assert len(rows) == len(store.sales) + 2
    assert ("Tracking" in rows[0]) is (columns == "120")
    # Cut are names, never numbers.
    assert all(f"BL-{key} " in "\n".join(rows) for key in store.sales)
    assert not any("…" in row.split("  ")[0] or row.endswith("…") for row in rows)


def test_a_name_cannot_command_the_terminal(synced_bl: Bl, store: Store) -> None:
    order_id = max(store.sales)
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        connection.execute(
            "UPDATE sales.orders SET buyer_name = %s WHERE platform_order_id = %s",
            ["\x1b[2J[bold]Mallory", str(order_id)],
        )
    for arguments in (["orders"], ["order", str(order_id)]):
        text = expect(synced_bl(*arguments, COLUMNS="140"), 0).stdout
        assert "\x1b" not in text
        assert "[2J[bold]Mallory" in text


# --- doctor


def checks(result: Result) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in told(result)["checks"]}


def test_doctor_finds_all_well_with_one_call(synced_bl: Bl, server: SandboxServer) -> None:
    server.clear_requests()
    before = told(synced_bl("status", "--json"))["calls"]["used"]
    result = expect(synced_bl("doctor", "--json"), 0)
    assert told(result)["ok"] is True
    assert checks(result) == dict.fromkeys(
        [
            "Python",
            "Settings",
            "Credentials",
            "Warehouse",
            "Tables",
            "BrickLink API",
            "Call budget",
            "Failed orders",
            "Last sync",
        ],
        "ok",
    )
    assert len(server.requests) == 1
    assert told(synced_bl("status", "--json"))["calls"]["used"] == before + 1
    assert "this took one call" in expect(synced_bl("doctor"), 0).stdout


def test_doctor_warns_without_failing(bl: Bl) -> None:
    result = expect(bl("doctor", "--json", BL_DAILY_CALL_LIMIT="0", BL_CALL_RESERVE="0"), 0)
    found = checks(result)
    assert (found["Last sync"], found["Call budget"], found["BrickLink API"]) == ("warning", "warning", "warning")


def test_doctor_exits_as_the_first_error_says(bl: Bl, credentials: dict[str, str]) -> None:
    without = {name: "" for name in credentials if name != "BRICKLINK_API_URL"}
    result = expect(bl("doctor", "--json", **without), 2)
    assert (checks(result)["Credentials"], checks(result)["Warehouse"]) == ("error", "ok")
    assert "BrickLink API" not in checks(result)
    assert checks(expect(bl("doctor", "--json", BL_DATABASE_URL=NOWHERE), 6))["Warehouse"] == "error"
    assert checks(expect(bl("doctor", "--json", BL_CALL_RESERVE="x"), 2)) == {"Python": "ok", "Settings": "error"}
    wrong = expect(bl("doctor", "--json", BRICKLINK_TOKEN_SECRET="wrong"), 5)
    assert checks(wrong)["BrickLink API"] == "error"
    result = expect(bl("doctor", BRICKLINK_API_URL="http://127.0.0.1:1/api"), 6)
    assert "error   BrickLink API" in result.stdout
    assert "Check the network" in result.stdout


# --- processes


def test_ctrl_c_cancels_the_sync_and_the_next_one_goes_on(bl: Bl, server: SandboxServer) -> None:
    server.latency = 1.0
    # It ends by itself where the test fails.
    process = subprocess.Popen([*BL, "sync", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while len(server.requests) < 4 and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    stdout, stderr = process.communicate(timeout=30)
    assert time.monotonic() - asked < 10
    assert process.returncode == 1
    values = json.loads(stdout)
    assert list(values) == FIELDS
    assert values["errors"] == [{"order_id": None, "error": stderr.splitlines()[-1].removeprefix("Error: ")}]
    assert "Canceled" in stderr
    assert "Traceback" not in stderr
    assert told(bl("status", "--json"))["last_run"]["status"] == "canceled"
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        assert connection.execute("SELECT status FROM dagster.runs").fetchall() == [("CANCELED",)]
    server.latency = 0.0
    assert told(expect(bl("sync", "--json"), 0))["orders_processed"] == 12


def test_the_sandbox_is_served_until_told_to_stop(isolated: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen(
        [*BL, "sandbox", "--orders", "3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    assert lines[0].startswith("export BRICKLINK_API_URL=http://127.0.0.1:")
    assert lines[5].startswith("# serving 3 sales")
    process.terminate()
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0

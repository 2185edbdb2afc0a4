"""`bl doctor`: what it finds, and how it exits."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from typer.testing import Result

from bl_pipeline.sandbox import Fault, SandboxServer
from bl_pipeline_tests.terminal.conftest import NOWHERE, Bl, expect, json_of


def checks(result: Result) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in json_of(result)["checks"]}


def check_of(result: Result, name: str) -> dict[str, str]:
    """The check of this name, which is there once."""
    found: dict[str, str]
    (found,) = (check for check in json_of(result)["checks"] if check["name"] == name)
    return found


def test_doctor_finds_all_well_with_one_call(synced_bl: Bl, server: SandboxServer) -> None:
    server.clear_requests()
    before = json_of(synced_bl("status", "--json"))["calls"]["used"]
    result = expect(synced_bl("doctor", "--json"), 0)
    assert json_of(result)["ok"] is True
    assert checks(result) == dict.fromkeys(
        [
            "Python",
            "Settings",
            "File .env",
            "Credentials",
            "Warehouse",
            "Tables",
            "Database",
            "BrickLink API",
            "Tax settings",
            "Journal",
            "Call budget",
            "Time zone",
            "Failed orders",
            "Last sync",
        ],
        "ok",
    )
    assert len(server.requests) == 1
    assert json_of(synced_bl("status", "--json"))["calls"]["used"] == before + 1
    assert "this took one call" in expect(synced_bl("doctor"), 0).stdout


def test_doctor_warns_without_failing(bl: Bl) -> None:
    result = expect(bl("doctor", "--json", BL_DAILY_CALL_LIMIT="0", BL_CALL_RESERVE="0"), 0)
    found = checks(result)
    assert (found["Last sync"], found["Call budget"], found["BrickLink API"]) == ("warning", "warning", "warning")


def test_calls_that_bricklink_refuses_for_now_are_a_used_up_budget(synced_bl: Bl, server: SandboxServer) -> None:
    """As a sync says it. Caught: the network was to be checked, and the exit code was 6."""
    server.faults.on("/orders", Fault.RATE_LIMIT_ENVELOPE)
    check = check_of(expect(synced_bl("doctor", "--json"), 0), "BrickLink API")
    assert (check["verdict"], "Calls are free again" in check["repair"]) == ("warning", True), check


def test_doctor_shows_the_tax_settings_in_force(synced_bl: Bl) -> None:
    """Planted: those of the file shown, which no run has set."""
    example = str(Path(__file__).parents[2] / "examples" / "taxes.toml")

    def found(**settings: str) -> tuple[str, str, str]:
        check = check_of(synced_bl("doctor", "--json", **settings), "Tax settings")
        return check["verdict"], check["finding"], check["repair"]

    assert found()[:2] == (
        "ok",
        "none, so reports say of all tax that it is unclear; BL_TAX_FILE names a file with them",
    )
    verdict, finding, repair = found(BL_TAX_FILE=example)
    assert (verdict, finding[:4], repair) == (
        "warning",
        "none",
        "BL_TAX_FILE has others: the next bl sync or bl up puts that in force",
    )
    expect(synced_bl("sync", BL_TAX_FILE=example), 0)
    said = "home country DE, scheme standard, One-Stop Shop yes, VAT computed, 9 rates"
    assert found(BL_TAX_FILE=example) == ("ok", said, "")
    assert found() == ("warning", said, "BL_TAX_FILE is not set any more: the next bl sync or bl up puts that in force")


def test_a_last_sync_in_the_future_is_none_just_now(synced_bl: Bl, database_url: str) -> None:
    """A clock was ahead. Caught: 2028, "just now", and doctor found it well."""
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE sync.runs SET finished_at = finished_at + interval '400 days'")
    assert checks(synced_bl("doctor", "--json"))["Last sync"] == "warning"
    for command in ("doctor", "status"):
        assert "in the future: a clock was ahead" in " ".join(expect(synced_bl(command), 0).stdout.split())


@pytest.mark.parametrize(
    ("mode", "line", "found"),
    [
        (0o644, "BRICKLINK_CONSUMER_KEY={}", "every user of this machine"),
        (0o640, "BRICKLINK_CONSUMER_KEY={}", "every user of its group"),
        (0o600, "BRICKLINK_CONSUMER_KEY={}", "nobody else"),
        (0o644, "BL_STORE=main", "with no secrets in it"),
    ],
)
def test_doctor_names_an_env_file_that_others_can_read(
    bl: Bl, credentials: dict[str, str], mode: int, line: str, found: str
) -> None:
    env_file = Path(".env").absolute()
    env_file.write_text(line.format(credentials["BRICKLINK_CONSUMER_KEY"]))
    env_file.chmod(mode)
    check = check_of(expect(bl("doctor", "--json"), 0), "File .env")
    assert check["finding"].startswith(str(env_file))
    assert found in check["finding"]
    assert credentials["BRICKLINK_CONSUMER_KEY"] not in str(check)
    is_safe = mode == 0o600 or "BL_STORE" in line
    assert (check["verdict"], check["repair"]) == (
        ("ok", "") if is_safe else ("warning", f"Keep it to yourself: chmod 600 {env_file}")
    )


def test_doctor_says_that_there_is_no_env_file_in_this_folder(bl: Bl) -> None:
    check = check_of(expect(bl("doctor", "--json"), 0), "File .env")
    assert (check["verdict"], check["finding"]) == (
        "ok",
        f"none in {Path.cwd()}, so no setting comes from there",
    )


def test_another_time_zone_in_the_settings_is_said_until_a_sync_puts_it_in_force(synced_bl: Bl) -> None:
    """Planted: the word only after the sync. In JSON times are in UTC, so it is not there."""

    def said(**settings: str) -> tuple[dict[str, str], str]:
        check = check_of(synced_bl("doctor", "--json", **settings), "Time zone")
        return check, " ".join(expect(synced_bl("status", **settings), 0).stdout.split())

    check, status = said()
    assert (check["verdict"], check["finding"], check["repair"]) == ("ok", "UTC", "")
    assert "Time zone" not in status
    check, status = said(BL_TIMEZONE="Asia/Tokyo")
    will_be = "The settings say Asia/Tokyo, which the next bl sync or bl up puts in force"
    assert (check["verdict"], check["finding"], check["repair"]) == ("warning", "UTC", will_be)
    assert status.endswith(f"Time zone UTC. {will_be}")
    expect(synced_bl("sync", BL_TIMEZONE="Asia/Tokyo"), 0)
    check, status = said(BL_TIMEZONE="Asia/Tokyo")
    assert (check["verdict"], check["finding"]) == ("ok", "Asia/Tokyo")
    # The times of the reason, too.
    assert "Time zone" not in status
    assert status.count(" Asia/Tokyo") == 2
    assert " UTC" not in status


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
    assert re.search(r"^error +BrickLink API ", result.stdout, re.MULTILINE)
    assert "Check the network" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dropped", "name"),
    [
        ("TABLE sales.orders", "table sales.orders"),
        ("TABLE sync.stores", "table sync.stores"),
        ("COLUMN sales.order_items.quantity", "column sales.order_items.quantity"),
    ],
)
def test_what_was_dropped_by_hand_is_named_and_a_restore_repairs_it(
    synced_bl: Bl, database_url: str, dropped: str, name: str
) -> None:
    """Caught: doctor found all well, or said that the tables could not be made; other commands named a relation."""
    expect(synced_bl("backup", "warehouse.zip"), 0)
    kind, _, what = dropped.partition(" ")
    table, _, column = what.rpartition(".")
    with psycopg.connect(database_url) as connection:
        connection.execute(
            f"DROP TABLE {what} CASCADE" if kind == "TABLE" else f"ALTER TABLE {table} DROP COLUMN {column} CASCADE"
        )
    (check,) = [
        each for each in json_of(expect(synced_bl("doctor", "--json"), 1))["checks"] if each["name"] == "Tables"
    ]
    assert (check["verdict"], f"are missing: {name}. " in check["finding"]) == ("error", True)
    assert "bl restore --replace FILE" in check["repair"]
    for command in ("status", "orders", "sync", "rebuild"):
        assert f"are missing: {name}. " in expect(synced_bl(command), 1).stderr
    expect(synced_bl("restore", "--replace", "warehouse.zip"), 0)
    expect(synced_bl("doctor"), 0)
    assert len(json_of(synced_bl("orders", "--json"))) == 12

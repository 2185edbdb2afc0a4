"""Several stores in one installation: a command is about one of them, or about all."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest

from bl_pipeline.sandbox import Fault, SandboxServer
from bl_pipeline_tests.support.several_stores import KEYS, serve_stores
from bl_pipeline_tests.support.waiting import PATIENCE, wait_until
from bl_pipeline_tests.terminal.conftest import BL, FIELDS, Bl, expect, free_port, json_of

pytestmark = pytest.mark.slow


@pytest.fixture
def servers(bl: Bl, isolated: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, SandboxServer]]:
    """A BrickLink for each of three stores; they are the stores of the settings."""
    del bl  # whose environment it is
    with serve_stores(tmp_path) as stores:
        for name, value in stores.variables.items():
            isolated.setenv(name, value)
        yield stores.servers


def test_a_command_is_about_one_store(bl: Bl, servers: dict[str, SandboxServer]) -> None:
    """Planted: the choice of one command kept for the next one."""
    refused = expect(bl("sync"), 2)
    assert "This installation has several stores: bricks_uk, bricks_de, bricks_us." in refused.stderr
    assert "no store shop in" in expect(bl("sync", "--store", "shop"), 2).stderr
    assert "write the key of a store" in expect(bl("orders", "--store", " "), 2).stderr
    assert [len(server.requests) for server in servers.values()] == [0, 0, 0]
    assert json_of(expect(bl("sync", "--store", "bricks_de", "--json"), 0))["orders_created"] == 7
    assert [bool(server.requests) for server in servers.values()] == [False, True, False]
    expect(bl("status"), 2)
    assert len(json_of(expect(bl("orders", "--json", "--store", "bricks_de"), 0))) == 7
    assert len(json_of(expect(bl("orders", "--json", BL_STORE="bricks_de"), 0))) == 7
    assert json_of(expect(bl("orders", "--json", "--store", "bricks_uk"), 0)) == []


OF_A_STORE = "|".join((
    "sync", "refresh", "retry", "rebuild", "status", "orders", "order", "errors", "cancel", "doctor", "report",
    "close", "reopen", "periods", "export", "import", "update",
))  # fmt: skip


def test_what_to_do_next_is_said_for_the_store(bl: Bl, servers: dict[str, SandboxServer]) -> None:
    """Planted: a command in a message without the store, which would be answered with the list of stores."""
    said = []

    def ask(*words: str, code: int = 0) -> None:
        answered = expect(bl(*words, "--store", "bricks_de"), code)
        said.extend(re.findall(rf"\bbl (?:{OF_A_STORE})\b[^.,;:)\n]*", answered.stdout + answered.stderr))

    ask("status")
    ask("periods")
    ask("errors")
    ask("close", "2020-01", code=1)
    servers["bricks_de"].faults.on("/orders/[0-9]+$", Fault.FORBIDDEN, times=1)
    ask("sync", code=3)
    ask("status")
    ask("errors")
    ask("order", "1", code=1)
    ask("doctor", "--json")
    months = [month["period"] for month in json_of(expect(bl("periods", "--json", "--store", "bricks_de"), 0))]
    ask("export", "xero", "--period", months[-1], code=2)
    ask("close", months[-1], code=1)
    assert len(said) > 12
    assert [each for each in said if "--store bricks_de" not in each] == []


def test_stores_shows_how_each_stands(bl: Bl, servers: dict[str, SandboxServer]) -> None:
    expect(bl("sync", "--store", "bricks_us"), 0)
    found = json_of(expect(bl("stores", "--json"), 0))
    assert [(status["store"], status["indicator"], status["orders"]) for status in found] == [
        ("bricks_uk", "stale", 0),
        ("bricks_de", "stale", 0),
        ("bricks_us", "synced", 8),
    ]
    shown = expect(bl("stores"), 0).stdout
    assert [line.split()[:3] for line in shown.splitlines()[2:5]] == [
        ["bricks_uk", "stale", "0"], ["bricks_de", "stale", "0"], ["bricks_us", "synced", "8"],
    ]  # fmt: skip
    assert "bricks_us: " not in shown
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        connection.execute(
            "INSERT INTO sync.full_syncs (store, requested_at, include_items) VALUES ('bricks_us', now(), true)"
        )
    assert "bl cancel --store bricks_us" in expect(bl("stores"), 0).stdout
    assert "bricks_uk: No sync of this store was complete yet. Start one with: bl sync --store bricks_uk" in shown


def test_all_stores_are_synced_and_a_refused_one_stops_no_other(
    bl: Bl, servers: dict[str, SandboxServer], isolated: pytest.MonkeyPatch
) -> None:
    """Planted: the first failure ends all; a budget for all together."""
    isolated.setenv("BRICKS_DE_TOKEN_SECRET", "wrong")
    done = json_of(expect(bl("sync", "--all-stores", "--json"), 5))
    assert (done["success"], done["exit_code"]) == (False, 5)
    assert list(done["stores"]) == list(KEYS)
    assert {key: result["exit_code"] for key, result in done["stores"].items()} == dict(
        zip(KEYS, (0, 5, 0), strict=True)
    )
    assert [done["stores"][key]["orders_created"] for key in KEYS] == [6, 0, 8]
    assert all(list(result) == [*FIELDS, "exit_code"] for result in done["stores"].values())
    # A refusal is asked for once.
    assert len(servers["bricks_de"].requests) == 1

    said = expect(bl("sync", "--all-stores"), 5)
    assert "bricks_uk: done: 0 created, 0 updated, 6 skipped; 2 API calls" in said.stdout
    assert "2 of 3 stores synced to the end. How each stands: bl stores" in said.stdout
    assert "bricks_de: not done: 0 created" in said.stdout
    assert "bricks_de: Error: BrickLink refused the credentials" in said.stderr


def test_wrong_settings_are_a_result_too(bl: Bl, servers: dict[str, SandboxServer], tmp_path: Path) -> None:
    """Planted: no JSON if no store could be begun."""
    (tmp_path / "stores.toml").write_text("[bricks_uk]\n")
    refused = expect(bl("sync", "--all-stores", "--json"), 2)
    done = json_of(refused)
    assert (done["success"], done["exit_code"], done["stores"]) == (False, 2, {})
    assert "[bricks_uk] credentials: missing" in done["errors"][0]
    assert "[bricks_uk] credentials: missing" in refused.stderr


def test_an_output_that_nobody_reads_stops_no_sync(bl: Bl, servers: dict[str, SandboxServer], tmp_path: Path) -> None:
    """Its reader has closed the pipe. Planted: the other syncs canceled with the first line that cannot be shown."""
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run([*BL, "sync", "--all-stores"], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert process.returncode == 1
    assert b"Traceback" not in process.stderr
    assert [status["orders"] for status in json_of(expect(bl("stores", "--json"), 0))] == [6, 7, 8]


def test_what_is_about_all_stores_says_that_nothing_is_stored(
    bl: Bl, servers: dict[str, SandboxServer], tmp_path: Path
) -> None:
    """Caught: a traceback, because no store was chosen."""
    for command in (("backup", str(tmp_path / "file")), ("rename-store", "a", "b")):
        said = expect(bl(*command, BL_DATABASE_URL="", BL_HOME=str(tmp_path / "none")), 1).stderr
        assert "nothing was synced yet. Fetch your sales with: bl sync --all-stores" in said


def test_each_store_has_a_budget_of_its_own(bl: Bl, servers: dict[str, SandboxServer], tmp_path: Path) -> None:
    file = tmp_path / "stores.toml"
    text = file.read_text()
    file.write_text(text.replace("[bricks_uk]\n", "[bricks_uk]\ndaily_call_limit = 6\ncall_reserve = 0\n"))
    ended = expect(bl("sync", "--all-stores", "--json"), 4)
    done = json_of(ended)
    assert [done["stores"][key]["exit_code"] for key in KEYS] == [4, 0, 0]
    # What each says besides its result is not lost.
    assert "bricks_uk: The call budget is used up." in ended.stderr
    assert "bricks_de: Fetching 7 orders ..." in ended.stderr
    assert len(servers["bricks_uk"].requests) == 6
    assert [done["stores"][key]["orders_deferred"] > 0 for key in KEYS] == [True, False, False]


def test_the_option_goes_with_no_other_store(bl: Bl, servers: dict[str, SandboxServer]) -> None:
    refused = expect(bl("sync", "--all-stores", "--store", "bricks_uk"), 2)
    assert "--all-stores" in refused.stderr
    assert not any(server.requests for server in servers.values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_every_sync(
    bl: Bl, servers: dict[str, SandboxServer], database_url: str, number: signal.Signals
) -> None:
    """Each is reported. Planted: the signal not passed on, or to a process that has inherited to ignore Ctrl-C."""
    for server in servers.values():
        server.faults.on("/orders/", Fault.TIMEOUT)
    process = subprocess.Popen(
        # As a shell starts what it runs in the background.
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *BL, "sync", "--all-stores", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    with psycopg.connect(database_url, autocommit=True) as connection:

        def statuses() -> list[str]:
            return [row[0] for row in connection.execute("SELECT status FROM sync.runs ORDER BY store")]

        wait_until(lambda: statuses() == ["started"] * 3)
        process.send_signal(number)
        said, _ = process.communicate()
        assert process.returncode == 1, said
        assert statuses() == ["canceled"] * 3
    done = json.loads(said)
    assert (done["exit_code"], list(done["stores"])) == (1, list(KEYS))
    assert all(store["errors"][0]["error"].startswith("Canceled.") for store in done["stores"].values())


def test_a_closed_terminal_stops_nothing_that_nohup_has_started(bl: Bl, servers: dict[str, SandboxServer]) -> None:
    """Planted: the signal handled though it was to be ignored."""
    waiting, go_on = threading.Event(), threading.Event()

    def wait(_request: object) -> None:
        waiting.set()
        go_on.wait(PATIENCE)

    servers["bricks_uk"].on_request = wait
    process = subprocess.Popen(["nohup", *BL, "sync", "--all-stores", "--json"], stdout=subprocess.PIPE, text=True)
    wait_until(waiting.is_set)
    process.send_signal(signal.SIGHUP)
    servers["bricks_uk"].on_request = None
    go_on.set()
    said, _ = process.communicate()
    assert process.returncode == 0
    assert json.loads(said)["success"] is True


def test_the_desk_serves_all_stores(bl: Bl, servers: dict[str, SandboxServer], tmp_path: Path) -> None:
    """Planted: the first store only; `bl desk` refused because no store was named."""
    expect(bl("sync", "--store", "bricks_de"), 0)
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*BL, "desk", "--port", str(port)], stdout=log, stderr=log)
    try:
        wait_until(lambda: process.poll() is not None or _listed(port) != [])
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert _listed(port) == [("bricks_uk", 0), ("bricks_de", 7), ("bricks_us", 0)]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(200) == 0


def _listed(port: int) -> list[tuple[str, int]]:
    """The stores of the desk at this port and how many orders each has; none if nothing answers yet."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/api/stores", timeout=30) as answer:
            return [(one["store"], one["ordersSynced"]) for one in json.load(answer)["stores"]]
    except OSError:
        return []

"""`bl` as a process of its own: Ctrl-C, and what runs until a signal stops it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from bl_pipeline.sandbox import SandboxServer
from bl_pipeline_tests.support.waiting import wait_until
from bl_pipeline_tests.terminal.conftest import BL, FIELDS, Bl, expect, json_of

pytestmark = pytest.mark.slow

SLOW = 240.0
"""Seconds an answer takes; nothing here may wait for one."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["ctrl-c", "closed terminal"])
def test_it_cancels_the_sync_and_the_next_one_goes_on(number: int, bl: Bl, server: SandboxServer) -> None:
    """Caught: a closed terminal killed it, with calls that stayed reserved for a day, and no word why."""

    def note(_request: object) -> None:
        if len(server.requests) >= 4:
            server.latency = SLOW

    server.on_request = note
    # The tests themselves may have been started with nohup. It ends by itself if the test fails.
    in_a_terminal = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); {BL[-1]}"
    process = subprocess.Popen(
        [*BL[:-1], in_a_terminal, "sync", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: len(server.requests) >= 4)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=SLOW / 2)
    assert process.returncode == 1
    values = json.loads(stdout)
    assert list(values) == FIELDS
    assert values["errors"] == [{"order_id": None, "error": stderr.splitlines()[-1].removeprefix("Error: ")}]
    assert "Canceled" in stderr
    assert "Traceback" not in stderr
    assert json_of(bl("status", "--json"))["last_run"]["status"] == "canceled"
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        assert connection.execute("SELECT status FROM dagster.runs").fetchall() == [("CANCELED",)]
    server.on_request, server.latency = None, 0.0
    assert json_of(expect(bl("sync", "--json"), 0))["orders_processed"] == 12


def test_the_sandbox_is_served_until_stopped(isolated: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen(
        [*BL, "sandbox", "--orders", "3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    assert lines[0].startswith("export BRICKLINK_API_URL=http://127.0.0.1:")
    assert lines[5].startswith("# serving 3 sales")
    process.terminate()
    assert process.communicate(timeout=SLOW / 2) == ("", "")
    assert process.returncode == 0


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["sync", "--json", "--nope"]])
def test_output_that_finds_no_room_is_no_traceback(arguments: list[str]) -> None:
    """Planted: what is written outside of a command left to Python."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*BL, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: There is no room left for the output.\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["status"], ["--version"]])
def test_a_closed_output_is_no_traceback(synced_bl: Bl, arguments: list[str]) -> None:
    """A program started without standard output, as some schedulers do. Planted: a flush of what is not there."""
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *BL, *arguments], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (closed.returncode, closed.stderr) == (0, "")


def test_ctrl_c_while_the_commands_are_imported(isolated: pytest.MonkeyPatch) -> None:
    """Caught: a traceback of the imports. Planted: Python's own handler, also only until the arguments are read."""
    command = [sys.executable, "-X", "importtime", str(Path(sys.executable).with_name("bl")), "--help"]
    codes = set[int]()

    def interrupted() -> bool:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            imported = itertools.takewhile(lambda line: "bl_pipeline.dagster_names" not in line, process.stderr)
            assert list(imported)
            process.send_signal(signal.SIGINT)
            assert "Traceback" not in process.stderr.read()
        codes.add(process.returncode)
        return process.returncode == -signal.SIGINT

    # On a busy machine the process may be at its end before the signal is sent.
    wait_until(interrupted)
    assert codes <= {0, -signal.SIGINT}

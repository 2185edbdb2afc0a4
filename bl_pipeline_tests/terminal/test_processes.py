"""`bl` as a process of its own: Ctrl-C, and what runs until told to stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from bl_pipeline.sandbox import SandboxServer
from bl_pipeline_tests.terminal.conftest import BL, FIELDS, Bl, expect, told


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


def test_output_that_finds_no_room_is_no_traceback(synced_bl: Bl) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*BL, "status"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: There is no room left for the output.\n")
    assert "Traceback" not in done.stderr

"""What `bl up` writes on standard error with BL_LOG_FORMAT=json, while a run goes on and fails."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline_tests.terminal.conftest import BL, free_port, processes_of
from bl_pipeline_tests.terminal.test_up import LAUNCH, PATIENCE, ask, seller, wait_for

__all__ = ["seller"]  # a fixture

pytestmark = pytest.mark.slow


def lines(log: Path) -> list[dict[str, Any]]:
    """Each line that is complete, an object."""
    found = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    assert all(isinstance(line, dict) for line in found)
    return found


@pytest.mark.timeout(600)
def test_every_line_is_an_object_and_those_of_a_run_name_it(
    seller: Path, server: SandboxServer, store: Store, isolated: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Planted: the lines of the services copied as they are."""
    isolated.setenv("BL_LOG_FORMAT", "json")
    isolated.setenv("BL_STORE", "shop")
    server.faults.on("/orders", Fault.UNAUTHORIZED)
    port, log, shown = free_port(), tmp_path / "log", tmp_path / "shown"
    with log.open("wb") as errors, shown.open("wb") as output:
        up = subprocess.Popen(
            [*BL, "up", "--port", str(port), "--desk-port", str(free_port())], stdout=output, stderr=errors
        )
    try:
        wait_for("bl up", lambda: b"Ctrl-C" in shown.read_bytes() or up.poll() is not None)
        assert up.poll() is None, log.read_text()
        assert ask(port, LAUNCH)["launchRun"]["__typename"] == "LaunchRunSuccess"
        wait_for("The end of the run", lambda: [line for line in lines(log) if "RUN_FAILURE" in line["message"]])
    finally:
        up.terminate()
        up.wait(PATIENCE)
        wait_for("The end of all", lambda: processes_of(seller) == [])
    of_the_run = [line for line in lines(log) if "run_id" in line]
    assert {line["job"] for line in of_the_run} == {"sync_orders"}
    assert len({line["run_id"] for line in of_the_run}) == 1
    for line in lines(log):
        assert {"time", "level", "logger", "message", "store"} <= line.keys()
        assert line["store"] == "shop"
        assert datetime.fromisoformat(line["time"]).utcoffset() == timedelta(0)
        assert "\x1b" not in line["message"]
    text = log.read_text()
    secrets = [value for name, value in server.environment().items() if "SECRET" in name or "TOKEN" in name]
    assert secrets
    assert [secret for secret in secrets if secret in text] == []

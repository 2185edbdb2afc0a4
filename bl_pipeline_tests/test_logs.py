"""Logs as JSON: one object a line, with the time, the store and the run, and without what an error quotes."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from bl_pipeline.logs import JsonLines
from bl_pipeline.settings import SettingsError, load_settings

BUYER = "Chloé de Vries"
RUN = "8f14e45f-ceea-467f-9b2c-3c1f0e5a7d11"
DAGSTERS = "2026-11-29 08:15:02 +0100 - dagster - INFO - "


def one(line: str) -> dict[str, Any]:
    """The object of a line that a process wrote."""
    shown = JsonLines("shop").format_line(line)
    assert "\n" not in shown
    values: dict[str, Any] = json.loads(shown)
    return values


def test_a_record_is_one_object_and_an_error_shows_no_text() -> None:
    """Planted: the traceback as logging formats it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines("shop"))
    logger = logging.Logger("bl_pipeline.test")
    logger.addHandler(handler)
    before = datetime.now(UTC)
    try:
        raise ValueError(f"not for everybody: {BUYER}")
    except ValueError:
        logger.exception("Line 1\nline 2 of %s", "two")

    values = json.loads(stream.getvalue())

    assert stream.getvalue().count("\n") == 1
    assert BUYER not in stream.getvalue()
    assert before <= datetime.fromisoformat(values.pop("time")) <= datetime.now(UTC)
    error, frame = values.pop("exc_info").splitlines()
    assert (error, "test_logs.py:" in frame) == ("ValueError", True)
    assert values == {
        "level": "ERROR", "logger": "bl_pipeline.test", "message": "Line 1\nline 2 of two", "store": "shop",
    }  # fmt: skip


def test_a_line_of_a_runs_log_names_the_run() -> None:
    """Planted: the time as it is written, which is that of the machine."""
    assert one(f"{DAGSTERS}sync_orders - {RUN} - 4711 - RUN_START - Started execution.\n") == {
        "time": "2026-11-29T07:15:02+00:00", "level": "INFO", "logger": "dagster", "store": "shop",
        "job": "sync_orders", "run_id": RUN, "message": "RUN_START - Started execution.",
    }  # fmt: skip
    assert one(f"{DAGSTERS}sync_orders - {RUN} - fetch - 3 orders")["message"] == "fetch - 3 orders"
    assert one(f"{DAGSTERS}Not loaded\n").keys() & {"run_id", "job"} == set()


@pytest.mark.parametrize("line", ["Traceback (most recent call last):\n", "17\n", '"text"\n', "[1]\n", "{cut\n", "\n"])
def test_any_other_line_becomes_an_object_too(line: str) -> None:
    values = one(line)
    assert (values["message"], values["level"], values["store"]) == (line.rstrip(), "INFO", "shop")
    assert datetime.fromisoformat(values["time"]).utcoffset() is not None


def test_an_object_stays_as_it_is() -> None:
    assert one('{"message": "x"}\n') == {"message": "x"}


def test_a_process_logs_in_the_form_of_the_settings(isolated: pytest.MonkeyPatch) -> None:
    program = (
        "import logging; from bl_pipeline.logs import log_as_json; from bl_pipeline.settings import load_settings; "
        "settings = load_settings(); print(log_as_json(settings, settings.only_store)); "
        "logging.getLogger('x').error('y')"
    )

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert (run().stdout, run().stderr) == ("False\n", "y\n")
    isolated.setenv("BL_LOG_FORMAT", "json")
    isolated.setenv("BL_STORE", "shop")
    done = run()
    assert done.stdout == "True\n"
    values = json.loads(done.stderr)
    assert (values["logger"], values["message"], values["store"]) == ("x", "y", "shop")
    isolated.setenv("BL_LOG_FORMAT", "xml")
    with pytest.raises(SettingsError, match=r"BL_LOG_FORMAT: .*'text' or 'json'"):
        load_settings()

"""The progress of a sync in a terminal: a bar with the count, the order, and how orders have gone."""

from __future__ import annotations

import json
import os
import re
import subprocess
from contextlib import suppress

import pytest

from bl_pipeline.sandbox import Store
from bl_pipeline_tests.terminal.conftest import BL, Bl

pytestmark = pytest.mark.slow


def run_in_terminal(*arguments: str) -> tuple[str, str]:
    """Standard output of a process, and what a terminal on its standard error got."""
    terminal, other_end = os.openpty()
    process = subprocess.Popen([*BL, *arguments], stdout=subprocess.PIPE, stderr=other_end, text=True)
    os.close(other_end)
    seen = b""
    with suppress(OSError):  # how the end of a terminal shows
        while part := os.read(terminal, 65536):
            seen += part
    os.close(terminal)
    stdout, _ = process.communicate(timeout=240)
    assert process.returncode == 0, seen
    return stdout, re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())


@pytest.mark.usefixtures("bl")
def test_a_bar_shows_count_order_and_outcomes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    stdout, seen = run_in_terminal("sync", "--json")

    assert json.loads(stdout)["orders_created"] == 12
    assert "Asking BrickLink what has changed" in seen
    assert re.search(r"Fetching orders .*━+ +12/12 +\d+ +12 created", seen)
    assert set(re.findall(r"/12 +(\d+) ", seen)) <= {str(order_id) for order_id in store.sales}


def test_without_a_terminal_there_is_no_bar(bl: Bl) -> None:
    result = bl("sync")
    assert result.stderr == "Fetching 12 orders ...\n  12 of 12: 12 created\n"

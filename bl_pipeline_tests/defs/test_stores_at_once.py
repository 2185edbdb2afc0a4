"""The syncs of several stores at the same time, launched by a real daemon: no store waits for another one."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bl_pipeline.sandbox import Store
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.support.several_stores import KEYS, serve_stores
from bl_pipeline_tests.support.ui import PATIENCE, serve_desk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "graphql_sync.py"
SLOW = 80.0
"""Seconds an answer of the first store takes; its sync makes ten."""


def test_a_store_waits_for_itself_and_for_no_other(postgres: Postgres, tmp_path: Path) -> None:
    """Planted: one pool for all stores."""
    now = datetime.now(UTC)
    with (
        serve_stores(tmp_path, now=now) as stores,
        postgres.database() as url,
        serve_desk(Store.grow(orders=1, now=now), url, BL_STORE="bricks_uk", **stores.variables) as desk,
    ):
        assert sorted(desk.sync_schedules()) == sorted(f"sync_orders_schedule_{key}" for key in KEYS)
        slow = stores.servers["bricks_uk"]
        slow.latency = SLOW
        first = desk.launch("sync_orders_bricks_uk")
        desk.wait_for("The slow sync", lambda: slow.requests)
        behind = desk.launch("sync_orders_bricks_uk")
        others = [desk.launch(f"sync_orders_{key}") for key in KEYS[1:]]

        assert [desk.end_of(run_id) for run_id in others] == ["SUCCESS", "SUCCESS"]
        statuses = {run["runId"]: run["status"] for run in desk.runs()}
        assert (statuses[first], statuses[behind]) == ("STARTED", "QUEUED")
        asked = {request.path for request in slow.requests}
        assert asked == {"/orders"}, "the slow sync was to be at its lists still"
        slow.latency = 0.0
        assert [desk.end_of(run_id) for run_id in (first, behind)] == ["SUCCESS", "SUCCESS"]
        assert desk.server.requests == [], "BRICKLINK_ is no store's here"

        order_id = slow.store.place_order()
        command = [sys.executable, str(EXAMPLE), "--url", desk.url, "--store", "bricks_uk", str(order_id)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["orders_created"] == 1

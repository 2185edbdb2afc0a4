"""What the orders desk reads of the schedule, written by a real daemon and the real UI of `bl up`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bl_pipeline.warehouse.database import open_warehouse
from bl_pipeline.warehouse.schedule import Schedule, read_schedule
from bl_pipeline_tests.support.ui import Desk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_schedule_that_was_switched_off_in_the_ui(desk: Desk) -> None:
    """`desk` has switched it off. Planted: another name of the daemon."""
    with open_warehouse(desk.settings) as warehouse, warehouse.engine.connect() as connection:

        def daemon_runs() -> Schedule | None:
            found = read_schedule(connection, "sync_orders_schedule", datetime.now(UTC))
            connection.rollback()
            return found if found and found.daemon_runs else None

        assert desk.wait_for("The first sign of life of the daemon", daemon_runs) == Schedule(False, True)

"""What sync.runs says of a run to whoever waits for it: of one that did not reach its end never a success."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from bl_pipeline.records import Outcome, RunStatus, Stop, StopReason, SyncResult
from bl_pipeline.sync.finishing import read_result
from bl_pipeline.warehouse import runs
from bl_pipeline.warehouse.database import Warehouse

T = datetime(2026, 6, 15, 12, tzinfo=UTC)


def run(warehouse: Warehouse, status: RunStatus | None, stop: Stop | None = None) -> SyncResult:
    """A run with this end, or none yet, as it is read afterwards."""
    counts = Counter({Outcome.CREATED: 1, Outcome.UPDATED: 2, Outcome.SKIPPED: 3, Outcome.DEFERRED: 4})
    with warehouse.engine.begin() as connection:
        runs.start_run(connection, warehouse, run_id="run", job="job", now=T, of_all_orders=True)
        if status is not None:
            runs.finish_run(
                connection, "run", status=status, counts=counts, api_calls=5, detected_by={},
                now=T + timedelta(seconds=6), stop=stop,
            )  # fmt: skip
    return read_result(warehouse, "run")


def test_a_run_that_has_ended_is_read_in_full(warehouse: Warehouse) -> None:
    assert run(warehouse, RunStatus.STOPPED_AT_BUDGET, Stop(StopReason.BUDGET, "why")) == SyncResult(
        orders_created=1, orders_updated=2, orders_skipped=3, orders_deferred=4, api_calls=5, duration_seconds=6.0,
        stop_reason=StopReason.BUDGET, message="why",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "stop", "reason", "message"),
    [
        (None, None, StopReason.ERROR, None),
        (RunStatus.FAILED, None, StopReason.ERROR, None),
        (RunStatus.FAILED, Stop(StopReason.CREDENTIALS, "why"), StopReason.CREDENTIALS, "why"),
        (RunStatus.CANCELED, None, StopReason.ERROR, "Canceled."),
        (RunStatus.SUCCEEDED, None, None, None),
        (RunStatus.COMPLETED_WITH_ERRORS, None, None, None),
    ],
)
def test_how_it_has_ended(
    status: RunStatus | None, stop: Stop | None, reason: StopReason | None, message: str | None, warehouse: Warehouse
) -> None:
    found = run(warehouse, status, stop)
    assert (found.stop_reason, found.message) == (reason, message)
    assert found.duration_seconds == (6.0 if status else 0.0)


def test_a_run_that_is_not_known_was_no_success(warehouse: Warehouse) -> None:
    assert read_result(warehouse, "none") == SyncResult(stop_reason=StopReason.ERROR)

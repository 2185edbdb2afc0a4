"""The SyncResult, and the one word for how the warehouse stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bl_pipeline.sync.indicator import Indicator, indicator
from bl_pipeline.sync.result import RunStatus, StopReason, SyncResult

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
ERRORS = [{"order_id": "1", "error": "x"}]


@pytest.mark.parametrize(
    ("fields", "exit_code", "status"),
    [
        ({}, 0, RunStatus.SUCCEEDED),
        ({"errors": ERRORS}, 3, RunStatus.COMPLETED_WITH_ERRORS),
        ({"orders_deferred": 1}, 4, RunStatus.STOPPED_AT_BUDGET),
        ({"orders_deferred": 1, "errors": ERRORS}, 4, RunStatus.STOPPED_AT_BUDGET),
        ({"stop_reason": StopReason.BUDGET}, 4, RunStatus.STOPPED_AT_BUDGET),
        ({"stop_reason": StopReason.CREDENTIALS, "orders_deferred": 9, "errors": ERRORS}, 5, RunStatus.FAILED),
        ({"stop_reason": StopReason.UNREACHABLE, "orders_deferred": 9}, 6, RunStatus.FAILED),
        ({"stop_reason": StopReason.ERROR, "errors": ERRORS}, 1, RunStatus.FAILED),
    ],
)
def test_exit_code(fields: dict[str, Any], exit_code: int, status: RunStatus) -> None:
    result = SyncResult(**fields)

    assert (result.exit_code, result.run_status, result.success) == (exit_code, status, exit_code == 0)


def test_as_dict_has_the_public_names_and_no_other() -> None:
    result = SyncResult(
        orders_created=3, orders_updated=2, orders_skipped=5, orders_deferred=1, errors=ERRORS, api_calls=12,
        last_synced_at=NOW, duration_seconds=1.23456, stop_reason=StopReason.BUDGET, message="not told",
    )  # fmt: skip

    assert result.as_dict() == {
        "success": False, "orders_processed": 10, "orders_created": 3, "orders_updated": 2, "orders_skipped": 5,
        "orders_deferred": 1, "errors": ERRORS, "api_calls": 12, "last_synced_at": "2026-06-15T12:00:00+00:00",
        "duration_seconds": 1.235,
    }  # fmt: skip
    assert SyncResult().as_dict()["last_synced_at"] is None


@pytest.mark.parametrize(
    ("syncing", "last_ended", "age", "word"),
    [
        (True, RunStatus.FAILED, None, Indicator.SYNCING),
        (False, None, None, Indicator.STALE),
        (False, RunStatus.SUCCEEDED, timedelta(0), Indicator.SYNCED),
        (False, RunStatus.SUCCEEDED, timedelta(hours=24), Indicator.SYNCED),
        (False, RunStatus.SUCCEEDED, timedelta(hours=24, microseconds=1), Indicator.STALE),
        (False, RunStatus.STOPPED_AT_BUDGET, timedelta(hours=2), Indicator.SYNCED),
        (False, RunStatus.STOPPED_AT_BUDGET, None, Indicator.STALE),
        (False, RunStatus.FAILED, timedelta(0), Indicator.ERROR),
        (False, RunStatus.COMPLETED_WITH_ERRORS, timedelta(0), Indicator.ERROR),
    ],
)
def test_indicator(syncing: bool, last_ended: RunStatus | None, age: timedelta | None, word: Indicator) -> None:
    last_synced_at = None if age is None else NOW - age
    assert indicator(syncing=syncing, last_ended=last_ended, last_synced_at=last_synced_at, now=NOW) == word

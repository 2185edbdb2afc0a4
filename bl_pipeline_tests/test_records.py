"""The SyncResult, and the one word for how the warehouse stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bl_pipeline.records import ReportedError, RunStatus, StopReason, SyncResult
from bl_pipeline.rules.indicator import Facts, Indicator, LastRun, in_a_terminal, store_state
from bl_pipeline_tests.support.main_store import MAIN

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
ERRORS = [ReportedError(order_id="1", error="x")]


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
        last_synced_at=NOW, duration_seconds=1.23456, stop_reason=StopReason.BUDGET, message="not shown",
    )  # fmt: skip

    assert result.as_dict() == {
        "success": False, "orders_processed": 10, "orders_created": 3, "orders_updated": 2, "orders_skipped": 5,
        "orders_deferred": 1, "errors": ERRORS, "api_calls": 12, "last_synced_at": "2026-06-15T12:00:00+00:00",
        "duration_seconds": 1.235,
    }  # fmt: skip
    assert SyncResult().as_dict()["last_synced_at"] is None


RUN = LastRun("sync_orders", NOW, RunStatus.SUCCEEDED)
FAILED = replace(RUN, status=RunStatus.FAILED, message="BrickLink refused.")
UNSET = replace(FAILED, stop_reason=StopReason.SETTINGS)
DEFERRED = replace(RUN, status=RunStatus.STOPPED_AT_BUDGET, orders_deferred=3, message="Free again at noon.")
FRESH = {"last_synced_at": NOW - timedelta(hours=24)}
OLD = {"last_synced_at": NOW - timedelta(hours=24, microseconds=1)}


@pytest.mark.parametrize(
    ("facts", "word", "reason"),
    [
        ({}, Indicator.STALE, "No sync of this store was complete yet"),
        (
            {"connected": False},
            Indicator.NOT_CONNECTED,
            "Put the store's four API credentials into .env, then: bl doctor",
        ),
        (FRESH, Indicator.SYNCED, "as of 2026-06-14 12:00 UTC"),
        (OLD, Indicator.STALE, "No sync was complete for 24 hours; the last one ended 2026-06-14 11:59 UTC"),
        # Who only reads needs no credentials: what counts is whether somebody syncs.
        ({**FRESH, "connected": False}, Indicator.SYNCED, "as of"),
        ({**OLD, "connected": False}, Indicator.NOT_CONNECTED, "bl doctor"),
        ({**FRESH, "judged_by": FAILED}, Indicator.ERROR, "(sync_orders, started 2026-06-15 12:00 UTC): BrickLink ref"),
        ({"judged_by": FAILED, "connected": False}, Indicator.ERROR, "BrickLink refused."),
        ({**FRESH, "judged_by": UNSET, "connected": False}, Indicator.NOT_CONNECTED, "bl doctor"),
        ({**FRESH, "failed_orders": 1}, Indicator.ERROR, "1 order could not be fetched or read"),
        ({**FRESH, "failed_orders": 2, "judged_by": DEFERRED}, Indicator.ERROR, "2 orders could not be"),
        ({**FRESH, "failed_orders": 2, "judged_by": FAILED}, Indicator.ERROR, "BrickLink refused."),
        ({**FRESH, "judged_by": DEFERRED}, Indicator.STALE, "Left for the next run: 3 orders. Free again at noon."),
        ({**OLD, "judged_by": RUN}, Indicator.STALE, "No sync was complete for 24 hours"),
        ({**FRESH, "judged_by": FAILED, "syncing": True}, Indicator.SYNCING, "is running"),
        ({**FRESH, "open_full_syncs": 1}, Indicator.SYNCED, "Withdraw it with: bl cancel"),
        ({**FRESH, "canceled": True}, Indicator.SYNCED, "The last run was canceled"),
    ],
)
def test_one_word_and_its_reason(facts: dict[str, Any], word: Indicator, reason: str) -> None:
    stands = store_state(Facts(now=NOW, **facts), in_a_terminal(MAIN.command))

    assert stands.indicator == word
    assert reason in stands.reason


@pytest.mark.parametrize(
    ("facts", "exit_code"),
    [
        (FRESH, 0),
        ({"connected": False}, 2),
        ({**FRESH, "judged_by": UNSET}, 2),
        ({**FRESH, "failed_orders": 1}, 3),
        ({**FRESH, "judged_by": DEFERRED}, 4),
        ({**FRESH, "judged_by": replace(FAILED, stop_reason=StopReason.CREDENTIALS), "failed_orders": 1}, 5),
        ({**FRESH, "judged_by": replace(FAILED, stop_reason=StopReason.UNREACHABLE)}, 6),
        ({**FRESH, "judged_by": FAILED}, 1),
        ({}, 1),
        (OLD, 1),
    ],
)
def test_the_check_has_the_exit_code_of_a_sync_with_the_same_cause(facts: dict[str, Any], exit_code: int) -> None:
    assert store_state(Facts(now=NOW, **facts), in_a_terminal(MAIN.command)).exit_code == exit_code

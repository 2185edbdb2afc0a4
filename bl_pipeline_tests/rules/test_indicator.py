"""The indicator of the warehouse's state from the facts alone: which word, which reason, which exit code."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bl_pipeline.records import RunStatus, StopReason
from bl_pipeline.rules.indicator import (
    FRESH_FOR,
    SYNC_EVERY,
    Facts,
    Indicator,
    LastRun,
    Remedies,
    in_a_terminal,
    store_state,
    sync_offset,
)
from bl_pipeline_tests.support.main_store import MAIN

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY = timedelta(hours=24)
MOMENT = timedelta(microseconds=1)
REMEDIES = Remedies(connect="CONNECT", sync="SYNC", repair="REPAIR", retry="RETRY", withdraw="WITHDRAW")
GOOD = Facts(now=NOW, last_synced_at=NOW - timedelta(minutes=7))
SYNCED, STALE, ERROR = Indicator.SYNCED, Indicator.STALE, Indicator.ERROR
SYNCING, NOT_CONNECTED = Indicator.SYNCING, Indicator.NOT_CONNECTED

IN_STEP = "Every order of BrickLink's lists is stored, as of 2026-06-15 11:53 UTC."
NEVER = "No sync of this store was complete yet. SYNC"
UNCONNECTED = "The store is not connected: its API credentials are not set, so nothing is synced. CONNECT"


def run(status: RunStatus, stop: StopReason | None = None, message: str | None = None, deferred: int = 0) -> LastRun:
    return LastRun("sync_orders", NOW - timedelta(hours=1), status, stop, message, deferred)


def failed(stop: StopReason | None = None, message: str | None = None) -> LastRun:
    return run(RunStatus.FAILED, stop, message)


def failure(why: str) -> str:
    return f"The last sync failed (sync_orders, started 2026-06-15 11:00 UTC): {why}"


def at_budget(message: str | None = "No calls.", deferred: int = 0) -> LastRun:
    return run(RunStatus.STOPPED_AT_BUDGET, StopReason.BUDGET, message, deferred)


@pytest.mark.parametrize(
    ("facts", "word", "code", "reason"),
    [
        ({}, SYNCED, 0, IN_STEP),
        ({"judged_by": run(RunStatus.SUCCEEDED)}, SYNCED, 0, IN_STEP),
        ({"connected": False}, SYNCED, 0, IN_STEP),
        ({"syncing": True}, SYNCING, 0, "A sync or a rebuild of this store is running."),
        (
            {"syncing": True, "judged_by": failed(), "failed_orders": 2},
            SYNCING, 0, "A sync or a rebuild of this store is running.",
        ),
        ({"judged_by": failed()}, ERROR, 1, failure("its log in Dagster says why.")),
        ({"judged_by": failed(StopReason.CREDENTIALS, "No.")}, ERROR, 5, failure("No.")),
        ({"judged_by": failed(StopReason.UNREACHABLE, "No.")}, ERROR, 6, failure("No.")),
        ({"judged_by": failed(StopReason.SETTINGS, "No.")}, ERROR, 2, failure("No.")),
        ({"judged_by": failed(StopReason.SETTINGS, "No."), "connected": False}, NOT_CONNECTED, 2, UNCONNECTED),
        ({"judged_by": failed(StopReason.ERROR, "No."), "connected": False}, ERROR, 1, failure("No.")),
        ({"judged_by": failed(message="No."), "failed_orders": 2}, ERROR, 1, failure("No.")),
        (
            {"failed_orders": 1, "last_synced_at": None},
            ERROR, 3, "1 order could not be fetched or read; all others are as they were last seen. RETRY",
        ),
        (
            {"failed_orders": 1234},
            ERROR, 3, "1,234 orders could not be fetched or read; all others are as they were last seen. RETRY",
        ),
        (
            {"failed_orders": 1, "judged_by": at_budget()},
            ERROR, 3, "1 order could not be fetched or read; all others are as they were last seen. RETRY",
        ),
        ({"judged_by": at_budget()}, STALE, 4, "The last sync stopped before its end. No calls."),
        ({"judged_by": at_budget(None)}, STALE, 4, "The last sync stopped before its end."),
        (
            {"judged_by": at_budget(deferred=12), "last_synced_at": None},
            STALE, 4, "The last sync stopped before its end. Left for the next run: 12 orders. No calls.",
        ),
        ({"last_synced_at": None}, STALE, 1, NEVER),
        ({"last_synced_at": None, "connected": False}, NOT_CONNECTED, 2, UNCONNECTED),
        (
            {"last_synced_at": None, "connected": False, "judged_by": at_budget()},
            NOT_CONNECTED, 2, UNCONNECTED,
        ),
        (
            {"last_synced_at": NOW - DAY},
            SYNCED, 0, "Every order of BrickLink's lists is stored, as of 2026-06-14 12:00 UTC.",
        ),
        (
            {"last_synced_at": NOW - DAY - MOMENT},
            STALE, 1, "No sync was complete for 24 hours; the last one ended 2026-06-14 11:59 UTC. REPAIR",
        ),
        ({"last_synced_at": NOW - DAY - MOMENT, "connected": False}, NOT_CONNECTED, 2, UNCONNECTED),
        (
            {"last_synced_at": NOW + DAY + MOMENT},
            STALE, 1, "No sync was complete for 24 hours; the last one ended 2026-06-16 12:00 UTC. REPAIR",
        ),
    ],
)  # fmt: skip
def test_every_case_has_its_word(facts: dict[str, Any], word: Indicator, code: int, reason: str) -> None:
    found = store_state(replace(GOOD, **facts), REMEDIES)
    assert (found.indicator, found.exit_code, found.reason) == (word, code, reason)
    assert found.as_metadata == {"indicator": word.value, "reason": reason}


def test_a_canceled_run_and_an_open_full_sync_are_said_in_lines_of_their_own() -> None:
    canceled = "The last run was canceled: what was stored is kept, and the next run goes on from there."
    full_sync = "A full sync is open: each sync goes on with it. WITHDRAW"

    def lines(**facts: Any) -> list[str]:
        return store_state(replace(GOOD, **facts), REMEDIES).reason.split("\n")

    assert lines(canceled=True) == [IN_STEP, canceled]
    assert lines(open_full_syncs=1) == [IN_STEP, full_sync]
    assert lines(canceled=True, open_full_syncs=2) == [IN_STEP, canceled, full_sync]
    # What was canceled is of no interest while the next run does it.
    assert lines(canceled=True, open_full_syncs=1, syncing=True)[1:] == [full_sync]


def test_a_run_that_was_missed_is_a_warning_long_before_it_is_stale() -> None:
    assert (timedelta(minutes=30), timedelta(hours=1)) == (SYNC_EVERY, FRESH_FOR)


def test_stores_are_spread_over_the_half_hour_in_whole_minutes() -> None:
    def minutes(stores: int) -> list[float]:
        return [sync_offset(place, stores) / timedelta(minutes=1) for place in range(stores)]

    assert minutes(1) == [0]
    assert minutes(3) == [0, 10, 20]
    assert minutes(4) == [0, 7, 15, 22]


def test_what_to_type_names_the_store_if_there_are_several() -> None:
    for stores, option in ((1, ""), (2, " --store berlin")):
        remedies = in_a_terminal(replace(MAIN, key="berlin", stores=stores).command)
        assert remedies.connect == f"Put the store's four API credentials into .env, then: bl doctor{option}"
        assert remedies.sync == f"Start one with: bl sync{option}"
        assert remedies.repair == (
            f"Sync now with: bl sync{option}. Sync every half hour with: bl up. What is wrong: bl doctor{option}"
        )
        assert remedies.retry == f"See why with: bl errors{option}. Try again with: bl retry{option}"
        assert (
            remedies.withdraw
            == f"Withdraw it with: bl cancel{option}, or in the Dagster UI with the job cancel_full_sync"
        )

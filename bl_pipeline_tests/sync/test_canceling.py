"""What a user reads of a sync that was asked to stop."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bl_pipeline.records import RunStatus
from bl_pipeline.sync.canceling import Cancellation
from bl_pipeline.warehouse.runs import Run

STARTED = datetime(2026, 6, 15, 12, tzinfo=UTC)
NOTHING = "Nothing to cancel: no sync is running, and no full sync is open."
KEPT = "What was stored is kept, and the next sync goes on from there."
DONE_STAYS = "What BrickLink has done stays, and nothing more is sent. Ask again for what is left."


def run(job: str = "sync_orders") -> Run:
    counts = dict.fromkeys(
        ("orders_listed", "orders_created", "orders_updated", "orders_skipped", "orders_deferred", "orders_failed")
    )
    return Run(
        "id", job, STARTED, None, RunStatus.STARTED, **counts, api_calls=None, duration_seconds=None, stop_reason=None,
        message=None,
    )  # fmt: skip


def said(run: Run | None, *, ended: bool = False, busy: bool = False, full_syncs: int = 0) -> str:
    return Cancellation(run, ended, busy, full_syncs).message(lambda moment: f"{moment:%H:%M}")


@pytest.mark.parametrize(
    ("job", "kept"), [("sync_orders", KEPT), ("update_order", DONE_STAYS), ("send_drive_thru", DONE_STAYS)]
)
def test_a_run_that_has_ended_says_what_stays(job: str, kept: str) -> None:
    assert said(run(job), ended=True) == f"Canceled: {job}, started 12:00. {kept}"


def test_a_run_that_goes_on_ends_with_its_step() -> None:
    going_on = "Asked to stop: sync_orders, started 12:00. It makes no further call, and ends with its step."
    assert said(run()) == said(run(), busy=True) == going_on
    assert said(run(), full_syncs=1) == f"{going_on}\nWithdrawn: 1 full sync that was still open."


def test_without_a_run() -> None:
    assert said(None) == NOTHING
    assert said(None, busy=True).startswith("No sync is running, but another command has the store")
    assert said(None, full_syncs=2) == "Withdrawn: 2 full syncs that were still open."
    assert Cancellation(None, ended=False, busy=False, full_syncs=2).as_dict() == {
        "run_id": None, "ended": False, "full_syncs_withdrawn": 2,
    }  # fmt: skip
    assert Cancellation(run(), ended=True, busy=False, full_syncs=0).as_dict()["run_id"] == "id"

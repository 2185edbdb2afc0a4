"""What a user reads of a write whose outcome was not known, and that no other field is taken for the one asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bl_pipeline.rules.writes import WriteKind, WriteOutcome
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.sync.settling import became_of, describe, name_of, not_sent
from bl_pipeline.sync.writing import WriteResult
from bl_pipeline.warehouse.writes import Write, WriteAnswer
from bl_pipeline_tests.rules.test_writes import order
from bl_pipeline_tests.support.main_store import MAIN

ACCEPTED, LOST = WriteAnswer.ACCEPTED, WriteAnswer.LOST

KINDS = {
    WriteKind.UPDATE: "The update of order 31 (tracking no, remarks)",
    WriteKind.PAYMENT_STATUS: "The payment status of order 31",
    WriteKind.STATUS: "The status of order 31",
    WriteKind.DRIVE_THRU: "The drive thru of order 31",
}


def write(kind: WriteKind = WriteKind.STATUS, answer: WriteAnswer | None = LOST) -> Write:
    asked: dict[str, Any] = {"tracking_no": "TR1", "remarks": "x"} if kind is WriteKind.UPDATE else {kind.value: "x"}
    noted_at = datetime(2026, 6, 15, 12, tzinfo=UTC)
    return Write(1, "31", "run", kind, asked, {}, noted_at, answer, None, None, None)


@pytest.mark.parametrize("kind", KINDS)
def test_each_request_has_its_name(kind: WriteKind) -> None:
    assert describe(MAIN, write(kind), WriteOutcome.DONE) == f"{KINDS[kind]} was done."
    assert not_sent(MAIN, kind, "31", ["tracking_no", "status"]) == (
        f"{KINDS[kind].removesuffix(' (tracking no, remarks)')} was not sent: somebody else has changed the order "
        "meanwhile (tracking no, status); that stays. See it with: bl order 31"
    )
    assert (
        name_of(kind, ["tracking_no"])
        == {
            WriteKind.UPDATE: "the update (tracking no)",
            WriteKind.PAYMENT_STATUS: "the payment status",
            WriteKind.STATUS: "the status",
            WriteKind.DRIVE_THRU: "the drive thru",
        }[kind]
    )


@pytest.mark.parametrize(
    ("outcome", "answer", "said"),
    [
        (WriteOutcome.NOT_DONE, LOST, " was not done: the order is as before. To do it, ask for it again."),
        (
            WriteOutcome.NOT_DONE, ACCEPTED,
            " was accepted by BrickLink, but the order is as before. Look at it there.",
        ),
        (WriteOutcome.PARTLY_DONE, LOST, " was done only in part, and the rest is as before."),
        (WriteOutcome.CHANGED, LOST, ": BrickLink now has neither what was asked for nor what it had before."),
        (WriteOutcome.CHANGED, ACCEPTED, " was accepted by BrickLink, but the order now says something else:"),
        (None, ACCEPTED, " was accepted by BrickLink, but the order cannot be read now."),
        (None, LOST, ": BrickLink's answer was lost, and the order cannot be read now,"),
    ],
)  # fmt: skip
def test_what_became_of_it_is_said(outcome: WriteOutcome | None, answer: WriteAnswer, said: str) -> None:
    """By the answer of the row, or by one that is newer than the row. Planted: only one of them looked at."""
    begin = f"The status of order 31{said}"
    assert describe(MAIN, write(answer=answer), outcome).startswith(begin)
    assert describe(MAIN, write(answer=None), outcome, answer).startswith(begin)


def test_a_drive_thru_that_is_not_shown_is_not_known_only_if_the_order_was_read() -> None:
    drive_thru = write(WriteKind.DRIVE_THRU)
    unseen = "The drive thru of order 31: BrickLink's answer was lost, and the order does not show that it was sent."
    assert describe(MAIN, drive_thru, None).startswith(unseen)
    assert "cannot be read now" in describe(MAIN, drive_thru, None, is_read=False)
    assert "cannot be read now" in describe(MAIN, write(), None)


def test_json_has_what_became_of_each_request() -> None:
    """Planted: not known, although it is."""
    done = replace(write(), outcome=WriteOutcome.DONE)
    written = WriteResult(writes=[done, write()]).as_dict()["writes"]
    assert [each["outcome"] for each in written] == ["done", "unknown"]


def test_a_drive_thru_is_done_if_the_row_or_a_newer_answer_says_so(session: SyncSession) -> None:
    """Though the order does not show it. Planted: only one of the two looked at; the row before the newer answer."""
    found = [
        became_of(session, write(WriteKind.DRIVE_THRU, row), order(drive_thru_sent=False), newer)
        for row in (LOST, ACCEPTED)
        for newer in (None, LOST, ACCEPTED)
    ]
    assert found == [None, None, WriteOutcome.DONE, WriteOutcome.DONE, None, WriteOutcome.DONE]

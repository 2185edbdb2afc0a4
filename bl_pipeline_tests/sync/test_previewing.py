"""What a write would cost, and how JSON shows it."""

from __future__ import annotations

from bl_pipeline.rules.writes import WriteKind, WriteRequest
from bl_pipeline.sync.previewing import Preview
from bl_pipeline.sync.writing import CALLS_TO_REFRESH

STATUS = WriteRequest(WriteKind.STATUS, {"status": "PAID"}, {"status": "PAID"})
UPDATE = WriteRequest(WriteKind.UPDATE, {"remarks": "x"}, {"remarks": "x"})


def test_calls_are_to_read_to_write_and_to_read_again() -> None:
    assert Preview().calls == 1
    assert Preview(calls_to_settle=2, calls_to_list=3).calls == 6
    assert Preview(requests=[STATUS]).calls == 2 + CALLS_TO_REFRESH
    assert Preview(requests=[STATUS, UPDATE], calls_to_settle=2).calls == 5 + CALLS_TO_REFRESH


def test_json_shows_what_would_be_written() -> None:
    shown = Preview(requests=[STATUS], before=[{"status": "READY"}], already=["remarks"]).as_dict()
    assert shown["requests"] == [
        {"request": "status", "asked": {"status": "PAID"}, "before": {"status": "READY"}, "calls": 1}
    ]
    assert (shown["already"], shown["calls"], shown["success"]) == (["remarks"], 2 + CALLS_TO_REFRESH, True)

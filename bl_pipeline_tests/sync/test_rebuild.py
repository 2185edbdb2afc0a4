"""What a user reads of a rebuild."""

from __future__ import annotations

from bl_pipeline.records import FailedOrder
from bl_pipeline.sync.rebuild import RebuildResult

FAILED = FailedOrder("31", "why", "SomeError")
DONE = "7 orders rebuilt from what was received"


def test_what_a_user_reads() -> None:
    assert RebuildResult(orders=7).message == DONE
    assert RebuildResult(orders=7, failures=[FAILED]).message == f"{DONE}; 1 cannot be read in full, see bl errors"
    assert RebuildResult(orders=7, unbooked="No journal.").message == f"{DONE}\nNo journal."


def test_a_rebuild_that_would_lose_something_is_undone() -> None:
    other = FailedOrder("32", "something else", "SomeError")
    message = RebuildResult(lost=[FAILED, other], failures=[FAILED], undone=True).message
    assert message.startswith("Nothing was changed: 2 orders that the warehouse has cannot be read any more")
    assert message.endswith("The first: 31, why")


def test_json_has_the_errors() -> None:
    assert RebuildResult(orders=7).as_dict() == {"orders_rebuilt": 7, "errors": []}
    assert RebuildResult(failures=[FAILED], unbooked="No journal.").as_dict() == {
        "orders_rebuilt": 0,
        "errors": [{"order_id": None, "error": "No journal."}, {"order_id": "31", "error": "why"}],
    }

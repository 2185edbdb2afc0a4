"""What a user reads of a rebuild."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import NEVER_FETCHED, UNREADABLE, FailedOrder, OrderState, Outcome, PartState
from bl_pipeline.sandbox import Fault, SandboxServer
from bl_pipeline.sync.loading import PreparedOrder, PreparedPart
from bl_pipeline.sync.rebuild import RebuildResult, _complete, _loses, rebuild
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.warehouse.landing import Document
from bl_pipeline_tests.conftest import Sync
from bl_pipeline_tests.support.sales_rows import dump
from bl_pipeline_tests.support.sessions import SeenDone

FAILED = FailedOrder("31", "why", "SomeError")
T = datetime(2026, 6, 15, 12, tzinfo=UTC)
STORED = PartState(1, T, "f")
DONE = "7 orders rebuilt from what was received"


def test_what_a_user_reads() -> None:
    assert RebuildResult(orders=7).message == DONE
    assert RebuildResult(orders=7, failures=[FAILED]).message == f"{DONE}; 1 cannot be read in full"
    assert RebuildResult(orders=1).message == "1 order rebuilt from what was received"
    assert RebuildResult(orders=7, unbooked="No journal.").message == f"{DONE}\nNo journal."


def test_a_rebuild_that_would_lose_something_is_undone() -> None:
    other = FailedOrder("32", "something else", "SomeError")
    message = RebuildResult(lost=[FAILED, other], failures=[FAILED], undone=True).message
    assert message.startswith("Nothing was changed: 2 orders that the warehouse has cannot be read any more")
    assert message.endswith("The first: 31, why\nPlease report this.")


def test_json_has_the_errors() -> None:
    assert RebuildResult(orders=7).as_dict() == {"orders_rebuilt": 7, "errors": []}
    assert RebuildResult(failures=[FAILED], unbooked="No journal.").as_dict() == {
        "orders_rebuilt": 0,
        "errors": [{"order_id": None, "error": "No journal."}, {"order_id": "31", "error": "why"}],
    }


def state(**parts: PartState) -> OrderState:
    return OrderState("31", T, "f", "PAID", T, parts={AnswerKind(kind): part for kind, part in parts.items()})


def ready(**failures: FailedOrder | None) -> PreparedOrder:
    """An order with these parts, each with why it cannot be read."""
    parts = {AnswerKind(kind): PreparedPart(NEVER_FETCHED, None, failed) for kind, failed in failures.items()}
    return PreparedOrder(state(), (), parts)


@pytest.mark.parametrize(
    ("stored", "is_lost"), [(STORED, True), (NEVER_FETCHED, False), (PartState(1, T, UNREADABLE), False)]
)
def test_a_part_is_lost_if_it_is_stored_and_the_last_answer_about_it_cannot_be_read(
    stored: PartState, is_lost: bool
) -> None:
    """Planted: the first answer looked at; only the first part; what no sync could read taken for lost."""
    last = ready(items=None, messages=FAILED)
    assert _loses([ready(items=FAILED), last], state(items=STORED, messages=stored)) == (FAILED if is_lost else None)
    assert _loses([last], state(items=STORED, messages=stored)) == (FAILED if is_lost else None)
    assert _loses([last, ready(items=None)], state(items=STORED, messages=stored)) is None
    assert _loses([last], state(items=STORED)) is None
    assert _loses([last], None) is None
    assert _loses([], state(messages=STORED)) is None


def test_an_order_is_lost_if_it_is_stored_and_cannot_be_read() -> None:
    """Planted: one that was never stored taken for lost."""
    assert _loses(FAILED, None) is None
    assert _loses(FAILED, state()) is None
    assert _loses(FAILED, replace(state(), order_document_id=1)) == FAILED


ORDER = b'{"order_id": "31", "date_ordered": "2026-06-15T12:00:00Z", "status": "PAID", "cost":{"currency_code":"EUR"}}'


def landed(*kinds: str, body: bytes = ORDER) -> list[Document]:
    """Answers of these kinds, numbered from 1."""
    return [
        Document("31", AnswerKind(kind), body if kind == "order" else b"[]", "f", T, T, document_id=number)
        for number, kind in enumerate(kinds, start=1)
    ]


@pytest.mark.parametrize(
    ("documents", "loaded", "kept"),
    [
        (landed("order"), None, 0),
        (landed("order", "items"), None, 2),
        (landed("items", "order"), None, 1),
        (landed("order", "items", "order"), 2, 2),
        (landed("order", "items", "order"), 3, 3),
        (landed("order", "items", "order", "items"), 2, 4),
        (landed("order", "items", "order", body=b"no order"), None, 3),
    ],
)
def test_answers_that_were_not_loaded_and_lack_a_part_are_left_to_the_next_sync(
    documents: list[Document], loaded: int | None, kept: int
) -> None:
    """Planted: the first order taken for the last one; one that is loaded taken for one that is not."""
    row = None if loaded is None else replace(state(), order_document_id=loaded)
    assert _complete(documents, row) == documents[:kept]


@pytest.mark.parametrize("kind", ["order", "items"])
def test_an_order_whose_answer_was_deleted_undoes_it(kind: str, session: SyncSession, synced: Sync) -> None:
    """Somebody has saved space. Planted: the order, or its items, gone after the rebuild."""
    del synced  # which fills the warehouse
    engine = session.warehouse.engine
    with engine.begin() as connection:
        order_id = connection.scalar(text("SELECT max(platform_order_id) FROM sales.order_items"))
        connection.execute(
            text("DELETE FROM landing.documents WHERE platform_order_id = :order_id AND kind = :kind"),
            {"order_id": order_id, "kind": kind},
        )
    before = dump(session.warehouse)
    result = rebuild(session)
    assert (result.undone, [failed.order_id for failed in result.lost]) == (True, [order_id])
    assert result.message.startswith("Nothing was changed: 1 order that the warehouse has cannot be read any more")
    assert result.message.endswith("is not in landing.documents any more.\nRestore a backup that has it.")
    assert dump(session.warehouse) == before


def test_an_order_that_no_sync_could_read_does_not_stop_it(
    session: SyncSession, sync: Sync, server: SandboxServer
) -> None:
    """Planted: not among the errors; nothing said of the orders that are done."""
    order_id = min(server.store.sales)
    server.faults.on(f"/orders/{order_id}$", Fault.WRONG_TYPE_MONEY)
    sync()
    before = dump(session.warehouse)
    session.progress = progress = SeenDone()
    result = rebuild(session)
    assert (result.undone, result.orders) == (False, len(server.store.sales) - 1)
    assert [error["order_id"] for error in result.as_dict()["errors"]] == [str(order_id)]
    assert Counter(progress.outcomes.values()) == {Outcome.UPDATED: result.orders, Outcome.FAILED: 1}
    assert dump(session.warehouse) == before

"""Answers as received: kept byte for byte, and what cannot be kept is refused without being shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from bl_pipeline.columns import AnswerKind
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.landing import (
    Document,
    Received,
    UnstorableAnswer,
    before_and_after,
    known_order,
    land,
    not_loaded,
    read_document,
)

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


def landed(
    warehouse: Warehouse, body: bytes, *, order_id: str = "1", kind: AnswerKind = AnswerKind.ORDER, run_id: str = "run",
    at: datetime = NOW,
) -> Document:  # fmt: skip
    with warehouse.engine.begin() as connection:
        [document] = land(connection, warehouse, run_id, [Received(order_id, kind, body, "h", None, at)])
    return document


@pytest.mark.parametrize(
    "body",
    [
        b'{"b": 1,  "a":"1.2300", "a": "twice"}',
        '{"name": "Łódź 🧱 &#40;", "n": 12345678901234567890.12345678901234567890}'.encode(),
        b"[]",
        b'{"escaped": "\\u00e9 \\ud83e\\uddf1 \\/"}',
    ],
)
def test_an_answer_is_kept_byte_for_byte(body: bytes, warehouse: Warehouse) -> None:
    """Catches jsonb, which sorts keys, drops doubles and rewrites numbers."""
    document = landed(warehouse, body)

    with warehouse.engine.connect() as connection:
        stored = read_document(connection, document.document_id)
    assert stored == document
    assert stored.body == body


@pytest.mark.parametrize(
    "body", [b'{"buyer": "secret-name"', b'{"buyer": "\xff secret-name"}', b"", b"<html>secret-name"]
)
def test_what_is_no_json_is_refused_and_not_shown(body: bytes, warehouse: Warehouse) -> None:
    with pytest.raises(UnstorableAnswer) as refused:
        landed(warehouse, body)

    assert "secret-name" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    with warehouse.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM landing.documents")) == 0


def test_only_what_is_newer_than_what_is_loaded_waits(warehouse: Warehouse) -> None:
    first, items, later = (
        landed(warehouse, b"{}"), landed(warehouse, b"[]", kind=AnswerKind.ITEMS), landed(warehouse, b'{"later": 1}')
    )  # fmt: skip
    landed(warehouse, b"{}", order_id="2")
    values: dict[str, Any] = {"now": NOW, "order": first.document_id, "items": items.document_id}
    with warehouse.engine.begin() as connection:
        connection.execute(
            text(
                """
                INSERT INTO sync.order_state (store, platform, platform_order_id, order_date, listed_fingerprint,
                    listed_status, first_listed_at, order_document_id, items_document_id)
                VALUES ('main', 'bricklink', '1', :now, 'h', 'PAID', :now, :order, :items)
                """
            ),
            values,
        )
        assert not_loaded(connection, warehouse, ["1"]) == {"1": [later]}
        connection.execute(text("UPDATE sync.order_state SET order_document_id = NULL, items_document_id = NULL"))
        assert not_loaded(connection, warehouse, ["1", "2"])["1"] == [first, items, later]


def test_what_a_run_has_received_and_what_was_known_before_it(warehouse: Warehouse) -> None:
    """Planted: the oldest answer in place of the newest one; another kind; another order; what came after the run."""
    numbers = [
        landed(warehouse, b"{}", run_id=run_id, order_id=order_id, kind=kind, at=NOW + timedelta(minutes=minute))
        for minute, (run_id, order_id, kind) in enumerate(
            [
                ("old", "1", AnswerKind.ORDER), ("old", "1", AnswerKind.ORDER), ("old", "1", AnswerKind.ITEMS),
                ("new", "1", AnswerKind.ORDER), ("new", "1", AnswerKind.ORDER), ("new", "2", AnswerKind.ORDER),
                ("later", "1", AnswerKind.ORDER),
            ]
        )
    ]  # fmt: skip
    with warehouse.engine.connect() as connection:
        found = before_and_after(connection, warehouse, "1", AnswerKind.ORDER, "new")
        assert found == (numbers[1], numbers[4])
        assert before_and_after(connection, warehouse, "1", AnswerKind.ITEMS, "new") == (None, None)
        for minute, known in ((-1, None), (0, 0), (2, 1), (5, 1), (6, 6)):
            at = NOW + timedelta(minutes=minute)
            answer = known_order(connection, warehouse, "1", at=at, not_of_run="new")
            assert answer == (None if known is None else numbers[known])

"""Rows of many answers at once are those of each alone; and which answers are left to be read alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bl_pipeline.bricklink import read_items, read_order
from bl_pipeline.columns import AnswerKind
from bl_pipeline.rules.frames import SCHEMAS
from bl_pipeline.rules.kinds import KINDS
from bl_pipeline.rules.normalise import order_row, part_rows
from bl_pipeline.rules.normalise_columns import rows_of_answers
from bl_pipeline.rules.statuses import group_of

ANSWERS = Path(__file__).parent / "answers"
ORDER: dict[str, Any] = json.loads((ANSWERS / "order.json").read_text())
ITEMS: Any = json.loads((ANSWERS / "items.json").read_text())
FETCHED = datetime(2026, 6, 15, 12, tzinfo=UTC)
MOST = "999999999999999.9999"
"""As much as a column has room for."""
OF_THE_ANSWER = {"fetched_at", "order_document_id", "items_document_id", "first_order_date"}


def order(number: int, **values: Any) -> dict[str, Any]:
    """The recorded order with another number and other values; `...` leaves one out."""
    return {name: value for name, value in {**ORDER, "order_id": number, **values}.items() if value is not ...}


def together(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = rows_of_answers(
        AnswerKind.ORDER, [str(each["order_id"]) for each in orders], [json.dumps(each).encode() for each in orders]
    )
    assert found.usual.all()
    assert found.answer.tolist() == list(range(len(orders)))
    return [with_address(row) for row in found.rows.to_pylist()]


def alone(content: dict[str, Any]) -> dict[str, Any]:
    read = read_order(json.dumps(content).encode())
    status = group_of(read.status, previous=None, paid=False)
    row = order_row(read, status=status, fetched_at=FETCHED, order_document_id=1, items_document_id=None)
    named = dict(zip(SCHEMAS[AnswerKind.ORDER].names, row, strict=True))
    return with_address({name: value for name, value in named.items() if name not in OF_THE_ANSWER})


def with_address(row: dict[str, Any]) -> dict[str, Any]:
    row = {name: value for name, value in row.items() if name not in OF_THE_ANSWER}
    address = row["shipping_address"]
    return {**row, "shipping_address": None if address is None else json.loads(address)}


def at(**fields: Any) -> dict[str, Any]:
    """The shipping with another address."""
    return {**ORDER["shipping"], "address": {**ORDER["shipping"]["address"], **fields}}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"status": "CANCELLED"},
        {"status": "SOMETHING NEW"},
        {"status": ...},
        {
            "shipping": at(
                full='The "Mill"', city="back\\slash", state="new\nline\ttab", address1="\x1f&quot;&amp;quot;"
            )
        },
        {"shipping": at(country_code="FR")},
        {"shipping": at(country_code="")},
        {"shipping": at(city=None)},
        {"shipping": {"method": "Letter"}},
        {"shipping": {"method": "Letter", "address": {}}},
        {"shipping": ...},
        *({"cost": {**ORDER["cost"], name: None}} for name in ("shipping", "subtotal", "grand_total")),
        {"cost": {**ORDER["cost"], "subtotal": "0.0001", "shipping": "0.0002", "grand_total": "9.0000"}},
        {"cost": {**ORDER["cost"], "subtotal": MOST, "shipping": "0.0000", "grand_total": MOST}},
    ],
)
def test_an_order_among_others_has_the_row_that_it_has_alone(values: dict[str, Any]) -> None:
    """Caught: an order without an address cost all others read with it their place.

    Planted: an escape cut at the wrong place; a country left as it is; fees with a part left out; the largest amounts
    left to be read alone.
    """
    orders = [order(31), order(32, **values), order(33)]
    assert together(orders) == [alone(each) for each in orders]


def test_the_status_of_a_purged_order_depends_on_what_was_before() -> None:
    (row,) = together([order(31, status="PURGED")])
    assert (row["status"], row["platform_status"]) == (None, "PURGED")


@pytest.mark.parametrize("number", [3, 60])
def test_only_the_unusual_answer_is_left_out_if_there_are_many(number: int) -> None:
    """Few are not worth to be read in parts, and are all left out."""
    orders = [order(1000 + place) for place in range(number)]
    orders[2]["payment"] = []
    bodies = [json.dumps(each).encode() for each in orders]
    found = rows_of_answers(AnswerKind.ORDER, [str(each["order_id"]) for each in orders], bodies)
    taken = [] if number == 3 else [place for place in range(60) if place // 8 != 0]
    assert found.answer.tolist() == taken
    assert [place for place, usual in enumerate(found.usual) if usual] == taken
    assert found.rows.column("display_id").to_pylist() == [f"BL-{1000 + place}" for place in taken]


def test_an_answer_about_another_order_or_about_none_is_left_out() -> None:
    bodies = [*(json.dumps(order(number)).encode() for number in (31, 32)), b"{}"]
    found = rows_of_answers(AnswerKind.ORDER, ["31", "33", "34"], bodies)
    assert found.usual.tolist() == [True, False, False]
    assert found.answer.tolist() == [0]
    assert found.rows.column("platform_order_id").to_pylist() == ["31"]


@pytest.mark.parametrize("body", [b"null", b"[null]", b"[null, [%b]]", b"[[%b], null]", b"[[null, %b]]"])
def test_items_with_nothing_in_place_of_a_batch_or_a_lot_are_left_out(body: bytes) -> None:
    """Whoever reads the answer alone says what is wrong with it. Planted: only lots looked at, only answers."""
    lot = json.dumps(ITEMS[0][0]).encode()
    answers = [body % lot if b"%b" in body else body, b"[[%b]]" % lot]
    assert rows_of_answers(AnswerKind.ITEMS, ["31", "32"], answers).usual.tolist() == [False, False]
    assert rows_of_answers(AnswerKind.ITEMS, ["32"], answers[1:]).usual.tolist() == [True]


def test_the_lots_of_all_answers_have_their_order_batch_and_line() -> None:
    """Planted: batches and lines counted from 0; the number of the answer taken for that of the row."""
    lot = ITEMS[0][0]
    answers: list[list[list[Any]]] = [[[lot, lot], [lot]], [], ITEMS]
    found = rows_of_answers(AnswerKind.ITEMS, ["31", "32", "33"], [json.dumps(each).encode() for each in answers])
    expected = []
    for order_id, content in zip(("31", "32", "33"), answers, strict=True):
        rows = part_rows(
            AnswerKind.ITEMS, order_id, read_items(json.dumps(content).encode()), lines="lots",
            computed=KINDS[AnswerKind.ITEMS].computed, pieces=0,
        ).rows  # fmt: skip
        expected += [dict(zip(SCHEMAS[AnswerKind.ITEMS].names, row, strict=True)) for row in rows]
    assert found.rows.to_pylist() == expected
    assert found.usual.tolist() == [True] * 3
    assert found.answer.tolist() == [0, 0, 0, *[2] * sum(map(len, ITEMS))]


def test_one_odd_lot_leaves_out_all_of_its_answer() -> None:
    lot = ITEMS[0][0]
    answers = [[[lot]], [[lot, {**lot, "unit_price_final": "dear"}]], [[lot]]]
    found = rows_of_answers(AnswerKind.ITEMS, ["31", "32", "33"], [json.dumps(each).encode() for each in answers])
    assert found.usual.tolist() == [True, False, True]
    assert found.answer.tolist() == [0, 2]
    assert found.rows.column("platform_order_id").to_pylist() == ["31", "33"]

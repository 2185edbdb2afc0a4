"""Reading many answers at once gives the rows that reading each for itself gives, or leaves the answer to that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from bl_pipeline.bricklink import ITEM_FIELDS, ORDER_FIELDS
from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import FailedOrder
from bl_pipeline.rules.frames import frame
from bl_pipeline.sandbox import SandboxOrder, Store, Wire, move_on
from bl_pipeline.sync.loading import FetchedOrder, PreparedOrder, prepare
from bl_pipeline.sync.replaying import Replay, replays
from bl_pipeline.warehouse.landing import Document
from bl_pipeline_tests.conftest import NOW
from bl_pipeline_tests.support.strange_values import DETAIL, LEFT_OUT, LOT, NASTY, Mutation

Landed = dict[str, list[Document]]


def landed(order_id: str, answers: Iterable[tuple[AnswerKind, Any]], *, ensure_ascii: bool = True) -> Landed:
    """These answers about an order, as they would be landed one after the other."""
    return {
        order_id: [
            Document(
                document_id=int(order_id) * 100 + place,
                order_id=order_id,
                kind=kind,
                body=json.dumps(answer, ensure_ascii=ensure_ascii).encode(),
                listed_fingerprint="fingerprint",
                listed_status_changed_at=NOW,
                fetched_at=NOW + timedelta(minutes=place),
            )
            for place, (kind, answer) in enumerate(answers)
        ]
    }


def answers_of(wire: Wire, order: SandboxOrder) -> list[tuple[AnswerKind, Any]]:
    """What the store says of an order now."""
    items = [] if order.is_purged else wire.items(order)
    return [(AnswerKind.ORDER, deepcopy(wire.detail(order))), (AnswerKind.ITEMS, deepcopy(items))]


def rows(frame_of_rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows to be compared: JSON by its content."""
    found = []
    for row in frame_of_rows.to_dict("records"):
        values: dict[str, Any] = {str(name): None if value is pd.NA else value for name, value in row.items()}
        if values.get("shipping_address") is not None:
            values["shipping_address"] = json.loads(values["shipping_address"])
        found.append(values)
    return found


def each_alone(documents: Landed, order_ids: Iterable[str]) -> dict[str, list[PreparedOrder]]:
    """The same orders, each read for itself."""
    found = {}
    for order_id in order_ids:
        prepared = prepare(FetchedOrder(documents[order_id]), None)
        assert not isinstance(prepared, FailedOrder), (order_id, prepared.error)
        found[order_id] = prepared
    return found


def assert_equal(batches: Sequence[Replay], alone: dict[str, list[PreparedOrder]]) -> None:
    """Each batch has the nth states of the orders, with the rows that they have if each is read for itself."""
    assert len(batches) == max(map(len, alone.values()))
    for nth, batch in enumerate(batches):
        states = [order[nth] for order in alone.values() if nth < len(order)]
        assert not [part.failure for state in states for part in state.parts.values() if part.failure]
        assert rows(batch.order_rows) == rows(frame(AnswerKind.ORDER, [state.order_row for state in states]))
        items = {state.state.order_id: state.parts[AnswerKind.ITEMS].rows for state in states}
        replaced = {order_id: lots for order_id, lots in items.items() if lots is not None}
        part = batch.part_rows[AnswerKind.ITEMS]
        assert list(part.order_ids) == list(replaced)
        assert rows(part.rows) == rows(frame(AnswerKind.ITEMS, [row for lots in replaced.values() for row in lots]))
        assert list(batch.absent_kept) == [state.state.order_id for state in states if state.purged]


@pytest.mark.parametrize(
    "wire",
    [Wire(), Wire(date_status_changed=False, sales_tax_key="salesTax_collected_by_BL"), Wire(timestamps="offset")],
    ids=["usual", "older", "offset"],
)
def test_a_store_with_every_state_of_its_orders(wire: Wire) -> None:
    """All of it is read at once: new, changed, with batches, purged before or after the first answer."""
    store = Store.grow(orders=60, seed=12, now=NOW, filed=20, purged=15, unknown=2, currencies=("EUR", "USD"))
    answers = {str(order_id): answers_of(wire, order) for order_id, order in store.sales.items()}
    for seed in range(6):
        store.advance(timedelta(days=40))
        before = {order_id: wire.detail(order) for order_id, order in store.sales.items()}
        move_on(store, new=3, changed=20, seed=seed)
        purgeable = [order for order in store.sales.values() if order.status == "COMPLETED" and not order.is_purged]
        store.purge(purgeable[seed].order_id)
        for order_id, order in store.sales.items():
            if wire.detail(order) != before.get(order_id):
                new = answers_of(wire, order)
                answers.setdefault(str(order_id), []).extend(new if (order_id + seed) % 3 else new[:1])
    documents: Landed = {}
    for known, said in answers.items():
        documents |= landed(known, said)
    batches, taken = replays(documents)
    assert taken == set(documents)
    assert len(batches) > 2
    assert any(batch.absent_kept for batch in batches[1:])
    assert_equal(batches, each_alone(documents, documents))


def mutated(mutations: Sequence[Mutation], *, ensure_ascii: bool) -> Landed:
    """An order with each of the mutations, numbered from 1; without those that no answer can have in this form."""
    store = Store.grow(orders=12, seed=5, now=NOW, filed=4, purged=0)
    base = min(store.sales.values(), key=lambda order: len(order.batches[0]))
    documents: Landed = {}
    for number, mutation in enumerate(mutations, start=1):
        (_, detail), (_, lots) = said = answers_of(Wire(), base)
        mutation.apply(detail if mutation.answer == "detail" else lots[0][-1])
        detail["order_id"] = number
        with suppress(UnicodeEncodeError):
            documents |= landed(str(number), said, ensure_ascii=ensure_ascii)
    return documents


MUTATIONS = [
    Mutation(answer, field, value)
    for answer, fields in (("detail", DETAIL), ("items", LOT))
    for field in fields
    for value in NASTY
    if not (isinstance(value, str) and len(value) > 1000)
]


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.full), 40])
def test_any_value_in_any_field_is_read_as_it_is_read_alone_or_not_at_all(every: int) -> None:
    """Planted: a pattern left out, a blank text taken for absent, the range of times not looked at."""
    documents = mutated(MUTATIONS[::every], ensure_ascii=every == 1)
    read = 0
    for order_id in documents:
        batches, taken = replays({order_id: documents[order_id]})
        if taken:
            read += 1
            assert_equal(batches, each_alone(documents, taken))
    assert len(documents) / 4 < read < len(documents)


@pytest.mark.slow
def test_any_text_that_postgres_takes_is_read() -> None:
    """With entities, quotes, blank, or in any language. Planted: a text with a backslash left out."""
    texts = [
        mutation
        for mutation in MUTATIONS
        if mutation.field.kind in ("text", "raw", "address")
        and mutation.field.path != "status"
        and isinstance(mutation.value, str)
        and not re.search("[\0\ud800-\udfff]|\\\\u0000", mutation.value)
    ]
    documents = mutated(texts, ensure_ascii=False)
    batches, taken = replays(documents)
    assert taken == set(documents)
    assert len(taken) > 1000
    assert_equal(batches, each_alone(documents, documents))


def test_one_unusual_answer_costs_no_other_order_its_place() -> None:
    """Planted: a part in which one answer is unusual left to be read alone."""
    store = Store.grow(orders=200, seed=7, now=NOW, filed=100, purged=0)
    documents: Landed = {}
    for number, order in enumerate(store.sales.values()):
        said = answers_of(Wire(), order)
        if number == 77:
            said[0][1]["payment"] = []
        documents |= landed(str(order.order_id), said)
    _, taken = replays(documents)
    assert 150 <= len(taken) < 200


@pytest.mark.parametrize("body", [b"null", b"[]", b" {}", b"{}", b"1", b'""', b"\n", b"[[null]]", b"[null]", b"[[[]]]"])
@pytest.mark.parametrize("kind", [AnswerKind.ORDER, AnswerKind.ITEMS])
def test_an_answer_that_is_something_else_is_left_out(kind: AnswerKind, body: bytes) -> None:
    """Arrow crashes at some of them. Planted: the look at the first character left out, and the process ends."""
    store = Store.grow(orders=1, seed=7, now=NOW, filed=0, purged=0)
    (order,) = store.sales.values()
    documents = landed(str(order.order_id), answers_of(Wire(), order))[str(order.order_id)]
    place = 0 if kind is AnswerKind.ORDER else 1
    odd = replace(documents[place], body=body)
    documents[place] = odd
    assert replays({str(order.order_id): documents}) == ([], set())


@pytest.mark.parametrize("kinds", ["order items items", "items order items", "order items messages"])
def test_what_comes_in_another_order_is_read_one_by_one(kinds: str) -> None:
    """Planted: each of the conditions left out, so that an answer is lost."""
    store = Store.grow(orders=2, seed=1, now=NOW)
    first, second = store.sales.values()
    said = {**dict(answers_of(Wire(), first)), AnswerKind.MESSAGES: []}
    documents = landed(str(first.order_id), [(kind, said[kind]) for kind in map(AnswerKind, kinds.split())])
    documents |= landed(str(second.order_id), answers_of(Wire(), second))
    _, usual = replays(documents)
    assert usual == {str(second.order_id)}


def test_there_are_strange_values_for_every_field() -> None:
    """Of a field that is not among them nothing shows that both ways read it alike."""
    assert ORDER_FIELDS.keys() - {field.path for field in DETAIL} - LEFT_OUT == set(), "support/strange_values.py"
    assert ITEM_FIELDS.keys() - {field.path for field in LOT} == set(), "support/strange_values.py"

"""Whole answers that are damaged, strange or no answers at all: a BrickLinkError, and never anything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bl_pipeline.bricklink import BrickLinkError, InvalidAnswer, read_items, read_order, read_summaries
from bl_pipeline.bricklink.envelope import ORDER, ORDERS, PART, PART_IF_ANY, open_answer
from bl_pipeline_tests.conftest import NOW
from bl_pipeline_tests.reliability.test_fuzz import SALES, WIRE, envelope

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["meta", "data", "code", "order_id", "item", "cost", "x"]), inner, max_size=4)
    ),
    max_leaves=20,
)
GOOD = [
    envelope(WIRE.detail(SALES[0])),
    envelope(WIRE.items(SALES[0])),
    envelope([WIRE.row(order) for order in SALES[:3]]),
]


WAITS = [
    "Fri, 01 Mar 2024 08:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2400", "Mon, 01 Jan 0001 00:00:00 +2359", "9" * 400,
    "Fri, 99 Foo 2024 08:00:00 GMT", "Fri, 01 Mar 2024 08:00:00 +99999999999", "Fri, 01 Mar 99999999999 08:00:00 GMT",
    "2024-03-01T08:00:00Z", "01 Mar 2024", ",", "Fri,",
]  # fmt: skip


def take_apart(status: int, headers: dict[str, str], body: bytes) -> None:
    """Nothing but a BrickLinkError, with nothing of the body in it, comes out of an answer."""
    for expect, reader in (
        (ORDER, read_order), (PART, read_items), (PART_IF_ANY, read_items), (ORDERS, read_summaries),
    ):  # fmt: skip
        try:
            raw = open_answer(status, headers, body, expect, NOW)
            assert isinstance(raw, bytes)
            raw.decode()
            reader(raw)
        except BrickLinkError as error:
            assert "Brickville" not in str(error)


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(
    status=st.sampled_from([200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 503]),
    headers=st.dictionaries(st.just("Retry-After"), st.text(max_size=12) | st.sampled_from(WAITS)),
    body=st.binary(max_size=200)
    | ANY_JSON.map(lambda value: json.dumps(value).encode())
    | ANY_JSON.map(lambda value: json.dumps({"meta": {"code": 200}, "data": value}).encode())
    | ANY_JSON.map(lambda value: json.dumps({"meta": value, "data": []}).encode())
    | st.builds(lambda code: json.dumps({"meta": {"code": code, "description": code}}).encode(), ANY_JSON),
)
def test_no_answer_is_more_than_a_bricklink_error(status: int, headers: dict[str, str], body: bytes) -> None:
    """Caught: a RecursionError, a ValueError or an InvalidOperation that gets through."""
    take_apart(status, headers, body)


@settings(max_examples=400, deadline=None, database=None, derandomize=True)
@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=0, max_size=3)), max_size=4),
    st.floats(0.01, 1),
)
def test_no_damaged_answer_is_more_than_a_bricklink_error(
    body: bytes, damage: list[tuple[float, bytes]], kept: float
) -> None:
    """Bytes replaced, the end cut off."""
    for where, put in damage:
        position = int(where * len(body))
        body = body[:position] + put + body[position + len(put) :]
    take_apart(200, {}, body[: int(kept * len(body)) + 1])


@pytest.mark.parametrize("body", GOOD)
def test_an_answer_cut_off_anywhere_is_never_an_answer(body: bytes) -> None:
    """Caught: half a list taken for a whole one."""
    for length in range(0, len(body), 1 + len(body) // 400):
        for expect in (ORDER, PART, PART_IF_ANY, ORDERS):
            with pytest.raises(InvalidAnswer):
                open_answer(200, {}, body[:length], expect, NOW)


@pytest.mark.parametrize("depth", [100, 900, 990, 5_000, 500_000])
def test_an_answer_nested_without_end_is_one_orders_error(depth: int) -> None:
    """Caught: RecursionError."""
    for value in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
        take_apart(200, {}, b'{"meta":{"code":200},"data":%s}' % value)
        take_apart(200, {}, b'{"meta":{"code":200},"data":{"order_id":1,"x":%s}}' % value)


@pytest.mark.parametrize("shift", range(4))
def test_a_long_list_is_text_wherever_its_characters_lie(shift: int) -> None:
    """Planted: faults looked for in the first piece only."""
    names = "a" * shift + "\U0001f600" * 600_000
    data = f'["{names}"]'.encode()
    body = b'{"meta":{"code":200},"data":' + data + b"}"
    assert open_answer(200, {}, body, ORDERS, NOW) == data
    cut = body[:-5] + b'\xf0"]}'
    assert open_answer(200, {}, cut, ORDERS, NOW).endswith('\ufffd"]'.encode())

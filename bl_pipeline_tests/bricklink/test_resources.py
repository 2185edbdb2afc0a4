"""The limits of the values that an answer can have, to the last digit."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bl_pipeline.bricklink import read_order
from bl_pipeline.bricklink.reading import read_time
from bl_pipeline.bricklink.resources import Decimal4, Integer, OrderId, Word

LARGEST = 2**63 - 1


def is_taken(value: Any, kind: Any) -> bool:
    try:
        return bool(msgspec.convert(value, kind) == value)
    except msgspec.ValidationError:
        return False


@pytest.mark.parametrize(
    ("kind", "taken", "refused"),
    [
        (Integer, [-(2**63), -1, 0, 1, LARGEST], [-(2**63) - 1, LARGEST + 1]),
        (OrderId, [1, 2, LARGEST], [-1, 0, LARGEST + 1]),
        (
            Decimal4,
            ["0", "-7", "7.4500", "9" * 15, "-" + "9" * 15 + ".9999", "0.00010000", "1.0"],
            ["", "-", "+1", ".5", "1.", "9" * 16, "0.00001", "1.23456", "1,5", "1e3", "1\n", " 1", "\u0661"],
        ),
        (Word, ["x", " "], [""]),
    ],
)
def test_what_is_just_taken_and_what_is_not(kind: Any, taken: list[Any], refused: list[Any]) -> None:
    """Planted: each limit moved by one."""
    assert [value for value in taken if not is_taken(value, kind)] == []
    assert [value for value in refused if is_taken(value, kind)] == []


FIRST, LAST = "1995-01-01T00:00:00Z", "2099-12-31T23:59:59.999999Z"


@pytest.mark.parametrize("written", [FIRST, "1994-12-31T23:00:00-01:00", LAST, "2100-01-01T00:59:59.999999+01:00"])
def test_the_first_and_the_last_moment_are_taken(written: str) -> None:
    assert read_time(written) in {read_time(FIRST), read_time(LAST)}


@pytest.mark.parametrize(
    "written", ["1994-12-31T23:59:59.999999Z", "1995-01-01T00:59:59+01:00", "2100-01-01T00:00:00Z"]
)
def test_a_time_that_cannot_be_meant_is_refused(written: str) -> None:
    """Planted: each limit moved by a moment; the offset not looked at."""
    with pytest.raises(ValueError, match=r"^$"):
        read_time(written)


@pytest.mark.parametrize(
    ("value", "taken"), [(LARGEST, True), (LARGEST + 1, False), (-(2**63), True), (-(2**63) - 1, False)]
)
def test_a_count_of_64_bits_in_an_answer(value: int, taken: bool) -> None:
    answer = {"order_id": 1, "date_ordered": FIRST, "cost": {"currency_code": "EUR"}, "buyer_order_count": value}
    order = read_order(msgspec.json.encode(answer))
    assert order.buyer_order_count == (value if taken else None)
    assert ("buyer_order_count" in order.unreadable_fields) is not taken

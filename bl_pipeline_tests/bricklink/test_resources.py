"""The limits of the values that an answer can have, to the last digit."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

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

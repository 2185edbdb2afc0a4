"""Counts and amounts as people read them."""

from __future__ import annotations

from decimal import Decimal


def amount(value: Decimal | None) -> str:
    """An amount in full: two decimals, or four if it has parts of a cent."""
    return "" if value is None else f"{value:,.4f}".removesuffix("00")


def number(value: Decimal | int) -> str:
    """An amount in full, or a count."""
    return f"{value:,}" if isinstance(value, int) else amount(value)


def plural(number: int, noun: str) -> str:
    """A number with its noun: 1 order, 1,204 orders."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"

"""The store that is loaded: orders of the sandbox as BrickLink sends them, five lots each on average, and their sums.

A line a file: the order, its items and its row in the list, as JSON, with tabs between.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from bl_pipeline.sandbox import SandboxOrder, Store, Wire

LOTS = 5
"""Of an order, on average."""
_NOW = datetime(2026, 11, 1, tzinfo=UTC)


class WrongResult(Exception):
    """A benchmark has not produced what it should have, so its time means nothing."""


class Line(NamedTuple):
    """The answers about one order."""

    order: bytes
    items: bytes
    row: bytes

    @property
    def order_id(self) -> str:
        """BrickLink's number, which the order begins with."""
        return self.order[len(b'{"order_id":') : self.order.index(b",")].decode()


@dataclass(frozen=True, slots=True)
class Sums:
    """What has to be in a warehouse of these orders, to the last decimal."""

    orders: int
    items: int
    total: Decimal
    final_total: Decimal
    items_total: Decimal

    def check(self, what: str, *found: Any) -> None:
        """Raise WrongResult if counts and sums, in the order of the fields, differ."""
        orders, items, *amounts = found
        check(
            what,
            (int(orders), int(items), *(Decimal(amount or 0) for amount in amounts)),
            (self.orders, self.items, self.total, self.final_total, self.items_total),
        )


def check(what: str, found: object, expected: object) -> None:
    """Raise WrongResult if they differ."""
    if found != expected:
        raise WrongResult(f"{what}: found {found}, expected {expected}")


def make(path: Path, orders: int) -> Sums:
    """Write so many orders, and return their sums, which the sandbox knows without the product."""
    store = Store.grow(orders=orders, seed=7, now=_NOW, purged=0, currencies=("EUR", "USD"), purchases=0)
    wire = Wire()
    number = items = 0
    total, final_total, items_total = Decimal(), Decimal(), Decimal()
    with path.open("wb") as file:
        for number, grown in enumerate(store.sales.values(), start=1):
            order = _with_lots(grown, number * LOTS - items)
            parts = (wire.detail(order), wire.items(order), wire.row(order))
            file.write(b"\t".join(json.dumps(part, separators=(",", ":")).encode() for part in parts) + b"\n")
            items += len(order.lots)
            total += order.grand_total
            final_total += order.final_total
            items_total += order.subtotal
    return Sums(number, items, total, final_total, items_total)


def read(path: Path, orders: int | None = None) -> Iterator[Line]:
    """The lines of a file, or the first of them."""
    with path.open("rb") as file:
        for line in islice(file, orders):
            yield Line(*line.rstrip(b"\n").split(b"\t"))


def _with_lots(order: SandboxOrder, most: int) -> SandboxOrder:
    """The order with no more lots than that, but at least one: the sandbox's have six on average, and up to fifty."""
    lots = order.lots[: max(most, 1)]
    return order if len(lots) == len(order.lots) else replace(order, batches=(lots,))

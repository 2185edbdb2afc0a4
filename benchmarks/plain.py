"""The store's JSON as what most programs make of it, dicts with exact amounts: what the competitors begin with.

This module needs the standard library only, since it also runs in the environment of the competitors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

MONEY = {
    "subtotal", "grand_total", "final_total", "etc1", "etc2", "insurance", "shipping", "credit", "coupon", "salesTax",
    "vat_rate", "vat_amount", "total_weight", "weight", "unit_price", "unit_price_final", "disp_unit_price",
    "disp_unit_price_final", "order_cost", "total_price",
}  # fmt: skip
"""Fields with an exact number in a text."""
TIMES = {"date_ordered", "date_status_changed", "date_paid", "date_shipped"}

Row = dict[str, Any]


def read_orders(path: str) -> Iterator[tuple[Row, list[Row]]]:
    """Each order with its items as they are in the JSON; the items with the order's id and their places."""
    with Path(path).open("rb") as file:
        for line in file:
            order_json, items_json, _ = line.split(b"\t")
            order = json.loads(order_json)
            items = [
                {"order_id": order["order_id"], "batch_number": batch_number, "line_number": line_number, **lot}
                for batch_number, batch in enumerate(json.loads(items_json), start=1)
                for line_number, lot in enumerate(batch, start=1)
            ]
            yield order, items


def exact(value: Row) -> Row:
    """The same with its amounts as Decimal; of an item with `total_price`, too."""
    made: Row = {
        name: exact(field) if type(field) is dict else Decimal(field) if name in MONEY and field is not None else field
        for name, field in value.items()
    }
    if "unit_price_final" in made:
        made["total_price"] = made["unit_price_final"] * made["quantity"]
    return made


def flat(value: Row, prefix: str = "") -> Row:
    """Without dicts inside: cost: {subtotal} becomes cost__subtotal."""
    made: Row = {}
    for name, field in value.items():
        if type(field) is dict:
            made |= flat(field, f"{prefix}{name}__")
        else:
            made[prefix + name] = field
    return made


def last(name: str) -> str:
    """subtotal of cost__subtotal."""
    return name.rpartition("__")[2]

"""Which orders a page is about, if it is about several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request

from bl_pipeline.desk.failures import Refused
from bl_pipeline.desk.state import Desk
from bl_pipeline.questions import parse_order_number
from bl_pipeline.warehouse.fulfilment import Row, read_chosen

MOST = 50
"""Orders at once: to show a change of each takes a call."""


async def read_fields(request: Request) -> dict[str, list[str]]:
    """The fields of a form that was sent, each with its values; a blank field is one with a blank value."""
    sent: dict[str, list[str]] = {}
    for name, value in (await request.form()).multi_items():
        if isinstance(value, str):
            sent.setdefault(name, []).append(value)
    return sent


Fields = Annotated[dict[str, list[str]], Depends(read_fields)]
"""The fields of a form, as a parameter of a page."""


def choose(written: Sequence[str]) -> list[str]:
    """The ids of the orders that were chosen, each once. Raises Refused if there are none, or too many."""
    numbers = list(dict.fromkeys(parse_order_number(one) for one in written))
    if not numbers:
        raise Refused(422, "No order is chosen", "Go back, and tick the box before each order that you want.")
    if len(numbers) > MOST:
        raise Refused(
            422,
            "Too many orders at once",
            f"{len(numbers)} orders are chosen, and at most {MOST} are possible at once. Choose fewer.",
        )
    return numbers


def read_orders(desk: Desk, order_ids: Sequence[str]) -> list[Row]:
    """These orders as they are stored. Raises Refused if one is not."""
    with desk.source.reading() as (connection, warehouse):
        orders = read_chosen(connection, warehouse, order_ids)
    if missing := set(order_ids) - {order["platform_order_id"] for order in orders}:
        names = ", ".join(f"BL-{order_id[:20]}" for order_id in sorted(missing))
        raise Refused(
            404, "There is no such order", f"The warehouse has no order {names}. Sync the store if it is a new one."
        )
    return orders

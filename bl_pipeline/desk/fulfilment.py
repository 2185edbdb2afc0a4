"""What is still to be done, and the papers for it: the pick list and the packing slips."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from bl_pipeline.columns import AnswerKind
from bl_pipeline.countries import country, country_code
from bl_pipeline.desk.chosen import MOST, Fields, choose, read_orders
from bl_pipeline.desk.pages import page
from bl_pipeline.desk.state import Desk, DeskOf
from bl_pipeline.reports.order_facts import FEES, address_lines
from bl_pipeline.warehouse import fulfilment, runs, sales
from bl_pipeline.warehouse.fulfilment import Row, Step

router = APIRouter()

_SHOWN = 100
"""Orders of a step on one page, the oldest."""
_NAMES = {Step.TO_BE_PAID: "To be paid", Step.TO_PACK: "To pack", Step.TO_SEND: "To send"}
_PARTS = (("subtotal", "subtotal", 1), ("shipping", "shipping", 1), *FEES)
Chosen = Annotated[list[str], Query(alias="order", default_factory=list)]


@router.get("/todo")
def todo(request: Request, desk: DeskOf, choose: str = "") -> HTMLResponse:
    """The orders that are to be paid, packed or sent; the boxes of the step `choose` are ticked."""
    with desk.source.reading() as (connection, warehouse):
        steps = fulfilment.read_todo(connection, warehouse, limit=_SHOWN)
        undecided = fulfilment.count_undecided(connection, warehouse)
        last_synced_at = runs.last_synced_at(connection, warehouse)
    return page(
        request,
        "todo",
        steps=steps,
        names=_NAMES,
        undecided=undecided,
        last_synced_at=last_synced_at,
        chosen=choose,
        most=MOST,
    )


@router.post("/picklist")
def to_pick_list(desk: DeskOf, fields: Fields) -> RedirectResponse:
    """The address of the pick list of the orders that were ticked."""
    return _to(f"{desk.root}/picklist", fields)


@router.post("/slips")
def to_slips(desk: DeskOf, fields: Fields) -> RedirectResponse:
    """The address of the packing slips of the orders that were ticked."""
    return _to(f"{desk.root}/slips", fields)


def _to(address: str, fields: dict[str, list[str]]) -> RedirectResponse:
    numbers = choose(fields.get("order", []))
    return RedirectResponse(f"{address}?{urlencode([('order', number) for number in numbers])}", status_code=303)


@router.get("/picklist")
def pick_list(request: Request, desk: DeskOf, order: Chosen) -> HTMLResponse:
    """The lots of the chosen orders in the order of the storage places."""
    numbers = choose(order)
    orders = read_orders(desk, numbers)
    with desk.source.reading() as (connection, warehouse):
        lines = fulfilment.read_pick_list(connection, warehouse, numbers)
    return page(
        request,
        "picklist",
        lines=lines,
        orders=orders,
        pieces=sum(line.quantity for line in lines),
        incomplete=_incomplete(orders),
    )


@router.get("/orders/{order_id}/slip")
def slip(request: Request, desk: DeskOf, order_id: str) -> HTMLResponse:
    """The packing slip of one order."""
    return _slips(request, desk, [order_id])


@router.get("/slips")
def slips(request: Request, desk: DeskOf, order: Chosen) -> HTMLResponse:
    """The packing slips of the chosen orders, each on a sheet of its own."""
    return _slips(request, desk, order)


def _slips(request: Request, desk: Desk, written: Sequence[str]) -> HTMLResponse:
    numbers = choose(written)
    orders = read_orders(desk, numbers)
    with desk.source.reading() as (connection, warehouse):
        lots = [sales.read_part(connection, warehouse, number, AnswerKind.ITEMS) for number in numbers]
    return page(
        request,
        "slips",
        slips=[
            (order, part.rows if part else [], _address(order), _parts(order))
            for order, part in zip(orders, lots, strict=True)
        ],
        incomplete=_incomplete(orders),
    )


def _incomplete(orders: Sequence[Row]) -> list[Row]:
    """The orders of which not all lots are stored: a list of them would leave something out."""
    return [order for order in orders if order["stored_pieces"] != (order["total_count"] or order["stored_pieces"])]


def _address(order: Row) -> list[str]:
    """The lines of the buyer's address, as they are written on a parcel."""
    address = order["shipping_address"] or {}
    name = address.get("name") or " ".join(filter(None, (address.get("first_name"), address.get("last_name"))))
    lines = address_lines(address)
    land = country(country_code(order["country_code"])) if order["country_code"] else None
    return [line for line in (name or order["buyer_username"], *lines, None if land in lines else land) if line]


def _parts(order: Row) -> list[tuple[str, Decimal]]:
    """The parts of the total that are not zero, in the order's currency; the last is what no other part explains."""
    parts = [(name.capitalize(), sign * order[column]) for name, column, sign in _PARTS if order[column]]
    rest = (order["total"] or 0) - sum(amount for _, amount in parts)
    return [*parts, ("Other", rest)] if rest and order["total"] is not None else parts

"""The page of one order, and what a refresh of it has changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape
from sqlalchemy import Connection

from bl_pipeline.columns import AnswerKind
from bl_pipeline.desk.pages import page
from bl_pipeline.desk.state import DeskOf
from bl_pipeline.desk.words import lines, money, when
from bl_pipeline.questions import parse_order_number
from bl_pipeline.records import FailedOrder
from bl_pipeline.reports import order_facts
from bl_pipeline.reports.labels import heading, label
from bl_pipeline.rules.order_differences import count_lots, order_differences
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.landing import before_and_after
from bl_pipeline.warehouse.sales import last_fetched_at, read_order, read_part, read_states
from bl_pipeline.warehouse.state import failed_orders
from bl_pipeline.wording import plural

router = APIRouter()

_COMPLETENESS = {"C": "complete", "B": "incomplete", "S": "sealed"}
_AMOUNTS = frozenset({
    "subtotal", "shipping", "fees", "total", "final_total", "insurance", "etc1", "etc2", "tax", "credit", "coupon",
    "vat_amount",
})  # fmt: skip


@router.get("/orders/{order_id}")
def order(request: Request, desk: DeskOf, order_id: str, run: str = "") -> HTMLResponse:
    """One order in full; `run` is a refresh of it whose changes are shown."""
    number = parse_order_number(order_id)
    with desk.source.reading() as (connection, warehouse):
        found = read_order(connection, warehouse, number)
        failure = _failure(connection, warehouse, number)
        if found is None:
            return page(request, "order_missing", status=404, number=number, failure=failure)
        changes = _changes(connection, warehouse, found, run, desk.settings.bl_timezone) if run else None
        states = read_states(connection, warehouse, number)
        fetched_at = last_fetched_at(connection, warehouse, number) or found["fetched_at"]
        parts = {
            kind: read_part(connection, warehouse, number, kind) for kind in (AnswerKind.MESSAGES, AnswerKind.FEEDBACK)
        }
    return page(
        request,
        "order",
        order=found,
        failure=failure,
        changes=changes,
        states=states,
        fetched_at=fetched_at,
        messages=parts[AnswerKind.MESSAGES],
        feedback=parts[AnswerKind.FEEDBACK],
        several_batches=len({item["batch_number"] for item in found["items"]}) > 1,
        facts=order_facts,
        label=label,
        completeness=_COMPLETENESS,
    )


def _failure(connection: Connection, warehouse: Warehouse, order_id: str) -> FailedOrder | None:
    """Why the order could not be fetched or read the last time, if it could not."""
    return next(iter(failed_orders(connection, warehouse, order_id)), None)


def _changes(
    connection: Connection, warehouse: Warehouse, order: Mapping[str, Any], run_id: str, zone: str
) -> list[tuple[str, str, str]] | None:
    """What a run has found changed, as (name, before, after); None if it has not fetched the order.

    A name without values is a sentence of its own.
    """
    order_id = order["platform_order_id"]
    before, after = before_and_after(connection, warehouse, order_id, AnswerKind.ORDER, run_id)
    if after is None:
        return None
    if before is None:
        return [("The order was fetched for the first time.", "", "")]
    found = order_differences(before.body, after.body)
    if found is None:
        return [("The order was fetched, and an answer of BrickLink's could not be read.", "", "")]
    currencies = next(((one.before, one.after) for one in found if one.column == "currency"), (order["currency"],) * 2)
    changes = [
        (
            _capitalized(heading(one.column)),
            _shown(one.column, one.before, zone, currencies[0]),
            _shown(one.column, one.after, zone, currencies[1]),
        )
        for one in found
    ]
    old, new = before_and_after(connection, warehouse, order_id, AnswerKind.ITEMS, run_id)
    if new and old is None:
        changes.append(("Items", "not fetched", plural(count_lots(new.body), "lot")))
    elif new and old and new.body != old.body:
        lots = [plural(count_lots(one.body), "lot") for one in (old, new)]
        changes.append(("Items", lots[0], lots[1] if lots[0] != lots[1] else f"{lots[1]}, not the same"))
    return changes


def _capitalized(name: str) -> str:
    return name[:1].upper() + name[1:]


def _shown(column: str, value: Any, zone: str, currency: str | None) -> str:
    """A value of a column of sales.orders, as a page shows it."""
    if value is None or value == "":
        return "(none)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return when(value, zone)
    if isinstance(value, Decimal):
        return money(value, currency) if column in _AMOUNTS else f"{value.normalize():f}"
    if isinstance(value, dict):
        people = [value["name"]] if value.get("name") else []
        return Markup(", ").join(escape(line) for line in (*people, *order_facts.address_lines(value)))
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return lines(str(value))

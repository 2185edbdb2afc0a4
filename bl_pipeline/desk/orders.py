"""The list of orders, as a page and as CSV: what is asked for is in the address."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response

from bl_pipeline.columns import OrderGroup
from bl_pipeline.countries import countries
from bl_pipeline.desk.pages import page
from bl_pipeline.desk.state import View, desks_of, find_desk, view_of
from bl_pipeline.questions import QuestionError
from bl_pipeline.reports.csv_rows import write_rows
from bl_pipeline.rules.statuses import STATUSES
from bl_pipeline.warehouse.database import PLATFORM
from bl_pipeline.warehouse.orders_list import LATEST_FIRST, OrderFilter, OrderList, parse_filter, read_orders

router = APIRouter()

PAGE = 50
"""Orders of one page."""

_ALL = 2**31 - 1
_CSV = ("id", "platform", "date", "buyer", "status", "group", "total", "currency")
_HEADINGS = (
    ("id", "Order"),
    ("platform", "Platform"),
    ("date", "Date"),
    ("buyer", "Buyer"),
    ("status", "Status"),
    ("total", "Total"),
)
_LARGEST_FIRST = frozenset({"date", "total"})


def _written(
    search: str = "",
    status: str = "",
    group: str = "",
    platform: str = "",
    country: str = "",
    since: str = "",
    until: str = "",
    unpaid: bool = False,
    not_shipped: bool = False,
    sort: str = "",
    store: str = "",
) -> dict[str, Any]:
    return {
        "search": search, "status": status, "group": group, "platform": platform, "country": country, "since": since,
        "until": until, "unpaid": unpaid, "not_shipped": not_shipped, "sort": sort, "store": store,
    }  # fmt: skip


Written = Annotated[dict[str, Any], Depends(_written)]
"""The filter as it was written, as a parameter of a page."""


@router.get("/orders")
def orders(request: Request, written: Written, offset: Annotated[int, Query(ge=0, le=_ALL)] = 0) -> HTMLResponse:
    """One page of the orders that were asked for: of the store, or of all if the address names none."""
    found, error = OrderList(), ""
    sort = LATEST_FIRST
    desks, desk = desks_of(request), find_desk(request)
    path = f"{desk.root}/orders" if desk else "/orders"
    try:
        view = view_of(request, written["store"])
        wanted = _filter(written, view, limit=PAGE, offset=offset)
        sort = wanted.sort
        with view.source.reading() as (connection, warehouse):
            found = read_orders(connection, warehouse, wanted)
    except QuestionError as wrong:
        error = str(wrong)
    return page(
        request,
        "orders",
        status=422 if error else 200,
        written=written,
        error=error,
        found=found,
        offset=offset,
        is_filtered=any(value for name, value in written.items() if name != "sort"),
        headings=[
            (heading, f"{path}{_query(written, sort=_next_sort(name, sort))}", _way(name, sort))
            for name, heading in _HEADINGS
        ],
        csv=f"{path}.csv{_query(written)}",
        before=f"{path}{_query(written, offset=max(offset - PAGE, 0))}" if offset else None,
        after=f"{path}{_query(written, offset=offset + PAGE)}" if offset + len(found.rows) < found.count else None,
        statuses=STATUSES,
        groups=tuple(OrderGroup),
        platforms=(PLATFORM,),
        countries=countries(),
        stores=() if desk else tuple(each.store for each in desks.all),
    )


@router.get("/orders.csv")
def orders_csv(request: Request, written: Written) -> Response:
    """All orders that were asked for, as CSV: what a spreadsheet could take for a formula is text."""
    view = view_of(request, written["store"])
    with view.source.reading() as (connection, warehouse):
        found = read_orders(connection, warehouse, _filter(written, view, limit=_ALL))
    text = io.StringIO(newline="")
    write_rows(
        (*_CSV, "store") if view.is_of_all else _CSV,
        (
            (
                row["display_id"], row["platform"], row["order_date"], row["buyer_name"] or row["buyer_username"],
                row["platform_status"], row["status"], row["total"], row["currency"],
                *([row["store"]] if view.is_of_all else []),
            )
            for row in found.rows
        ),
        text,
    )  # fmt: skip
    return Response(
        text.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="orders.csv"'},
    )


def _filter(written: Mapping[str, Any], view: View, *, limit: int, offset: int = 0) -> OrderFilter:
    of_orders = {name: value for name, value in written.items() if name != "store"}
    return replace(parse_filter(**of_orders, limit=limit, offset=offset), stores=view.stores)


def _query(written: Mapping[str, Any], *, sort: str | None = None, offset: int = 0) -> str:
    """The filter as the query of an address; only what was asked for is in it."""
    asked = {**written, "sort": written["sort"] if sort is None else sort, "offset": offset}
    text = urlencode({name: "true" if value is True else value for name, value in asked.items() if value})
    return f"?{text}" if text else ""


def _next_sort(name: str, sort: str) -> str:
    """What a click on this column sorts by: the other way round if it is sorted by it already."""
    if sort.removeprefix("-").casefold() == name:
        return name if sort.startswith("-") else f"-{name}"
    return f"-{name}" if name in _LARGEST_FIRST else name


def _way(name: str, sort: str) -> str | None:
    """How the list is sorted by this column, in the words of aria-sort; None if it is not."""
    if sort.removeprefix("-").casefold() != name:
        return None
    return "descending" if sort.startswith("-") else "ascending"

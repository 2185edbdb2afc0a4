"""`bl orders`: the list of orders. No call, nothing written."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from bl_pipeline.columns import OrderGroup
from bl_pipeline.terminal import console as c
from bl_pipeline.terminal.console import clean
from bl_pipeline.terminal.encoding import readable
from bl_pipeline.terminal.failures import Refused
from bl_pipeline.terminal.reading import Json, no_orders
from bl_pipeline.terminal.tables import Column, FittedTable
from bl_pipeline.wording import amount, plural

if TYPE_CHECKING:
    from bl_pipeline.warehouse.orders_list import OrderList

_MOST = 2**31 - 1
_GROUPS = tuple(OrderGroup)


def orders(
    search: Annotated[
        str | None,
        typer.Option(
            help="Part of the order's number, the buyer or the tracking number, or an item's number. Case and accents "
            "do not count."
        ),
    ] = None,
    status: Annotated[str | None, typer.Option(help="BrickLink's word, such as PAID or COMPLETED.")] = None,
    group: Annotated[str | None, typer.Option(help=f"A group of statuses: {', '.join(_GROUPS)}.")] = None,
    platform: Annotated[str | None, typer.Option(help="Only this platform: bricklink.")] = None,
    country: Annotated[str | None, typer.Option(help="Only to this country: its code, such as DE, or name.")] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="DATE", help="From this year, month, day or time on, such as 2026-03, in the store's time zone."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Up to the end of this year, month, day or time.")
    ] = None,
    unpaid: Annotated[
        bool,
        typer.Option(
            "--unpaid", help="Only orders that may still be paid and are not: pending, shipped, on_hold or unknown."
        ),
    ] = False,
    not_shipped: Annotated[
        bool,
        typer.Option(
            "--not-shipped", help="Only orders that are still to be sent: pending, processing, on_hold or unknown."
        ),
    ] = False,
    sort: Annotated[
        str,
        typer.Option(
            metavar="BY",
            help="date, changed, id, platform, buyer, status or total; -total is the other way round, largest first.",
        ),
    ] = "-date",
    limit: Annotated[int, typer.Option(min=1, max=_MOST, help="At most this number of orders.")] = 20,
    offset: Annotated[int, typer.Option(min=0, max=_MOST, help="Leave out this number at the beginning.")] = 0,
    as_json: Json = False,
) -> None:
    """The orders, the latest first."""
    from bl_pipeline.questions import QuestionError
    from bl_pipeline.settings import load_settings
    from bl_pipeline.warehouse.database import NothingStored, read_warehouse
    from bl_pipeline.warehouse.orders_list import OrderList, parse_filter, read_orders
    from bl_pipeline.warehouse.stores import stores_with_orders

    try:
        wanted = parse_filter(
            search=readable(search or ""),
            status=readable(status or ""),
            group=readable(group or ""),
            platform=readable(platform or ""),
            country=readable(country or ""),
            since=since,
            until=until,
            unpaid=unpaid,
            not_shipped=not_shipped,
            sort=sort,
            limit=limit,
            offset=offset,
        )
        settings = load_settings()
        found, stores = OrderList(), list[str]()
        with suppress(NothingStored), read_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
            c.show_times_in(warehouse.timezone)
            connection.execution_options(isolation_level="REPEATABLE READ")
            found = read_orders(connection, warehouse, wanted)
            stores = stores_with_orders(connection) if not found.count else []
    except QuestionError as error:
        raise Refused(str(error)) from None
    if as_json:
        c.print_json(found.rows)
    elif found.rows:
        c.show(orders_view(found, offset=offset, searched=wanted.search is not None))
    elif found.count:
        c.stderr().print(f"There are {plural(found.count, 'order')} like that, and --offset leaves them all out.")
    else:
        c.stderr().print("No orders like that." if settings.bl_store in stores else no_orders(settings, stores))


def orders_view(found: OrderList, *, offset: int = 0, searched: bool = False) -> RenderableType:
    """A table of the orders, and below it how many there are and their sums, each currency by itself.

    `searched` keeps the column in which a searched tracking number is seen.
    """
    totals = c.amounts(row["total"] for row in found.rows)
    several = len(found.platforms) > 1
    tracked = any(row["tracking_number"] for row in found.rows)
    table = FittedTable(
        [
            *(["Platform"] if several else []),
            "Order",
            "Date",
            Column("Buyer", least=8),
            "Status",
            Column("Group", optional=1),
            Column("Payment", optional=2),
            Column("Pieces", right=True, optional=4),
            Column("Lots", right=True, optional=5),
            Column("Total", right=True),
            "",
            *([Column("Tracking", optional=0 if searched else 3)] if tracked else []),
        ],
        [
            (
                *([clean(row["platform"])] if several else []),
                row["display_id"],
                c.day(row["order_date"]),
                clean(row["buyer_name"] or row["buyer_username"]),
                c.status_text(row["platform_status"], row["status"]),
                c.status_text(row["status"], row["status"]),
                clean(row["payment_status"]),
                clean(row["total_count"]),
                clean(row["unique_count"]),
                total,
                clean(row["currency"]),
                *([clean(row["tracking_number"])] if tracked else []),
            )
            for row, total in zip(found.rows, totals, strict=True)
        ],
    )
    return Group(table, Text(), *(Text(line, "dim") for line in _below(found, offset)))


def _below(found: OrderList, offset: int) -> list[str]:
    shown, count = len(found.rows), found.count
    sums = ", ".join(f"{amount(total)} {clean(currency)}" for currency, total in found.totals.items() if total)
    if shown == count:
        lines = [f"{plural(count, 'order')}: {sums}" if sums else plural(count, "order")]
    else:
        place = f", {offset + 1:,} to {offset + shown:,}" if offset else ""
        lines = [f"{shown:,} of {plural(count, 'order')}{place}" + (f"; all {count:,}: {sums}" if sums else "")]
    if found.without_revenue and sums:
        which = (
            "is cancelled or a problem, and counts"
            if found.without_revenue == 1
            else "are cancelled or a problem, and count"
        )
        lines.append(f"Of all {count:,}, {found.without_revenue:,} {which} as no revenue.")
    return lines

"""`bl status`, `orders`, `order` and `errors`: what the warehouse holds. No call, nothing written."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from bl_pipeline.settings import load_settings
from bl_pipeline.sync.result import ExitCode
from bl_pipeline.sync.statuses import PURGED, STATUSES, UNKNOWN
from bl_pipeline.terminal.console import print_json, show, stderr
from bl_pipeline.terminal.failures import Refused

Json = Annotated[bool, typer.Option("--json", help="Print JSON: amounts are text, times are ISO 8601 in UTC.")]


def status(as_json: Json = False) -> None:
    """How the warehouse stands: the indicator, orders, the last sync, API calls left."""
    settings = load_settings()
    from bl_pipeline.status import read_status
    from bl_pipeline.terminal.views import status_view
    from bl_pipeline.warehouse.database import open_warehouse

    with open_warehouse(settings) as warehouse:
        now = read_status(settings, warehouse)
    if as_json:
        print_json(now.as_dict())
    else:
        show(status_view(now))


def orders(
    status: Annotated[str | None, typer.Option(help="Only this status, such as shipped or PAID.")] = None,
    platform: Annotated[str | None, typer.Option(help="Only this platform: bricklink.")] = None,
    search: Annotated[
        str | None, typer.Option(help="Only where this is part of the id, the buyer or the tracking number.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only of this date or later: 2026-05-31, in UTC.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: Json = False,
) -> None:
    """The orders, the latest first."""
    _check_choice("--status", status, {*STATUSES.values(), UNKNOWN, *STATUSES, PURGED})
    _check_choice("--platform", platform, {"bricklink"})
    earliest = _parse_since(since)
    settings = load_settings()
    from bl_pipeline.terminal.views import orders_view
    from bl_pipeline.warehouse.database import open_warehouse
    from bl_pipeline.warehouse.sales import OrderFilter, read_orders
    from bl_pipeline.warehouse.stores import stores_with_orders

    wanted = OrderFilter(status=status, platform=platform, search=search, since=earliest, limit=limit)
    with open_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
        rows = read_orders(connection, warehouse, wanted)
        others = stores_with_orders(connection) if not rows else []
    if as_json:
        print_json(rows)
    elif rows:
        show(orders_view(rows))
        if len(rows) == limit:
            stderr().print(f"The latest {limit}; more with --limit", style="dim")
    elif others and settings.bl_store not in others:
        stderr().print(
            f"No orders of store {settings.bl_store}; this warehouse has orders of: {', '.join(others)}. Set BL_STORE."
        )
    else:
        stderr().print(
            "No orders. Fetch them with: bl sync" if wanted == OrderFilter(limit=limit) else "No orders like that."
        )


def _check_choice(option: str, value: str | None, choices: set[str]) -> None:
    if value is not None and value.lower() not in {choice.lower() for choice in choices}:
        known = ", ".join(sorted(choices, key=lambda choice: (choice.isupper(), choice)))
        raise Refused(f"{option} {value} is not known. One of: {known}")


def _parse_since(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused(
            f"--since {text} is no date. Write it as 2026-05-31, or with a time as 2026-05-31T14:00Z"
        ) from None


def order_number(text: str) -> str:
    """The number in 15646315 or BL-15646315. Raises what the command line shows as wrong usage."""
    number = text.strip().upper().removeprefix("BL-")
    if not (number.isascii() and number.isdigit()):
        raise typer.BadParameter(f"{text} is no order number. Write it as 15646315 or BL-15646315")
    return number


def order(
    number: Annotated[
        str, typer.Argument(metavar="ID", parser=order_number, help="The order, such as 15646315 or BL-15646315.")
    ],
    as_json: Json = False,
) -> None:
    """One order in full: buyer, address, items, totals, history."""
    settings = load_settings()
    from bl_pipeline.terminal.views import order_view
    from bl_pipeline.warehouse.database import open_warehouse
    from bl_pipeline.warehouse.sales import read_order

    with open_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
        found = read_order(connection, warehouse, number)
    if found is None:
        raise Refused(
            f"There is no order {number} in the warehouse of store {settings.bl_store}.\n"
            f"Fetch it with: bl refresh {number}, or all that is new with: bl sync",
            ExitCode.OTHER,
        )
    if as_json:
        print_json(found)
    else:
        show(order_view(found))


def errors(as_json: Json = False) -> None:
    """The orders that failed, and why."""
    settings = load_settings()
    from dataclasses import asdict

    from bl_pipeline.terminal.views import errors_view
    from bl_pipeline.warehouse.database import open_warehouse
    from bl_pipeline.warehouse.state import failed_orders

    with open_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
        failed = failed_orders(connection, warehouse)
    if as_json:
        print_json([asdict(entry) for entry in failed])
    elif failed:
        show(errors_view(failed))
        stderr().print("Try these again with: bl retry", style="dim")
    else:
        show("No order has failed.")

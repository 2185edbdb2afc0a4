"""`bl status`, `order` and `errors`: what the warehouse has. No call, nothing written."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bl_pipeline.clock import utc_now
from bl_pipeline.records import ExitCode, FailedOrder
from bl_pipeline.terminal.console import clean, print_json, show, show_times_in, stderr, stdout
from bl_pipeline.terminal.failures import Refused, explain_all

if TYPE_CHECKING:
    from bl_pipeline.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON: amounts are text, times are ISO 8601 in UTC.")]


def status(
    check: Annotated[
        bool, typer.Option("--check", help="For monitoring: one line, and an exit code that says how the store stands.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The state of the warehouse: the indicator, orders, the last sync, API calls left."""
    if check and as_json:
        raise Refused("Ask for one of --check and --json at a time.")
    if check:
        raise typer.Exit(_check())
    from bl_pipeline.settings import load_settings

    settings = load_settings()
    from bl_pipeline.sync.status import read_status, status_of_nothing
    from bl_pipeline.terminal.views import status_view
    from bl_pipeline.warehouse.database import NothingStored, address, read_warehouse
    from bl_pipeline.warehouse.stores import stores_with_orders

    others: list[str] = []
    try:
        with read_warehouse(settings) as warehouse:
            show_times_in(warehouse.timezone)
            now = read_status(settings.store, warehouse)
            if not now.orders:
                with warehouse.engine.connect() as connection:
                    others = stores_with_orders(connection)
    except NothingStored:
        now = status_of_nothing(settings.store, address(settings))
    if as_json:
        print_json(now.as_dict())
    else:
        show(status_view(now, settings.store))
        if others:
            stderr().print(no_orders(settings, others), style="dim")


def _check() -> int:
    """Print one line about the store after the runs that have ended, whatever goes wrong; returns the exit code."""
    from bl_pipeline.settings import load_settings
    from bl_pipeline.sync.status import state_after_runs, state_of_nothing
    from bl_pipeline.warehouse.database import NothingStored, read_warehouse

    now = utc_now()
    try:
        settings = load_settings()
        try:
            with read_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
                stands = state_after_runs(settings.store, connection, warehouse, now)
        except NothingStored:
            stands = state_of_nothing(settings.store, now)
    except Exception as error:
        code, message = explain_all(error)
        line = f"unknown: {message}"
    else:
        code, line = stands.exit_code, f"{settings.bl_store} {stands.indicator}: {stands.reason}"
    stdout().print(clean(line), soft_wrap=True)
    return code


def order_number(text: str) -> str:
    """The number of an order. Raises what the command line shows as wrong usage."""
    from bl_pipeline.questions import QuestionError, parse_order_number

    try:
        return parse_order_number(text)
    except QuestionError as error:
        raise typer.BadParameter(str(error)) from None


OrderId = Annotated[
    str, typer.Argument(metavar="ID", parser=order_number, help="The order, such as 15646315 or BL-15646315.")
]


def no_such_order(settings: Settings, order_id: str, *, has_failed: bool) -> Refused:
    """An order that the warehouse of the store does not have; `has_failed` if it could not be fetched or read."""
    store = settings.store
    if has_failed:
        why = (
            f"Order {order_id} could not be fetched or read, so the warehouse of store {store.key} does not have it. "
            f"See why with: {store.command('errors')}"
        )
    else:
        why = f"There is no order {order_id} in the warehouse of store {store.key}."
    fetch = f"Fetch it with: {store.command(f'refresh {order_id}')}, or all that is new with: {store.command('sync')}"
    return Refused(f"{why}\n{fetch if store.credentials else store.first_step}", ExitCode.OTHER)


def no_orders(settings: Settings, others: Sequence[str]) -> str:
    """What a user reads if the store has no orders at all; `others` are the stores that have some."""
    if others:
        return (
            f"No orders of store {settings.bl_store}; this warehouse has orders of: {', '.join(others)}. "
            "Choose one with --store, or set BL_STORE."
        )
    return f"No orders are stored yet. {settings.store.first_step}"


def order(order_id: OrderId, as_json: Json = False) -> None:
    """One order in full: buyer, address, items, totals, history."""
    from bl_pipeline.settings import load_settings

    settings = load_settings()
    from bl_pipeline.terminal.views import order_view
    from bl_pipeline.warehouse.database import NothingStored, read_warehouse
    from bl_pipeline.warehouse.sales import read_order_and_ours
    from bl_pipeline.warehouse.state import failed_orders

    found: dict[str, Any] | None = None
    has_failed = False
    with suppress(NothingStored), read_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
        show_times_in(warehouse.timezone)
        found = read_order_and_ours(connection, warehouse, order_id)
        has_failed = found is None and bool(failed_orders(connection, warehouse, order_id))
    if found is None:
        raise no_such_order(settings, order_id, has_failed=has_failed)
    if as_json:
        print_json(found)
    else:
        show(order_view(found))


def errors(as_json: Json = False) -> None:
    """The orders that failed, and why."""
    from bl_pipeline.settings import load_settings

    settings = load_settings()
    from bl_pipeline.terminal.views import errors_view
    from bl_pipeline.warehouse.database import NothingStored, read_warehouse
    from bl_pipeline.warehouse.state import failed_orders
    from bl_pipeline.warehouse.stores import stores_with_orders

    columns = ("order_id", "error", "error_class", "failed_at", "attempts")
    failed, stores = list[FailedOrder](), list[str]()
    with suppress(NothingStored), read_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
        show_times_in(warehouse.timezone)
        failed = failed_orders(connection, warehouse)
        stores = stores_with_orders(connection)
    if as_json:
        print_json([{name: getattr(order, name) for name in columns} for order in failed])
    elif failed:
        show(errors_view(failed))
        stderr().print(f"Try these again with: {settings.store.command('retry')}", style="dim")
    else:
        show("No order has failed.")
        if settings.bl_store not in stores:
            stderr().print(no_orders(settings, stores), style="dim")

"""`bl demo`: the main job on a made-up store, step by step."""

from __future__ import annotations

import time
from datetime import date
from typing import Any

from rich.text import Text
from sqlalchemy import Connection

from bl_pipeline.clock import utc_now
from bl_pipeline.dagster_names import Job
from bl_pipeline.records import SyncResult
from bl_pipeline.running import run_job
from bl_pipeline.terminal import console as c
from bl_pipeline.terminal.demo_world import DemoWorld, demo_world, how_to_call_bl
from bl_pipeline.terminal.orders import orders_view
from bl_pipeline.terminal.progress import SyncProgress
from bl_pipeline.terminal.reports import Wanted, report_view
from bl_pipeline.terminal.views import order_view, result_line
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline.warehouse.orders_list import OrderFilter, read_orders
from bl_pipeline.warehouse.sales import read_order_and_ours
from bl_pipeline.wording import plural

ORDERS, NEW, CHANGED, FILED = 300, 5, 12, 5
_CHANGES_SHOWN = 6
_LOTS = range(3, 7)
_MONTHS_SHOWN = 12
_RULE = 78

_AFTERWARDS = """\
bl status, bl orders and bl report show your own warehouse, and nothing of this demo.
To use them on such a store, and to see it in the browser:   {bl} up --demo

Connect your own store:
  1. On BrickLink's API consumer page (bricklink.com/v2/api/register_consumer.page) register this
     machine's IP address (address and mask 0.0.0.0 let any in); you get four values.
  2. Put them into the environment, or into a file .env in this folder:
       BRICKLINK_CONSUMER_KEY=...
       BRICKLINK_CONSUMER_SECRET=...
       BRICKLINK_TOKEN_VALUE=...
       BRICKLINK_TOKEN_SECRET=...
  3. {bl} doctor   checks them
     {bl} sync     fetches your sales; if the day's calls are used up, the next sync goes on
     {bl} up       syncs every half hour; your orders are at http://127.0.0.1:8000"""


def run_demo() -> bool:
    """Show all steps; returns whether every result is as expected.

    Raises what making the demo's world raises.
    """
    began = time.monotonic()
    c.show("bl_pipeline on a made-up BrickLink store: an embedded Postgres, a sandbox API, nothing else.")
    c.show(Text("In another terminal bl status and bl orders show your own warehouse, not this one.", "dim"))
    with demo_world(orders=ORDERS, filed=FILED) as world:
        done = _show_steps(world)
    if done:
        c.show()
        c.show(
            Text(f"All this took {c.seconds(time.monotonic() - began)}; database and sandbox are gone again.", "dim")
        )
        _heading("What next")
        for line in _AFTERWARDS.format(bl=how_to_call_bl()).splitlines():
            c.show(line)
    return done


def _show_steps(world: DemoWorld) -> bool:
    _heading(f"1  A full sync: {ORDERS} orders with their items")
    full = _sync(world, {"full_sync": True})
    if not _came_out(full, created=ORDERS, updated=0, skipped=0):
        return False

    _heading(f"2  The store moves on: {NEW} new orders, {CHANGED} changed ones")
    changes = [line.removeprefix("order ") for line in world.move_on(new=NEW, changed=CHANGED)]
    # The new ones come last: some of either kind.
    shown = [*changes[: _CHANGES_SHOWN - 2], *changes[-2:]]
    for line in shown:
        c.show(f"BL-{line}", indent=2)
    c.show(Text(f"and {len(changes) - len(shown)} more", "dim"), indent=2)

    _heading("3  An incremental sync: only what is new or changed")
    incremental = _sync(world, {"include_filed": False})
    for line in (
        "Unfiled orders only, as filed ones seldom change: 1 call for the list,",
        f"{incremental.api_calls - 1} for the {NEW + CHANGED} orders that it showed to be new or changed.",
    ):
        c.show(Text(line, "dim"), indent=2)
    unfiled = ORDERS + NEW - FILED
    if not _came_out(incremental, created=NEW, updated=CHANGED, skipped=unfiled - NEW - CHANGED):
        return False

    with open_warehouse(world.settings) as warehouse, warehouse.engine.connect() as connection:
        latest = read_orders(connection, warehouse, OrderFilter(limit=10))
        order = _worth_showing(connection, warehouse, changes)
    _heading("4  The orders:  bl orders --limit 10")
    c.show(orders_view(latest), indent=2)
    _heading(f"5  One of them:  bl order {order['platform_order_id']}")
    c.show(order_view(order), indent=2)
    since = _months_ago(_MONTHS_SHOWN - 1)
    _heading(f"6  A report:  bl report revenue_by_month --from {since}")
    revenue, _ = Wanted("revenue_by_month", since=since).read(world.settings)
    c.show(report_view(revenue), indent=2)
    return True


def _months_ago(months: int) -> str:
    """The first day of the month that was `months` months ago."""
    today = utc_now().date()
    year, month = divmod(today.year * 12 + today.month - 1 - months, 12)
    return date(year, month + 1, 1).isoformat()


def _sync(world: DemoWorld, config: dict[str, Any]) -> SyncResult:
    with SyncProgress() as progress:
        result = run_job(world.settings, Job.SYNC_ORDERS, config, progress, warn=c.stderr().print)
    c.show(result_line(result), indent=2)
    took = f"{plural(result.api_calls, 'API call')} in {c.seconds(result.duration_seconds)}"
    c.show(Text(took, "dim"), indent=2)
    return result


def _came_out(result: SyncResult, *, created: int, updated: int, skipped: int) -> bool:
    found = (result.orders_created, result.orders_updated, result.orders_skipped)
    if result.success and found == (created, updated, skipped):
        return True
    c.complain(
        f"This is not what should have come out: {created} created, {updated} updated, {skipped} skipped.\n"
        + (result.message or "")
    )
    return False


def _worth_showing(connection: Connection, warehouse: Warehouse, changes: list[str]) -> dict[str, Any]:
    """An order whose status has changed, with a few lots; another one if there is none like that."""
    changed = (line.partition(":")[0] for line in changes if "→" in line and "payment" not in line)
    found = [order for order_id in changed if (order := read_order_and_ours(connection, warehouse, order_id))]
    return next((order for order in found if order["unique_count"] in _LOTS), found[0])


def _heading(title: str) -> None:
    c.show()
    c.show(Text(title, "bold cyan"))
    c.show(Text("─" * _RULE, "dim"))

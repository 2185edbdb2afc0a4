"""How a sync's result, the status, failed orders and single orders look in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bl_pipeline.records import ExitCode, FailedOrder, RunStatus, SyncResult
from bl_pipeline.reports.labels import label
from bl_pipeline.reports.order_facts import Weight, address_lines, order_page, total_rows, unreadable_fields
from bl_pipeline.rules.indicator import FRESH_FOR, Indicator
from bl_pipeline.settings import Store
from bl_pipeline.sync.status import Status
from bl_pipeline.terminal import console as c
from bl_pipeline.terminal.console import clean
from bl_pipeline.terminal.tables import Column, FittedTable
from bl_pipeline.warehouse.run_orders import UNKNOWN_ORDER
from bl_pipeline.warehouse.runs import Run
from bl_pipeline.warehouse.usage import Usage
from bl_pipeline.wording import amount, plural

_ERRORS_SHOWN = 10
_INDICATOR_STYLES = {
    Indicator.SYNCED: "bold green",
    Indicator.STALE: "bold yellow",
    Indicator.ERROR: "bold red",
    Indicator.SYNCING: "bold cyan",
    Indicator.NOT_CONNECTED: "bold yellow",
}


def result_line(result: SyncResult) -> Text:
    """The counts of a sync: 5 created, 12 updated, 283 skipped."""
    counts = [
        (result.orders_created, "created", "green"),
        (result.orders_updated, "updated", "cyan"),
        (result.orders_skipped, "skipped", ""),
    ]
    more = [(result.orders_deferred, "deferred", "yellow"), (len(result.errors), "failed", "red")]
    shown = counts + [entry for entry in more if entry[0]]
    return Text(", ").join(Text(f"{number:,} {word}", style) for number, word, style in shown)


def result_view(result: SyncResult, store: Store, nothing: str = "") -> RenderableType:
    """What a sync did, and the orders that failed; `nothing` is what to say if there was nothing to do."""
    if nothing and result.exit_code == ExitCode.DONE and not result.orders_processed:
        return Text(nothing)
    word, style = {
        ExitCode.DONE: ("Done", "bold green"),
        ExitCode.SOME_FAILED: ("Done, but some orders failed", "bold yellow"),
        ExitCode.BUDGET: ("Stopped at the call budget", "bold yellow"),
    }.get(result.exit_code, ("Stopped", "bold red"))
    parts: list[RenderableType] = [
        Text.assemble((f"{word}: ", style), result_line(result)),
        Text(f"{plural(result.api_calls, 'API call')} in {c.seconds(result.duration_seconds)}", "dim"),
    ]
    for error in result.errors[:_ERRORS_SHOWN]:
        first, _, _ = str(error["error"]).partition("\n")
        parts.append(Text.assemble(("  BL-", "red"), (clean(error["order_id"]), "red"), f"  {clean(first)}"))
    if len(result.errors) > _ERRORS_SHOWN:
        parts.append(Text(f"  and {len(result.errors) - _ERRORS_SHOWN} more: {store.command('errors')}"))
    if any("\n" in str(error["error"]) for error in result.errors):
        parts.append(Text(f"See the details with: {store.command('errors')}"))
    if any(error["error"] != UNKNOWN_ORDER for error in result.errors):
        parts.append(Text(f"Try these again with: {store.command('retry')}"))
    return Group(*parts)


def status_view(status: Status, store: Store) -> RenderableType:
    """The indicator and what it comes from."""
    synced = status.last_synced_at
    run = status.last_run
    message = run.message if run else None
    head = Text.assemble(
        (f"● {status.indicator}", _INDICATOR_STYLES[status.indicator]),
        f"  store {clean(status.store)}, {status.warehouse}",
    )
    overdue = synced is not None and status.now - synced > FRESH_FOR
    rows: list[tuple[str, str | Text]] = [
        ("Reason", c.in_zone(status.reason)),
        ("Orders", f"{plural(status.orders, 'order')} with {plural(status.items, 'lot')}"),
        (
            "Last sync",
            Text(f"{c.moment(synced)}, {c.ago(status.now - synced)}", "yellow" if overdue else "")
            if synced
            else Text("never", "yellow"),
        ),
        ("Last run", _run_text(run, is_syncing=status.indicator is Indicator.SYNCING) if run else ""),
        ("", c.in_zone(message.splitlines()[0]) if message and message not in status.reason else ""),
        (
            "Failed orders",
            Text(f"{status.failed_orders:,}; see them with: {store.command('errors')}", "red")
            if status.failed_orders
            else "none",
        ),
        ("API calls", calls_line(status.calls)),
        ("Time zone", Text(f"{c.zone()}. {other}", "yellow") if (other := other_timezone(status, store)) else ""),
    ]
    for full in status.open_full_syncs:
        rows.append(("Full sync", f"open since {c.moment(full.requested_at)}"))
    return Group(head, Text(), c.facts(rows))


def stores_view(statuses: Sequence[Status]) -> RenderableType:
    """A line for each store, and the reason of each that is not in step, or of which more is to be said."""
    columns = (
        Column("Store"), Column("State"), Column("Orders", right=True), Column("Failed", right=True, optional=2),
        Column("Last sync", optional=1), Column("API calls left", right=True, optional=3),
    )  # fmt: skip
    rows = [
        (
            clean(status.store),
            Text(str(status.indicator), _INDICATOR_STYLES[status.indicator]),
            f"{status.orders:,}",
            f"{status.failed_orders:,}",
            "never" if status.last_synced_at is None else c.ago(status.now - status.last_synced_at),
            f"{status.calls.left:,}",
        )
        for status in statuses
    ]
    reasons = [
        Text(f"{clean(status.store)}: {' '.join(map(clean, status.reason.splitlines()))}")
        for status in statuses
        if status.indicator not in (Indicator.SYNCED, Indicator.SYNCING) or len(status.reason.splitlines()) > 1
    ]
    return Group(FittedTable(columns, rows), *([Text(), *reasons] if reasons else []))


def other_timezone(status: Status, store: Store) -> str | None:
    """What a user reads if the settings name another time zone than the one in force; None if all is well."""
    if status.last_run is None or c.zone() == store.timezone:
        return None
    return f"The settings say {store.timezone}, which the next {store.command('sync')} or bl up puts in force"


def calls_line(calls: Usage) -> str:
    """How much of the call budget is used."""
    line = f"{calls.used:,} used in the last 24 hours, {calls.left:,} left of {calls.allowed:,}"
    if calls.next_reset_at:
        line = f"{line}; free again from {c.moment(calls.next_reset_at)}"
    if calls.dated_ahead:
        line = (
            f"{line}; {calls.dated_ahead:,} of these are dated in the future, because this machine's clock was ahead: "
            "they count for a day from now"
        )
    return line


def _run_text(run: Run, *, is_syncing: bool) -> Text:
    if run.status == RunStatus.STARTED:
        # What keeps the store busy may be another command.
        ended = "has not reported its end" if is_syncing else "ended without a report"
        return Text(f"{run.job} started {c.moment(run.started_at)} and {ended}")
    style = {RunStatus.SUCCEEDED: "green", RunStatus.FAILED: "red"}.get(RunStatus(run.status), "yellow")
    text = Text.assemble(f"{run.job} ", (run.status.replace("_", " "), style))
    counts = [
        f"{number:,} {word}"
        for number, word in (
            (run.orders_created, "created"),
            (run.orders_updated, "updated"),
            (run.orders_skipped, "skipped"),
            (run.orders_deferred, "deferred"),
            (run.orders_failed, "failed"),
        )
        if number or (number == 0 and word in ("created", "updated", "skipped"))
    ]
    return text.append(
        f": {', '.join(counts)}; {plural(run.api_calls or 0, 'call')}, {c.seconds(run.duration_seconds or 0.0)}"
    )


def errors_view(failed: Sequence[FailedOrder]) -> RenderableType:
    """The failed orders and why."""
    parts: list[RenderableType] = []
    for order in failed:
        parts += [
            Text.assemble(
                (f"BL-{clean(order.order_id)}", "bold"),
                (f"  {c.moment(order.failed_at)}, {plural(order.attempts, 'attempt')}", "dim"),
            ),
            Padding(Text(c.in_zone(order.error)), (0, 0, 0, 2)),
        ]
    return Group(*parts)


def order_view(order: Mapping[str, Any]) -> RenderableType:
    """One order in full."""
    title = Text.assemble(
        (clean(order["display_id"]), "bold"),
        "  ",
        c.status_text(order["platform_status"], order["status"]),
        (f" (group {clean(order['status'])})", "dim"),
    )
    parts: list[RenderableType] = [title, Text(), c.facts(_order_facts(order))]
    if order["items"]:
        parts += [Text(), _items_table(order["items"])]
    else:
        parts += [Text(), Text("No items are stored.", "dim")]
    parts += [Text(), _totals(order)]
    if order["status_history"]:
        parts += [Text(), _history_table(order["status_history"])]
    return Group(*parts)


def _order_facts(order: Mapping[str, Any]) -> list[tuple[str, str | Text]]:
    first = order["first_order_date"]
    buyer = " ".join(
        part
        for part in (
            clean(order["buyer_name"]),
            f"({clean(order['buyer_username'])})" if order["buyer_username"] else "",
            f"<{clean(order['buyer_email'])}>" if order["buyer_email"] else "",
        )
        if part
    )
    paid = [
        clean(order["payment_status"]),
        clean(order["payment_method"]),
        c.moment(order["paid_at"]),
    ]
    shipped = [
        clean(order["shipping_method"]),
        c.moment(order["shipped_at"]),
        clean(order["tracking_number"]),
        clean(order["tracking_url"]),
    ]
    size = [
        f"{plural(order['total_count'], 'piece')}" if order["total_count"] is not None else "",
        f"{plural(order['unique_count'], 'lot')}" if order["unique_count"] is not None else "",
        f"{amount(order['total_weight'])} g" if order["total_weight"] is not None else "",
    ]
    return [
        ("Ordered", c.moment(order["order_date"])),
        ("First seen as", c.moment(first) if first != order["order_date"] else ""),
        ("Changed", c.moment(order["status_changed_at"])),
        ("Buyer", buyer),
        ("Address", ", ".join(map(clean, address_lines(order["shipping_address"])))),
        ("Payment", ", ".join(filter(None, paid))),
        ("Shipping", ", ".join(filter(None, shipped))),
        ("Size", ", ".join(filter(None, size))),
        ("Remarks", clean(order["remarks"])),
        ("Filed", "yes" if order["is_filed"] else ""),
        ("Not readable", ", ".join(map(clean, unreadable_fields(order)))),
        ("At BrickLink", order_page(order["platform_order_id"])),
    ]  # fmt: skip


def _items_table(items: Sequence[Mapping[str, Any]]) -> FittedTable:
    several = len({item["batch_number"] for item in items}) > 1
    each = c.amounts(item["unit_price"] for item in items)
    total = c.amounts(item["total_price"] for item in items)
    return FittedTable(
        [
            *([Column("Batch", right=True)] if several else []),
            Column("Qty", right=True),
            "Item",
            Column("Name", least=10),
            Column("Colour", least=6),
            Column("Condition", optional=1),
            Column("Each", right=True),
            Column("Total", right=True),
        ],
        [
            (
                *([str(item["batch_number"])] if several else []),
                f"{item['quantity']:,}" if item["quantity"] is not None else "",
                clean(item["item_number"]),
                clean(item["item_name"]),
                "" if item["color_id"] == 0 else clean(item["color_name"]),
                clean(label("condition", item["condition"])) if item["condition"] else "",
                one,
                all_,
            )
            for item, one, all_ in zip(items, each, total, strict=True)
        ],
    )


def _totals(order: Mapping[str, Any]) -> Table:
    """The parts of the total; the parts of the other charges are indented below these."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    rows = total_rows(order)
    for row, text in zip(rows, c.amounts(row.value for row in rows), strict=True):
        style = {Weight.SUM: "bold", Weight.PART: "dim"}.get(row.weight, "")
        name = f"  {row.name}" if row.weight is Weight.PART else row.name
        grid.add_row(Text(name, style or "bold"), Text(text, style), clean(order["currency"]))
    return grid


def _history_table(history: Sequence[Mapping[str, Any]]) -> FittedTable:
    totals = c.amounts(entry["total"] for entry in history)
    ours = any(entry["is_ours"] for entry in history)
    return FittedTable(
        [
            f"Seen ({c.zone()})",
            Column("Status", least=6),
            Column("Group", least=8, optional=2),
            Column("Payment", least=6, optional=1),
            Column("Total", right=True),
            "",
            *(["By"] if ours else []),
        ],
        [
            (
                c.when(entry["observed_at"]),
                c.status_text(entry["platform_status"], entry["status"]),
                c.status_text(entry["status"], entry["status"]),
                clean(entry["payment_status"]),
                total,
                clean(entry["currency"]),
                *(["bl update" if entry["is_ours"] else ""] if ours else []),
            )
            for entry, total in zip(history, totals, strict=True)
        ],
    )

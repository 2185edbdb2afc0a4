"""`bl update` and `bl drive-thru`: what was done, or would be, as it is shown."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from bl_pipeline.records import ExitCode, SyncResult
from bl_pipeline.rules.writes import COSTS, Fields
from bl_pipeline.terminal import console as c
from bl_pipeline.terminal.console import clean
from bl_pipeline.wording import amount, plural

if TYPE_CHECKING:
    from bl_pipeline.sync.previewing import Preview

_REQUESTS = {
    "update": "PUT /orders/{}",
    "payment_status": "PUT /orders/{}/payment_status",
    "status": "PUT /orders/{}/status",
    "drive_thru": "POST /orders/{}/drive_thru",
}


def written_view(order_id: str, result: SyncResult) -> RenderableType:
    """What a write did, request by request; or what it would do."""
    from bl_pipeline.sync.previewing import Preview
    from bl_pipeline.sync.writing import WriteResult

    parts: list[RenderableType] = []
    if isinstance(result, Preview):
        parts += _steps(
            order_id,
            [
                (request.kind, before, request.asked, "1 call")
                for request, before in zip(result.requests, result.before, strict=True)
            ],
        )
        parts.append(Text(_cost(result), "dim"))
    elif isinstance(result, WriteResult):
        parts += _steps(
            order_id,
            [
                (write.kind, write.before, write.asked, (write.outcome or "unknown").replace("_", " "))
                for write in result.writes
            ],
        )
        parts.append(Text(f"{plural(result.api_calls, 'API call')} in {c.seconds(result.duration_seconds)}", "dim"))
    if isinstance(result, Preview | WriteResult) and result.already:
        sent = "The drive thru was sent already. It is never sent a second time."
        as_asked = f"Already as asked: {_names(result.already)}"
        parts.insert(0, Text(sent if "drive_thru" in result.already else as_asked))
    for error in result.errors:
        parts += [Text.assemble(("  BL-", "red"), (clean(error["order_id"]), "red"), "  ", clean(line))
                  for line in error["error"].splitlines()]  # fmt: skip
    word, style = {
        ExitCode.DONE: ("Done", "bold green"),
        ExitCode.SOME_FAILED: ("Not done, or not all of it", "bold yellow"),
        ExitCode.BUDGET: ("Stopped at the call budget", "bold yellow"),
    }.get(result.exit_code, ("Stopped", "bold red"))
    if result.exit_code in (ExitCode.DONE, ExitCode.SOME_FAILED):
        if isinstance(result, Preview):
            word = "This would be sent" if result.requests else "Nothing would be sent"
        elif isinstance(result, WriteResult) and not result.writes:
            word = "Nothing was sent"
    return Group(Text.assemble((f"{word}: ", style), f"order BL-{order_id}"), *parts)


def _cost(preview: Preview) -> str:
    used = f"Nothing was written; this has used {plural(preview.api_calls, 'API call')}."
    if not preview.success:
        return used
    calls = [
        f"{preview.calls_to_settle} to see what became of earlier requests" if preview.calls_to_settle else "",
        f"{preview.calls_to_list} to find the order" if preview.calls_to_list else "",
        "1 to read it",
        f"{len(preview.requests)} to write, 1 to read it again" if preview.requests else "",
    ]
    return f"{plural(preview.calls, 'API call')} in all: {', '.join(filter(None, calls))}. {used}"


def _steps(order_id: str, steps: list[tuple[str, Fields, Fields, str]]) -> list[Text]:
    """Each request, with what becomes of it, and below it each field: what it was before, and what was asked for."""
    lines = []
    for number, (kind, before, asked, note) in enumerate(steps, start=1):
        lines.append(Text(f"  {number}. {_REQUESTS[kind].format(order_id)}: {note}"))
        for name, value in asked.items():
            lines.append(Text(f"     {_names([name])}: {_value(name, before[name])} -> {_value(name, value)}"))
    return lines


def _value(name: str, value: Any) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "date_shipped":
        return c.moment(datetime.fromisoformat(value))
    return amount(Decimal(value)) if name in COSTS else clean(value)


def _names(fields: list[str]) -> str:
    return ", ".join(field.replace("_", " ") for field in fields)

"""`bl update` and `bl drive-thru`: what is asked for as it is written, the run, and what was done as it is shown."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from rich.console import Group, RenderableType
from rich.text import Text

from bl_pipeline.records import ExitCode, SyncResult
from bl_pipeline.settings import Settings
from bl_pipeline.sync.interruptions import interruption_behind
from bl_pipeline.terminal import console as c
from bl_pipeline.terminal.console import clean, stderr
from bl_pipeline.terminal.failures import Refused
from bl_pipeline.terminal.running import Canceled, LockTaken, timezone_changed

if TYPE_CHECKING:
    from bl_pipeline.sync.writing import Preview, WriteResult

_REQUESTS = {
    "update": "PUT /orders/{}",
    "payment_status": "PUT /orders/{}/payment_status",
    "status": "PUT /orders/{}/status",
    "drive_thru": "POST /orders/{}/drive_thru",
}


def write_order(
    settings: Settings, order_id: str, given: Mapping[str, Any], *, job: str, dry_run: bool, **how: Any
) -> WriteResult | Preview:
    """Write to an order what is given, as `ask` takes it, or say what would be written.

    Raises Refused for what BrickLink would not take, and as `run_job`: LockTaken if a sync of the store is running,
    Canceled if the user has canceled it.
    """
    from bl_pipeline.sync.asking import NotAsked, ask
    from bl_pipeline.sync.finishing import read_result
    from bl_pipeline.sync.session import open_session
    from bl_pipeline.sync.writing import preview_write, run_write

    try:
        asked = ask(settings.store, order_id, given, now=datetime.now(UTC), **how)
    except NotAsked as error:
        raise Refused(str(error)) from None
    settings.store.known_credentials()
    with open_session(settings) as session:
        run_id = str(uuid4())
        if dry_run:
            return preview_write(session, asked, run_id=run_id)
        if not session.lock.try_acquire():
            raise LockTaken(
                "A sync of this store is running, so nothing was written: there is only one at a time.\n"
                "Look at it with: bl status, or in the Dagster UI. Then try again."
            )
        try:
            result = run_write(session, asked, run_id=run_id, job=job)
        except BaseException as error:
            if interruption_behind(error) is None:
                raise
            session.cancel()
            canceled = Canceled(
                "Canceled. If a request was under way, the next run reads the order first and says what became of it."
            )
            canceled.result = read_result(session.warehouse, run_id)
            raise canceled from None
        if session.timezone_before:
            stderr().print(timezone_changed(session.timezone_before, settings.bl_timezone))
    return result


def written_view(order_id: str, result: SyncResult) -> RenderableType:
    """What a write did, request by request; or what it would do."""
    from bl_pipeline.sync.writing import Preview, WriteResult

    parts: list[RenderableType] = []
    if isinstance(result, Preview):
        parts += _steps(
            [(_REQUESTS[request.kind].format(order_id), list(request.asked), "1 call") for request in result.requests]
        )
        parts.append(Text(_cost(result), "dim"))
    elif isinstance(result, WriteResult):
        parts += _steps(
            [
                (
                    _REQUESTS[write.kind].format(order_id),
                    list(write.asked),
                    (write.outcome or "unknown").replace("_", " "),
                )
                for write in result.writes
            ]
        )
        parts.append(Text(f"{c.plural(result.api_calls, 'API call')} in {c.seconds(result.duration_seconds)}", "dim"))
    if isinstance(result, Preview | WriteResult) and result.already:
        parts.insert(0, Text(f"Already as asked: {_names(result.already)}"))
    for error in result.errors:
        parts += [Text.assemble(("  BL-", "red"), (clean(error["order_id"]), "red"), "  ", clean(line))
                  for line in error["error"].splitlines()]  # fmt: skip
    word, style = {
        ExitCode.DONE: ("Done", "bold green"),
        ExitCode.SOME_FAILED: ("Not done, or not all of it", "bold yellow"),
        ExitCode.BUDGET: ("Stopped at the call budget", "bold yellow"),
    }.get(result.exit_code, ("Stopped", "bold red"))
    if isinstance(result, Preview) and result.success:
        word = "This would be sent" if result.requests else "Nothing would be sent"
    return Group(Text.assemble((f"{word}: ", style), f"order BL-{order_id}"), *parts)


def _cost(preview: Preview) -> str:
    used = f"Nothing was written; this has used {c.plural(preview.api_calls, 'API call')}."
    if not preview.success:
        return used
    calls = [
        f"{preview.calls_to_list} to find the order" if preview.calls_to_list else "",
        "1 to read it",
        f"{len(preview.requests)} to write, 1 to read it again" if preview.requests else "",
    ]
    return f"{c.plural(preview.calls, 'API call')} in all: {', '.join(filter(None, calls))}. {used}"


def _steps(steps: list[tuple[str, list[str], str]]) -> list[Text]:
    return [
        Text(f"  {number}. {request}  {_names(fields)}: {note}")
        for number, (request, fields, note) in enumerate(steps, start=1)
    ]


def _names(fields: list[str]) -> str:
    return ", ".join(field.replace("_", " ") for field in fields)

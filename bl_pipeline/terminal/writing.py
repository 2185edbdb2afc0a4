"""`bl update` and `bl drive-thru`: what is asked for as it is written, the run, and what was done as it is shown."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import typer
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
    from bl_pipeline.sync.writing import Preview, WriteOrder, WriteResult

_REQUESTS = {
    "update": "PUT /orders/{}",
    "payment_status": "PUT /orders/{}/payment_status",
    "status": "PUT /orders/{}/status",
    "drive_thru": "POST /orders/{}/drive_thru",
}


def amount(text: str) -> Decimal:
    """An amount such as 4.50. Raises what the command line shows as wrong usage."""
    try:
        return Decimal(text.strip())
    except InvalidOperation:
        raise typer.BadParameter(f"{text} is no amount. Write it as 4.50") from None


def order_to_write(
    settings: Settings,
    order_id: str,
    given: Mapping[str, Any],
    *,
    unchanged_since: str | None = None,
    mail_me: bool = False,
) -> WriteOrder:
    """What is asked of an order; times as they are written. Raises Refused for what BrickLink would not take."""
    from bl_pipeline.bricklink import RequestRefused
    from bl_pipeline.reports.questions import QuestionError
    from bl_pipeline.rules.writes import checked
    from bl_pipeline.sync.writing import WriteOrder

    try:
        values = {**given}
        if isinstance(shipped := values.get("date_shipped"), str):
            values["date_shipped"] = _time(settings, shipped)
        since = None if unchanged_since is None else _time(settings, unchanged_since)
        if since is not None and since > datetime.now(UTC):
            raise Refused("--if-unchanged-since is in the future. Give the time at which you looked at the order.")
        return WriteOrder(order_id, checked(values), since, mail_me)
    except (RequestRefused, QuestionError) as error:
        raise Refused(f"{error}\nNothing was sent.") from None


def _time(settings: Settings, written: str) -> datetime:
    from bl_pipeline.reports.questions import parse_time

    moment = parse_time(written)
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(settings.bl_timezone))).astimezone(UTC)


def write_order(settings: Settings, asked: WriteOrder, *, job: str, dry_run: bool) -> WriteResult | Preview:
    """Write to the order, or say what would be written.

    Raises as `run_job`: LockTaken if a sync of the store is running, Canceled if the user has canceled it.
    """
    from bl_pipeline.sync.finishing import read_result
    from bl_pipeline.sync.session import open_session
    from bl_pipeline.sync.writing import preview_write, run_write

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
        total = f"{c.plural(result.calls, 'API call')} in all: 1 to read the order, {len(result.requests)} to write"
        after = ", 1 to read it again" if result.requests else ""
        parts.append(Text(f"{total}{after}. Nothing was written; this has read the order.", "dim"))
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


def _steps(steps: list[tuple[str, list[str], str]]) -> list[Text]:
    return [
        Text(f"  {number}. {request}  {_names(fields)}: {note}")
        for number, (request, fields, note) in enumerate(steps, start=1)
    ]


def _names(fields: list[str]) -> str:
    return ", ".join(map(_words, fields))


def _words(name: str) -> str:
    return name.replace("_", " ")

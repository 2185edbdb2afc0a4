"""`bl messages` and `bl feedback`: what buyer and seller wrote about an order. --fetch asks BrickLink first."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from bl_pipeline.columns import AnswerKind
from bl_pipeline.dagster_names import Job
from bl_pipeline.records import ExitCode
from bl_pipeline.reports.order_facts import RATED, RATINGS
from bl_pipeline.terminal.console import clean, moment, print_json, show, show_times_in, stderr
from bl_pipeline.terminal.failures import Refused
from bl_pipeline.terminal.reading import Json, OrderId, no_such_order

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bl_pipeline.settings import Settings

FetchFirst = Annotated[bool, typer.Option("--fetch", help="Ask BrickLink first: two calls.")]


def messages(order_id: OrderId, fetch: FetchFirst = False, as_json: Json = False) -> None:
    """The messages about an order, as far as they are stored; --fetch asks BrickLink first."""
    _show_part(AnswerKind.MESSAGES, order_id, fetch=fetch, as_json=as_json)


def feedback(order_id: OrderId, fetch: FetchFirst = False, as_json: Json = False) -> None:
    """The feedback about an order, as far as it is stored; --fetch asks BrickLink first."""
    _show_part(AnswerKind.FEEDBACK, order_id, fetch=fetch, as_json=as_json)


def _show_part(kind: AnswerKind, order_id: str, *, fetch: bool, as_json: bool) -> None:
    from bl_pipeline.settings import load_settings

    settings = load_settings()
    from bl_pipeline.warehouse.database import NothingStored, read_warehouse
    from bl_pipeline.warehouse.sales import PartOfOrder, read_part
    from bl_pipeline.warehouse.state import failed_orders

    if fetch:
        _fetch(settings, kind, order_id)
    found: PartOfOrder | None = None
    has_failed = False
    with suppress(NothingStored), read_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
        show_times_in(warehouse.timezone)
        found = read_part(connection, warehouse, order_id, kind)
        has_failed = found is None and bool(failed_orders(connection, warehouse, order_id))
    if found is None:
        raise no_such_order(settings, order_id, has_failed=has_failed)
    if as_json:
        print_json({"platform_order_id": order_id, "fetched_at": found.fetched_at, kind: found.rows})
    elif found.rows:
        show(_view(kind, found.rows))
    elif found.fetched_at:
        show(f"Order {order_id} had no {kind} when BrickLink was asked: {moment(found.fetched_at)}.")
    else:
        show(f"Nobody has asked BrickLink for the {kind} of order {order_id}. Ask with: bl {kind} {order_id} --fetch")


def _fetch(settings: Settings, kind: AnswerKind, order_id: str) -> None:
    """Fetch the order with this part of it. Raises Refused if that could not be done, with the run's exit code."""
    from bl_pipeline.running import run_job
    from bl_pipeline.terminal.progress import SyncProgress

    config = {"order_ids": [order_id], "include_items": False, str(kind): True}
    with SyncProgress("Asking BrickLink") as progress:
        result = run_job(settings, Job.REFRESH_ORDER, config, progress, warn=stderr().print)
    if result.exit_code != ExitCode.DONE:
        errors = [error["error"] for error in result.errors]
        raise Refused("\n".join(filter(None, [result.message, *errors])), result.exit_code)


def _view(kind: AnswerKind, rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Each message or rating with a heading, its text as it was written, without control characters."""
    lines: list[RenderableType] = []
    for row in rows:
        if kind is AnswerKind.MESSAGES:
            what, texts = clean(row["subject"]) or "no subject", [row["body"]]
        else:
            rated = RATED.get(row["rating_of"], "")
            what = " of ".join(filter(None, [RATINGS.get(row["rating"], str(row["rating"])), rated]))
            texts = [row["comment"], row["reply"] and f"Reply: {row['reply']}"]
        when = moment(row["sent_at"] if kind is AnswerKind.MESSAGES else row["rated_at"])
        people = f"{clean(row['sender'])} to {clean(row['recipient'])}"
        lines.append(Text(", ".join(filter(None, [when, people, what])), style="bold"))
        for text in filter(None, texts):
            lines.extend(Padding(Text(clean(line)), (0, 0, 0, 2)) for line in text.splitlines())
    return Group(*lines)

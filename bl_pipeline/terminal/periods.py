"""`bl close`, `reopen` and `periods`: the months of the journal."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from bl_pipeline.records import ExitCode
from bl_pipeline.terminal import console as c
from bl_pipeline.terminal.console import complain, print_json, show, show_times_in, stderr
from bl_pipeline.terminal.failures import Refused
from bl_pipeline.terminal.reading import Json
from bl_pipeline.wording import plural

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bl_pipeline.books.closing import Period


def _month(written: str) -> date:
    """The first day of a month. Raises what the command line shows as wrong usage."""
    from bl_pipeline.books.closing import parse_month
    from bl_pipeline.questions import QuestionError

    try:
        return parse_month(written)
    except QuestionError as error:
        raise typer.BadParameter(str(error)) from None


Month = Annotated[date, typer.Argument(metavar="PERIOD", parser=_month, help="The month, such as 2026-09.")]


def close(period: Month, as_json: Json = False) -> None:
    """Close a month: nothing is booked to it any more, and what changes later is booked to the first open one.

    If no month is closed yet, all months before it are closed, too.
    """
    from bl_pipeline.books.closing import close as close_period
    from bl_pipeline.books.closing import month, unclear_orders
    from bl_pipeline.settings import load_settings
    from bl_pipeline.sync.bookkeeping import open_books

    settings = load_settings()
    with open_books(settings) as session, _refused(), session.warehouse.engine.begin() as connection:
        closed = close_period(connection, session.store, period, session.clock())
        unclear = unclear_orders(connection, session.warehouse.store, closed)
    if as_json:
        print_json({"closed": [month(each) for each in closed]})
        return
    command = settings.store.command
    earlier = len(closed) - 1
    also = f", and with it {plural(earlier, 'earlier month')}, from {month(closed[0])} on, as no month was closed"
    show(f"{month(period)} is closed{also if earlier else ''}. What changes later is booked to the first open month.")
    show(f"Its figures: {command('periods')}. What has changed since a closing: {command('report period_changes')}")
    if unclear:
        which = "these months, the last one first" if earlier else "the month"
        show(
            f"The tax of {plural(unclear, 'order')} is unclear, so the VAT of what was closed may be wrong: "
            f"{command('report tax_orders')} says why.\n"
            f"If other tax settings (BL_TAX_FILE) are to make it clear: reopen {which}, set them, run "
            f"{command('sync')}, and close {month(period)} again. If they come later, all is corrected in the first "
            "open month."
        )


def reopen(period: Month, as_json: Json = False) -> None:
    """Open the last closed month again; that it was closed stays noted.

    For an earlier month, reopen the later ones first.
    """
    from bl_pipeline.books.closing import month
    from bl_pipeline.books.closing import reopen as reopen_period
    from bl_pipeline.settings import load_settings
    from bl_pipeline.sync.bookkeeping import open_books

    settings = load_settings()
    with open_books(settings) as session, _refused(), session.warehouse.engine.begin() as connection:
        reopen_period(connection, session.store, period, session.clock())
    if as_json:
        print_json({"reopened": month(period)})
    else:
        again = settings.store.command(f"close {month(period)}")
        show(f"{month(period)} is open again. Close it when it is complete: {again}")


def periods(as_json: Json = False) -> None:
    """The months of the journal: what each has, which are closed, and whether these are as they were closed."""
    from bl_pipeline.settings import load_settings

    settings = load_settings()
    from bl_pipeline.books.booking import is_behind
    from bl_pipeline.books.closing import read_periods
    from bl_pipeline.warehouse.database import NothingStored, read_warehouse

    found: list[Period] = []
    behind = False
    with suppress(NothingStored), read_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
        show_times_in(warehouse.timezone)
        found = read_periods(connection, warehouse.store)
        behind = is_behind(connection, warehouse.store)
    if as_json:
        print_json([_as_json(period) for period in found])
    elif found:
        show(_view(found))
    else:
        show(f"Nothing is booked yet. {settings.store.first_step}")
    if behind:
        sync = settings.store.command("sync")
        stderr().print(f"Some orders are not booked yet: the next {sync} or closing books them.", style="dim")
    changed = [period for period in found if period.is_intact is False]
    if changed:
        from bl_pipeline.books.closing import month

        complain(
            f"These months are not as they were closed: {', '.join(month(each.period) for each in changed)}. Somebody "
            "has changed the journal in Postgres, past its guard.\nRestore a backup from before: bl restore"
        )
        raise typer.Exit(ExitCode.OTHER)


@contextmanager
def _refused() -> Iterator[None]:
    from bl_pipeline.books.closing import ClosingRefused

    try:
        yield
    except ClosingRefused as error:
        raise Refused(str(error), ExitCode.OTHER) from None


def _as_json(period: Period) -> dict[str, Any]:
    from bl_pipeline.books.closing import month

    return {
        "period": month(period.period),
        "closed": period.is_closed,
        "closed_at": period.closed_at,
        "reopened_at": period.reopened_at,
        "last_document_id": period.last_document_id,
        "intact": period.is_intact,
        "entries": period.entries,
        "digest": period.digest,
        "totals": [
            {
                "account_key": total.account_key,
                "currency": total.currency,
                "debit": total.debit,
                "credit": total.credit,
                "balance": total.debit - total.credit,
            }
            for total in period.totals
        ],
    }


def _view(found: Sequence[Period]) -> RenderableType:
    from bl_pipeline.books.closing import month
    from bl_pipeline.terminal.tables import Column, FittedTable

    columns = (
        Column("month"),
        Column("state"),
        Column("closed at", optional=2),
        Column("entries", right=True),
        Column("currency"),
        Column("receivable", right=True),
        Column("turnover", right=True, optional=1),
        Column("VAT", right=True),
    )
    rows: list[list[str | Text]] = []
    amounts: list[list[Decimal | None]] = []
    for period in found:
        if period.is_intact is False:
            state = Text("changed!", "bold red")
        elif period.is_closed:
            state = Text("closed", "green")
        else:
            state = Text("reopened" if period.reopened_at else "open", "yellow")
        first: list[str | Text] = [month(period.period), state, c.when(period.closed_at), f"{period.entries:,}"]
        for currency, figures in period.figures().items() or [("", None)]:
            rows.append([*first, currency])
            first = ["", "", "", ""]
            amounts.append([figures.receivable, figures.turnover, figures.vat] if figures else [None] * 3)
    shown = [c.amounts(column) for column in zip(*amounts, strict=True)]
    return FittedTable(columns, [[*row, *(column[place] for column in shown)] for place, row in enumerate(rows)])

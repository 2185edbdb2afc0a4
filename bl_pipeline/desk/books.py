"""The books: the months of the journal, closing them, what has changed since, and exports for the accountant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from io import BytesIO
from typing import Annotated
from zipfile import ZIP_DEFLATED, ZipFile

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import UploadFile

from bl_pipeline.books.accounts import FILE, template
from bl_pipeline.books.booking import is_behind
from bl_pipeline.books.closing import (
    ClosingRefused,
    close,
    month,
    next_to_close,
    parse_month,
    read_periods,
    reopen,
)
from bl_pipeline.books.csv_tables import FileErrors
from bl_pipeline.books.export_lines import UnbalancedEntry
from bl_pipeline.books.exporting import AccountsFile, ExportFormat, ExportRefused, export_period, read_combinations
from bl_pipeline.books.period_changes import read_period_changes
from bl_pipeline.desk.chosen import Fields
from bl_pipeline.desk.failures import Refused
from bl_pipeline.desk.overview import require_changes
from bl_pipeline.desk.pages import page
from bl_pipeline.desk.state import Desk, DeskOf
from bl_pipeline.questions import QuestionError
from bl_pipeline.sync.bookkeeping import open_books

router = APIRouter()

_PROGRAMS = {ExportFormat.DATEV: "DATEV", ExportFormat.XERO: "Xero", ExportFormat.QUICKBOOKS: "QuickBooks Online"}


@router.get("/books")
def show_books(request: Request, desk: DeskOf) -> HTMLResponse:
    """The months of the journal, the latest first."""
    return _page(request, desk)


@router.post("/books/close", response_model=None)
def close_month(request: Request, desk: DeskOf, fields: Fields) -> Response:
    """Close a month; if that is refused the page says why."""
    require_changes(desk)
    period = _period(fields)
    try:
        with open_books(desk.settings) as session, session.warehouse.engine.begin() as connection:
            close(connection, session.store, period, desk.clock())
    except ClosingRefused as error:
        return _page(request, desk, str(error))
    return RedirectResponse(f"{desk.root}/books#{month(period)}", status_code=303)


@router.post("/books/reopen", response_model=None)
def reopen_month(request: Request, desk: DeskOf, fields: Fields) -> Response:
    """Open the last closed month again; if that is refused the page says why."""
    require_changes(desk)
    period = _period(fields)
    try:
        with open_books(desk.settings) as session, session.warehouse.engine.begin() as connection:
            reopen(connection, session.store, period, desk.clock())
    except ClosingRefused as error:
        return _page(request, desk, str(error))
    return RedirectResponse(f"{desk.root}/books#{month(period)}", status_code=303)


def _period(fields: Mapping[str, Sequence[str]]) -> date:
    try:
        return parse_month(_field(fields, "period"))
    except QuestionError:
        raise Refused(422, "Which month?", "Go back, and press the button of a month.") from None


def _field(fields: Mapping[str, Sequence[str]], name: str) -> str:
    return fields.get(name, [""])[0].strip()


async def _read_chart(request: Request) -> AccountsFile:
    async with request.form() as form:
        sent = form.get("accounts")
        if isinstance(sent, UploadFile) and sent.filename:
            return AccountsFile(sent.filename, await sent.read())
        return AccountsFile(FILE, None)


Chart = Annotated[AccountsFile, Depends(_read_chart)]
"""The accounts.csv that was sent with a form."""


@router.get("/books/accounts.csv")
def accounts(desk: DeskOf) -> Response:
    """An accounts.csv for the accountant to fill in."""
    with desk.source.reading() as (connection, warehouse):
        combinations = read_combinations(connection, warehouse.store)
    return Response(
        template(combinations),
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="accounts.csv"'},
    )


@router.post("/books/export", response_model=None)
def export_month(request: Request, desk: DeskOf, fields: Fields, chart: Chart) -> Response:
    """The files of a closed month for the accountant's program, in one ZIP file; if it is refused the page says why."""
    period = _period(fields)
    try:
        target = ExportFormat(_field(fields, "target"))
    except ValueError:
        raise Refused(422, "For which program?", "Go back, and choose one.") from None
    try:
        with desk.source.reading() as (connection, _warehouse):
            rates = _field(fields, "rates").split() if target is ExportFormat.DATEV else []
            files = export_period(connection, desk.settings, target, period, chart, rates, desk.clock())
    except (ExportRefused, FileErrors, UnbalancedEntry) as error:
        return _page(request, desk, str(error))
    if not files:
        return _page(request, desk, f"{month(period)} has no entries, so there is nothing to export.")
    packed = BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for file in files:
            archive.writestr(file.name, file.content)
    return Response(
        packed.getvalue(),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{target}-{month(period)}.zip"'},
    )


def _page(request: Request, desk: Desk, refusal: str = "") -> HTMLResponse:
    with desk.source.reading() as (connection, warehouse):
        periods = read_periods(connection, warehouse.store)
        changes = read_period_changes(connection, warehouse.store)
        behind = is_behind(connection, warehouse.store)
    closed = [period.period for period in periods if period.is_closed]
    return page(
        request,
        "books",
        status=409 if refusal else 200,
        refusal=refusal,
        periods=periods[::-1],
        changes=changes,
        behind=behind,
        upcoming=next_to_close(periods, desk.settings.bl_timezone, desk.clock()),
        closed=sorted(closed, reverse=True),
        targets=_PROGRAMS,
        month=month,
    )

"""`bl export`: a closed period as files for the accountant's program, and accounts.csv to be filled in."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bl_pipeline.clock import utc_now
from bl_pipeline.records import ExitCode
from bl_pipeline.terminal.console import clean, print_json, show, stderr
from bl_pipeline.terminal.failures import Refused
from bl_pipeline.terminal.reading import Json
from bl_pipeline.wording import plural

if TYPE_CHECKING:
    from bl_pipeline.settings import Settings

_ACCOUNTS = "accounts"


def export(
    target: Annotated[
        str, typer.Argument(metavar="datev|xero|quickbooks|accounts", help="Which program, or accounts.csv.")
    ],
    period: Annotated[
        str | None,
        typer.Option(
            metavar="MONTH",
            help="The month, such as 2026-09: it has to be closed. Needed for all but accounts.",
            show_default=False,
        ),
    ] = None,
    accounts: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="The accounts, as your accountant has filled them in. It is read, never written."
        ),
    ] = Path("accounts.csv"),
    rate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CUR=RATE",
            help="DATEV only: how many units of a currency are one euro, such as USD=1.1740; once for each currency.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="The folder of the files. Those of an earlier export are replaced, accounts.csv never.",
        ),
    ] = Path(),
    as_json: Json = False,
) -> None:
    """A closed month for DATEV, Xero or QuickBooks; or accounts.csv, which says what is booked to which account."""
    from bl_pipeline.books.csv_tables import FileErrors
    from bl_pipeline.books.exporting import ExportFormat, ExportRefused
    from bl_pipeline.questions import QuestionError, one_of
    from bl_pipeline.settings import load_settings

    settings = load_settings()
    try:
        chosen = one_of(target, "export", [*ExportFormat, _ACCOUNTS])
        if chosen == _ACCOUNTS:
            said, files = _template(settings, to)
        else:
            said, files = _export(settings, ExportFormat(chosen), period, accounts, rate or [], to)
    except (ExportRefused, QuestionError) as error:
        raise Refused(str(error)) from None
    except FileErrors as error:
        raise Refused(f"{clean(str(accounts))} has faults. Nothing was exported.\n{clean(str(error))}") from None
    except OSError as error:
        if error.filename is None:
            raise  # of standard output
        raise Refused(f"{error.filename}: {error.strerror}", ExitCode.OTHER) from None
    if as_json:
        print_json({"files": [str(file) for file in files]})
    else:
        show("\n".join([said, *(f"  {clean(str(file))}" for file in files)]))


def _template(settings: Settings, folder: Path) -> tuple[str, list[Path]]:
    from bl_pipeline.books.exporting import ExportRefused, read_combinations, write_template
    from bl_pipeline.warehouse.database import read_warehouse

    with read_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
        combinations = read_combinations(connection, warehouse.store)
    if not combinations:
        raise ExportRefused(
            f"The journal of store {settings.bl_store} has no entries, so there is nothing to be booked yet."
        )
    path = folder.expanduser() / "accounts.csv"
    write_template(combinations, path)
    return f"Wrote {plural(len(combinations), 'line')}, to be filled in by your accountant:", [path]


def _export(
    settings: Settings, target: str, period: str | None, accounts: Path, rates: list[str], folder: Path
) -> tuple[str, list[Path]]:
    from bl_pipeline.books.closing import parse_month, unclear_orders
    from bl_pipeline.books.export_lines import UnbalancedEntry
    from bl_pipeline.books.exporting import (
        AccountsFile,
        ExportFormat,
        ExportRefused,
        export_period,
        files_left,
        write_files,
    )
    from bl_pipeline.warehouse.database import read_warehouse

    if period is None:
        raise ExportRefused(f"Which month? Such as: {settings.store.command(f'export {target} --period 2026-09')}")
    if rates and target != ExportFormat.DATEV:
        raise ExportRefused("--rate is for DATEV only: the files of other programs have one currency each.")
    month = parse_month(period)
    path = accounts.expanduser()
    chart = AccountsFile(clean(str(accounts)), path.read_bytes() if path.exists() else None)
    try:
        with read_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
            files = export_period(connection, settings, ExportFormat(target), month, chart, rates, utc_now())
            unclear = unclear_orders(connection, warehouse.store, [month])
    except UnbalancedEntry as error:
        raise Refused(str(error), ExitCode.OTHER) from None
    if not files:
        return f"{month:%Y-%m} of store {clean(settings.bl_store)} has no entries: there is nothing to export.", []
    written = write_files(files, folder.expanduser())
    if left := files_left(written, month):
        stderr().print(
            f"Of an earlier export of {month:%Y-%m}, and no part of this one: "
            f"{', '.join(clean(file.name) for file in left)}. Do not import them.",
            soft_wrap=True,
        )
    if unclear:
        stderr().print(
            f"The tax of {plural(unclear, 'order')} of this month is unclear, so its VAT may be wrong: "
            f"{settings.store.command('report tax_orders')} says why.",
            soft_wrap=True,
        )
    return f"Wrote {month:%Y-%m} of store {clean(settings.bl_store)}, {plural(len(files), 'file')}:", written

"""Exports: a closed period of the journal as files for a program of the accountant's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Connection, text

from bl_pipeline.books import datev, quickbooks, xero
from bl_pipeline.books.accounts import Accounts, Combination, combination_of, parse_accounts, template
from bl_pipeline.books.closing import month, read_periods
from bl_pipeline.books.datev import DatevHeader, year_start
from bl_pipeline.books.export_lines import ExportFile
from bl_pipeline.books.journal import AccountKey, EntryEvent, JournalLine, Region, TaxKind
from bl_pipeline.settings import Settings, Store
from bl_pipeline.warehouse.new_file import new_file, replaced_file, usual_mode

_RATE = re.compile(r"([A-Za-z]{3})=(\d{1,6}(?:\.\d{1,6})?)", re.ASCII)

_NAMED = 20
"""Faults of accounts.csv that a message names."""


class ExportFormat(StrEnum):
    """A program that reads an export."""

    DATEV = "datev"
    XERO = "xero"
    QUICKBOOKS = "quickbooks"


class ExportRefused(Exception):
    """Nothing was exported; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class AccountsFile:
    """The accounts.csv that was given, under whatever name; its content is None if there is no such file."""

    name: str
    content: bytes | None


@dataclass(frozen=True, slots=True)
class DatevOptions:
    """What a DATEV file needs besides the journal; `rates` are units of each foreign currency for one euro."""

    header: DatevHeader
    rates: Mapping[str, Decimal]


def check_closed(connection: Connection, store: Store, period: date) -> None:
    """Raise ExportRefused if the period is not closed, or is not as it was closed."""
    found = next((each for each in read_periods(connection, store.key) if each.period == period), None)
    if found is None or not found.is_closed:
        raise ExportRefused(
            f"{month(period)} of store {store.key} is not closed, so its figures may still change. "
            "Nothing was exported.\n"
            f"Close it first: {store.command(f'close {month(period)}')}"
        )
    if not found.is_intact:
        raise ExportRefused(
            f"{month(period)} of store {store.key} is not as it was closed. Nothing was exported.\n"
            f"See: {store.command('periods')}"
        )


def read_lines(connection: Connection, store: str, period: date) -> list[JournalLine]:
    """The lines of the journal that are booked to a period, in its order."""
    rows = connection.execute(
        text(
            """
            SELECT entry_no, document, platform_order_id, event, booking_date, corrects_period, account_key,
                is_reversal, country_code, region, special_territory, trim_scale(vat_rate) AS vat_rate, tax_kind,
                debit, credit, currency
            FROM books.journal WHERE store = :store AND period = :period
            ORDER BY entry_no, line_no
            """
        ),
        {"store": store, "period": period},
    )
    return [
        JournalLine(
            **{
                **row._mapping,
                "event": EntryEvent(row.event),
                "account_key": AccountKey(row.account_key),
                "region": Region(row.region),
                "tax_kind": TaxKind(row.tax_kind),
            }
        )
        for row in rows
    ]


def read_combinations(connection: Connection, store: str) -> list[Combination]:
    """What accounts.csv has to have lines for: the combinations that occur in the store's journal."""
    rows = connection.execute(
        text(
            """
            SELECT DISTINCT account_key, region, trim_scale(vat_rate) AS vat_rate
            FROM books.journal WHERE store = :store
            """
        ),
        {"store": store},
    )
    return [Combination(AccountKey(row.account_key), Region(row.region), row.vat_rate) for row in rows]


def export_period(
    connection: Connection,
    settings: Settings,
    target: ExportFormat,
    period: date,
    chart: AccountsFile,
    rates: Sequence[str],
    now: datetime,
) -> list[ExportFile]:
    """The files of a closed month of the settings' store for a program; none if the month has no entries.

    `rates` are those that DATEV needs, such as USD=1.1740. Raises ExportRefused, FileErrors if the chart has faults,
    and UnbalancedEntry if the journal was tampered with.
    """
    check_closed(connection, settings.store, period)
    lines = read_lines(connection, settings.bl_store, period)
    if not lines:
        return []
    if chart.content is None:
        raise ExportRefused(
            f"There is no file {chart.name}, which says what is booked to which account. Nothing was exported.\n"
            f"Write one for your accountant to fill in: {settings.store.command('export accounts')}"
        )
    options = _datev_options(settings, period, rates) if target is ExportFormat.DATEV else None
    accounts = parse_accounts(chart.content, chart.name)
    return export_files(target, settings.bl_store, period, lines, accounts, options, now)


def _datev_options(settings: Settings, period: date, rates: Sequence[str]) -> DatevOptions:
    if settings.bl_datev_consultant is None or settings.bl_datev_client is None:
        raise ExportRefused(
            "DATEV needs two numbers that your tax adviser knows. Set BL_DATEV_CONSULTANT (Beraternummer) and "
            "BL_DATEV_CLIENT (Mandantennummer), for example in .env."
        )
    found: dict[str, Decimal] = {}
    for written in rates:
        read = _RATE.fullmatch(written.strip())
        if read is None or not Decimal(read[2]):
            raise ExportRefused(f"{written}: this is no rate such as USD=1.1740, with a point")
        found[read[1].upper()] = Decimal(read[2])
    first_month, first_day = map(int, settings.bl_datev_year_start.split("-"))
    header = DatevHeader(
        settings.bl_datev_consultant,
        settings.bl_datev_client,
        year_start(period, first_month, first_day),
        settings.bl_datev_account_length,
    )
    return DatevOptions(header, found)


def export_files(
    target: ExportFormat,
    store: str,
    period: date,
    lines: Sequence[JournalLine],
    accounts: Accounts,
    options: DatevOptions | None,
    now: datetime,
) -> list[ExportFile]:
    """The files of a period for a program; none if the period has no lines. `options` are for DATEV.

    Raises ExportRefused if accounts.csv or a rate is not usable.
    """
    if target is ExportFormat.DATEV:
        assert options is not None
        _check_accounts(accounts, datev.needed(lines))
        length = options.header.account_length
        _refuse("DATEV cannot read these accounts", datev.wrong_accounts(lines, accounts, length), accounts)
        missing = [currency for currency in datev.foreign_currencies(lines) if currency not in options.rates]
        if missing:
            asked = " ".join(f"--rate {currency}=..." for currency in missing)
            raise ExportRefused(
                f"{month(period)} has amounts in {', '.join(missing)}, and DATEV needs the rate of each. Nothing was "
                f"exported.\nGive the month's rate, in units for one euro, as your tax office publishes it: {asked}"
            )
        large = datev.too_large(lines)
        if large:
            raise ExportRefused(
                f"{month(period)} has amounts of more than ten digits, which DATEV does not read: {', '.join(large)}. "
                "Nothing was exported.\nIf they are right, your accountant has to book this month by hand."
            )
        return datev.datev_files(store, period, lines, accounts, options.header, options.rates, now)
    if target is ExportFormat.XERO:
        _check_accounts(accounts, xero.needed(lines))
        without = _each(combination_of(line) for line in xero.without_tax_code(lines, accounts))
        _refuse("These lines have no tax_code, and Xero needs the name of a tax rate in each", without, accounts)
        return xero.xero_files(period, lines, accounts)
    _check_accounts(accounts, lines)
    return quickbooks.quickbooks_files(period, lines, accounts)


def _check_accounts(accounts: Accounts, lines: Iterable[JournalLine]) -> None:
    _refuse(
        "These combinations have no account (account_key,region,vat_rate)", _each(accounts.unmapped(lines)), accounts
    )


def _each(values: Iterable[object]) -> list[str]:
    return list(dict.fromkeys(str(value) for value in values))


def _refuse(what: str, faults: Sequence[str], accounts: Accounts) -> None:
    """Raise ExportRefused if there are any faults."""
    if faults:
        more = [f"and {len(faults) - _NAMED} more"] if len(faults) > _NAMED else []
        said = "\n".join(f"  {fault}" for fault in [*faults[:_NAMED], *more])
        raise ExportRefused(f"{what}. Nothing was exported.\n{said}\nComplete them in {accounts.file}, then try again.")


def write_files(files: Iterable[ExportFile], folder: Path) -> list[Path]:
    """Write the files into a folder, which is made if it is not there; those of an earlier export are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for file in files:
        path = folder / file.name
        with replaced_file(path) as content:
            content.write(file.content)
        written.append(path)
    return written


def files_left(written: Sequence[Path], period: date) -> list[Path]:
    """The files of earlier exports of the month beside those that were written now: no part of what was exported.

    There are some if the month was reopened, and now comes to fewer files or currencies.
    """
    begins = written[0].name.partition(month(period))[0]
    return sorted({*written[0].parent.glob(f"{begins}{month(period)}*.csv")} - {*written})


def write_template(combinations: Sequence[Combination], path: Path) -> None:
    """Write an accounts.csv to be filled in. Raises ExportRefused if there is a file already."""

    def refuse_to_overwrite() -> None:
        if path.exists():
            raise ExportRefused(
                f"{path} is there already, and is left as it is: somebody may have filled it in.\n"
                "Write the new one into another folder, with --to FOLDER."
            )

    path.parent.mkdir(parents=True, exist_ok=True)
    refuse_to_overwrite()
    with new_file(path, refuse_to_overwrite, mode=usual_mode()) as file:
        file.write(template(combinations).encode())

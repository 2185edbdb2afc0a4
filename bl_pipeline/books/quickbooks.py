"""A period of the journal as QuickBooks Online imports journal entries from CSV: one summary entry a day. Pure.

Thousands of entries would be as many rows to look through in QuickBooks, and the journal here has each one already.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from bl_pipeline.books.accounts import Accounts, rate_text
from bl_pipeline.books.export_lines import CONTACT, ExportFile, csv_bytes
from bl_pipeline.books.journal import AccountKey, JournalLine

MOST_ROWS = 1_000
"""Rows of a file; a day is never split over two."""

COLUMNS = ("JournalNo", "JournalDate", "AccountName", "Debits", "Credits", "Description", "Name", "Currency")


def quickbooks_files(period: date, lines: Sequence[JournalLine], accounts: Accounts) -> list[ExportFile]:
    """The files of a period: for each currency one, or more if there are too many rows.

    Raises KeyError for a line without an account.
    """
    files = []
    for currency in sorted({line.currency for line in lines}):
        days: dict[date, list[JournalLine]] = {}
        for line in lines:
            if line.currency == currency:
                days.setdefault(line.booking_date, []).append(line)
        parts: list[list[list[str]]] = [[]]
        for day, members in sorted(days.items()):
            rows = _summary(day, currency, members, accounts)
            if len(parts[-1]) + len(rows) > MOST_ROWS and parts[-1]:
                parts.append([])
            parts[-1] += rows
        for number, part in enumerate(parts, start=1):
            name = f"quickbooks_{period:%Y-%m}_{currency}{f'_{number}' if len(parts) > 1 else ''}.csv"
            files.append(ExportFile(name, csv_bytes(COLUMNS, part)))
    return files


def _summary(day: date, currency: str, lines: Sequence[JournalLine], accounts: Accounts) -> list[list[str]]:
    """The rows of a day: the debits and the credits of each account, region and rate; all in this currency.

    The currency is in the number too: QuickBooks can refuse a number that it has already.
    """
    sums: dict[tuple[str, str, str, bool], Decimal] = {}
    for line in lines:
        for is_debit, amount in ((True, line.debit), (False, line.credit)):
            if amount:
                what = f"{line.account_key} {line.region} {rate_text(line.vat_rate)}".strip()
                key = (
                    accounts.of(line).account,
                    what,
                    CONTACT if line.account_key is AccountKey.RECEIVABLE else "",
                    is_debit,
                )
                sums[key] = sums.get(key, Decimal(0)) + amount
    return [
        [
            f"BL-{day}-{currency}",
            f"{day:%m/%d/%Y}",
            account,
            f"{amount:.2f}" if is_debit else "",
            "" if is_debit else f"{amount:.2f}",
            f"BrickLink {what}",
            name,
            currency,
        ]
        for (account, what, name, is_debit), amount in sums.items()
    ]

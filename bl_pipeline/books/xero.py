"""A period of the journal as Xero imports sales invoices from CSV: one invoice or credit note for each entry. Pure.

Amounts are without tax, so a file is imported as "tax exclusive"; TaxAmount has the tax of the journal. A negative
invoice becomes a credit note. The columns are those of Xero's template, which it wants all and in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal

from bl_pipeline.books.accounts import Account, Accounts
from bl_pipeline.books.export_lines import CONTACT, SOLD, WITHOUT_VAT, ExportFile, csv_bytes, entries_of, sold_lines
from bl_pipeline.books.journal import AccountKey, EntryEvent, JournalLine

MOST_INVOICES = 500
"""Invoices of a file that Xero imports."""

COLUMNS = (
    "*ContactName", "EmailAddress", "POAddressLine1", "POAddressLine2", "POAddressLine3", "POAddressLine4", "POCity",
    "PORegion", "POPostalCode", "POCountry", "*InvoiceNumber", "Reference", "*InvoiceDate", "*DueDate", "Total",
    "InventoryItemCode", "*Description", "*Quantity", "*UnitAmount", "Discount", "*AccountCode", "*TaxType",
    "TaxAmount", "TrackingName1", "TrackingOption1", "TrackingName2", "TrackingOption2", "Currency", "BrandingTheme",
)  # fmt: skip

_WORDS = {
    AccountKey.SALES_GOODS: "Goods",
    AccountKey.SALES_SHIPPING: "Shipping",
    AccountKey.SALES_CHARGES: "Charges",
    AccountKey.DISCOUNTS: "Discount",
    AccountKey.SALES_TAX_PAYABLE: "Sales tax",
}


def needed(lines: Iterable[JournalLine]) -> Iterator[JournalLine]:
    """The lines that have to have an account: what was sold. Xero has its own for receivables, and for VAT."""
    return (line for line in lines if line.account_key in (*SOLD, *WITHOUT_VAT))


def without_tax_code(lines: Iterable[JournalLine], accounts: Accounts) -> list[JournalLine]:
    """Those of the lines whose account has no tax code: Xero wants the name of a tax rate in each."""
    return [line for line in needed(lines) if not accounts.of(line).tax_code]


def xero_files(period: date, lines: Sequence[JournalLine], accounts: Accounts) -> list[ExportFile]:
    """The files of a period: for each currency one, or more if there are too many invoices.

    Raises KeyError for a line without an account.
    """
    by_currency: dict[str, list[list[list[str]]]] = {}
    for entry in entries_of(lines):
        currencies = list(dict.fromkeys(line.currency for line in entry))
        for currency in currencies:
            number = _number(entry[0]) + (f"-{currency}" if len(currencies) > 1 else "")
            if rows := _invoice(number, [line for line in entry if line.currency == currency], accounts):
                by_currency.setdefault(currency, []).append(rows)
    files = []
    for currency, invoices in sorted(by_currency.items()):
        parts = [invoices[start : start + MOST_INVOICES] for start in range(0, len(invoices), MOST_INVOICES)]
        for place, part in enumerate(parts, start=1):
            name = f"xero_{period:%Y-%m}_{currency}{f'_{place}' if len(parts) > 1 else ''}.csv"
            files.append(ExportFile(name, csv_bytes(COLUMNS, [row for rows in part for row in rows])))
    return files


def _number(line: JournalLine) -> str:
    """The number of a sale is the order's; what follows has numbers of its own."""
    return line.document if line.event is EntryEvent.SALE else f"{line.document}-{line.entry_no}"


def _invoice(number: str, entry: Sequence[JournalLine], accounts: Accounts) -> list[list[str]]:
    """The rows of an entry's invoice, a row for what has the same account and tax; none if nothing is left of it."""
    amounts: dict[tuple[str, Account], tuple[Decimal, Decimal]] = {}
    for sold in sold_lines(entry):
        key = (_WORDS[sold.line.account_key], accounts.of(sold.line))
        net, vat = amounts.get(key, (Decimal(0), Decimal(0)))
        amounts[key] = (net + sold.net, vat + sold.vat)
    first = entry[0]
    day = f"{first.booking_date:%d/%m/%Y}"
    rows = []
    for (what, account), (net, vat) in amounts.items():
        if not net and not vat:
            continue
        row = dict.fromkeys(COLUMNS, "")
        row["*ContactName"] = CONTACT
        row["*InvoiceNumber"], row["Reference"] = number, first.document
        row["*InvoiceDate"] = row["*DueDate"] = day
        row["*Description"] = " ".join(filter(None, (what, first.document, first.country_code, _said(first))))
        row["*Quantity"], row["*UnitAmount"] = "1", f"{net:.2f}"
        row["*AccountCode"], row["*TaxType"], row["TaxAmount"] = account.account, account.tax_code, f"{vat:.2f}"
        row["Currency"] = first.currency
        rows.append(list(row.values()))
    return rows


def _said(line: JournalLine) -> str:
    if line.event is EntryEvent.SALE and not line.corrects_period:
        return ""
    return line.event + (f" of {line.corrects_period:%Y-%m}" if line.corrects_period else "")

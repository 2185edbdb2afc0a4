"""Xero's sales invoices, read back as its import guide describes them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from bl_pipeline.books import xero
from bl_pipeline.books.accounts import Account, Accounts, Combination
from bl_pipeline.books.export_lines import ExportFile
from bl_pipeline.books.journal import AccountKey, JournalLine
from bl_pipeline.books.xero import xero_files
from bl_pipeline_tests.support.journal_lines import PERIOD, cells, journal

# Xero's template; it refuses a file with other columns.
TEMPLATE = [
    "*ContactName", "EmailAddress", "POAddressLine1", "POAddressLine2", "POAddressLine3", "POAddressLine4", "POCity",
    "PORegion", "POPostalCode", "POCountry", "*InvoiceNumber", "Reference", "*InvoiceDate", "*DueDate", "Total",
    "InventoryItemCode", "*Description", "*Quantity", "*UnitAmount", "Discount", "*AccountCode", "*TaxType",
    "TaxAmount", "TrackingName1", "TrackingOption1", "TrackingName2", "TrackingOption2", "Currency", "BrandingTheme",
]  # fmt: skip
SOLD = {"sales_goods", "sales_shipping", "sales_charges", "discounts", "sales_tax_payable"}


def chart(lines: list[JournalLine], words: str = "") -> Accounts:
    """Codes as Xero has them, and names of tax rates."""
    return Accounts(
        {
            Combination(line.account_key, line.region, line.vat_rate): Account(
                f"2{place:02}", f"{line.vat_rate or 0}% ({line.region}{words})"
            )
            for place, line in enumerate(
                {(line.account_key, line.region, line.vat_rate): line for line in lines}.values()
            )
        }
    )


def read(file: ExportFile) -> list[dict[str, str]]:
    """The rows of a file, each of which Xero would take."""
    head, *rows = cells(file.content.decode("utf-8"), ",")
    assert [name for name, _ in head] == TEMPLATE
    found = []
    for row in rows:
        values = dict(zip(TEMPLATE, (value for value, _ in row), strict=True))
        assert all(values[name] for name in TEMPLATE if name.startswith("*")), "a value that Xero wants"
        for name in ("*InvoiceDate", "*DueDate"):
            day = datetime.strptime(values[name], "%d/%m/%Y").replace(tzinfo=UTC).date()
            assert day.replace(day=1) == PERIOD
        assert all(re.fullmatch(r"-?\d+\.\d{2}", values[name]) for name in ("*UnitAmount", "TaxAmount"))
        assert values["*Quantity"] == "1"
        assert values["*ContactName"] == "BrickLink buyers"
        found.append(values)
    assert found
    numbers = list(dict.fromkeys(row["*InvoiceNumber"] for row in found))
    # The rows of an invoice come one after the other.
    assert [row["*InvoiceNumber"] for row in found] == sorted(
        (row["*InvoiceNumber"] for row in found), key=numbers.index
    )
    assert len(numbers) <= 500
    assert {row["Currency"] for row in found} == {re.findall(r"_([A-Z]{3})[_.]", file.name)[0]}
    return found


def cents(amount: str | Decimal) -> int:
    return int(Decimal(amount) * 100)


@pytest.mark.parametrize("seed", range(5))
def test_the_sums_are_those_of_the_journal(seed: int) -> None:
    """Net by account, tax, and what buyers owe. Planted: tax twice; a discount added; the side taken back left out."""
    lines = journal(seed, 300, ("EUR", "USD", "GBP"))
    accounts = chart(lines)
    net: Counter[tuple[str, str, str]] = Counter()
    tax: Counter[str] = Counter()
    files = xero_files(PERIOD, lines, accounts)
    for file in files:
        for row in read(file):
            net[row["Currency"], row["*AccountCode"], row["*TaxType"]] += cents(row["*UnitAmount"])
            tax[row["Currency"]] += cents(row["TaxAmount"])
    numbers = [number for file in files for number in {row["*InvoiceNumber"] for row in read(file)}]
    assert len(set(numbers)) == len(numbers), "Xero wants every number once, in whatever currency"
    expected_net: Counter[tuple[str, str, str]] = Counter()
    expected_tax: Counter[str] = Counter()
    owed: Counter[str] = Counter()
    for line in lines:
        amount = cents(line.credit - line.debit)
        if line.account_key in SOLD:
            account = accounts.by_combination[Combination(line.account_key, line.region, line.vat_rate)]
            expected_net[line.currency, account.account, account.tax_code] += amount
        if line.account_key == "output_vat":
            expected_tax[line.currency] += amount
        if line.account_key == "receivable":
            owed[line.currency] -= amount
    assert {key: value for key, value in net.items() if value} == {
        key: value for key, value in expected_net.items() if value
    }
    assert {key: value for key, value in tax.items() if value} == {
        key: value for key, value in expected_tax.items() if value
    }
    for currency, amount in owed.items():
        assert amount == tax[currency] + sum(value for key, value in net.items() if key[0] == currency)


def test_what_follows_a_sale_has_a_number_of_its_own_and_names_the_order() -> None:
    """A cancellation is a negative invoice: Xero makes a credit note of it. Planted: the number of the sale again."""
    lines = journal(11, 200)  # of one currency
    rows = [row for file in xero_files(PERIOD, lines, chart(lines)) for row in read(file)]
    events = {line.document: (line.event, line.entry_no) for line in lines}
    for row in rows:
        event, entry_no = events[row["Reference"]]
        expected = row["Reference"] if event == "sale" else f"{row['Reference']}-{entry_no}"
        assert row["*InvoiceNumber"] == expected
    cancelled = {document for document, (event, _) in events.items() if event == "cancellation"}
    of_cancelled: Counter[str] = Counter()
    for row in rows:
        if row["Reference"] in cancelled:
            of_cancelled[row["Reference"]] += cents(row["*UnitAmount"]) + cents(row["TaxAmount"])
    taken_back = Counter[str]()
    for line in lines:
        if line.document in cancelled and line.account_key == "receivable":
            assert line.is_reversal
            taken_back[line.document] += cents(line.debit - line.credit)
    assert of_cancelled == taken_back
    assert sum(amount < 0 for amount in taken_back.values()) > 10


def test_a_change_is_what_differs() -> None:
    """Of a credit of 1.00 given later, one row: what was the same before and after is left out."""
    (line, *_) = [line for line in journal(1, 1) if line.account_key == "receivable"]
    tax = {"country_code": "DE", "region": "home", "vat_rate": Decimal(19), "tax_kind": "standard"}
    home = replace(line, event="correction", entry_no=7, corrects_period=None, **tax)  # type: ignore[arg-type]
    sides = (
        (True, {"receivable": "119", "sales_goods": "-100", "output_vat": "-19"}),
        (False, {"receivable": "-117.81", "sales_goods": "100", "discounts": "-1", "output_vat": "18.81"}),
    )
    lines = [
        replace(home, is_reversal=is_reversal, account_key=AccountKey(key), debit=max(-Decimal(amount), Decimal(0)),
                credit=max(Decimal(amount), Decimal(0)))
        for is_reversal, amounts in sides
        for key, amount in amounts.items()
    ]  # fmt: skip
    (file,) = xero_files(PERIOD, lines, chart(lines))
    (row,) = read(file)
    assert (row["*UnitAmount"], row["TaxAmount"], row["*InvoiceNumber"]) == ("-1.00", "-0.19", "BL-30000001-7")
    assert row["*Description"] == "Discount BL-30000001 DE correction"


def test_more_invoices_than_xero_takes_become_several_files() -> None:
    """Each invoice in one of them, and each currency by itself. Planted: 501 in a file."""
    lines = journal(13, 1_150, ("EUR", "EUR", "EUR", "USD"))
    files = xero_files(PERIOD, lines, chart(lines))
    assert [file.name for file in files] == [
        "xero_2026-09_EUR_1.csv", "xero_2026-09_EUR_2.csv", "xero_2026-09_USD.csv",
    ]  # fmt: skip
    numbers = [{row["*InvoiceNumber"] for row in read(file)} for file in files]
    assert len(numbers[0]) == xero.MOST_INVOICES == 500
    assert not numbers[0] & numbers[1]


def test_texts_are_written_as_they_are() -> None:
    """Names of tax rates are compared letter by letter. Planted: an apostrophe before a text; another encoding."""
    lines = journal(2, 30)
    words = ' "VAT", Erlöse; 1 = 1 🧱'
    rows = [row for file in xero_files(PERIOD, lines, chart(lines, words)) for row in read(file)]
    assert all(row["*TaxType"].endswith(f"{words})") for row in rows)


def test_a_period_without_lines_has_no_file() -> None:
    assert xero_files(PERIOD, [], Accounts({})) == []


def test_an_account_without_a_tax_rate_is_named() -> None:
    lines = journal(2, 30)
    accounts = chart(lines)
    assert xero.without_tax_code(lines, accounts) == []
    bare = {each: Account(account.account, "") for each, account in accounts.by_combination.items()}
    assert {line.account_key for line in xero.without_tax_code(lines, Accounts(bare))} <= SOLD

"""DATEV files, read back by the rules of developer.datev.de: DATEV-Format, Header and Buchungsstapel."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import Any

import pytest

from bl_pipeline.books import datev
from bl_pipeline.books.accounts import Account, Accounts, Combination
from bl_pipeline.books.datev import DatevHeader, datev_files, year_start
from bl_pipeline.books.export_lines import ExportFile, UnbalancedEntry
from bl_pipeline.books.journal import AccountKey, EntryEvent, JournalLine, Region, TaxKind
from bl_pipeline_tests.support.journal_lines import PERIOD, cells, journal, numbered_accounts, totals

HEADER = DatevHeader(29098, 55003, date(2026, 1, 1), 4)
NOW = datetime(2026, 10, 5, 14, 4, 40, 439_000, tzinfo=UTC)
RATES = {"USD": Decimal("1.1740"), "AUD": Decimal("1.6512"), "GBP": Decimal("0.8345"), "IDR": Decimal(17_000)}

# The rules for the header, field by field, and for the fields of a record that may have a value.
HEADER_RULES = [
    r'"EXTF"', "700", "21", '"Buchungsstapel"', "13", r"20\d{15}", "", '"[A-Z]{2}"', r'"\w{0,25}"', r'"\w{0,25}"',
    r"(\d{4,6}|\d{7})", r"\d{1,5}", r"20\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", "[4-8]",
    r"20\d{2}(0[1-9]|1[0-2])01", r"20\d{2}(0[1-9]|1[0-2])(28|29|30|31)", '"(?:[^"]|""){0,30}"', '"([A-Z]{2})?"', "[12]",
    "0|30|40|50|64", "[01]", '"[A-Z]{3}"', "", '""', "", "", r'"(\d{2})?"', "", "", '""', '".{0,16}"',
]  # fmt: skip
RECORD_RULES = {
    1: r"\d{1,10},\d{2}", 2: '"[SH]"', 3: '"[A-Z]{3}"', 4: r"([1-9]\d{0,3},\d{2,6})?", 5: r"(\d{1,10},\d{2})?",
    6: '("[A-Z]{3}")?', 7: r"\d{1,9}", 8: r"\d{1,9}", 9: r'"(\d{4})?"', 10: r"\d{4}", 11: r'"[\w$%\-/]{0,36}"',
    14: '"(?:[^"]|""){0,60}"', 40: r'"([A-Z]{2})?"', 41: r"(\d{2},\d{2}|\d,\d{2})?",
}  # fmt: skip


@dataclass(frozen=True)
class Record:
    """A record of a file, as DATEV takes it."""

    amount: Decimal
    currency: str
    base: Decimal | None
    account: str
    contra: str
    code: str
    day: date
    document: str
    text: str
    country: str
    rate: str


def read(file: ExportFile) -> tuple[list[str], list[Record]]:
    """The header and the records of a file, each field of which keeps its rule."""
    text = file.content.decode("cp1252")
    assert re.fullmatch(r"EXTF_[\w-]+\.csv", file.name)
    header, names, *rows = cells(text, ";")
    written = ['"{}"'.format(value.replace('"', '""')) if quoted else value for value, quoted in header]
    assert len(written) == len(HEADER_RULES) == 31
    for number, (value, rule) in enumerate(zip(written, HEADER_RULES, strict=True), start=1):
        assert re.fullmatch(rule, value), (number, value)
    assert len(names) == 125
    assert [names[place][0] for place in (0, 6, 9, 39, 113, 124)] == [
        "Umsatz (ohne Soll/Haben-Kz)", "Konto", "Belegdatum", "EU-Land u. UStID (Bestimmung)", "Festschreibung",
        "Abw. Skontokonto",
    ]  # fmt: skip
    first, last = (datetime.strptime(header[place][0], "%Y%m%d").replace(tzinfo=UTC).date() for place in (14, 15))
    records = []
    for row in rows:
        assert len(row) == 125
        fields = ['"{}"'.format(value.replace('"', '""')) if quoted else value for value, quoted in row]
        for number, value in enumerate(fields, start=1):
            assert re.fullmatch(RECORD_RULES.get(number, ""), value), (number, value)
        assert (row[3][0] == "") == (row[4][0] == "") == (row[5][0] == "") == (row[2][0] == header[21][0])
        day = date(first.year, int(row[9][0][2:]), int(row[9][0][:2]))
        assert first <= day <= last, "a day outside of the period"
        amount = number_of(row[0][0])
        assert amount > 0
        records.append(
            Record(
                amount if row[1][0] == "S" else -amount, row[2][0], number_of(row[4][0]) if row[4][0] else None,
                row[6][0], row[7][0], row[8][0], day, row[10][0], row[13][0], row[39][0], row[40][0],
            )
        )  # fmt: skip
    assert 0 < len(records) <= 99_999
    return [value for value, _ in header], records


def number_of(written: str) -> Decimal:
    """An amount with a decimal comma."""
    return Decimal(written.replace(",", "."))


def files_of(lines: list[JournalLine], accounts: Accounts, store: str = "main", **changed: object) -> list[ExportFile]:
    """The files of the month."""
    header = replace(HEADER, **changed)  # type: ignore[arg-type]
    return datev_files(store, PERIOD, lines, accounts, header, RATES, NOW)


def records_of(lines: list[JournalLine], accounts: Accounts) -> list[Record]:
    return [record for file in files_of(lines, accounts) for record in read(file)[1]]


@pytest.mark.parametrize("seed", range(5))
def test_the_sums_are_those_of_the_journal(seed: int) -> None:
    """Receivables, and what stands against them with VAT, by region, rate and currency.

    Planted: VAT left out, or taken from the whole entry for both sides of a change; H and S exchanged; a record of 0.
    """
    lines = journal(seed, 300, ("EUR", "EUR", "USD", "AUD"))
    accounts = numbered_accounts(lines)
    records = records_of(lines, accounts)
    by_number = {account.account: each for each, account in accounts.by_combination.items()}
    debtors: Counter[object] = Counter()
    against: Counter[object] = Counter()
    for record in records:
        debtor, contra = by_number[record.account], by_number[record.contra]
        assert debtor.account_key == "receivable"
        assert contra.account_key != "receivable"
        cents = int(record.amount * 100)
        debtors[debtor.region, debtor.vat_rate, record.currency] += cents
        against[contra.region, contra.vat_rate, record.currency] += cents
        code = accounts.by_combination[contra].tax_code
        assert record.code == (code.zfill(4) if code else "")
    receivables = Counter({key: -cents for key, cents in totals(lines, "receivable").items()})
    sold = totals(
        lines, "sales_goods", "sales_shipping", "sales_charges", "discounts", "sales_tax_payable", "output_vat"
    )
    assert without_zeros(debtors) == without_zeros(receivables)
    assert without_zeros(against) == without_zeros(sold)


def without_zeros(counted: Mapping[Any, int]) -> dict[Any, int]:
    return {key: cents for key, cents in counted.items() if cents}


def test_a_sale_is_one_record_with_its_vat() -> None:
    """Goods, shipping and a discount of one account: 119.00, out of which DATEV takes the VAT."""
    (line,) = [line for line in journal(1, 1) if line.account_key == "receivable"]
    home = replace(
        line, event=EntryEvent.SALE, country_code="DE", region=Region.HOME, vat_rate=Decimal(19),
        tax_kind=TaxKind.STANDARD, special_territory=None, corrects_period=None, booking_date=date(2026, 9, 3),
    )  # fmt: skip
    lines = [
        replace(home, account_key=AccountKey(key), debit=Decimal(debit), credit=Decimal(credit))
        for key, debit, credit in (
            ("receivable", "119.00", "0"), ("sales_goods", "0", "96.00"), ("sales_shipping", "0", "5.00"),
            ("discounts", "1.00", "0"), ("output_vat", "0", "19.00"),
        )
    ]  # fmt: skip
    accounts = Accounts(
        {
            Combination(AccountKey.RECEIVABLE, None, None): Account("10000", ""),
            **{
                Combination(AccountKey(key), None, None): Account("8400", "")
                for key in ("sales_goods", "sales_shipping", "discounts")
            },
        }
    )
    (record,) = records_of(lines, accounts)
    assert record == Record(
        Decimal("119.00"), "EUR", None, "10000", "8400", "", date(2026, 9, 3), "BL-30000001",
        "BrickLink 30000001 DE", "", "",
    )  # fmt: skip


def test_a_sale_in_the_one_stop_shop_names_country_and_rate() -> None:
    """And no other does. Planted: Greece as GR; the rate of an export."""
    lines = journal(7, 200)
    accounts = numbered_accounts(lines)
    seen = {(record.country, record.rate) for record in records_of(lines, accounts)}
    assert seen == {("", ""), ("FR", "20,00"), ("EL", "24,00"), ("XI", "20,00"), ("LU", "8,10")}


def test_a_foreign_currency_has_its_rate_and_its_amount_in_euro() -> None:
    lines = journal(3, 100, ("EUR", "USD"))
    accounts = numbered_accounts(lines)
    foreign = [record for record in records_of(lines, accounts) if record.currency == "USD"]
    assert foreign
    for record in foreign:
        assert record.base == (abs(record.amount) / RATES["USD"]).quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert datev.foreign_currencies(lines) == ["USD"]
    with pytest.raises(KeyError):
        datev_files("main", PERIOD, lines, accounts, HEADER, {}, NOW)


@pytest.mark.parametrize("currency", ["GBP", "IDR"])
def test_a_rate_that_datev_has_no_field_for_is_applied(currency: str) -> None:
    """DATEV's rates begin with 1 and have four digits: other amounts are in euro, and the text has what was paid.

    Planted: the rate written as it is; a record of 0.00 euro.
    """
    lines = journal(3, 100, (currency,))
    accounts = numbered_accounts(lines)
    records = records_of(lines, accounts)
    assert {(record.currency, record.base) for record in records} == {("EUR", None)}
    for record in records:
        paid = number_of(re.fullmatch(rf"{currency} (-?\d+,\d\d): BrickLink .*", record.text)[1])  # type: ignore[index]
        assert record.amount == (paid / RATES[currency]).quantize(Decimal("0.01"), ROUND_HALF_UP)
    if currency == "IDR":
        assert {line.document for line in lines} > {record.document for record in records}, "less than half a cent"


@pytest.mark.parametrize(("credit", "documents"), [("9999999999.99", []), ("10000000000.00", ["first"])])
def test_an_amount_that_datev_does_not_read_is_named(credit: str, documents: list[str]) -> None:
    lines = [replace(journal(3, 1)[0], document=name, debit=Decimal(0)) for name in ("first", "first", "second")]
    lines[:2] = [replace(line, credit=Decimal(credit)) for line in lines[:2]]
    assert datev.too_large(lines) == documents


def test_too_many_records_become_several_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """No entry is split. Planted: the limit exceeded by one; the last file left out."""
    monkeypatch.setattr(datev, "MOST_RECORDS", 50)
    lines = journal(5, 120)
    accounts = numbered_accounts(lines)
    files = files_of(lines, accounts)
    read_back = [read(file)[1] for file in files]
    assert [file.name for file in files] == [
        f"EXTF_Buchungsstapel_2026-09_{number}.csv" for number in range(1, len(files) + 1)
    ]
    assert len(files) > 4
    assert max(map(len, read_back)) <= 50
    documents = [{record.document for record in records} for records in read_back]
    assert all(not left & right for left, right in pairwise(documents))
    monkeypatch.undo()
    (whole,) = files_of(lines, accounts)
    assert whole.name == "EXTF_Buchungsstapel_2026-09.csv"
    assert read(whole)[1] == [record for records in read_back for record in records]


def test_the_limit_is_datevs() -> None:
    assert datev.MOST_RECORDS == 99_999


@pytest.mark.parametrize(
    ("store", "label"),
    [
        ("main", "BrickLink 2026-09 main"),
        ('a;"b"', 'BrickLink 2026-09 a;"b"'),
        ("Jürgens Stöße €", "BrickLink 2026-09 Jürgens Stöß"),
        ("ŁódźÀ🧱č", "BrickLink 2026-09 ?ódzÀ?c"),
        ("e\u0301t\ne", "BrickLink 2026-09 ét e"),
        ('""""""""""""""""', 'BrickLink 2026-09 """"""""""""'),
    ],
)
def test_any_name_of_a_store_is_written(store: str, label: str) -> None:
    """Planted: a sign that the encoding lacks ends the export; a name cut between two quotes; a quote not doubled."""
    lines = journal(2, 3)
    (file,) = files_of(lines, numbered_accounts(lines), store)
    assert read(file)[0][16] == label


def test_the_header_has_the_numbers_and_the_days() -> None:
    lines = journal(2, 3)
    (file,) = files_of(lines, numbered_accounts(lines), account_length=6, year_start=date(2026, 7, 1))
    header, _ = read(file)
    assert [header[place] for place in (5, 10, 11, 12, 13, 14, 15)] == [
        "20261005140440439", "29098", "55003", "20260701", "6", "20260901", "20260930",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("period", "begins", "expected"),
    [
        (date(2026, 9, 1), (1, 1), date(2026, 1, 1)),
        (date(2026, 1, 1), (1, 1), date(2026, 1, 1)),
        (date(2026, 9, 1), (10, 1), date(2025, 10, 1)),
        (date(2026, 10, 1), (10, 1), date(2026, 10, 1)),
    ],
)
def test_the_business_year_is_the_one_of_the_period(period: date, begins: tuple[int, int], expected: date) -> None:
    assert year_start(period, *begins) == expected


def test_a_period_without_lines_has_no_file() -> None:
    assert files_of([], Accounts({})) == []


def test_accounts_that_are_no_numbers_are_named() -> None:
    lines = [line for line in journal(4, 40) if line.region == "home"]
    accounts = numbered_accounts(lines)
    assert datev.wrong_accounts(lines, accounts, 4) == []
    goods = Combination(AccountKey.SALES_GOODS, Region.HOME, Decimal(19))
    for account, said in (
        (Account("Sales", ""), "sales_goods,home,19: account 'Sales' is no number of up to 5 digits"),
        (Account("840000", ""), "sales_goods,home,19: account '840000' is no number of up to 5 digits"),
        (Account("0", ""), "sales_goods,home,19: account '0' is no number of up to 5 digits"),
        (Account("٨٤٠٠", ""), "sales_goods,home,19: account '٨٤٠٠' is no number of up to 5 digits"),
        (Account("8400", "USt19"), "sales_goods,home,19: tax_code 'USt19' is no BU-Schlüssel of up to 4 digits"),
    ):
        assert datev.wrong_accounts(lines, Accounts({**accounts.by_combination, goods: account}), 4) == [said]


def test_an_entry_that_does_not_balance_is_never_written() -> None:
    lines = journal(6, 5)
    accounts = numbered_accounts(lines)
    broken = [replace(line, debit=line.debit + 1) if place == 0 else line for place, line in enumerate(lines)]
    with pytest.raises(UnbalancedEntry, match="Entry 1 of the journal"):
        files_of(broken, accounts)

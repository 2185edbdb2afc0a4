"""accounts.csv: the template, what is read of a filled one, and which of its lines wins."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from bl_pipeline.books.accounts import Account, Combination, parse_accounts, template
from bl_pipeline.books.csv_tables import FileErrors
from bl_pipeline.books.export_lines import shared_out
from bl_pipeline.books.journal import AccountKey, JournalLine, Region
from bl_pipeline_tests.support.journal_lines import journal

HEADER = "account_key,region,vat_rate,account,tax_code\n"
FILLED = (
    HEADER
    + "sales_goods,,,8000,\nsales_goods,,19,8019,\nsales_goods,home,,8100,\nsales_goods,home,19.00,8119,3\n"
    + "sales_goods,third,,8200,\ndiscounts,eu,,8700,\nreceivable,,,10000,\n"
)


@pytest.fixture
def line() -> JournalLine:
    """A line of goods sold at home, at 19 %."""
    (line, *_) = journal(1, 1)
    return replace(line, account_key=AccountKey.SALES_GOODS, region=Region.HOME, vat_rate=Decimal(19))


@pytest.mark.parametrize(
    ("region", "rate", "account"),
    [
        ("home", Decimal("19.0000"), Account("8119", "3")),
        ("home", Decimal(7), Account("8100", "")),
        ("home", None, Account("8100", "")),
        ("eu", Decimal(19), Account("8019", "")),
        ("third", Decimal(19), Account("8200", "")),
        ("unclear", None, Account("8000", "")),
    ],
)
def test_the_most_specific_line_wins(region: str, rate: Decimal | None, account: Account, line: JournalLine) -> None:
    """In whatever order they are. Planted: the first that fits; the rate before the region."""
    head, *rows = FILLED.splitlines()
    for order in (rows, rows[::-1]):
        accounts = parse_accounts("\n".join([head, *order, ""]).encode())
        assert accounts.find(replace(line, region=Region(region), vat_rate=rate)) == account


def test_what_has_no_account_is_named_once_in_the_order_of_the_template(line: JournalLine) -> None:
    accounts = parse_accounts(FILLED.encode())
    lines = [
        replace(line, account_key=AccountKey(key), region=Region(region), vat_rate=rate)
        for key in ("output_vat", "discounts", "sales_goods")
        for region in ("third", "home", "eu")
        for rate in (Decimal(19), Decimal("8.10"), None)
    ]
    assert list(map(str, accounts.unmapped(lines + lines))) == [
        "discounts,home,", "discounts,home,8.1", "discounts,home,19", "discounts,third,", "discounts,third,8.1",
        "discounts,third,19", "output_vat,home,", "output_vat,home,8.1", "output_vat,home,19", "output_vat,eu,",
        "output_vat,eu,8.1", "output_vat,eu,19", "output_vat,third,", "output_vat,third,8.1", "output_vat,third,19",
    ]  # fmt: skip


def test_the_template_has_each_combination_once_and_is_read_when_it_is_filled() -> None:
    lines = journal(3, 100)
    each = [Combination(line.account_key, line.region, line.vat_rate) for line in lines]
    written = template(each)
    head, *rows = written.splitlines()
    assert head == HEADER.strip()
    assert len(rows) == len(set(rows)) == len(set(each))
    assert rows[0].startswith("receivable,home,19,,")
    assert [row for row in rows if row.startswith("sales_goods,eu")] == [
        "sales_goods,eu,8.1,,", "sales_goods,eu,20,,", "sales_goods,eu,24,,",
    ]  # fmt: skip
    assert parse_accounts(written.encode()).by_combination == {}
    filled = "\n".join([head, *(f"{row[:-1]}4000,7" for row in rows), ""])
    assert parse_accounts(filled.encode()).unmapped(lines) == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252"])
def test_what_a_german_spreadsheet_writes_is_read(encoding: str) -> None:
    """Planted: a decimal comma in a file with commas; Windows-1252 refused."""
    content = "account_key;region;vat_rate;account;tax_code\r\n"
    content += "sales_goods;eu;8,1;Erlöse, EU;\r\nsales_goods;home;19;8400;3\r\n"
    assert parse_accounts(content.encode(encoding)).by_combination == {
        Combination(AccountKey.SALES_GOODS, Region.EU, Decimal("8.1")): Account("Erlöse, EU", ""),
        Combination(AccountKey.SALES_GOODS, Region.HOME, Decimal(19)): Account("8400", "3"),
    }
    with pytest.raises(FileErrors, match=r"line 2: vat_rate: '8,1,0' is no rate in per cent such as 19 or 8,1"):
        parse_accounts(content.replace("8,1", "8,1,0").encode())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("goods,,,8400,", "account_key: 'goods' is none of: receivable, sales_goods"),
        (",,,8400,", "account_key: '' is none of: receivable"),
        ("sales_goods,DE,,8400,", "region: 'DE' is none of: home, eu, third, unclear"),
        ('sales_goods,home,"19,0",8400,', "vat_rate: '19,0' is no rate in per cent such as 19 or 8.1, with a point"),
        ("sales_goods,home,19%,8400,", "vat_rate: '19%' is no rate"),
        ("sales_goods,home,NaN,8400,", "vat_rate: 'NaN' is no rate"),
        ("sales_goods,home,-1,8400,", "vat_rate: '-1' is no rate"),
        ("sales_goods,home,19.0,8401,", "sales_goods,home,19 is in an earlier line already."),
        ("sales_goods,home,8400", "it has 3 values, and the header has 5 columns."),
    ],
)
def test_a_faulty_line_is_named(row: str, message: str) -> None:
    with pytest.raises(FileErrors) as caught:
        parse_accounts(f"{HEADER}sales_goods,home,19,8400,\n{row}\n".encode())
    (error,) = caught.value.errors
    assert error.line == 3
    assert error.message.startswith(message)


@pytest.mark.parametrize(
    ("amount", "weights", "shares"),
    [
        ("19.00", ["96", "5", "-1"], ["18.24", "0.95", "-0.19"]),
        ("0.01", ["1", "1", "1"], ["0.01", "0", "0"]),
        ("-0.02", ["1", "1", "0.9"], ["-0.01", "-0.01", "0"]),
        ("1", [], []),
        ("1.00", ["5", "-5"], ["1.00", "0"]),
        ("0", ["5", "7"], ["0", "0"]),
    ],
)
def test_an_amount_is_shared_out_to_the_cent(amount: str, weights: list[str], shares: list[str]) -> None:
    """Planted: each share rounded by itself, so that a cent is lost or made."""
    assert shared_out(Decimal(amount), list(map(Decimal, weights))) == list(map(Decimal, shares))

"""QuickBooks Online's journal entries, read back as its import guide describes them."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from bl_pipeline.books import quickbooks
from bl_pipeline.books.accounts import Account, Accounts, Combination
from bl_pipeline.books.export_lines import ExportFile
from bl_pipeline.books.journal import JournalLine
from bl_pipeline.books.quickbooks import quickbooks_files
from bl_pipeline_tests.support.journal_lines import PERIOD, cells, journal

COLUMNS = ["JournalNo", "JournalDate", "AccountName", "Debits", "Credits", "Description", "Name", "Currency"]


def chart(lines: list[JournalLine]) -> Accounts:
    """Names as QuickBooks has them: a parent and an account below it; two accounts of the journal share one."""
    return Accounts(
        {
            Combination(line.account_key, None, None): Account(f'Marketplace:"{name}" Erlöse, 🧱', "")
            for line in lines
            for name in [{"sales_charges": "sales_shipping"}.get(line.account_key, line.account_key)]
        }
    )


def read(file: ExportFile) -> list[dict[str, str]]:
    """The rows of a file, each of which QuickBooks would take; every journal is balanced."""
    head, *rows = cells(file.content.decode("utf-8"), ",")
    assert [name for name, _ in head] == COLUMNS
    balance: Counter[str] = Counter()
    found = []
    for row in rows:
        values = dict(zip(COLUMNS, (value for value, _ in row), strict=True))
        day = datetime.strptime(values["JournalDate"], "%m/%d/%Y").replace(tzinfo=UTC).date()
        assert day.replace(day=1) == PERIOD
        assert len(values["JournalNo"]) <= 21
        # One of the two is empty, and the other one positive.
        sides = [values["Debits"], values["Credits"]]
        assert sorted(bool(side) for side in sides) == [False, True]
        assert all(re.fullmatch(r"\d+\.\d{2}", side) and Decimal(side) > 0 for side in sides if side)
        balance[values["JournalNo"]] += cents(values["Debits"]) - cents(values["Credits"])
        found.append(values)
    assert found
    assert set(balance.values()) == {0}
    return found


def cents(amount: str) -> int:
    return int(Decimal(amount or 0) * 100)


@pytest.mark.parametrize("seed", range(5))
def test_the_sums_are_those_of_the_journal(seed: int) -> None:
    """Debits and credits of every account. Planted: an account left out; debits and credits taken together; the number
    of a day the same in two currencies; amounts of every currency as if in the first."""
    lines = journal(seed, 300, ("EUR", "USD"))
    accounts = chart(lines)
    sums: Counter[object] = Counter()
    days: set[tuple[str, str]] = set()
    numbers: set[str] = set()
    for file in quickbooks_files(PERIOD, lines, accounts):
        currency = re.findall(r"_([A-Z]{3})[_.]", file.name)[0]
        for row in read(file):
            sums[currency, row["AccountName"], "debit"] += cents(row["Debits"])
            sums[currency, row["AccountName"], "credit"] += cents(row["Credits"])
            assert row["Currency"] == currency
            days.add((currency, row["JournalDate"]))
            numbers.add(row["JournalNo"])
            is_receivable = "receivable" in row["AccountName"]
            assert row["Name"] == ("BrickLink buyers" if is_receivable else "")
    expected: Counter[object] = Counter()
    for line in lines:
        name = accounts.by_combination[Combination(line.account_key, None, None)].account
        expected[line.currency, name, "debit"] += int(line.debit * 100)
        expected[line.currency, name, "credit"] += int(line.credit * 100)
    assert {key: amount for key, amount in sums.items() if amount} == {
        key: amount for key, amount in expected.items() if amount
    }
    # One entry a day and currency, each with a number of its own.
    assert len(numbers) == len(days) == len({(line.currency, line.booking_date) for line in lines})


def test_a_large_month_becomes_several_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """No day is split: each file is balanced. Planted: a day over two files."""
    monkeypatch.setattr(quickbooks, "MOST_ROWS", 150)
    lines = journal(4, 200)
    files = quickbooks_files(PERIOD, lines, chart(lines))
    read_back = [read(file) for file in files]
    assert len(files) > 2
    assert [file.name for file in files] == [
        f"quickbooks_2026-09_EUR_{number}.csv" for number in range(1, len(files) + 1)
    ]
    assert max(map(len, read_back)) <= 150
    monkeypatch.setattr(quickbooks, "MOST_ROWS", 100_000)
    (whole,) = quickbooks_files(PERIOD, lines, chart(lines))
    assert whole.name == "quickbooks_2026-09_EUR.csv"
    assert read(whole) == [row for rows in read_back for row in rows]


def test_a_period_without_lines_has_no_file() -> None:
    assert quickbooks_files(PERIOD, [], Accounts({})) == []

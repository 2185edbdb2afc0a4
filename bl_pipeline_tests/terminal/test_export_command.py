"""`bl export`: from closed months only, with accounts that are filled in; the files have what the closing has."""

from __future__ import annotations

import csv
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bl_pipeline_tests.support.journal_lines import cells
from bl_pipeline_tests.terminal.conftest import Bl, expect, json_of

DATEV = {"BL_DATEV_CONSULTANT": "29098", "BL_DATEV_CLIENT": "55003"}
Fill = Callable[..., Path]


@pytest.fixture
def month(synced_bl: Bl, database_url: str) -> str:
    """The month of which the journal has most; it is closed, and so are those before it."""
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "SELECT period FROM books.journal GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
        ).fetchone()
    assert found
    written = f"{found[0]:%Y-%m}"
    expect(synced_bl("close", written), 0)
    return written


@pytest.fixture
def fill(synced_bl: Bl, tmp_path: Path) -> Fill:
    """Fill accounts.csv in, as an accountant would, but for the accounts of some keys."""

    def filled(*, but: str = "", code: str = "") -> Path:
        path = tmp_path / "accounts.csv"
        expect(synced_bl("export", "accounts", "--to", str(tmp_path)), 0)
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        for number, row in enumerate(rows):
            row |= {"account": "" if row["account_key"] == but else str(4000 + number), "tax_code": code}
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        return path

    return filled


def closing_totals(url: str, month: str) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    """Debit and credit of each account when the month was closed."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT account_key, currency, debit, credit FROM books.closings JOIN books.closing_totals "
            "USING (closing_id) WHERE period = %s",
            [f"{month}-01"],
        ).fetchall()
    assert rows
    return {(key, currency): (debit, credit) for key, currency, debit, credit in rows}


def said(text: str) -> str:
    return " ".join(text.split())


def test_each_program_gets_the_totals_of_the_closing(
    synced_bl: Bl, month: str, fill: Fill, database_url: str, tmp_path: Path
) -> None:
    """What buyers owe. Planted: the lines of another month; an entry left out."""
    accounts, folder = fill(code="7"), tmp_path / "for the accountant"
    totals = closing_totals(database_url, month)
    (currency,) = {currency for _, currency in totals}
    debit, credit = totals["receivable", currency]
    exported: dict[str, list[list[str]]] = {}
    for target in ("datev", "xero", "quickbooks"):
        arguments = ["export", target, "--period", month, "--accounts", str(accounts), "--to", str(folder)]
        (file,) = json_of(expect(synced_bl(*arguments, "--json", **DATEV), 0))["files"]
        assert Path(file).parent == folder
        content = Path(file).read_bytes().decode("cp1252" if target == "datev" else "utf-8")
        exported[target] = [[value for value, _ in row] for row in cells(content, ";" if target == "datev" else ",")]
        shown = said(expect(synced_bl(*arguments, **DATEV), 0).stdout)
        assert f"Wrote {month} of store main, 1 file:" in shown
    owed = debit - credit
    header, _, *records = exported["datev"]
    assert header[10:12] == ["29098", "55003"]
    assert header[14] == f"{month.replace('-', '')}01"
    assert sum(Decimal(row[0].replace(",", ".")) * (1 if row[1] == "S" else -1) for row in records) == owed
    head, *rows = exported["xero"]
    unit, tax = head.index("*UnitAmount"), head.index("TaxAmount")
    assert sum(Decimal(row[unit]) + Decimal(row[tax]) for row in rows) == owed
    of_buyers = [row for row in exported["quickbooks"][1:] if row[6]]
    assert [sum(Decimal(row[place] or 0) for row in of_buyers) for place in (3, 4)] == [debit, credit]
    assert len(records) > 1


def test_an_export_says_of_how_many_orders_the_tax_is_unclear(
    synced_bl: Bl, month: str, fill: Fill, database_url: str, tmp_path: Path
) -> None:
    """Caught: the accountant got a VAT that may be wrong, and nothing said so. Planted: orders of every month."""
    arguments = ["export", "quickbooks", "--period", month, "--accounts", str(fill()), "--to", str(tmp_path)]
    with psycopg.connect(database_url) as connection:
        (unclear,) = connection.execute(
            "SELECT count(DISTINCT platform_order_id) FROM books.journal WHERE period = %s", [f"{month}-01"]
        ).fetchall()[0]
    expected = (
        f"The tax of {unclear} orders of this month is unclear, so its VAT may be wrong: bl report tax_orders says why."
    )
    assert expected in said(expect(synced_bl(*arguments), 0).stderr)
    assert "unclear" not in expect(synced_bl(*arguments, "--json"), 0).stdout


def test_files_of_an_earlier_export_are_named(synced_bl: Bl, month: str, fill: Fill, tmp_path: Path) -> None:
    """As of a month that was reopened, and has fewer invoices or currencies now. Planted: those of another month."""
    arguments = ["export", "xero", "--period", month, "--accounts", str(fill(code="7")), "--to", str(tmp_path)]
    for name in (f"xero_{month}_EUR_2.csv", f"quickbooks_{month}_EUR.csv", "xero_2019-01_EUR.csv"):
        (tmp_path / name).touch()
    refused = expect(synced_bl(*arguments), 0)
    assert f"no part of this one: xero_{month}_EUR_2.csv. Do not import them." in said(refused.stderr)
    (tmp_path / f"xero_{month}_EUR_2.csv").unlink()
    assert "no part of this one" not in expect(synced_bl(*arguments), 0).stderr


def test_a_month_that_is_open_is_refused(synced_bl: Bl, month: str, fill: Fill, tmp_path: Path) -> None:
    """Never closed, and reopened. Planted: any month that was ever closed."""
    accounts = str(fill(code="7"))
    arguments = ["export", "xero", "--accounts", accounts, "--to", str(tmp_path / "out"), "--period"]
    refused = said(expect(synced_bl(*arguments, "2031-01"), 2).stderr)
    assert "2031-01 of store main is not closed" in refused
    assert "bl close 2031-01" in refused
    expect(synced_bl("reopen", month), 0)
    assert f"bl close {month}" in expect(synced_bl(*arguments, month), 2).stderr
    assert not (tmp_path / "out").exists()


def test_a_closed_month_that_somebody_has_changed_is_refused(
    synced_bl: Bl, month: str, fill: Fill, database_url: str
) -> None:
    accounts = str(fill(code="7"))
    with psycopg.connect(database_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE books.journal SET debit = debit + 1 WHERE debit > 0")
    refused = expect(synced_bl("export", "xero", "--period", month, "--accounts", accounts), 2).stderr
    assert "is not as it was closed" in said(refused)


def test_a_combination_without_an_account_is_named(synced_bl: Bl, month: str, fill: Fill, tmp_path: Path) -> None:
    """Each one, and only what the program needs. Planted: lines without an account left out of the file."""
    accounts = str(fill(but="sales_shipping", code="7").rename(tmp_path / "chart.csv"))
    arguments = ["--period", month, "--accounts", accounts, "--to", str(tmp_path / "out")]
    for target in ("datev", "xero", "quickbooks"):
        refused = expect(synced_bl("export", target, *arguments, **DATEV), 2).stderr
        assert "sales_shipping,unclear" in refused
        assert "Complete them in" in said(refused)
        assert "chart.csv" in refused
        assert "sales_goods" not in refused
    assert not (tmp_path / "out").exists()


def test_xero_needs_a_tax_rate_and_datev_numbers(synced_bl: Bl, month: str, fill: Fill) -> None:
    accounts = fill()
    arguments = ["--period", month, "--accounts", str(accounts)]
    assert "have no tax_code" in said(expect(synced_bl("export", "xero", *arguments), 2).stderr)
    refused = said(expect(synced_bl("export", "datev", *arguments), 2).stderr)
    assert "BL_DATEV_CONSULTANT" in refused
    assert "BL_DATEV_CLIENT" in refused
    accounts.write_text(accounts.read_text().replace(",40", ",Sales 40"))
    refused = said(expect(synced_bl("export", "datev", *arguments, **DATEV), 2).stderr)
    assert "is no number of up to 5 digits" in refused


def test_datev_needs_the_rate_of_a_foreign_currency(
    synced_bl: Bl, month: str, fill: Fill, database_url: str, tmp_path: Path
) -> None:
    """Planted: a rate of 1 if none is given."""
    accounts = str(fill())
    expect(synced_bl("reopen", month), 0)
    with psycopg.connect(database_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE books.journal SET currency = 'USD'")
    expect(synced_bl("close", month), 0)
    arguments = ["export", "datev", "--period", month, "--accounts", accounts, "--to", str(tmp_path)]
    refused = said(expect(synced_bl(*arguments, **DATEV), 2).stderr)
    assert "has amounts in USD" in refused
    assert "--rate USD=..." in refused
    for wrong in ("USD=1,17", "USD", "USD=0", "USD=-1", "=1.17"):
        assert "is no rate such as USD=1.1740" in said(
            expect(synced_bl(*arguments, "--rate", wrong, **DATEV), 2).stderr
        )
    (file,) = json_of(expect(synced_bl(*arguments, "--rate", "usd=1.1740", "--json", **DATEV), 0))["files"]
    assert ";1,174000;" in Path(file).read_text("cp1252")
    refused = expect(synced_bl("export", "xero", "--period", month, "--rate", "USD=1.17"), 2).stderr
    assert "--rate is for DATEV only" in said(refused)


def test_accounts_are_written_once(synced_bl: Bl, month: str, fill: Fill, tmp_path: Path) -> None:
    """The accountant's work is never written over."""
    del month
    path = fill(code="7")
    filled = path.read_text()
    refused = said(expect(synced_bl("export", "accounts", "--to", str(tmp_path)), 2).stderr)
    assert "is there already, and is left as it is" in refused
    assert path.read_text() == filled


def test_a_month_without_entries(synced_bl: Bl) -> None:
    """It can be closed, and there is nothing to export."""
    expect(synced_bl("close", "2026-10"), 0)
    shown = expect(synced_bl("export", "datev", "--period", "2026-10"), 0).stdout
    assert "2026-10 of store main has no entries: there is nothing to export." in said(shown)
    assert json_of(expect(synced_bl("export", "xero", "--period", "2026-10", "--json"), 0)) == {"files": []}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sage", "--period", "2026-05"], "There is no export sage."),
        (["xero"], "Which month? Such as: bl export xero --period 2026-09"),
        (["xero", "--period", "September"], "'September' is no month of the years 1995 to 2099. Write it as 2026-09."),
        (["xero", "--period", "2026-13"], "'2026-13' is no month"),
        (["xero", "--period", "2026"], "'2026' is no month of the years 1995 to 2099. Write it as 2026-09."),
        (["xero", "--period", "9999-12"], "'9999-12' is no month of the years"),
        (["xero", "--period", "0001-01"], "'0001-01' is no month of the years"),
    ],
)
def test_wrong_usage_is_said(arguments: list[str], message: str, synced_bl: Bl) -> None:
    assert message in said(expect(synced_bl("export", *arguments), 2).stderr)


def test_a_missing_or_faulty_accounts_file_is_said(synced_bl: Bl, month: str, tmp_path: Path) -> None:
    arguments = ["export", "quickbooks", "--period", month, "--accounts"]
    refused: Any = said(expect(synced_bl(*arguments, str(tmp_path / "none.csv")), 2).stderr)
    assert "none.csv" in refused
    assert "accounts.csv" not in refused
    assert "bl export accounts" in refused
    faulty = tmp_path / "faulty.csv"
    faulty.write_text("account_key,region,vat_rate,account,tax_code\ngoods,,,1,\n")
    refused = said(expect(synced_bl(*arguments, str(faulty)), 2).stderr)
    assert "line 2: account_key: 'goods' is none of: receivable" in refused

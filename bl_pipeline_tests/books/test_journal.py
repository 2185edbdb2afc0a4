"""The journal against an independent one in plain Python, over random lives of a store's orders."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, text

from bl_pipeline.books.booking import book, is_behind
from bl_pipeline.books.closing import close, read_periods, reopen
from bl_pipeline.reports.taxes import set_taxes
from bl_pipeline.tax_settings import TaxRate, TaxSettings
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.support.journal_model import CENT, ZERO, Journal, Values, month_of, next_month
from bl_pipeline_tests.support.main_store import MAIN
from bl_pipeline_tests.support.order_lives import START, Lives, note_sync, set_zone, store_states
from bl_pipeline_tests.support.slow import some_slow
from bl_pipeline_tests.support.taxes import Taxes

Row = dict[str, Any]
Sums = dict[tuple[date, str], tuple[Decimal, Decimal]]
_RATES = tuple((country, date(2025, 1, 1), Decimal(rate)) for country, rate in (("DE", 19), ("FR", 20)))
TAXES = (
    None,
    Taxes("DE", oss=True, rates=(*_RATES, ("DE", date(2026, 10, 1), Decimal("19.5")))),
    Taxes("DE", source="bricklink"),
    Taxes("FR", scheme="small"),
)
"""The settings under which the lives are booked."""


def lines(connection: Connection, *, but: str = "") -> list[Row]:
    """The journal, line by line."""
    rows = connection.execute(text("SELECT * FROM books.journal ORDER BY store, entry_no, line_no")).mappings()
    return [{name: value for name, value in row.items() if name != but} for row in rows]


def figures(values: list[Values], zone: ZoneInfo) -> Sums:
    """Revenue and VAT by the month of the tax point and the currency."""
    found: dict[tuple[date, str], tuple[Decimal, Decimal]] = defaultdict(lambda: (ZERO, ZERO))
    for each in values:
        if each.counts and each.tax_point:
            key = (month_of(each.tax_point.astimezone(zone).date()), each.state.currency)
            revenue, vat = found[key]
            found[key] = (revenue + each.amounts["receivable"], vat + each.amounts["output_vat"])
    return found


def change_taxes(connection: Connection, taxes: Taxes | None, now: datetime) -> None:
    """Set other tax settings, as a sync does."""
    rates = tuple(TaxRate(country, rate, since) for country, since, rate in taxes.rates) if taxes else ()
    settings = TaxSettings(taxes.home, taxes.scheme, taxes.oss, taxes.source, rates) if taxes else None
    set_taxes(connection, "main", settings, now)


def check_balances(connection: Connection, journal: Journal) -> None:
    """Each entry is balanced, and each account that can be compared has what the orders say."""
    unbalanced = text("SELECT entry_no FROM books.journal GROUP BY entry_no HAVING sum(debit) <> sum(credit)")
    assert connection.scalars(unbalanced).all() == []
    mixed = text(
        "SELECT entry_no FROM books.journal WHERE NOT is_reversal GROUP BY 1 HAVING count(DISTINCT currency) > 1"
    )
    assert connection.scalars(mixed).all() == []
    balances = {
        (row.account_key, row.currency): row.balance
        for row in connection.execute(
            text("SELECT account_key, currency, sum(debit - credit) AS balance FROM books.journal GROUP BY 1, 2")
        )
    }
    expected: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    for values in journal.current():
        if values.counts:
            assert values.state.final_total.quantize(CENT, "ROUND_HALF_UP") == values.amounts["receivable"]
            expected["receivable", values.state.currency] += values.amounts["receivable"]
            expected["output_vat", values.state.currency] -= values.amounts["output_vat"]
            expected["sales_tax_payable", values.state.currency] -= values.amounts["sales_tax_payable"]
    for (account, currency), balance in balances.items():
        if account in ("receivable", "output_vat", "sales_tax_payable"):
            assert balance == expected[account, currency], (account, currency)
        if account == "marketplace_tax_clearing":
            assert balance == 0


def check_changes(connection: Connection, at_closing: dict[date, Sums], now: Sums) -> set[str]:
    """The movements of each closed month are its figures now less those at its closing; returns what happened."""
    changes: dict[tuple[date, str], list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    rows = connection.execute(text("SELECT * FROM reports.period_changes")).all()
    for row in rows:
        changes[row.period, row.currency][0] += row.revenue_movement
        changes[row.period, row.currency][1] += row.vat_movement
    for period, then in at_closing.items():
        for currency in ("EUR", "USD", "GBP"):
            before, after = then.get((period, currency), (ZERO, ZERO)), now.get((period, currency), (ZERO, ZERO))
            moved = [after[0] - before[0], after[1] - before[1]]
            assert changes.get((period, currency), [ZERO, ZERO]) == moved, (period, currency)
    return {row.what for row in rows}


@pytest.mark.parametrize("seed", some_slow(range(8), [3]))
def test_random_lives_are_booked_as_plain_python_books_them(seed: int, books: Warehouse) -> None:
    """With a month closed as soon as it is over. Planted: a batch that forgets the payment before it; an entry dated
    into a closed month; a rounding difference left out of the goods; a reversal with the new values; a currency that
    is no reason for an entry."""
    zone = ZoneInfo(["Europe/Berlin", "UTC", "America/New_York"][seed % 3])
    taxes = TAXES[seed % len(TAXES)]
    journal = Journal(zone, taxes)
    at_closing: dict[date, Sums] = {}
    kept: dict[date, list[Row]] = {}
    with books.engine.begin() as connection:
        set_zone(connection, zone.key)
        change_taxes(connection, taxes, START)
    events: set[str] = set()
    for at, states in Lives(seed).syncs():
        with books.engine.begin() as connection:
            store_states(connection, states)
            note_sync(connection, at)
            book(connection, "main", at)
            journal.see(states, booked_at=at)
            assert lines(connection) == journal.lines
            check_balances(connection, journal)
            period = next_month(journal.closed) if journal.closed else date(2026, 8, 1)
            if month_of(at.astimezone(zone).date()) > period:
                closed = close(connection, MAIN, period, at)
                assert closed[-1] == period
                journal.closed = period
                for each in closed:
                    at_closing[each] = figures(journal.current(), zone)
                    kept[each] = [line for line in lines(connection) if line["period"] == each]
            events |= check_changes(connection, at_closing, figures(journal.current(), zone))
    with books.engine.begin() as connection:
        found = lines(connection)
        for period, rows in kept.items():
            assert [line for line in found if line["period"] == period] == rows
        assert all(period.is_intact for period in read_periods(connection, "main") if period.is_closed)
    assert {line["event"] for line in found} == {"sale", "correction", "cancellation", "batch"}
    assert len(kept) >= 4
    assert any(line["corrects_period"] for line in found)
    assert len(events) > 4


@pytest.mark.parametrize(
    ("seed", "taxes", "zone"),
    [
        pytest.param(30, TAXES[1], "Europe/Berlin", marks=pytest.mark.slow),
        pytest.param(31, TAXES[3], "Europe/Berlin", marks=pytest.mark.slow),
        (66, TAXES[0], "America/Los_Angeles"),
        pytest.param(39, TAXES[3], "Asia/Tokyo", marks=pytest.mark.slow),
    ],
)
def test_other_settings_are_a_change_of_closed_months(
    seed: int, taxes: Taxes | None, zone: str, books: Warehouse
) -> None:
    """Also before they are booked, and of months that are closed afterwards. Planted: only answers that came after the
    closing looked at; the border of a month in today's time zone only; orders that are not booked yet left out."""
    journal = Journal(ZoneInfo("Europe/Berlin"), TAXES[0])
    at_closing: dict[date, Sums] = {}
    period, events = date(2026, 7, 1), set[str]()
    with books.engine.begin() as connection:
        set_zone(connection, journal.zone.key)
    for number, (at, states) in enumerate(Lives(seed, orders=40).syncs()):
        now = at + timedelta(minutes=1)
        with books.engine.begin() as connection:
            store_states(connection, states)
            note_sync(connection, at)
            book(connection, "main", now)
            journal.see(states, booked_at=now)
            if month_of(at.astimezone(journal.zone).date()) > period:
                for each in close(connection, MAIN, period, now):
                    at_closing[each] = figures(journal.current(), journal.zone)
                period = next_month(period)
            if number == 15:
                journal.taxes, journal.zone = taxes, ZoneInfo(zone)
                change_taxes(connection, taxes, now)
                connection.execute(text("UPDATE sync.stores SET timezone = :zone"), {"zone": zone})
            events |= check_changes(connection, at_closing, figures(journal.current(), journal.zone))
            assert number >= 15 or "recomputed" not in events
    assert "recomputed" in events
    assert len(at_closing) >= 4


@pytest.mark.parametrize("seed", [20, 21])
def test_all_at_once_is_booked_as_one_sync_after_the_other(seed: int, books: Warehouse) -> None:
    """And what was booked is the same after every order was looked at again. Planted: entries numbered by order."""
    lives = list(Lives(seed).syncs())
    for at, states in lives:
        with books.engine.begin() as connection:
            store_states(connection, states)
            book(connection, "main", at)
    at = lives[-1][0]
    with books.engine.begin() as connection:
        gradually = lines(connection, but="booked_at")
        connection.execute(
            text("INSERT INTO books.unbooked SELECT DISTINCT store, platform, platform_order_id FROM books.journal")
        )
        assert is_behind(connection, "main")
        assert book(connection, "main", at) == 0
        assert lines(connection, but="booked_at") == gradually
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("TRUNCATE books.journal, books.progress, books.unbooked"))
        connection.execute(text("SET LOCAL session_replication_role = origin"))
        connection.execute(text("UPDATE sales.order_status_history SET is_filed = true"))
        assert book(connection, "main", at) == gradually[-1]["entry_no"]
        assert lines(connection, but="booked_at") == gradually


def test_an_answer_that_is_read_otherwise_is_corrected_on_the_day_of_the_last_entry(books: Warehouse) -> None:
    """As after a rebuild by a release that reads more. Planted: only states after the last booked one compared; the
    day of the rebuild."""
    syncs = [each for each in Lives(3).syncs() if each[1]]
    with books.engine.begin() as connection:
        for at, states in syncs:
            store_states(connection, states)
            book(connection, "main", at)
        before = lines(connection)
        order_id = before[0]["platform_order_id"]
        last = before[-1]["entry_no"]
        booked_to = [line["booking_date"] for line in before if line["platform_order_id"] == order_id][-1]
        connection.execute(
            text("UPDATE sales.order_status_history SET country_code = 'XX' WHERE platform_order_id = :order_id"),
            {"order_id": order_id},
        )
        today = datetime(2027, 3, 5, 12, tzinfo=ZoneInfo("UTC"))
        written = book(connection, "main", today)
        new = [line for line in lines(connection) if line["entry_no"] > last]
    assert written == 1
    assert {(line["event"], line["booking_date"], line["seen_at"]) for line in new} == {
        ("correction", booked_to, today)
    }
    assert {line["country_code"] for line in new if not line["is_reversal"]} == {"XX"}


def test_booked_lines_cannot_be_changed(books: Warehouse) -> None:
    """Planted: no trigger on one of the tables; a trigger that lets a reopened month be closed by an UPDATE."""
    at, states = next(each for each in Lives(4).syncs() if any(state.paid_at for state in each[1]))
    with books.engine.begin() as connection:
        store_states(connection, states)
        note_sync(connection, datetime(2026, 12, 1, tzinfo=ZoneInfo("UTC")))
        book(connection, "main", at)
        now = datetime(2026, 12, 2, tzinfo=ZoneInfo("UTC"))
        close(connection, MAIN, date(2026, 10, 1), now)
        reopen(connection, MAIN, date(2026, 10, 1), now)
    for statement in (
        "UPDATE books.journal SET debit = debit + 1",
        "UPDATE books.journal SET period = '2026-01-01'",
        "DELETE FROM books.journal",
        "TRUNCATE books.journal",
        "UPDATE books.closings SET digest = 'x'",
        "UPDATE books.closings SET reopened_at = NULL WHERE reopened_at IS NOT NULL",
        "UPDATE books.closings SET reopened_at = now() WHERE reopened_at IS NOT NULL",
        "DELETE FROM books.closings",
        "UPDATE books.closing_totals SET debit = 0",
        "DELETE FROM books.closing_totals",
        "TRUNCATE books.closings, books.closing_totals",
    ):
        with pytest.raises(Exception, match="is append-only"), books.engine.begin() as connection:
            connection.execute(text(statement))

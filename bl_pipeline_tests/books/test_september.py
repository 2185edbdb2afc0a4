"""September as an accountant closes it in October, and what November makes of it: the worked month of docs/books.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bl_pipeline.books.closing import close, read_periods
from bl_pipeline.reports.reading import find_report
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.sandbox.order import Costs, SandboxOrder
from bl_pipeline.sync.rebuild import rebuild
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline_tests.conftest import Clock, Sync, sandbox_settings
from bl_pipeline_tests.support.main_store import MAIN
from bl_pipeline_tests.support.servers import TEMPLATE, Postgres
from bl_pipeline_tests.support.sessions import session_at

OCTOBER, NOVEMBER = datetime(2026, 10, 5, 9, tzinfo=UTC), datetime(2026, 11, 20, 9, tzinfo=UTC)
SEPTEMBER = date(2026, 9, 1)
CANCELLED, CREDITED, BATCHED, UNPAID_BUYER, SHIPPED, OPEN = range(30_000_001, 30_000_007)
DOCS = Path(__file__).parents[2] / "docs" / "books.md"
ZERO = Decimal("0.0000")
MOVED = {
    "order_date": (4868, 4088), "paid_date": (2991, 2011), "shipped_date": (1711, 1711), "tax_point": (2991, 2011),
    "items": (4868, 4118),
}  # fmt: skip
"""September as it is seen in October and in November: revenue by basis, and the price of the items by order date."""
BY_BASIS = (
    "revenue_by_day", "revenue_by_month", "revenue_by_country", "revenue_by_payment_method", "revenue_dates",
    "tax_by_rate_and_country", "tax_return",
)  # fmt: skip
OF_ITEMS = (
    "revenue_items", "revenue_by_item", "revenue_by_item_type", "revenue_by_category", "revenue_by_color",
    "revenue_by_condition",
)  # fmt: skip


def order(template: SandboxOrder, order_id: int, day: int, price: str, status: str, *, paid: bool) -> SandboxOrder:
    """An order of one lot, placed on a day of September; paid the day after. 19 % VAT is in its price."""
    placed = datetime(2026, 9, day, 10, tzinfo=UTC)
    paid_at = placed + timedelta(days=1) if paid else None
    lot = template.lots[0]._replace(quantity=1, unit_price=Decimal(price), unit_price_final=Decimal(price))
    return replace(
        template,
        order_id=order_id,
        date_ordered=placed,
        date_status_changed=paid_at or placed,
        status=status,
        is_filed=False,
        batches=((lot,),),
        currency="EUR",
        disp_currency="EUR",
        costs=Costs(ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, Decimal(19)),
        payment=template.payment._replace(date_paid=paid_at, status="Received" if paid else "None"),
        shipping=template.shipping._replace(
            date_shipped=placed + timedelta(days=2) if status == "SHIPPED" else None,
            address=template.shipping.address._replace(country_code="DE", postal_code="10115"),
        ),
        sales_tax_collected_by_bl=False,
        vat_collected_by_bl=False,
    )


class September:
    """The store, and the warehouse that is synced with it."""

    def __init__(self, store: Store, sync: Sync, warehouse: Warehouse) -> None:
        self.store, self.sync, self.warehouse = store, sync, warehouse

    def rows(self, statement: str) -> list[Any]:
        """What a query finds."""
        with self.warehouse.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    def revenue(self, basis: str, month: str = "2026-09-01") -> Decimal:
        """A month's revenue in the reports."""
        where = f"basis = '{basis}' AND month = '{month}'"
        return sum((row[0] for row in self.rows(f"SELECT revenue FROM reports.revenue_by_month WHERE {where}")), ZERO)

    def by_report(self, as_of: str = "") -> dict[tuple[str, str], Decimal]:
        """September in each report with a month or a day, by report and basis; or as known at a moment."""

        def column(name: str, rows: str) -> Decimal:
            day = "day" if find_report(name).has("day") else "month"
            source = f"reports.{name}_as_of('{as_of}')" if as_of else f"reports.{name}"
            where = f"WHERE {day} BETWEEN '2026-09-01' AND '2026-09-30' {rows}"
            return sum((row[0] for row in self.rows(f"SELECT {self._amount(name)} FROM {source} {where}")), ZERO)

        bases = [basis for basis in MOVED if basis != "items"]
        steps = {basis: f"AND step LIKE '{number}0 %'" for number, basis in enumerate(bases, 1)}
        return {
            **{(name, basis): column(name, f"AND basis = '{basis}'") for name in BY_BASIS for basis in bases},
            **{("bases_reconciliation", basis): column("bases_reconciliation", steps[basis]) for basis in bases},
            ("new_and_returning_buyers", "order_date"): column("new_and_returning_buyers", ""),
            **{(name, "items"): column(name, "") for name in OF_ITEMS},
        }

    @staticmethod
    def _amount(name: str) -> str:
        return "items_total" if name in OF_ITEMS else "revenue"

    def booked(self, period: str, account: str = "receivable") -> Decimal:
        """What an account has in a month of the journal."""
        where = f"period = '{period}' AND account_key = '{account}'"
        return sum((row[0] for row in self.rows(f"SELECT debit - credit FROM reports.journal WHERE {where}")), ZERO)

    def november(self) -> None:
        """One order is cancelled, one gets a credit, one a batch, and a buyer who had not paid pays."""
        self.store.advance(NOVEMBER - self.store.now)
        self.store.cancel(CANCELLED)
        self.store.update(CREDITED, costs={"credit": Decimal("30.0000")})
        lot = self.store.order(BATCHED).lots[0]
        self.store.add_batch(BATCHED, [lot._replace(unit_price=Decimal(10), unit_price_final=Decimal(10))])
        self.store.pay(UNPAID_BUYER)
        self.sync.clock.now = self.store.now
        assert self.sync().success


@pytest.fixture
def september(postgres: Postgres) -> Iterator[September]:
    """Six orders of September, synced in October."""
    store = Store.grow(orders=3, seed=3, now=OCTOBER, filed=0, purged=0, purchases=1)
    template = next(iter(store.sales.values()))
    store._orders = {
        each.order_id: each
        for each in (
            order(template, CANCELLED, 2, "900", "PAID", paid=True),
            order(template, CREDITED, 5, "330", "PAID", paid=True),
            order(template, BATCHED, 9, "50", "PAID", paid=True),
            order(template, UNPAID_BUYER, 12, "200", "NPB", paid=False),
            order(template, SHIPPED, 15, "1711", "SHIPPED", paid=True),
            order(template, OPEN, 20, "1877", "PENDING", paid=False),
        )
    }
    with postgres.database(TEMPLATE) as url, SandboxServer(store, timestamp_lifetime=10**9) as server:
        settings = sandbox_settings(server, url, bl_timezone="Europe/Berlin")
        sync = Sync(settings, Clock(store.now))
        with open_warehouse(settings) as warehouse:
            assert sync().success
            yield September(store, sync, warehouse)


def test_the_reports_move_and_the_closed_month_does_not(september: September) -> None:
    """Planted: what November shows booked to September; the batch's payment forgotten."""
    assert (september.revenue("order_date"), september.revenue("paid_date")) == (Decimal(4868), Decimal(2991))
    with september.warehouse.engine.begin() as connection:
        assert close(connection, MAIN, SEPTEMBER, september.store.now) == [SEPTEMBER]
        [closed] = read_periods(connection, "main")
    september.november()

    assert (september.revenue("order_date"), september.revenue("paid_date")) == (Decimal(4088), Decimal(2011))
    assert (september.booked("2026-09-01"), september.booked("2026-09-01", "output_vat")) == (
        Decimal(2991),
        Decimal("-477.55"),
    )
    assert september.booked("2026-11-01") == -900 - 30 + 10 + 200
    assert september.rows(
        "SELECT document, event, booking_date, corrects_period, sum(debit - credit) FROM reports.journal "
        "WHERE account_key = 'receivable' AND period = '2026-11-01' GROUP BY 1, 2, 3, 4 ORDER BY 1"
    ) == [
        ("BL-30000001", "cancellation", date(2026, 11, 20), SEPTEMBER, Decimal(-900)),
        ("BL-30000002", "correction", date(2026, 11, 20), SEPTEMBER, Decimal(-30)),
        ("BL-30000003", "batch", date(2026, 11, 20), SEPTEMBER, Decimal(10)),
        ("BL-30000004", "sale", date(2026, 11, 20), None, Decimal(200)),
    ]
    assert september.rows(
        "SELECT platform_order_id, what, before, after, revenue_movement, vat_movement FROM reports.period_changes "
        "ORDER BY 1"
    ) == [
        ("30000001", "cancelled", "900.00", None, Decimal(-900), Decimal("-143.70")),
        ("30000002", "credit", "330.00", "300.00", Decimal(-30), Decimal("-4.79")),
        ("30000003", "batch", "50.00", "60.00", Decimal(10), Decimal("1.60")),
    ]
    with september.warehouse.engine.connect() as connection:
        again = read_periods(connection, "main")[0]
    assert again == closed
    assert again.is_intact


def test_each_report_moves_and_as_of_october_it_does_not(september: September) -> None:
    """Planted: a function for a moment that reads what is known now."""
    before = september.by_report()
    assert before == {key: Decimal(MOVED[key[1]][0]) for key in before}
    september.november()
    after = september.by_report()
    assert after == {key: Decimal(MOVED[key[1]][1]) for key in before}
    assert september.by_report("2026-10-05T12:00Z") == before


def test_where_november_shows_the_movement(september: September) -> None:
    """In the month in which it was seen, with September as the month of the order. Planted: the order's month."""
    september.november()
    assert september.rows(
        "SELECT month, order_month, kind, orders, amount FROM reports.adjustments_by_month "
        "WHERE kind NOT IN ('vat', 'sales_tax') AND month = '2026-11-01' ORDER BY kind"
    ) == [
        (date(2026, 11, 1), SEPTEMBER, "cancelled", 1, Decimal(900)),
        (date(2026, 11, 1), SEPTEMBER, "credit", 1, Decimal(30)),
        (date(2026, 11, 1), SEPTEMBER, "decrease", 1, Decimal(30)),
        (date(2026, 11, 1), date(2026, 11, 1), "increase", 1, Decimal(-10)),
        (date(2026, 11, 1), SEPTEMBER, "reopened", 1, Decimal(-200)),
    ]
    assert september.rows("SELECT month, order_month, status, amount FROM reports.cancellations_by_month") == [
        (date(2026, 11, 1), SEPTEMBER, "cancelled", Decimal(900))
    ]
    assert september.rows("SELECT platform_order_id, reason, paid_before FROM reports.payments_to_check") == [
        (str(BATCHED), "paid_before", Decimal(50))
    ]


def test_a_rebuild_leaves_the_journal_row_for_row(september: September) -> None:
    """Planted: a rebuild that books every order again."""
    september.november()
    before = september.rows("SELECT * FROM books.journal ORDER BY entry_no, line_no")
    with session_at(september.sync.settings, september.sync.clock) as session:
        result = rebuild(session)
    assert (result.failures, result.unbooked) == ([], None)
    assert september.rows("SELECT * FROM books.journal ORDER BY entry_no, line_no") == before
    assert september.rows("SELECT * FROM books.unbooked") == []


def test_the_worked_month_in_the_documents_is_this_one(september: September) -> None:
    """In its tables and its sentences. Planted: another figure in docs/books.md."""
    with september.warehouse.engine.begin() as connection:
        close(connection, MAIN, SEPTEMBER, september.store.now)
    closed, vat = september.booked("2026-09-01"), -september.booked("2026-09-01", "output_vat")
    september.november()
    opened = september.booked("2026-11-01")
    documented = DOCS.read_text().partition("## A worked month")[2].partition("\n## ")[0]
    said = {tuple(cell.strip() for cell in row.split("|")[1:-1]) for row in re.findall(r"^\|.*\|$", documented, re.M)}
    lines = september.rows(
        "SELECT document, event, booking_date, account_key, debit, credit FROM reports.journal "
        "WHERE document IN ('BL-30000001', 'BL-30000002') ORDER BY entry_no, line_no"
    )
    shown = {
        (document, event, str(day), f"`{account}`", str(debit) if debit else "", str(credit) if credit else "")
        for document, event, day, account, debit, credit in lines
    }
    assert len(shown) > 10
    assert shown <= said
    changes = september.rows(
        "SELECT 'BL-' || platform_order_id, what, before, coalesce(after, ''), revenue_movement::text, "
        "vat_movement::text FROM reports.period_changes"
    )
    assert set(changes) <= said
    less = -sum((Decimal(movement) for *_, movement, _ in changes), ZERO)
    words = " ".join(documented.split())
    for sentence in (
        f"{MOVED['order_date'][0]}.00 by order date and {MOVED['paid_date'][0]}.00 by payment date",
        f"four entries, {closed:.2f} on `receivable` and {vat:.2f} on `output_vat`",
        f"The closed September stays at {closed:.2f}. November has four entries, {opened:.2f} on",
        f"{closed - less:.2f}, which is {less:.2f} less",
    ):
        assert sentence in words
    named = {"order_date": "order date", "paid_date": "payment date", "shipped_date": "shipping date",
             "tax_point": "tax point", "items": "items sold"}  # fmt: skip
    assert {(named[key], f"{before}.00", f"{after}.00") for key, (before, after) in MOVED.items()} <= said

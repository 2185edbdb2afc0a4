"""Orders that come to less than was paid for them, each way in which that happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from bl_pipeline.books.import_files import ImportKind, parse_file
from bl_pipeline.books.importing import import_lines
from bl_pipeline.sandbox import SandboxOrder, Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import NOW, Clock, Sync
from bl_pipeline_tests.reports.test_against_the_store import by_grain
from bl_pipeline_tests.support.journal_model import cents
from bl_pipeline_tests.support.report_rows import Expected
from bl_pipeline_tests.support.report_store import Books

GRAIN = ("store", "platform", "platform_order_id", "currency")


class Life:
    """A store that is synced after each step, and what was seen of it."""

    def __init__(self, store: Store, sync: Sync, clock: Clock, warehouse: Warehouse) -> None:
        self.store, self.warehouse, self.books = store, warehouse, Books()
        self._sync, self._clock = sync, clock
        self._look()

    def step(self, order_id: int) -> None:
        """A day later, and the order is fetched: lists do not show every change."""
        self.store.advance(timedelta(days=1))
        self._clock.advance(days=1)
        assert self._sync("refresh_order", order_ids=[str(order_id)]).success
        self._look()

    def _look(self) -> None:
        self.books.look(self.store.sales, self._clock.now)

    def new(self) -> int:
        """A new order, paid and synced."""
        order_id = self.store.place_order()
        self.store.pay(order_id)
        self.step(order_id)
        return order_id

    def change(self, order_id: int, **fields: Any) -> None:
        """Change what the sandbox would not, and sync."""
        self.store.put(replace(self.store.sales[order_id], **fields))
        self.step(order_id)

    def row(self, order_id: int) -> dict[str, Any] | None:
        """The only row of an order, after all rows were compared with what plain Python makes of the states."""
        with self.warehouse.engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(text("SELECT * FROM reports.refunds_to_check")).mappings()]
        expected = Expected(self.books, ZoneInfo("UTC"), NOW).refunds_to_check()
        assert by_grain(rows, GRAIN) == by_grain(expected, GRAIN)
        found = [row for row in rows if row["platform_order_id"] == str(order_id)]
        return found[0] if found else None


@pytest.fixture
def life(synced: Sync, store: Store, clock: Clock, warehouse: Warehouse) -> Life:
    """The store of the fixtures, synced once."""
    life = Life(store, synced, clock, warehouse)
    # They were synced an hour ago.
    for history in life.books.history.values():
        history[0] = replace(history[0], at=NOW)
    return life


def credit(order: SandboxOrder, amount: str) -> dict[str, Any]:
    """The costs with another credit."""
    return {"costs": order.costs._replace(credit=order.costs.credit + Decimal(amount))}


def said(row: dict[str, Any] | None) -> tuple[str, Decimal] | None:
    """The reason, and the amount to check."""
    return (row["reason"], row["to_check"]) if row else None


def test_a_credit_after_payment(life: Life) -> None:
    """Planted: any credit, or one that came before the payment."""
    order_id = life.store.place_order()
    life.step(order_id)
    life.change(order_id, **credit(life.store.sales[order_id], "0.10"))
    life.store.pay(order_id)
    life.step(order_id)
    assert life.row(order_id) is None
    life.change(order_id, **credit(life.store.sales[order_id], "0.25"))
    row = life.row(order_id)
    assert said(row) == ("credit", Decimal("0.25"))
    assert row
    assert row["seen_at"].astimezone(UTC) == life._clock.now


def test_a_lower_total_for_other_reasons(life: Life) -> None:
    """Cheaper shipping, and a credit that explains only a part. Planted: every decrease of an order with a credit."""
    order_id = life.new()
    order = life.store.sales[order_id]
    life.change(order_id, costs=order.costs._replace(shipping=order.costs.shipping - 1))
    assert said(life.row(order_id)) == ("decrease", Decimal(1))
    life.change(order_id, **credit(life.store.sales[order_id], "0.5"))
    assert said(life.row(order_id)) == ("decrease", Decimal("1.5"))


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("NSS", "problem"),
        pytest.param("CANCELLED", "cancelled", marks=pytest.mark.slow),
        pytest.param("NPB", "problem", marks=pytest.mark.slow),
    ],
)
def test_money_for_an_order_that_came_to_nothing(status: str, reason: str, life: Life) -> None:
    """All of it, in whole cents as it was paid, however it had been reduced before; nothing once it is taken back."""
    order_id = life.new()
    total = cents(life.store.sales[order_id].grand_total)
    life.change(order_id, **credit(life.store.sales[order_id], "0.25"))
    life.change(order_id, status=status)
    assert said(life.row(order_id)) == (reason, total)
    row = life.row(order_id)
    assert row
    assert (row["paid"], row["due"], row["left_to_check"]) == (total, 0, total)
    life.change(order_id, status="SHIPPED")
    assert said(life.row(order_id)) == ("credit", Decimal("0.25"))


@pytest.mark.parametrize("status", ["Returned", "Bounced"])
def test_a_payment_that_went_back_is_no_refund(status: str, life: Life) -> None:
    order_id = life.new()
    life.change(order_id, status="CANCELLED")
    assert life.row(order_id)
    life.change(order_id, payment=life.store.sales[order_id].payment._replace(status=status))
    assert life.row(order_id) is None


def test_money_that_never_came_is_not_looked_for(life: Life) -> None:
    order_id = life.store.place_order()
    life.step(order_id)
    life.change(order_id, status="CANCELLED")
    assert life.row(order_id) is None


def test_a_batch_takes_the_payment_date_and_not_the_payment(life: Life) -> None:
    """Paid, a batch added, and cancelled before that was paid. Planted: only the state of today."""
    order_id = life.new()
    total = cents(life.store.sales[order_id].grand_total)
    life.store.add_batch(order_id)
    life.step(order_id)
    assert life.store.sales[order_id].payment.date_paid is None
    assert life.row(order_id) is None
    life.change(order_id, status="CANCELLED")
    assert said(life.row(order_id)) == ("cancelled", total)


def import_refunds(life: Life, *lines: str) -> None:
    """Import refunds, each written as order, amount, currency and reference."""
    header = "date,order_id,amount,currency,reference,note\n"
    content = header + "".join(f"2026-06-15,{line},\n" for line in lines)
    rows = parse_file(ImportKind.REFUNDS, content.encode(), today=NOW.date())
    with life.warehouse.engine.begin() as connection:
        import_lines(connection, "main", ImportKind.REFUNDS, rows, file="refunds.csv", now=NOW)
    life.books.refunds += [
        dict(zip(("order_id", "amount", "currency", "reference"), line.split(","), strict=True)) for line in lines
    ]


@pytest.fixture
def cancelled(life: Life) -> Callable[[], int]:
    """Makes orders that were paid and cancelled."""

    def make() -> int:
        order_id = life.new()
        life.change(order_id, status="CANCELLED")
        return order_id

    return make


def test_what_was_imported_is_taken_off(life: Life, cancelled: Callable[[], int]) -> None:
    """In parts, with a correction; more than was paid; in another currency. Planted: currencies taken together."""
    order_id, other = cancelled(), cancelled()
    order = life.store.sales[order_id]
    total, currency = cents(order.grand_total), order.currency
    import_refunds(life, f"{order_id},1,{currency},A", f"{order_id},-0.25,{currency},B", f"{other},1,CHF,A")
    row = life.row(order_id)
    assert row
    assert (row["to_check"], row["imported"], row["left_to_check"]) == (total, Decimal("0.75"), total - Decimal("0.75"))
    import_refunds(life, f"{order_id},{total},{currency},C")
    row = life.row(order_id)
    assert row
    assert row["left_to_check"] == Decimal("-0.75")
    with life.warehouse.engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT currency, reason, to_check, imported, paid FROM reports.refunds_to_check "
                "WHERE platform_order_id = :order_id ORDER BY currency = 'CHF'"
            ),
            {"order_id": str(other)},
        ).all()
    of_other = life.store.sales[other]
    assert [tuple(row) for row in rows] == [
        (of_other.currency, "cancelled", cents(of_other.grand_total), 0, cents(of_other.grand_total)),
        ("CHF", "imported", 0, 1, None),
    ]


def test_a_refund_that_nothing_at_bricklink_shows(life: Life) -> None:
    """Its row says what was paid. Planted: only candidates."""
    order_id = life.new()
    order = life.store.sales[order_id]
    import_refunds(life, f"{order_id},1,{order.currency},A")
    row = life.row(order_id)
    assert said(row) == ("imported", Decimal(0))
    assert row
    assert (row["paid"], row["due"], row["left_to_check"]) == (cents(order.grand_total), cents(order.grand_total), -1)

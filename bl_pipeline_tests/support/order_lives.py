"""Random lives of orders, written as states into the history, as a sync would have loaded them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from sqlalchemy import Connection, insert, text

from bl_pipeline.warehouse.tables import order_status_history, runs
from bl_pipeline_tests.support.journal_model import ZERO, OrderState

START = datetime(2026, 7, 20, 8, tzinfo=UTC)
WORDS = {
    "pending": "PENDING", "processing": "PAID", "shipped": "SHIPPED", "completed": "COMPLETED", "on_hold": "OCR",
    "problem": "NPB", "cancelled": "CANCELLED", "unknown": "PURGED",
}  # fmt: skip
RATES = {"DE": Decimal(19), "FR": Decimal(20), "US": ZERO, "CH": None}


def store_states(connection: Connection, states: Iterable[OrderState]) -> None:
    """Put states into the history."""
    rows = [
        {
            "store": "main",
            "platform": "bricklink",
            "platform_order_id": state.order_id,
            "document_id": state.document_id,
            "observed_at": state.observed_at,
            "status_changed_at": state.status_changed_at,
            "status": state.status,
            "platform_status": WORDS[state.status],
            "payment_status": state.payment_status,
            "order_date": state.order_date,
            "paid_at": state.paid_at,
            "shipped_at": state.shipped_at,
            "currency": state.currency,
            "country_code": state.country,
            "postal_code": state.postal_code,
            "subtotal": state.subtotal,
            "shipping": state.shipping,
            "total": state.total,
            "final_total": state.final_total,
            "fees": state.total - state.subtotal - state.shipping,
            "tax": state.sales_tax,
            "sales_tax_collected_by_bricklink": state.tax_by_bricklink,
            "credit": state.given,
            "coupon": ZERO,
            "vat_rate": state.vat_rate,
            "vat_amount": state.vat,
            "vat_collected_by_bricklink": state.vat_by_bricklink,
            "is_filed": False,
        }
        for state in states
    ]
    if rows:
        connection.execute(insert(order_status_history), rows)


def note_sync(connection: Connection, at: datetime) -> None:
    """A sync that has read the lists and everything that has changed."""
    connection.execute(
        insert(runs).values(
            run_id=f"sync of {at}", store="main", job="sync_orders", started_at=at, finished_at=at, listed_at=at,
            status="succeeded", scope="all", orders_listed=0,
        )
    )  # fmt: skip


def set_zone(connection: Connection, zone: str) -> None:
    """The time zone of the store's days."""
    connection.execute(text("INSERT INTO sync.stores VALUES ('main', :zone)"), {"zone": zone})


class Lives:
    """A store's orders as they come and change. Everything follows from the seed."""

    def __init__(self, seed: int, orders: int = 14) -> None:
        self._rng = Random(seed)
        self._orders = orders
        self._documents = 0
        self.now: dict[str, OrderState] = {}

    def syncs(self, count: int = 26) -> Iterator[tuple[datetime, list[OrderState]]]:
        """Moments of a sync, five to seven days apart, each with the states that it loads."""
        at = START
        for _ in range(count):
            at += timedelta(days=self._rng.randint(5, 7), hours=self._rng.randint(0, 9), minutes=7)
            seen = [self._new(at) for _ in range(self._rng.randint(0, 2)) if len(self.now) < self._orders]
            changing = [order_id for order_id in self.now if self._rng.random() < 0.3]
            known = {state.order_id for state in seen}
            seen += [self._changed(self.now[order_id], at) for order_id in changing if order_id not in known]
            for place, state in enumerate(seen):
                self._documents += self._rng.randint(1, 3)
                seen[place] = self.now[state.order_id] = replace(
                    _added_up(state, self._rng), document_id=self._documents, observed_at=at
                )
            yield at, seen

    def _money(self, low: int, high: int) -> Decimal:
        return Decimal(self._rng.randint(low, high)) / 10_000

    def _new(self, at: datetime) -> OrderState:
        rng = self._rng
        ordered = at - timedelta(days=rng.randint(0, 40), hours=rng.randint(0, 23))
        country = rng.choice(["DE", "DE", "FR", "US", "CH"])
        state = OrderState(
            order_id=str(30_000_000 + len(self.now)),
            document_id=0,
            observed_at=at,
            status_changed_at=ordered,
            status="pending",
            payment_status="None",
            order_date=ordered,
            paid_at=None,
            shipped_at=None,
            currency=rng.choice(["EUR", "EUR", "USD", "GBP"]),
            country=country,
            subtotal=self._money(5_000, 3_000_000),
            shipping=self._money(0, 150_000),
            total=ZERO,
            final_total=ZERO,
            tax_by_bricklink=rng.random() < 0.5,
            vat_rate=RATES[country],
            vat_by_bricklink=rng.choice([None, False, False, True]),
        )
        self.now[state.order_id] = state
        return self._changed(state, at) if rng.random() < 0.7 else state

    def _changed(self, state: OrderState, at: datetime) -> OrderState:
        """One of the things that can happen, some time since the last look; with its date or without."""
        rng = self._rng
        then = at - timedelta(days=rng.choice((0, 1, 2, 3, 4, 9, 14)), hours=rng.randint(0, 20))
        what = rng.choice(
            ["pay", "pay", "pay", "ship", "ship", "complete", "cancel", "reopen", "credit", "batch", "amount",
             "country", "rate", "flag", "currency", "problem", "returned", "clearing", "nothing", "redate"]
        )  # fmt: skip
        dated: dict[str, Any] = {"status_changed_at": then}
        if what == "pay":
            return replace(state, status="processing", payment_status="Received", paid_at=then, **dated)
        if what == "ship":
            shipped = then if rng.random() < 0.6 else None
            return replace(state, status="shipped", shipped_at=shipped, **dated)
        if what in ("complete", "cancel", "problem", "reopen"):
            status = {"complete": "completed", "cancel": "cancelled", "problem": "problem", "reopen": "processing"}
            return replace(state, status=status[what], **dated)
        if what == "credit":
            return replace(state, given=self._money(0, 100_000))
        if what == "batch":
            more = state.subtotal + self._money(1_000, 500_000)
            changed: dict[str, Any] = {
                "order_date": then,
                "status": "pending",
                "payment_status": "None",
                "paid_at": None,
            }
            return replace(state, subtotal=more, **changed, **dated)
        if what == "amount":
            return replace(state, shipping=self._money(0, 150_000))
        if what == "country":
            country = rng.choice(["DE", "FR", "US", None])
            return replace(state, country=country)
        if what == "rate":
            return replace(state, vat_rate=rng.choice([None, ZERO, Decimal(7), Decimal("8.1"), Decimal(19)]))
        if what == "flag":
            return replace(state, vat_by_bricklink=not state.vat_by_bricklink)
        if what == "currency":
            return replace(state, currency=rng.choice(["EUR", "USD", "GBP"]))
        if what == "redate" and state.paid_at:
            return replace(state, paid_at=state.paid_at - timedelta(days=rng.randint(1, 30)))
        if what in ("returned", "clearing"):
            return replace(state, payment_status=what.capitalize())
        return state


def _added_up(state: OrderState, rng: Random) -> OrderState:
    """The state with its taxes and totals: sales tax on top, VAT inside."""
    tax = (state.subtotal / 16).quantize(Decimal("0.01")) if state.country == "US" else ZERO
    price = state.subtotal + state.shipping - state.given + (Decimal("0.5") if rng.random() < 0.1 else ZERO)
    rate = state.vat_rate or ZERO
    vat = (price * rate / (100 + rate)).quantize(Decimal("0.0001"))
    total = price + tax
    # Nobody knows whether final_total is without the VAT that BrickLink collects: both ways are to balance.
    kept_vat = vat if state.vat_by_bricklink and int(state.order_id) % 2 else ZERO
    final = total - (tax if state.tax_by_bricklink else ZERO) - kept_vat
    return replace(state, sales_tax=tax, total=total, final_total=final, vat=vat)

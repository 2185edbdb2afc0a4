"""The journal in plain Python: what has to be booked of the states of orders, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from bl_pipeline_tests.support.taxes import Facts, Tax, Taxes, tax_of

ZERO = Decimal(0)
CENT = Decimal("0.01")
SIDES = ("receivable", "discounts")
"""Accounts whose amounts are debits; those of the others are credits."""


def cents(amount: Decimal | Fraction) -> Decimal:
    """In whole cents, half a cent away from zero."""
    if isinstance(amount, Fraction):
        sign = -1 if amount < 0 else 1
        return Decimal(sign * ((abs(amount) * 200 + 1) // 2)) / 100
    return amount.quantize(CENT, ROUND_HALF_UP)


def month_of(day: date) -> date:
    """The first day of its month."""
    return day.replace(day=1)


def next_month(period: date) -> date:
    """The first day of the following month."""
    return (period + timedelta(days=31)).replace(day=1)


@dataclass(frozen=True)
class OrderState:
    """A state of an order as BrickLink's answer `document_id` showed it; `status` is the normalised one."""

    order_id: str
    document_id: int
    observed_at: datetime
    status_changed_at: datetime | None
    status: str
    payment_status: str
    order_date: datetime
    paid_at: datetime | None
    shipped_at: datetime | None
    currency: str
    country: str | None
    subtotal: Decimal
    shipping: Decimal
    total: Decimal
    final_total: Decimal
    sales_tax: Decimal = ZERO
    tax_by_bricklink: bool = False
    given: Decimal = ZERO
    vat_rate: Decimal | None = None
    vat: Decimal = ZERO
    vat_by_bricklink: bool | None = None
    postal_code: str | None = None


@dataclass(frozen=True)
class Values:
    """What the books make of a state. `amounts` by account, without those that are zero; empty if it does not count."""

    state: OrderState
    number: int
    changed_at: datetime | None
    counts: bool
    tax_point: datetime | None
    tax: Tax
    amounts: dict[str, Decimal] = field(default_factory=dict)
    marketplace_tax: Decimal = ZERO

    @property
    def attributes(self) -> tuple[object, ...]:
        """What each line says besides its account and amount."""
        tax = self.tax
        return (self.state.currency, self.state.country, tax.region, tax.territory, self.rate, tax.kind)

    @property
    def rate(self) -> Decimal | None:
        """The VAT rate: BrickLink's if the kind of tax is unclear."""
        return self.state.vat_rate if self.tax.rate is None else self.tax.rate

    @property
    def lines(self) -> list[tuple[str, Decimal, Decimal]]:
        """Account, debit and credit, in the order in which they are booked."""
        if not self.counts:
            return []
        found: list[tuple[str, Decimal, Decimal]] = []
        for account, amount in self.amounts.items():
            balance = amount if account in SIDES else -amount
            if balance:
                found.append((account, max(balance, ZERO), max(-balance, ZERO)))
        if tax := self.marketplace_tax:
            found += [("marketplace_tax_clearing", max(each, ZERO), max(-each, ZERO)) for each in (tax, -tax)]
        return found


def values_of(states: Sequence[OrderState], zone: ZoneInfo, taxes: Taxes | None) -> list[Values]:
    """What the books make of an order's states, in the order they were seen, with these tax settings."""
    found: list[Values] = []
    sent: datetime | None = None
    standing: list[datetime] = []
    before: OrderState | None = None
    for number, state in enumerate(states, start=1):
        if before and state.order_date > before.order_date and (paid := _own_payment(before)):
            standing.append(paid)
        if state.status in ("shipped", "completed"):
            moments = [each for each in (state.status_changed_at, state.observed_at, sent) if each]
            sent = min(moments)
        shipped = state.shipped_at or sent
        payments = [each for each in (_own_payment(state), *standing) if each]
        paid_at = min(payments) if payments and state.payment_status not in ("Returned", "Bounced") else None
        counts = state.status != "cancelled" and bool(paid_at or (shipped and state.status != "problem"))
        changed = state.status_changed_at
        is_exact = changed and changed <= state.observed_at and (before is None or changed >= before.observed_at)
        tax_point = min(each for each in (paid_at, shipped) if each) if counts else None
        values = Values(
            state,
            number,
            changed_at=changed if is_exact else None,
            counts=counts,
            tax_point=tax_point,
            tax=tax_of(taxes, _facts(state, (tax_point or state.order_date).astimezone(zone).date())),
        )
        found.append(_with_amounts(values))
        before = state
    return found


def _own_payment(state: OrderState) -> datetime | None:
    return None if state.payment_status in ("Clearing", "Returned", "Bounced") else state.paid_at


def _facts(state: OrderState, day: date) -> Facts:
    return Facts(
        country=state.country,
        postal_code=state.postal_code,
        day=day,
        total=state.total,
        final_total=state.final_total,
        vat_rate=state.vat_rate,
        vat_amount=state.vat,
        vat_by_bricklink=state.vat_by_bricklink,
        sales_tax=state.sales_tax,
        sales_tax_by_bricklink=state.tax_by_bricklink,
    )


def _with_amounts(values: Values) -> Values:
    state = values.state
    kept = state.sales_tax if state.tax_by_bricklink else ZERO
    own_tax = ZERO if state.tax_by_bricklink else cents(state.sales_tax)
    vat = values.tax.vat
    if vat is None:
        vat = ZERO if state.vat_by_bricklink else state.vat
    price = state.total - state.sales_tax
    inside = vat + (state.total - state.final_total - kept)
    net = 1 - Fraction(inside) / Fraction(price) if price else Fraction(1)
    charges = price - state.subtotal - state.shipping + state.given
    receivable = cents(state.final_total)
    amounts = {
        "receivable": receivable,
        "sales_goods": ZERO,
        "sales_shipping": cents(Fraction(state.shipping) * net),
        "sales_charges": cents(Fraction(charges) * net),
        "discounts": cents(Fraction(state.given) * net),
        "output_vat": cents(vat),
        "sales_tax_payable": own_tax,
    }
    # Goods get what is left, so that the entry balances to the cent.
    others = sum(
        (amounts[name] for name in ("sales_shipping", "sales_charges", "output_vat", "sales_tax_payable")), ZERO
    )
    amounts["sales_goods"] = receivable - others + amounts["discounts"]
    return replace(values, amounts=amounts, marketplace_tax=cents(state.total) - receivable)


@dataclass
class Journal:
    """A journal as it grows. `closed` is the last period that is closed, None if none is."""

    zone: ZoneInfo
    taxes: Taxes | None = None
    closed: date | None = None
    states: dict[str, list[OrderState]] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    _booked: dict[str, Values] = field(default_factory=dict)
    _tax_days: dict[str, date] = field(default_factory=dict)
    _entry_no: int = 0

    def see(self, states: Iterable[OrderState], *, booked_at: datetime) -> None:
        """Book new states of orders, in the order of their documents."""
        for state in sorted(states, key=lambda state: state.document_id):
            history = self.states.setdefault(state.order_id, [])
            history.append(state)
            self._book(self._values(history)[-1], booked_at)

    def values(self) -> list[Values]:
        """What the books make of every state."""
        return [values for states in self.states.values() for values in self._values(states)]

    def current(self) -> list[Values]:
        """The same of the last state of each order."""
        return [self._values(states)[-1] for states in self.states.values()]

    def _values(self, states: Sequence[OrderState]) -> list[Values]:
        return values_of(states, self.zone, self.taxes)

    def _day(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()

    def _book(self, new: Values, booked_at: datetime) -> None:
        order_id = new.state.order_id
        old = self._booked.get(order_id)
        before = (old.lines, old.attributes) if old and old.lines else None
        after = (new.lines, new.attributes) if new.lines else None
        if before == after:
            return
        first_open = next_month(self.closed) if self.closed else date.min
        if old is None:
            event = "sale"
            assert new.tax_point is not None
            booking_date = self._tax_days[order_id] = self._day(new.tax_point)
        else:
            batch = new.state.order_date > old.state.order_date and before is not None
            event = "cancellation" if after is None else "batch" if batch else "correction"
            booking_date = self._day(new.state.observed_at)
            if new.changed_at and self._day(new.changed_at) >= first_open:
                booking_date = self._day(new.changed_at)
        booking_date = max(booking_date, first_open)
        tax_day = self._tax_days[order_id]
        self._entry_no += 1
        sides = [(True, old, account, credit, debit) for account, debit, credit in (old.lines if old else [])]
        sides += [(False, new, account, debit, credit) for account, debit, credit in new.lines]
        for line_no, (is_reversal, values, account, debit, credit) in enumerate(sides, start=1):
            assert values is not None
            currency, country, region, territory, rate, kind = values.attributes
            self.lines.append(
                {
                    "store": "main",
                    "entry_no": self._entry_no,
                    "line_no": line_no,
                    "document": f"BL-{order_id}",
                    "platform": "bricklink",
                    "platform_order_id": order_id,
                    "event": event,
                    "booking_date": booking_date,
                    "tax_point": tax_day,
                    "order_date": new.state.order_date,
                    "seen_at": new.state.observed_at,
                    "period": month_of(booking_date),
                    "corrects_period": None if month_of(tax_day) == month_of(booking_date) else month_of(tax_day),
                    "account_key": account,
                    "is_reversal": is_reversal,
                    "country_code": country,
                    "region": region,
                    "special_territory": territory,
                    "vat_rate": rate,
                    "tax_kind": kind,
                    "debit": debit,
                    "credit": credit,
                    "currency": currency,
                    "source_document_id": new.state.document_id,
                    "previous_document_id": old.state.document_id if old else None,
                    "booked_at": booked_at,
                }
            )
        self._booked[order_id] = new

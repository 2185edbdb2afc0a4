"""The reports of what has changed in orders, worked out again in plain Python from the books, one method a report."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from bl_pipeline_tests.support.report_store import State, counts
from bl_pipeline_tests.support.report_sums import ZERO, Accounts, Row, add_up, group, money

_Change = tuple[str, str, Decimal | None, Decimal | None, datetime, bool]
"""Kind, currency, the amount before and after, when, and whether the order counted."""


class ChangeReports(Accounts):
    """Adjustments and cancellations."""

    def cancellations_by_month(self) -> list[Row]:
        """Orders that came to nothing, when they did."""
        rows: list[Row] = []
        for seen in self.books.now():
            order = seen.order
            if counts(seen):
                continue
            ends = [
                state.since
                for state, earlier in _with_earlier(self.books.states(order.order_id))
                if not counts(state.seen) and (earlier is None or counts(earlier.seen))
            ]
            paid = order.payment.date_paid is not None
            rows.append(
                {
                    "store": "main",
                    "month": self._month(ends[-1]),
                    "order_month": self._month(order.date_ordered),
                    "status": seen.status,
                    "platform_status": order.status,
                    "currency": order.currency,
                    "paid_orders": int(paid),
                    "total": order.grand_total,
                    "revenue_lost": order.final_total,
                    "paid_revenue_lost": order.final_total if paid else ZERO,
                    "amount": order.final_total,
                    "paid_amount": order.final_total if paid else ZERO,
                }
            )
        keys = ("store", "month", "order_month", "status", "platform_status", "currency")
        sums = ("paid_orders", "total", "revenue_lost", "paid_revenue_lost", "amount", "paid_amount")
        return add_up(rows, keys, sums)

    def adjustments(self) -> list[Row]:
        """Every change of an amount, a tax, a country or a currency."""
        rows: list[Row] = []
        for order_id in self.books.history:
            now_counts = counts(self.books.history[order_id][-1])
            for state, earlier in _with_earlier(self.books.states(order_id)):
                order = state.seen.order
                for kind, currency, before, after, at, counted in _changes(state, earlier):
                    country = kind == "country"
                    less = (after or ZERO) - (before or ZERO)
                    taken = kind in {"credit", "coupon", "vat", "sales_tax"}
                    rows.append(
                        {
                            "store": "main",
                            "platform": "bricklink",
                            "platform_order_id": str(order_id),
                            "state_number": state.number,
                            "kind": kind,
                            "at": at,
                            "month": self._month(at),
                            "currency": currency,
                            "before": before,
                            "after": after,
                            "amount": ZERO if country else less if taken else -less,
                            "counts_as_revenue": now_counts,
                            "counted": counted,
                            "order_month": self._month(order.date_ordered),
                            "country_before": _country(earlier) if country and earlier else None,
                            "country_after": _country(state) if country else None,
                        }
                    )
        return rows

    def adjustments_by_month(self) -> list[Row]:
        """The same, added up."""
        rows = [row for row in self.adjustments() if row["counted"]]
        return [
            {
                **key,
                "orders": len({row["platform_order_id"] for row in members}),
                "amount": sum((money(row["amount"]) for row in members), ZERO),
            }
            for key, members in group(rows, ("store", "month", "order_month", "kind", "currency"))
        ]


def _with_earlier(states: list[State]) -> Iterator[tuple[State, State | None]]:
    for number, state in enumerate(states):
        yield state, states[number - 1] if number else None


def _changes(state: State, earlier: State | None) -> Iterator[_Change]:
    """What differs between two states; of the first one, what it has."""
    seen, order = state.seen, state.seen.order
    seen_at = seen.at if earlier else order.date_ordered
    for kind in ("credit", "coupon"):
        after: Decimal = getattr(order.costs, kind)
        before: Decimal | None = getattr(earlier.seen.order.costs, kind) if earlier else None
        if earlier and before is not None and earlier.seen.order.currency != order.currency:
            if before:
                yield kind, earlier.seen.order.currency, before, None, seen_at, counts(seen)
            before = None
        if after != (before or ZERO):
            yield kind, order.currency, before, after, seen_at, counts(seen)
    # What nobody saw before counted before it was seen cancelled.
    old, was_counted = (_amounts(earlier), counts(earlier.seen)) if earlier else (_amounts(state), True)
    had = {(earlier or state).seen.order.currency: old} if was_counted else {}
    has = {order.currency: _amounts(state)} if counts(seen) else {}
    at = state.since if was_counted != counts(seen) else seen_at
    for currency in {*had, *has}:
        (revenue_before, *taxes_before), (revenue, *taxes) = (
            each.get(currency, (None, None, None)) for each in (had, has)
        )
        if revenue_before is None or revenue is None:
            stops = "cancelled" if revenue is None else "reopened"
            yield "currency" if had and has else stops, currency, revenue_before, revenue, at, True
        elif revenue != revenue_before:
            yield "increase" if revenue > revenue_before else "decrease", currency, revenue_before, revenue, at, True
        for kind, tax_before, tax in zip(("vat", "sales_tax"), taxes_before, taxes, strict=True):
            if (tax_before or ZERO) != (tax or ZERO):
                yield kind, currency, tax_before, tax, at, True
    if earlier and had and has and _country(earlier) != _country(state):
        before = had[order.currency][0] if order.currency in had else None
        yield "country", order.currency, before, order.final_total, at, True


def _amounts(state: State) -> tuple[Decimal, Decimal, Decimal]:
    """Revenue, and the VAT and the sales tax that the seller pays."""
    order = state.seen.order
    return (
        order.final_total,
        ZERO if order.vat_collected_by_bl else order.vat_amount,
        ZERO if order.sales_tax_collected_by_bl else order.sales_tax,
    )


def _country(state: State) -> str:
    code = state.seen.order.buyer.country.code
    return "GB" if code == "UK" else code

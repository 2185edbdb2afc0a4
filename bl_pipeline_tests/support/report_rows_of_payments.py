"""The reports of payments and of the bases, worked out again in plain Python from the books, one method a report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from bl_pipeline_tests.support.report_rows_of_sales import turnover_of
from bl_pipeline_tests.support.report_store import GOES_ON, RECEIVED, Seen, counted_paid_at
from bl_pipeline_tests.support.report_sums import Accounts, Row

_GONE = {"Returned", "Bounced"}


class PaymentReports(Accounts):
    """What is paid, what is not, and what the four bases make of it."""

    def payments_to_check(self) -> list[Row]:
        """Orders whose payment says too little."""
        rows: list[Row] = []
        for seen in self.books.now():
            order, reason = seen.order, self._reason(seen)
            if reason is None:
                continue
            rows.append(
                {
                    "store": "main",
                    "platform": "bricklink",
                    "platform_order_id": str(order.order_id),
                    "reason": reason,
                    "order_date": order.date_ordered,
                    "paid_at": order.payment.date_paid,
                    "days": (self.now - (order.payment.date_paid or order.date_ordered)).days,
                    "status": seen.status,
                    "platform_status": order.status,
                    "payment_status": order.payment.status,
                    "payment_method": order.payment.method,
                    "currency": order.currency,
                    "total": order.grand_total,
                    "amount": order.final_total,
                    "paid_before": self._paid_before(seen) if reason == "paid_before" else None,
                }
            )
        return rows

    def bases_reconciliation(self) -> list[Row]:
        """Each order walks from basis to basis."""
        found: dict[tuple[date, str, str], list[tuple[int, Decimal, Decimal | None]]] = defaultdict(list)
        for seen in self.books.revenue():
            order = seen.order
            for month, step, sign in self._steps(seen):
                found[month, order.currency, step].append(
                    (sign, sign * order.final_total, sign * turnover_of(order)),
                )
        for seen in self.books.now():
            if self._reason(seen) == "paid_problem":
                month = self._month(seen.order.payment.date_paid or seen.order.date_ordered)
                key = (month, seen.order.currency, "50 paid, but a problem")
                found[key].append((1, seen.order.final_total, None))
        return [
            {
                "store": "main",
                "month": month,
                "currency": currency,
                "step": step,
                "orders": sum(sign for sign, _, _ in members),
                "revenue": sum(revenue for _, revenue, _ in members),
                "turnover": None if step[:2] == "50" else sum(each or 0 for _, _, each in members),
            }
            for (month, currency, step), members in found.items()
        ]

    def _paid_before(self, seen: Seen) -> Decimal | None:
        """What it was when it was last seen paid, if it has lost its payment date since."""
        order = seen.order
        for past in reversed(self.books.history[order.order_id]):
            if counted_paid_at(past.order) and past.order.currency == order.currency:
                return past.order.final_total
        return None

    def _reason(self, seen: Seen) -> str | None:
        payment = seen.order.payment
        goes_on = seen.status in GOES_ON
        if seen.status == "cancelled":
            return None
        if payment.status in _GONE or (payment.status == "Clearing" and (payment.date_paid or goes_on)):
            return payment.status.lower()
        if seen.status == "problem" and (payment.date_paid or payment.status in RECEIVED):
            return "paid_problem"
        if payment.date_paid is None and seen.status != "problem" and (goes_on or payment.status in RECEIVED):
            return "no_payment_date"
        return "paid_before" if payment.date_paid is None and self._paid_before(seen) is not None else None

    def _steps(self, seen: Seen) -> Iterator[tuple[date, str, int]]:
        paid_at, shipped_at = counted_paid_at(seen.order), self.books.shipped_at(seen)
        due_at = min((at for at in (paid_at, shipped_at) if at), default=None)
        ordered = self._month(seen.order.date_ordered)
        paid, shipped, due = (self._month(at) if at else None for at in (paid_at, shipped_at, due_at))
        why = {
            None: "11 not paid", "no_payment_date": "12 paid or sent, no payment date",
            "paid_before": "14 paid before it changed",
        }  # fmt: skip
        yield ordered, "10 by order date", 1
        yield from _between(
            ordered, paid, "", why.get(self._reason(seen), "13 clearing, returned or bounced"),
            "15 paid in another month", "16 ordered in another month",
        )  # fmt: skip
        if paid:
            yield paid, "20 by payment date", 1
        yield from _between(
            paid, shipped, "24 shipped, no payment that counts", "21 not shipped", "22 shipped in another month",
            "23 paid in another month",
        )  # fmt: skip
        if shipped:
            yield shipped, "30 by shipping date", 1
        yield from _between(
            shipped, due, "33 paid, not shipped", "", "31 paid in a month before", "32 shipped in a month after",
        )  # fmt: skip
        if due:
            yield due, "40 by tax point", 1


def _between(
    here: date | None, there: date | None, joins: str, leaves: str, goes: str, comes: str
) -> Iterator[tuple[date, str, int]]:
    """From a basis to the next: an order joins, leaves, or moves from one month to another."""
    if here is None:
        if there is not None:
            yield there, joins, 1
    elif there is None:
        yield here, leaves, -1
    elif here != there:
        yield here, goes, -1
        yield there, comes, 1

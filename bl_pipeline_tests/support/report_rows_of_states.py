"""The reports of how orders came along, worked out again in plain Python from the books, one method a report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from bl_pipeline_tests.support.report_store import State, counts
from bl_pipeline_tests.support.report_sums import ZERO, Accounts, Row, group, money, quantile


class StateReports(Accounts):
    """States and their history, and what is missing."""

    def open_orders_by_age(self) -> list[Row]:
        """Orders on which something is still to happen."""
        rows: list[Row] = []
        for seen in self.books.now():
            order = seen.order
            if seen.status in {"completed", "cancelled", "problem"} or order.is_purged:
                continue
            days = (self.now - order.date_ordered) / timedelta(days=1)
            ages = ((3, "00-02 days"), (8, "03-07 days"), (15, "08-14 days"), (31, "15-30 days"), (61, "31-60 days"))
            age = next((name for below, name in ages if days < below), "61 days and more")
            rows.append(
                {
                    "store": "main",
                    "status": seen.status,
                    "age": age,
                    "currency": order.currency,
                    "paid": order.payment.date_paid is not None,
                    "date": order.date_ordered,
                    "total": order.grand_total,
                    "revenue": order.final_total,
                }
            )
        return [
            {
                **key,
                "orders": len(members),
                "paid_orders": sum(bool(row["paid"]) for row in members),
                "oldest_order_date": min(str(row["date"]) for row in members),
                "total": sum((money(row["total"]) for row in members), ZERO),
                "revenue": sum((money(row["revenue"]) for row in members), ZERO),
            }
            for key, members in group(rows, ("store", "status", "age", "currency"))
        ]

    def feedback_by_month(self) -> list[Row]:
        """How seller and buyers are rated."""
        rows: list[Row] = [
            {
                "store": "main",
                "month": self._month(each.date_rated),
                "rating_of": "seller" if each.rating_of_bs == "S" else "buyer",
                "rating": ("praise", "neutral", "complaint")[each.rating],
                "replied": each.reply is not None,
            }
            for each in self.books.feedback
        ]
        return [
            {**key, "ratings": len(members), "replies": sum(bool(row["replied"]) for row in members)}
            for key, members in group(rows, ("store", "month", "rating_of", "rating"))
        ]

    def status_history(self) -> list[Row]:
        """Every state of every order."""
        rows: list[Row] = []
        for state in self._states():
            seen, order = state.seen, state.seen.order
            rows.append(
                {
                    "store": "main",
                    "platform": "bricklink",
                    "platform_order_id": str(order.order_id),
                    "state_number": state.number,
                    "status": seen.status,
                    "platform_status": order.status,
                    "payment_status": order.payment.status,
                    "order_date": order.date_ordered,
                    "is_filed": order.is_filed,
                    "currency": order.currency,
                    "total": order.grand_total,
                    "final_total": order.final_total,
                    "credit": order.costs.credit,
                    "coupon": order.costs.coupon,
                    "valid_from": state.since,
                    "valid_to": state.until,
                    "is_current": state.until is None,
                    "valid_from_is": "exact" if state.exact else "observed",
                    "not_before": state.not_before,
                    "observed_at": seen.at,
                    "is_ours": False,
                    "paid_at": order.payment.date_paid,
                    "shipped_at": order.shipping.date_shipped,
                    "payment_method": order.payment.method,
                    "country_code": "GB" if order.buyer.country.code == "UK" else order.buyer.country.code,
                    "total_count": order.total_count,
                    "items_total": order.subtotal,
                    "shipping": order.costs.shipping,
                    "insurance": order.costs.insurance,
                    "etc1": order.costs.etc1,
                    "etc2": order.costs.etc2,
                    "sales_tax": order.sales_tax,
                    "vat_rate": order.costs.vat_rate,
                    "vat_amount": order.vat_amount,
                    "sales_tax_collected_by_bricklink": order.sales_tax_collected_by_bl,
                    "vat_collected_by_bricklink": order.vat_collected_by_bl,
                    "counts_as_revenue": counts(seen),
                }
            )
        return rows

    def _states(self) -> Iterator[State]:
        for order_id in self.books.history:
            yield from self.books.states(order_id)

    def statuses_by_month(self) -> list[Row]:
        """The status of every order at the end of every month, looked up one by one."""
        found: dict[tuple[date, str, str], list[Decimal]] = defaultdict(list)
        for order_id, history in self.books.history.items():
            states = self.books.states(order_id)
            placed = min(history[0].order.date_ordered, states[0].since)
            month = self._month(placed)
            while month <= self._month(self.now):
                following = (month + timedelta(days=31)).replace(day=1)
                end = datetime(following.year, following.month, 1, tzinfo=self.zone).astimezone(UTC)
                passed = [state for state in states if state.since < end]
                seen = (passed or states)[-1 if passed else 0].seen
                status = seen.status if passed else "not_seen"
                found[month, status, seen.order.currency].append(seen.order.final_total)
                month = following
        return [
            {
                "store": "main",
                "month": month,
                "status": status,
                "currency": currency,
                "orders": len(amounts),
                "revenue": sum(amounts, ZERO),
                "amount": sum(amounts, ZERO),
            }
            for (month, status, currency), amounts in found.items()
        ]

    def fulfilment_times(self) -> list[Row]:
        """Hours between what is known of an order's way."""
        found: dict[tuple[date, str], list[Fraction]] = defaultdict(list)
        for seen in self.books.revenue():
            placed = seen.order.date_ordered
            paid, shipped = seen.order.payment.date_paid, self.books.shipped_at(seen)
            received = self.books.received_at(seen)
            for step, since, till in (
                ("1 placed to paid", placed, paid),
                ("2 paid to shipped", paid, shipped),
                ("3 shipped to received", shipped, received),
                ("4 placed to received", placed, received),
            ):
                if since and till and till >= since:
                    hours = Fraction((till - since) // timedelta(microseconds=1), 3_600_000_000)
                    found[self._month(placed), step].append(hours)
        return [
            {
                "store": "main",
                "month": month,
                "step": step,
                "orders": len(hours),
                "median_hours": quantile(hours, Fraction(1, 2)),
                "p90_hours": quantile(hours, Fraction(9, 10)),
                "average_hours": sum(hours, Fraction(0)) / len(hours),
            }
            for (month, step), hours in found.items()
        ]

    def completeness(self) -> list[Row]:
        """Everything was listed and fetched, at the last look."""
        return [
            {
                "store": "main",
                "orders": len(self.books.history),
                "missing_orders": 0,
                "oldest_missing_order_date": None,
                "outdated_orders": 0,
                "oldest_outdated_order_date": None,
                "lists_read_at": self.books.looked_at,
                "both_lists_read_at": self.books.looked_at,
            }
        ]

    def missing(self) -> list[Row]:
        """Orders whose items, or some of them, were gone before they were ever seen."""
        rows: list[Row] = []
        for seen in self.books.now():
            order = seen.order
            known = self.books.lots.get(order.order_id, ())
            count = order.total_count - sum(lot.quantity for lot in known)
            if count:
                rows.append(
                    {
                        "store": "main",
                        "platform": "bricklink",
                        "platform_order_id": str(order.order_id),
                        "missing": "items",
                        "reason": "purged",
                        "order_date": order.date_ordered,
                        "platform_status": order.status,
                        "currency": order.currency,
                        "total_count": order.total_count,
                        "items_total": order.subtotal,
                        "missing_count": count,
                        "missing_total": order.subtotal
                        - sum((lot.unit_price_final * lot.quantity for lot in known), ZERO),
                    }
                )
        return rows

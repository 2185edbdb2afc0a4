"""The reports for the books, worked out again in plain Python from the store's own state and the imported files."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from bl_pipeline_tests.support.journal_model import cents
from bl_pipeline_tests.support.report_store import Seen, counted_paid_at
from bl_pipeline_tests.support.report_sums import ZERO, Accounts, Row, group, money

CENT = Decimal("0.01")


class ImportReports(Accounts):
    """Refunds, payments, fees and costs."""

    def fees_by_month(self) -> list[Row]:
        """What was imported, added up."""
        rows: list[Row] = [
            {
                "store": "main",
                "month": date.fromisoformat(line["date"]).replace(day=1),
                "source": line["source"].lower(),
                "kind": line["kind"],
                "currency": line["currency"],
                "amount": Decimal(line["amount"]),
            }
            for line in self.books.fees
        ]
        return [
            {**key, "lines": len(members), "amount": sum((money(row["amount"]) for row in members), ZERO)}
            for key, members in group(rows, ("store", "month", "source", "kind", "currency"))
        ]

    def payments_expected(self) -> list[Row]:
        """Every order that was paid, whatever came of it."""
        rows: list[Row] = []
        for seen in self.books.now():
            order, paid_at = seen.order, counted_paid_at(seen.order)
            if paid_at is None:
                continue
            pays_in = order.payment.currency_code
            amount = None
            if pays_in == order.disp_currency:
                amount = (order.grand_total * order.disp_rate).quantize(CENT, ROUND_HALF_UP)
            elif pays_in == order.currency:
                amount = order.grand_total.quantize(CENT, ROUND_HALF_UP)
            rows.append(
                {
                    "store": "main",
                    "platform": "bricklink",
                    "platform_order_id": str(order.order_id),
                    "reference": f"BL-{order.order_id}",
                    "paid_at": paid_at,
                    "day": self._day(paid_at),
                    "payment_method": order.payment.method,
                    "payment_status": order.payment.status,
                    "platform_status": order.status,
                    "currency": pays_in,
                    "amount": amount,
                    "order_currency": order.currency,
                    "exchanged": pays_in != order.currency,
                }
            )
        return rows

    def refunds_to_check(self) -> list[Row]:
        """Order by order, state by state; then the refunds that belong to none of these."""
        imported: dict[tuple[int, str], Decimal] = {}
        for line in self.books.refunds:
            key = int(line["order_id"].removeprefix("BL-")), line["currency"]
            imported[key] = imported.get(key, ZERO) + Decimal(line["amount"])
        rows: list[Row] = []
        for order_id, history in self.books.history.items():
            last = history[-1]
            currency = last.order.currency
            refunded = imported.pop((order_id, currency), None)
            paid = [
                seen for seen in history if counted_paid_at(seen.order) is not None and seen.order.currency == currency
            ]
            if last.order.payment.status in {"Returned", "Bounced"}:
                paid = []
            came_to = max((cents(seen.order.grand_total) for seen in paid), default=None)
            due = ZERO if last.status in {"cancelled", "problem"} else cents(last.order.grand_total)
            less = max(came_to - due, ZERO) if came_to is not None else ZERO
            if not less and refunded is None:
                continue
            reason, since = self._why(history, paid, came_to, less)
            rows.append(
                {
                    **self._order_key(last),
                    "reason": reason,
                    "seen_at": since,
                    "currency": currency,
                    "paid": came_to,
                    "due": None if came_to is None else due,
                    "to_check": less,
                    "imported": refunded or ZERO,
                    "left_to_check": less - (refunded or ZERO),
                }
            )
        for (order_id, currency), amount in imported.items():
            no_amounts: Row = {"seen_at": None, "paid": None, "due": None, "to_check": ZERO}
            amounts: Row = {"currency": currency, "imported": amount, "left_to_check": -amount}
            last = self.books.history[order_id][-1]
            rows.append({**self._order_key(last), "reason": "imported", **no_amounts, **amounts})
        return rows

    @staticmethod
    def _order_key(seen: Seen) -> Row:
        return {
            "store": "main",
            "platform": "bricklink",
            "platform_order_id": str(seen.order.order_id),
            "platform_status": seen.order.status,
        }

    @staticmethod
    def _why(history: list[Seen], paid: list[Seen], came_to: Decimal | None, less: Decimal) -> tuple[str, object]:
        """The reason, and when the order was first seen to come to less."""
        if not less:
            return "imported", None
        full = [
            seen
            for seen in paid
            if cents(seen.order.grand_total) == came_to and seen.status not in {"cancelled", "problem"}
        ]
        after = history[history.index(full[-1]) + 1 :] if full else history
        last = history[-1]
        if last.status in {"cancelled", "problem"}:
            return last.status, after[0].at
        rise = last.order.costs.credit - full[-1].order.costs.credit
        return "credit" if rise > less - CENT else "decrease", after[0].at

    def cost_as_entered(self) -> list[Row]:
        """Lot by lot."""
        rows: list[Row] = []
        for seen in self.books.revenue():
            order = seen.order
            month = {"store": "main", "month": self._month(order.date_ordered), "currency": order.currency}
            lots = self.books.lots.get(order.order_id, ())
            for lot in lots:
                amount = lot.unit_price_final * lot.quantity
                rows.append({**month, "lots": 1, "amount": amount, "cost": lot.order_cost * lot.quantity})
            rest = order.subtotal - sum((lot.unit_price_final * lot.quantity for lot in lots), ZERO)
            if rest or order.total_count != sum(lot.quantity for lot in lots):
                rows.append({**month, "lots": 0, "amount": rest, "cost": ZERO})
        found: list[Row] = []
        for key, members in group(rows, ("store", "month", "currency")):
            with_cost = [row for row in members if row["cost"]]
            count = sum(int(money(row["lots"])) for row in members)
            total = sum((money(row["amount"]) for row in members), ZERO)
            covered = sum((money(row["amount"]) for row in with_cost), ZERO)
            known_well = 10 * len(with_cost) >= 9 * count and 10 * covered >= 9 * total and with_cost
            share = Decimal(1000 * len(with_cost)) / count / 10 if count else None
            cost = sum((money(row["cost"]) for row in with_cost), ZERO)
            found.append(
                {
                    **key,
                    "lots": count,
                    "lots_with_cost": len(with_cost),
                    "coverage": None if share is None else share.quantize(Decimal("0.1"), ROUND_HALF_UP),
                    "items_total": total,
                    "items_total_with_cost": covered,
                    "cost": cost if known_well else None,
                }
            )
        return found

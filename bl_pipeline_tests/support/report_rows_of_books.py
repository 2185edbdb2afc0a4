"""The reports of the books, worked out again in plain Python from what was seen of the store, one method a report."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from zoneinfo import ZoneInfo

from bl_pipeline_tests.support.journal_model import Journal, OrderState, Values, month_of, values_of
from bl_pipeline_tests.support.report_store import CLOSED, Seen
from bl_pipeline_tests.support.report_sums import ZERO, Accounts, Row

UTC = ZoneInfo("UTC")


class BookReports(Accounts):
    """What the books make of the orders, the journal, and what changed after closing."""

    def book_states(self) -> list[Row]:
        """Every state of every order in whole cents."""
        rows: list[Row] = []
        for states in self._states_of_orders().values():
            for values in values_of(states, self.zone, self.taxes):
                state = values.state
                rows.append(
                    {
                        "store": "main",
                        "platform": "bricklink",
                        "platform_order_id": state.order_id,
                        "state_number": values.number,
                        "document_id": state.document_id,
                        "observed_at": state.observed_at,
                        "changed_at": values.changed_at,
                        "order_date": state.order_date,
                        "counts": values.counts,
                        "tax_point": values.tax_point,
                        "tax_period": values.tax_point and self._month(values.tax_point),
                        "currency": state.currency,
                        "country_code": state.country,
                        "region": values.tax.region,
                        "special_territory": values.tax.territory,
                        "vat_rate": values.rate,
                        "tax_kind": values.tax.kind,
                        **values.amounts,
                        "marketplace_tax": values.marketplace_tax,
                        "given": state.given,
                    }
                )
        return rows

    def journal(self) -> list[Row]:
        """All entries: booked when the warehouse was synced, in UTC, one period being closed after the first time."""
        journal = Journal(UTC, self.taxes)
        states = [state for states in self._states_of_orders().values() for state in states]
        for at in sorted({state.observed_at for state in states}):
            journal.see([state for state in states if state.observed_at == at], booked_at=at)
            journal.closed = CLOSED
        return list(journal.lines)

    def period_changes(self) -> list[Row]:
        """What would be different in the closed periods, change by change."""
        rows: list[Row] = []
        orders = self._states_of_orders()
        closed_at = min(state.observed_at for states in orders.values() for state in states)
        for states in orders.values():
            values = values_of(states, self.zone, self.taxes)
            for before, after in pairwise([None, *values]):
                assert after is not None
                if after.state.observed_at > closed_at:
                    earlier = any(each.counts for each in values[: after.number - 1])
                    rows += self._changes(before, after, earlier=earlier)
            if known := [state for state in states if state.observed_at <= closed_at]:
                # It was closed in UTC.
                then, now = (values_of(known, zone, self.taxes)[-1] for zone in (UTC, self.zone))
                rows += self._moved(then, now)
        return rows

    def _moved(self, then: Values, now: Values) -> list[Row]:
        """What another time zone moves into another month, or out of it."""
        rows: list[Row] = []
        if not (then.tax_point and now.tax_point) or month_of(then.tax_point.date()) == self._month(now.tax_point):
            return rows
        receivable, vat = now.amounts["receivable"], now.amounts["output_vat"]
        for period, sign in ((month_of(then.tax_point.date()), -1), (self._month(now.tax_point), 1)):
            if period <= CLOSED:
                rows.append(
                    {
                        "store": "main",
                        "period": period,
                        "platform": "bricklink",
                        "platform_order_id": now.state.order_id,
                        "state_number": now.number,
                        "what": "recomputed",
                        "before": str(receivable) if sign < 0 else None,
                        "after": str(receivable) if sign > 0 else None,
                        "revenue_movement": sign * receivable,
                        "vat_movement": sign * vat,
                        "currency": now.state.currency,
                        "seen_at": None,
                    }
                )
        return rows

    def _changes(self, before: Values | None, after: Values, *, earlier: bool) -> list[Row]:
        old, new = (self._place(each) if each else None for each in (before, after))
        rows: list[Row] = []
        for place in dict.fromkeys(each for each in (old, new) if each):
            period, currency = place
            if period > CLOSED:
                continue
            gone = before if old == place else None
            come = after if new == place else None
            revenue, vat = (
                (come.amounts[name] if come else ZERO) - (gone.amounts[name] if gone else ZERO)
                for name in ("receivable", "output_vat")
            )
            what = self._what(before, after, earlier=earlier, revenue_differs=revenue != 0)
            same = gone and come and gone.attributes == come.attributes
            if same and not revenue and not vat:
                continue
            rows.append(
                {
                    "store": "main",
                    "period": period,
                    "platform": "bricklink",
                    "platform_order_id": after.state.order_id,
                    "state_number": after.number,
                    "what": what,
                    "before": said(gone, what),
                    "after": said(come, what),
                    "revenue_movement": revenue,
                    "vat_movement": vat,
                    "currency": currency,
                    "seen_at": after.state.observed_at,
                }
            )
        return rows

    def _place(self, values: Values) -> tuple[date, str] | None:
        return (self._month(values.tax_point), values.state.currency) if values.tax_point else None

    def _what(self, before: Values | None, after: Values, *, earlier: bool, revenue_differs: bool) -> str:
        if not after.counts:
            return "cancelled"
        if before is None or not before.counts:
            return "reopened" if earlier else "late"
        assert before.tax_point
        assert after.tax_point
        old, new = before.state, after.state
        if self._month(before.tax_point) != self._month(after.tax_point):
            return "date"
        if new.order_date > old.order_date and revenue_differs:
            return "batch"
        if new.given != old.given:
            return "credit"
        if revenue_differs:
            return "amount"
        moved = after.attributes[1:4] != before.attributes[1:4]
        return "country" if moved else "vat"

    def _states_of_orders(self) -> dict[int, list[OrderState]]:
        return {
            order_id: [
                order_state(seen, document_id)
                for seen, document_id in zip(history, self.books.documents[order_id], strict=True)
            ]
            for order_id, history in self.books.history.items()
        }


def said(values: Values | None, what: str) -> str | None:
    """What the report says of an order before or after a change."""
    if values is None:
        return None
    if what == "country":
        return " ".join(each for each in (values.state.country, values.tax.territory) if each)
    if what == "vat":
        rate = None if values.rate is None else f"{values.rate.normalize():f} %"
        return " ".join(each for each in (values.tax.kind, rate, str(values.amounts["output_vat"])) if each)
    return str(values.amounts["receivable"])


def order_state(seen: Seen, document_id: int) -> OrderState:
    """An order as it was seen, as the books take it."""
    order = seen.order
    return OrderState(
        order_id=str(order.order_id),
        document_id=document_id,
        observed_at=seen.at,
        status_changed_at=order.date_status_changed,
        status=seen.status,
        payment_status=order.payment.status,
        order_date=order.date_ordered,
        paid_at=order.payment.date_paid,
        shipped_at=order.shipping.date_shipped,
        currency=order.currency,
        country="GB" if order.buyer.country.code == "UK" else order.buyer.country.code,
        subtotal=order.subtotal,
        shipping=order.costs.shipping,
        total=order.grand_total,
        final_total=order.final_total,
        sales_tax=order.sales_tax,
        tax_by_bricklink=order.sales_tax_collected_by_bl,
        given=order.costs.credit + order.costs.coupon,
        vat_rate=order.costs.vat_rate,
        vat=order.vat_amount,
        vat_by_bricklink=order.vat_collected_by_bl,
        postal_code=order.shipping.address.postal_code,
    )

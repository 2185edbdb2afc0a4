"""The store's orders as the JSON of the API: names, text forms and what is left out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from bl_pipeline.sandbox.conversation import Feedback, Message
from bl_pipeline.sandbox.order import Lot, SandboxOrder, to_cents, to_fourths

Json = dict[str, Any]


@dataclass(frozen=True)
class Wire:
    """Which of the known forms this store's answers have, if BrickLink's own answers differ from one another.

    Args:
        purged_items: what /items of a purged order is: an empty list, no data at all, or a 404.
        date_status_changed: whether orders carry this undocumented field.
        sales_tax_key: the name of the sales tax in the detail's cost.
        timestamps: "2021-02-28T10:11:21.703Z", the same with "+00:00", or to the second.
        numbers_as_text: ids and counts as JSON strings, as they are documented.
    """

    purged_items: Literal["empty", "absent", "not_found"] = "empty"
    date_status_changed: bool = True
    sales_tax_key: Literal["salesTax", "salesTax_collected_by_BL"] = "salesTax"
    timestamps: Literal["milliseconds", "offset", "seconds"] = "milliseconds"
    numbers_as_text: bool = False

    def row(self, order: SandboxOrder) -> Json:
        """What GET /orders says of an order."""
        return {
            **self._head(order),
            "status": order.status,
            "total_count": self._number(order.total_count),
            "unique_count": self._number(order.unique_count),
            "is_filed": order.is_filed,
            **_tax_flags(order),
            "payment": self._payment(order),
            "cost": {
                "currency_code": order.currency,
                "subtotal": _money(order.subtotal),
                "grand_total": _money(order.grand_total),
                "final_total": _money(order.final_total),
            },
            "disp_cost": {
                "currency_code": order.disp_currency,
                "subtotal": _displayed(order, order.subtotal),
                "grand_total": _displayed_total(order, order.grand_total),
                "final_total": _displayed_total(order, order.final_total),
            },
        }

    def detail(self, order: SandboxOrder) -> Json:
        """What GET /orders/{id} says."""
        return {
            **self._head(order),
            "buyer_email": order.buyer.email,
            "require_insurance": order.require_insurance,
            "status": order.status,
            "is_invoiced": order.is_invoiced,
            **_without_unset({"remarks": order.remarks}),
            "total_count": self._number(order.total_count),
            "unique_count": self._number(order.unique_count),
            "total_weight": f"{order.total_weight:.2f}",
            "buyer_order_count": self._number(order.buyer_order_count),
            "is_filed": order.is_filed,
            "drive_thru_sent": order.drive_thru_sent,
            **_tax_flags(order),
            "payment": self._payment(order),
            "shipping": self._shipping(order),
            "cost": self._cost(order),
            "disp_cost": _disp_cost(order),
        }

    def items(self, order: SandboxOrder) -> list[list[Json]]:
        """What GET /orders/{id}/items says of an order that still has its items."""
        return [[self._lot(order, lot) for lot in batch] for batch in order.batches]

    def messages(self, messages: Iterable[Message]) -> list[Json]:
        """What GET /orders/{id}/messages says."""
        return [
            {
                "subject": message.subject,
                "body": message.body,
                "from": message.sender,
                "to": message.recipient,
                "dateSent": self._time(message.date_sent),
            }
            for message in messages
        ]

    def feedback(self, order: SandboxOrder, given: Iterable[Feedback]) -> list[Json]:
        """What GET /orders/{id}/feedback says."""
        return [
            {
                "feedback_id": self._number(feedback.feedback_id),
                "order_id": self._number(order.order_id),
                "from": feedback.sender,
                "to": feedback.recipient,
                "date_rated": self._time(feedback.date_rated),
                "rating": self._number(feedback.rating),
                "rating_of_bs": feedback.rating_of_bs,
                "comment": feedback.comment,
                **_without_unset({"reply": feedback.reply}),
            }
            for feedback in given
        ]

    def _head(self, order: SandboxOrder) -> Json:
        head: Json = {
            "order_id": self._number(order.order_id),
            "date_ordered": self._time(order.date_ordered),
        }
        if self.date_status_changed:
            head["date_status_changed"] = self._time(order.date_status_changed)
        return head | {
            "seller_name": order.seller_name,
            "store_name": order.store_name,
            # Unlike all else that is unset, a lost name is null.
            "buyer_name": order.buyer_name,
        }

    def _payment(self, order: SandboxOrder) -> Json:
        payment = order.payment
        return _without_unset(
            {
                "method": payment.method,
                "currency_code": payment.currency_code,
                "date_paid": self._time(payment.date_paid) if payment.date_paid else None,
                "status": payment.status,
            }
        )

    def _shipping(self, order: SandboxOrder) -> Json:
        shipping = order.shipping
        address = shipping.address
        return _without_unset(
            {
                "method_id": self._number(shipping.method_id),
                "method": shipping.method,
                "tracking_no": shipping.tracking_no,
                "tracking_link": shipping.tracking_link,
                "date_shipped": self._time(shipping.date_shipped) if shipping.date_shipped else None,
                "address": _without_unset(
                    {
                        "name": _without_unset(
                            {"full": address.full_name, "first": address.first, "last": address.last}
                        ),
                        "full": address.full,
                        "address1": address.address1,
                        "address2": address.address2,
                        "country_code": address.country_code,
                        "city": address.city,
                        "state": address.state,
                        "postal_code": address.postal_code,
                        "phone_number": address.phone_number,
                    }
                ),
            }
        )

    def _cost(self, order: SandboxOrder) -> Json:
        costs = order.costs
        return {
            "currency_code": order.currency,
            "subtotal": _money(order.subtotal),
            "grand_total": _money(order.grand_total),
            "etc1": _money(costs.etc1),
            "etc2": _money(costs.etc2),
            "insurance": _money(costs.insurance),
            "shipping": _money(costs.shipping),
            "credit": _money(costs.credit),
            "coupon": _money(costs.coupon),
            self.sales_tax_key: _money(order.sales_tax),
            "final_total": _money(order.final_total),
            "vat_rate": f"{costs.vat_rate:.2f}",
            "vat_amount": _money(order.vat_amount),
        }

    def _lot(self, order: SandboxOrder, lot: Lot) -> Json:
        row: Json = {
            "inventory_id": None if lot.inventory_id is None else self._number(lot.inventory_id),
            "item": _without_unset(
                {
                    "no": lot.item.no,
                    "name": lot.item.wire_name,
                    "type": lot.item.type,
                    "category_id": self._number(lot.item.category_id),
                }
            ),
            "color_id": self._number(lot.color.color_id),
            "color_name": lot.color.name,
            "quantity": self._number(lot.quantity),
            "new_or_used": lot.condition,
        }
        optional = {"completeness": lot.completeness, "description": lot.description, "remarks": lot.remarks}
        return (
            row
            | _without_unset(optional)
            | {
                "unit_price": _money(lot.unit_price),
                "unit_price_final": _money(lot.unit_price_final),
                "disp_unit_price": _displayed(order, lot.unit_price),
                "disp_unit_price_final": _displayed(order, lot.unit_price_final),
                "order_cost": _money(lot.order_cost),
                "currency_code": order.currency,
                "disp_currency_code": order.disp_currency,
                "weight": f"{lot.weight:.2f}",
            }
        )

    def _number(self, number: int) -> int | str:
        return str(number) if self.numbers_as_text else number

    def _time(self, when: datetime) -> str:
        if self.timestamps == "seconds":
            return f"{when:%Y-%m-%dT%H:%M:%S}Z"
        text = when.isoformat(timespec="milliseconds")
        return text if self.timestamps == "offset" else text.replace("+00:00", "Z")


def _tax_flags(order: SandboxOrder) -> Json:
    flags: Json = {"salesTax_collected_by_bl": order.sales_tax_collected_by_bl}
    if order.vat_collected_by_bl is not None:
        flags["vat_collected_by_bl"] = order.vat_collected_by_bl
    return flags


def _disp_cost(order: SandboxOrder) -> Json:
    costs = order.costs
    return {
        "currency_code": order.disp_currency,
        "subtotal": _displayed(order, order.subtotal),
        "grand_total": _displayed_total(order, order.grand_total),
        "etc1": _displayed(order, costs.etc1),
        "etc2": _displayed(order, costs.etc2),
        "insurance": _displayed(order, costs.insurance),
        "shipping": _displayed(order, costs.shipping),
        "credit": _displayed(order, costs.credit),
        "coupon": _displayed(order, costs.coupon),
        "final_total": _displayed_total(order, order.final_total),
        "vat_rate": f"{costs.vat_rate:.2f}",
        "vat_amount": _displayed(order, order.vat_amount),
    }


def _without_unset(fields: Json) -> Json:
    """The fields without those that are not set: the API leaves them out rather than sending null."""
    return {name: value for name, value in fields.items() if value is not None}


def _money(amount: Decimal) -> str:
    return f"{amount:.4f}"


def _displayed(order: SandboxOrder, amount: Decimal) -> str:
    return _money(to_fourths(amount * order.disp_rate))


def _displayed_total(order: SandboxOrder, amount: Decimal) -> str:
    """Totals are shown to the cent, unlike the sums they are made of."""
    return _money(to_cents(amount * order.disp_rate))

"""What a field costs that cannot be read: the order, the lot, or nothing but its own value.

A field cannot be read if its value is of another type than expected, or is not plausible. Only what identifies an
order or makes its money wrong may cost the order, and only what makes the money of a lot wrong the lot. Any other
value becomes null, or its text if the column is text; the field is named in `unreadable_fields`, and the answer stays
as it was received. A field that is absent or null is no fault: BrickLink leaves out what is not set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum


class Loss(StrEnum):
    """What is lost if a field cannot be read."""

    ORDER = "the order"
    LOT = "the lot"
    VALUE = "nothing else"


NEEDED = frozenset({"order_id", "date_ordered", "cost", "cost.currency_code", "quantity"})
"""Fields that must be there, too: absent or null costs the same as a fault."""

EARLIEST = datetime(1995, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
"""A time is plausible from EARLIEST, before BrickLink existed, to before LATEST."""


NO_TEXT = re.compile("[\x00\ud800-\udfff]")
"""Characters that can be in JSON, and in no UTF-8 text of Postgres: NUL, and half a surrogate pair."""


def _all(loss: Loss, part: str, *names: str) -> dict[str, Loss]:
    return {f"{part}.{name}": loss for name in names}


_AMOUNTS = (
    "subtotal", "grand_total", "final_total", "etc1", "etc2", "insurance", "shipping", "credit", "coupon", "salesTax",
    "vat_amount",
)  # fmt: skip

ORDER_FIELDS: Mapping[str, Loss] = {
    "order_id": Loss.ORDER,  # identifies it
    "date_ordered": Loss.ORDER,  # else its money belongs to no day
    "date_status_changed": Loss.VALUE,
    "status": Loss.VALUE,
    "seller_name": Loss.VALUE,
    "store_name": Loss.VALUE,
    "buyer_name": Loss.VALUE,
    "buyer_email": Loss.VALUE,
    "buyer_order_count": Loss.VALUE,
    "total_count": Loss.VALUE,
    "unique_count": Loss.VALUE,
    "total_weight": Loss.VALUE,
    "is_filed": Loss.VALUE,
    "is_invoiced": Loss.VALUE,
    "require_insurance": Loss.VALUE,
    "drive_thru_sent": Loss.VALUE,
    "salesTax_collected_by_bl": Loss.VALUE,
    "vat_collected_by_bl": Loss.VALUE,
    "remarks": Loss.VALUE,
    "payment": Loss.VALUE,
    **_all(Loss.VALUE, "payment", "method", "currency_code", "date_paid", "status"),
    "cost": Loss.ORDER,  # its money, as is all of it but the rate
    **_all(Loss.ORDER, "cost", "currency_code", *_AMOUNTS),
    "cost.vat_rate": Loss.VALUE,
    "disp_cost": Loss.VALUE,
    **_all(Loss.VALUE, "disp_cost", "currency_code", *_AMOUNTS, "vat_rate"),
    "shipping": Loss.VALUE,
    **_all(Loss.VALUE, "shipping", "method_id", "method", "tracking_no", "tracking_link", "date_shipped", "address"),
    **_all(Loss.VALUE, "shipping.address", "name", "full", "address1", "address2", "country_code", "city", "state"),
    **_all(Loss.VALUE, "shipping.address", "postal_code", "phone_number"),
    **_all(Loss.VALUE, "shipping.address.name", "full", "first", "last"),
}
"""Field of an order, and of a row of the list → what it costs. A row that is lost leaves the order itself."""

ITEM_FIELDS: Mapping[str, Loss] = {
    "quantity": Loss.LOT,  # quantity x unit_price_final is its money
    "unit_price_final": Loss.LOT,
    "unit_price": Loss.VALUE,
    "currency_code": Loss.VALUE,
    "inventory_id": Loss.VALUE,
    "item": Loss.VALUE,
    **_all(Loss.VALUE, "item", "no", "name", "type", "category_id"),
    "color_id": Loss.VALUE,
    "color_name": Loss.VALUE,
    "new_or_used": Loss.VALUE,
    "completeness": Loss.VALUE,
    "disp_unit_price": Loss.VALUE,
    "disp_unit_price_final": Loss.VALUE,
    "disp_currency_code": Loss.VALUE,
    "description": Loss.VALUE,
    "remarks": Loss.VALUE,
    "weight": Loss.VALUE,
    "order_cost": Loss.VALUE,
}
"""Field of a lot → what it costs."""

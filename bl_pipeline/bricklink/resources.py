"""Orders and their parts as BrickLink sends them, each value checked and typed but not interpreted.

Source: https://www.bricklink.com/v3/api.page, "Order", and recorded answers if they say more. These rules apply to
every field: what the answer leaves out is None and never zero, and so is a blank instead of an amount, a number or a
time; an unknown field is ignored; text is as received, HTML entities included. Ids and counts are integers, also if
they come as strings. Amounts are decimal strings with the digits as received. Times are aware, in UTC. `tolerance`
says what a field costs that cannot be read; if it costs only its own value, `unreadable_fields` names it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""An id or a count, within 64 bits."""

OrderId = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]

DECIMAL4 = r"\A-?[0-9]{1,15}(\.[0-9]{1,4}0*)?\Z"
Decimal4 = Annotated[str, msgspec.Meta(pattern=DECIMAL4)]
"""A decimal number as text that `numeric(19,4)` stores exactly."""

Word = Annotated[str, msgspec.Meta(min_length=1)]


class Resource(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What all resources share: equality by value, and a repr that shows no personal data."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __rich_repr__(self) -> Any:
        return iter(())


class Payment(Resource, frozen=True, kw_only=True):
    """How and when the buyer paid; `currency_code` is the one paid in, which may differ from the cost's."""

    method: str | None = None
    currency_code: str | None = None
    date_paid: datetime | None = None
    status: str | None = None


class Amounts(Resource, frozen=True, kw_only=True):
    """What an order is made up of; a row of the list has only the subtotal and the totals."""

    subtotal: Decimal4 | None = None
    grand_total: Decimal4 | None = None
    final_total: Decimal4 | None = None
    etc1: Decimal4 | None = None
    etc2: Decimal4 | None = None
    insurance: Decimal4 | None = None
    shipping: Decimal4 | None = None
    credit: Decimal4 | None = None
    coupon: Decimal4 | None = None
    sales_tax: Decimal4 | None = msgspec.field(default=None, name="salesTax")
    vat_rate: Decimal4 | None = None
    """Per cent."""
    vat_amount: Decimal4 | None = None


class Cost(Amounts, frozen=True, kw_only=True):
    """What the order costs, in `currency_code`."""

    currency_code: Word


class DisplayCost(Amounts, frozen=True, kw_only=True):
    """What the buyer was shown: in another currency perhaps, and rounded."""

    currency_code: str | None = None


class PersonName(Resource, frozen=True, kw_only=True):
    full: str | None = None
    first: str | None = None
    last: str | None = None


class Address(Resource, frozen=True, kw_only=True):
    """The address of the parcel; `country_code` is ISO 3166-1 alpha-2, except that it says UK for GB."""

    name: PersonName | None = None
    full: str | None = None
    address1: str | None = None
    address2: str | None = None
    country_code: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    phone_number: str | None = None


class Shipping(Resource, frozen=True, kw_only=True):
    method_id: Integer | None = None
    method: str | None = None
    tracking_no: str | None = None
    tracking_link: str | None = None
    date_shipped: datetime | None = None
    address: Address | None = None


class OrderSummary(Resource, frozen=True, kw_only=True):
    """A row of the list of orders."""

    order_id: OrderId
    date_ordered: datetime
    cost: Cost
    status: str = ""
    date_status_changed: datetime | None = None
    seller_name: str | None = None
    store_name: str | None = None
    buyer_name: str | None = None
    total_count: Integer | None = None
    """Pieces."""
    unique_count: Integer | None = None
    """Lots."""
    is_filed: bool | None = None
    sales_tax_collected_by_bl: bool | None = msgspec.field(default=None, name="salesTax_collected_by_bl")
    vat_collected_by_bl: bool | None = None
    payment: Payment | None = None
    disp_cost: DisplayCost | None = None
    unreadable_fields: tuple[str, ...] = ()
    """Paths of the fields that could not be read as expected, such as `shipping.method_id`."""


class Order(OrderSummary, frozen=True, kw_only=True):
    """An order in full, without its items."""

    buyer_email: str | None = None
    buyer_order_count: Integer | None = None
    require_insurance: bool | None = None
    is_invoiced: bool | None = None
    drive_thru_sent: bool | None = None
    total_weight: Decimal4 | None = None
    """Grams."""
    remarks: str | None = None
    shipping: Shipping | None = None


class CatalogItem(Resource, frozen=True, kw_only=True):
    """What the lot is; a custom item has no number in the catalogue."""

    no: str | None = None
    name: str | None = None
    type: str | None = None
    category_id: Integer | None = None


class PartLine(Resource, frozen=True, kw_only=True):
    """What all parts of an order share: each line of one, such as a lot of its items, is a resource of its own."""

    unreadable_fields: tuple[str, ...] = ()
    """Paths of the fields that could not be read as expected, such as `item.category_id`."""


class OrderItem(PartLine, frozen=True, kw_only=True):
    """A lot of an order. The same `inventory_id` may recur in several batches."""

    quantity: Integer
    item: CatalogItem = CatalogItem()
    inventory_id: Integer | None = None
    color_id: Integer | None = None
    color_name: str | None = None
    new_or_used: str | None = None
    completeness: str | None = None
    unit_price: Decimal4 | None = None
    unit_price_final: Decimal4 | None = None
    disp_unit_price: Decimal4 | None = None
    disp_unit_price_final: Decimal4 | None = None
    currency_code: str | None = None
    disp_currency_code: str | None = None
    description: str | None = None
    remarks: str | None = None
    weight: Decimal4 | None = None
    """Grams, of one piece."""
    order_cost: Decimal4 | None = None


class OrderMessage(PartLine, frozen=True, kw_only=True):
    """A message about an order, to the seller. `sender` and `recipient` are BrickLink usernames."""

    subject: str | None = None
    body: str | None = None
    sender: str | None = msgspec.field(default=None, name="from")
    recipient: str | None = msgspec.field(default=None, name="to")
    date_sent: datetime | None = msgspec.field(default=None, name="dateSent")


class OrderFeedback(PartLine, frozen=True, kw_only=True):
    """Feedback about an order. `rating` is 0 praise, 1 neutral or 2 complaint; `rating_of_bs` who is rated, B or S."""

    rating: Integer
    feedback_id: Integer | None = None
    order_id: Integer | None = None
    sender: str | None = msgspec.field(default=None, name="from")
    recipient: str | None = msgspec.field(default=None, name="to")
    date_rated: datetime | None = None
    rating_of_bs: str | None = None
    comment: str | None = None
    reply: str | None = None


class UnreadableLot(Resource, frozen=True, kw_only=True):
    """A lot whose quantity or price cannot be read, or a line of another part, and why; the others are not affected."""

    error: str


class UnreadableSummary(Resource, frozen=True, kw_only=True):
    """A row of the list of which only the id could be read, and why; the order itself may still be readable."""

    order_id: str
    error: str


def utc(text: str) -> datetime:
    """The time an ISO 8601 text names, in UTC; without an offset it is taken for UTC.

    Fractions beyond microseconds are cut off. Raises ValueError or OverflowError.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is UTC:
        return time
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)

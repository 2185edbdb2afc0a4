"""One order as the store knows it: exact and immutable, a new object for every change.

How the money adds up, on every order:

    grand_total = subtotal + shipping + insurance + etc1 + etc2 + sales_tax - credit - coupon
    final_total = grand_total - what BrickLink collects itself

Sales tax is on top of the prices and inside grand_total. VAT is inside the prices and the shipping, so
`vat_amount` is a part of grand_total and adds nothing to it. BrickLink collects the sales tax if
`sales_tax_collected_by_bl` says so, and the VAT if `vat_collected_by_bl` does; the seller is paid
final_total.

Amounts are `Decimal` in the order's currency, of four decimals at most; weights are grams; times are aware
and UTC, in whole milliseconds.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Literal, NamedTuple

from bl_pipeline.sandbox.catalogue import CatalogueItem, Color
from bl_pipeline.sandbox.people import Address, Buyer

ZERO = Decimal("0.0000")
_CENT = Decimal("0.01")
_FOURTH = Decimal("0.0001")


def to_cents(amount: Decimal) -> Decimal:
    """The amount rounded half up to two decimals."""
    return amount.quantize(_CENT, ROUND_HALF_UP)


def to_fourths(amount: Decimal) -> Decimal:
    """The amount rounded half up to four decimals."""
    return amount.quantize(_FOURTH, ROUND_HALF_UP)


class Lot(NamedTuple):
    """One line of a batch. `description` and `remarks` are as on the wire, entities and tags included.

    `unit_price` is what the shop asks, `unit_price_final` what the buyer pays for one; `weight` is of one.
    `order_cost` is what the seller has entered as the cost of one.
    """

    inventory_id: int | None
    item: CatalogueItem
    color: Color
    quantity: int
    condition: Literal["N", "U"]
    completeness: Literal["C", "B", "S"] | None
    unit_price: Decimal
    unit_price_final: Decimal
    weight: Decimal
    description: str | None
    remarks: str | None
    order_cost: Decimal = Decimal(0)


Batch = tuple[Lot, ...]


class Payment(NamedTuple):
    """How and whether an order was paid; the status is BrickLink's word, never derived from the order's."""

    method: str
    currency_code: str
    date_paid: datetime | None
    status: str


class Shipping(NamedTuple):
    """How an order is sent."""

    method_id: int
    method: str
    tracking_no: str | None
    tracking_link: str | None
    date_shipped: datetime | None
    address: Address


class Costs(NamedTuple):
    """The parts of an order's cost that do not follow from its items; the rates are in percent."""

    shipping: Decimal
    insurance: Decimal
    etc1: Decimal
    etc2: Decimal
    credit: Decimal
    coupon: Decimal
    sales_tax_rate: Decimal
    vat_rate: Decimal


@dataclass(frozen=True)
class SandboxOrder:
    """An order, sold (`direction` "in") or bought ("out"), with everything the API could send of it.

    `batches` stays what was sold, also once BrickLink has purged the order: ask `is_purged` whether the API
    still answers it. None means that the API leaves the field out, except `buyer.name` and a lot's
    `inventory_id`, which it sends as null.
    """

    order_id: int
    direction: Literal["in", "out"]
    date_ordered: datetime
    date_status_changed: datetime
    seller_name: str
    store_name: str
    buyer: Buyer
    buyer_order_count: int
    status: str
    is_filed: bool
    batches: tuple[Batch, ...]
    currency: str
    costs: Costs
    disp_currency: str
    disp_rate: Decimal
    payment: Payment
    shipping: Shipping
    sales_tax_collected_by_bl: bool
    vat_collected_by_bl: bool | None
    require_insurance: bool
    is_invoiced: bool
    drive_thru_sent: bool
    remarks: str | None

    @property
    def buyer_name(self) -> str | None:
        """The buyer's member name."""
        return self.buyer.name

    @property
    def is_purged(self) -> bool:
        """Whether BrickLink has deleted the items."""
        return self.status == "PURGED"

    @cached_property
    def lots(self) -> tuple[Lot, ...]:
        """The lots of all batches, in order."""
        return tuple(lot for batch in self.batches for lot in batch)

    @cached_property
    def subtotal(self) -> Decimal:
        """What the items cost."""
        return sum((lot.unit_price_final * lot.quantity for lot in self.lots), ZERO)

    @cached_property
    def total_count(self) -> int:
        """How many pieces."""
        return sum(lot.quantity for lot in self.lots)

    @property
    def unique_count(self) -> int:
        """How many lots."""
        return len(self.lots)

    @cached_property
    def total_weight(self) -> Decimal:
        """What all pieces weigh."""
        return sum((lot.weight * lot.quantity for lot in self.lots), Decimal("0.00"))

    @cached_property
    def sales_tax(self) -> Decimal:
        """The sales tax on items and shipping, in whole cents."""
        return to_cents((self.subtotal + self.costs.shipping) * self.costs.sales_tax_rate / 100)

    @cached_property
    def vat_amount(self) -> Decimal:
        """The VAT inside what is paid for items, shipping and extras."""
        taxed = self.grand_total - self.sales_tax
        return to_fourths(taxed * self.costs.vat_rate / (100 + self.costs.vat_rate))

    @cached_property
    def fees(self) -> Decimal:
        """Everything in grand_total that is neither items nor shipping."""
        costs = self.costs
        return costs.insurance + costs.etc1 + costs.etc2 + self.sales_tax - costs.credit - costs.coupon

    @cached_property
    def grand_total(self) -> Decimal:
        """What the buyer pays."""
        return self.subtotal + self.costs.shipping + self.fees

    @cached_property
    def tax_collected_by_bl(self) -> Decimal:
        """What BrickLink takes out of grand_total for the tax office."""
        sales_tax = self.sales_tax if self.sales_tax_collected_by_bl else ZERO
        return sales_tax + (self.vat_amount if self.vat_collected_by_bl else ZERO)

    @property
    def final_total(self) -> Decimal:
        """What the seller gets."""
        return self.grand_total - self.tax_collected_by_bl

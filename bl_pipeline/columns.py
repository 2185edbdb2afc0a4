"""The kinds of answers about an order, and the columns of the table that each becomes: one line for each column.

The tables, the DataFrames, how an answer becomes a row, the comments in Postgres and docs/data-dictionary.md are made
of these lines. To add a column, or a kind of answer: docs/architecture.md, "Where to put what".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum


class AnswerKind(StrEnum):
    """A kind of answer about one order: the order itself (GET /orders/{id}), or a part of it (GET /orders/{id}/<kind>).

    The value is landing.documents.kind, and begins the names of a part's columns in sync.order_state.
    """

    ORDER = "order"
    ITEMS = "items"
    MESSAGES = "messages"
    FEEDBACK = "feedback"


class OrderGroup(StrEnum):
    """The groups of BrickLink's statuses: the values of sales.orders.status."""

    PENDING = "pending"
    PROCESSING = "processing"
    SHIPPED = "shipped"
    COMPLETED = "completed"
    ON_HOLD = "on_hold"
    PROBLEM = "problem"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class ColumnType(Enum):
    """What a column contains; the value says in which unit or form."""

    TEXT = "text as BrickLink sends it"
    HTML = "text that BrickLink escapes as HTML, stored plain"
    MONEY = "an exact amount in the currency of the row, or of disp_currency, with four decimals"
    WEIGHT = "grams, with four decimals"
    RATE = "per cent, with four decimals"
    TIME = "a moment in UTC, to the microsecond"
    COUNT = "an id or a number, 64 bits"
    NUMBER = "a place in the answer, from 1"
    FLAG = "yes or no"
    TEXTS = "a list of texts"
    JSON = "an object"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `sales`.

    `source` is the field of the resource in bricklink/resources.py, with dots, such as `cost.subtotal`; None if
    rules/normalise.py computes the value. `null` says whether the column may be empty.
    """

    name: str
    type: ColumnType
    comment: str
    source: str | None = None
    null: bool = True


# One line each, however long: so they are easy to read, to compare and to add.
# ruff: noqa: E501
# fmt: off
ORDERS = (
    Column("platform_order_id", ColumnType.TEXT, "The order's id at the platform"),
    Column("display_id", ColumnType.TEXT, "The order's id as people see it: BL-<id>", null=False),
    Column("order_date", ColumnType.TIME, "date_ordered; a batch added to the order resets it", "date_ordered", null=False),
    Column("first_order_date", ColumnType.TIME, "order_date as first seen", "date_ordered", null=False),
    Column("status_changed_at", ColumnType.TIME, "date_status_changed", "date_status_changed"),
    Column("buyer_name", ColumnType.HTML, "Full name of the addressee", "shipping.address.name.full"),
    Column("buyer_username", ColumnType.TEXT, "The buyer's BrickLink username", "buyer_name"),
    Column("buyer_email", ColumnType.TEXT, "The buyer's e-mail address", "buyer_email"),
    Column("buyer_order_count", ColumnType.COUNT, "Orders this buyer has placed in the store, as BrickLink counts", "buyer_order_count"),
    Column("status", ColumnType.TEXT, "pending, processing, shipped, completed, on_hold, problem, cancelled or unknown", null=False),
    Column("platform_status", ColumnType.TEXT, "The status in BrickLink's own word, empty if it cannot be read", "status", null=False),
    Column("payment_status", ColumnType.TEXT, "None, Sent, Received, Clearing, Returned, Bounced or Completed", "payment.status"),
    Column("payment_method", ColumnType.HTML, "Payment method in BrickLink's words", "payment.method"),
    Column("payment_currency", ColumnType.TEXT, "ISO 4217 code of the currency the buyer pays in", "payment.currency_code"),
    Column("paid_at", ColumnType.TIME, "payment.date_paid", "payment.date_paid"),
    Column("subtotal", ColumnType.MONEY, "Sum of the items, cost.subtotal", "cost.subtotal"),
    Column("shipping", ColumnType.MONEY, "Shipping charged, cost.shipping", "cost.shipping"),
    Column("fees", ColumnType.MONEY, "total - subtotal - shipping: everything that is neither items nor shipping"),
    Column("total", ColumnType.MONEY, "What the order comes to, cost.grand_total", "cost.grand_total"),
    Column("final_total", ColumnType.MONEY, "The total less the tax BrickLink collects itself, cost.final_total", "cost.final_total"),
    Column("currency", ColumnType.TEXT, "ISO 4217 code of every amount not named disp_, cost.currency_code", "cost.currency_code", null=False),
    Column("insurance", ColumnType.MONEY, "Part of fees: insurance charged", "cost.insurance"),
    Column("etc1", ColumnType.MONEY, "Part of fees: additional charge 1", "cost.etc1"),
    Column("etc2", ColumnType.MONEY, "Part of fees: additional charge 2", "cost.etc2"),
    Column("tax", ColumnType.MONEY, "Part of fees: sales tax, cost.salesTax", "cost.sales_tax"),
    Column("credit", ColumnType.MONEY, "Taken off fees: credit given to the buyer", "cost.credit"),
    Column("coupon", ColumnType.MONEY, "Taken off fees: coupon used by the buyer", "cost.coupon"),
    Column("vat_rate", ColumnType.RATE, "VAT rate in per cent", "cost.vat_rate"),
    Column("vat_amount", ColumnType.MONEY, "VAT contained in the total", "cost.vat_amount"),
    Column("sales_tax_collected_by_bricklink", ColumnType.FLAG, "BrickLink collects the sales tax and pays it on", "sales_tax_collected_by_bl"),
    Column("vat_collected_by_bricklink", ColumnType.FLAG, "BrickLink collects the VAT and pays it on", "vat_collected_by_bl"),
    Column("disp_currency", ColumnType.TEXT, "ISO 4217 code of the disp_ amounts: what the buyer saw", "disp_cost.currency_code"),
    Column("disp_subtotal", ColumnType.MONEY, "subtotal as the buyer saw it, in disp_currency, rounded by BrickLink", "disp_cost.subtotal"),
    Column("disp_shipping", ColumnType.MONEY, "shipping as the buyer saw it, in disp_currency", "disp_cost.shipping"),
    Column("disp_total", ColumnType.MONEY, "total as the buyer saw it, in disp_currency", "disp_cost.grand_total"),
    Column("disp_final_total", ColumnType.MONEY, "final_total as the buyer saw it, in disp_currency", "disp_cost.final_total"),
    Column("disp_insurance", ColumnType.MONEY, "insurance as the buyer saw it, in disp_currency", "disp_cost.insurance"),
    Column("disp_etc1", ColumnType.MONEY, "etc1 as the buyer saw it, in disp_currency", "disp_cost.etc1"),
    Column("disp_etc2", ColumnType.MONEY, "etc2 as the buyer saw it, in disp_currency", "disp_cost.etc2"),
    Column("disp_credit", ColumnType.MONEY, "credit as the buyer saw it, in disp_currency", "disp_cost.credit"),
    Column("disp_coupon", ColumnType.MONEY, "coupon as the buyer saw it, in disp_currency", "disp_cost.coupon"),
    Column("disp_vat_rate", ColumnType.RATE, "VAT rate in per cent, as the buyer saw it", "disp_cost.vat_rate"),
    Column("disp_vat_amount", ColumnType.MONEY, "vat_amount as the buyer saw it, in disp_currency", "disp_cost.vat_amount"),
    Column("shipping_method_id", ColumnType.COUNT, "BrickLink's id of the shipping method", "shipping.method_id"),
    Column("shipping_method", ColumnType.HTML, "Name of the shipping method", "shipping.method"),
    Column("tracking_number", ColumnType.TEXT, "Tracking number", "shipping.tracking_no"),
    Column("tracking_url", ColumnType.TEXT, "Tracking link", "shipping.tracking_link"),
    Column("shipped_at", ColumnType.TIME, "shipping.date_shipped", "shipping.date_shipped"),
    Column("country_code", ColumnType.TEXT, "Country of the address, ISO 3166-1 alpha-2 (GB, where BrickLink says UK)"),
    Column("shipping_address", ColumnType.JSON, "The address: name, lines, city, state, postal code, country, phone"),
    Column("address_state", ColumnType.HTML, "State or region of the address, as the buyer has written it", "shipping.address.state"),
    Column("postal_code", ColumnType.HTML, "Postal code of the address", "shipping.address.postal_code"),
    Column("total_count", ColumnType.COUNT, "Pieces in the order", "total_count"),
    Column("unique_count", ColumnType.COUNT, "Lots in the order", "unique_count"),
    Column("total_weight", ColumnType.WEIGHT, "Weight of the items in grams", "total_weight"),
    Column("is_filed", ColumnType.FLAG, "The seller has filed the order away", "is_filed"),
    Column("is_invoiced", ColumnType.FLAG, "The seller has sent an invoice", "is_invoiced"),
    Column("require_insurance", ColumnType.FLAG, "The buyer asked for insurance", "require_insurance"),
    Column("drive_thru_sent", ColumnType.FLAG, "The seller has sent a Drive Thru message", "drive_thru_sent"),
    Column("remarks", ColumnType.HTML, "The seller's remarks on the order", "remarks"),
    Column("seller_username", ColumnType.TEXT, "The seller's BrickLink username", "seller_name"),
    Column("store_name", ColumnType.HTML, "The store's name at BrickLink", "store_name"),
    Column("unreadable_fields", ColumnType.TEXTS, "Fields of the order that could not be read as expected: null here, or as text; null if there are none"),
    Column("order_document_id", ColumnType.COUNT, "landing.documents: the order as received", null=False),
    Column("items_document_id", ColumnType.COUNT, "landing.documents: its items as received"),
    Column("fetched_at", ColumnType.TIME, "When the order was received", null=False),
)
"""A row of sales.orders, without store and platform."""

ORDER_ITEMS = (
    Column("platform_order_id", ColumnType.TEXT, "The order's id at the platform"),
    Column("batch_number", ColumnType.NUMBER, "Batch of the order, from 1"),
    Column("line_number", ColumnType.NUMBER, "Place of the lot within the batch, from 1"),
    Column("inventory_id", ColumnType.COUNT, "Id of the lot in the store's inventory", "inventory_id"),
    Column("item_number", ColumnType.TEXT, "Catalogue number, item.no; null for a custom item, which has none", "item.no"),
    Column("item_name", ColumnType.HTML, "Catalogue name, unescaped from HTML", "item.name"),
    Column("item_type", ColumnType.TEXT, "PART, SET, MINIFIG, BOOK, GEAR, CATALOG, INSTRUCTION, UNSORTED_LOT or ORIGINAL_BOX", "item.type"),
    Column("category_id", ColumnType.COUNT, "BrickLink's id of the category", "item.category_id"),
    Column("color_id", ColumnType.COUNT, "BrickLink's id of the colour, 0 if there is none", "color_id"),
    Column("color_name", ColumnType.HTML, "Name of the colour", "color_name"),
    Column("quantity", ColumnType.COUNT, "Pieces", "quantity"),
    Column("condition", ColumnType.TEXT, "N new or U used", "new_or_used"),
    Column("completeness", ColumnType.TEXT, "Of sets: C complete, B incomplete, S sealed", "completeness"),
    Column("unit_price", ColumnType.MONEY, "Final price of one piece, unit_price_final", "unit_price_final"),
    Column("list_unit_price", ColumnType.MONEY, "Price of one piece before discounts, unit_price", "unit_price"),
    Column("total_price", ColumnType.MONEY, "unit_price x quantity"),
    Column("currency", ColumnType.TEXT, "ISO 4217 code of the prices", "currency_code"),
    Column("disp_unit_price", ColumnType.MONEY, "unit_price as the buyer saw it, in disp_currency", "disp_unit_price_final"),
    Column("disp_list_unit_price", ColumnType.MONEY, "list_unit_price as the buyer saw it, in disp_currency", "disp_unit_price"),
    Column("disp_currency", ColumnType.TEXT, "ISO 4217 code of the disp_ amounts", "disp_currency_code"),
    Column("order_cost", ColumnType.MONEY, "order_cost, undocumented by BrickLink", "order_cost"),
    Column("weight", ColumnType.WEIGHT, "Weight of one piece in grams", "weight"),
    Column("description", ColumnType.HTML, "Description the buyer saw, unescaped from HTML", "description"),
    Column("remarks", ColumnType.HTML, "The seller's own remarks on the lot, unescaped from HTML", "remarks"),
    Column("unreadable_fields", ColumnType.TEXTS, "Fields of the lot that could not be read as expected: null here, or as text; null if there are none"),
)
"""A row of sales.order_items, without store and platform."""

ORDER_MESSAGES = (
    Column("platform_order_id", ColumnType.TEXT, "The order's id at the platform"),
    Column("line_number", ColumnType.NUMBER, "Place in the answer, from 1"),
    Column("sent_at", ColumnType.TIME, "dateSent", "date_sent"),
    Column("sender", ColumnType.TEXT, "BrickLink username of who sent it, from", "sender"),
    Column("recipient", ColumnType.TEXT, "BrickLink username of who received it, to", "recipient"),
    Column("subject", ColumnType.HTML, "Subject, unescaped from HTML", "subject"),
    Column("body", ColumnType.HTML, "Text of the message, unescaped from HTML", "body"),
    Column("unreadable_fields", ColumnType.TEXTS, "Fields of the message that could not be read as expected: null here, or as text; null if there are none"),
)
"""A row of sales.order_messages, without store and platform."""

ORDER_FEEDBACK = (
    Column("platform_order_id", ColumnType.TEXT, "The order's id at the platform"),
    Column("line_number", ColumnType.NUMBER, "Place in the answer, from 1"),
    Column("feedback_id", ColumnType.COUNT, "BrickLink's id of the feedback", "feedback_id"),
    Column("rated_at", ColumnType.TIME, "date_rated", "date_rated"),
    Column("rating", ColumnType.COUNT, "0 praise, 1 neutral, 2 complaint", "rating", null=False),
    Column("rating_of", ColumnType.TEXT, "Who is rated, rating_of_bs: S the seller, B the buyer", "rating_of_bs"),
    Column("sender", ColumnType.TEXT, "BrickLink username of who rated, from", "sender"),
    Column("recipient", ColumnType.TEXT, "BrickLink username of who is rated, to", "recipient"),
    Column("comment", ColumnType.HTML, "Comment, unescaped from HTML", "comment"),
    Column("reply", ColumnType.HTML, "Reply to the comment, unescaped from HTML", "reply"),
    Column("unreadable_fields", ColumnType.TEXTS, "Fields of the feedback that could not be read as expected: null here, or as text; null if there are none"),
)
"""A row of sales.order_feedback, without store and platform."""
# fmt: on


@dataclass(frozen=True, slots=True)
class SalesTable:
    """A table of `sales`: what one kind of answer becomes. Columns of ColumnType.NUMBER belong to the key."""

    name: str
    comment: str
    columns: tuple[Column, ...]


TABLES: Mapping[AnswerKind, SalesTable] = {
    AnswerKind.ORDER: SalesTable("orders", "One row per sale, as last received", ORDERS),
    AnswerKind.ITEMS: SalesTable("order_items", "One row per lot of an order; outlives BrickLink's purge", ORDER_ITEMS),
    AnswerKind.MESSAGES: SalesTable(
        "order_messages",
        "One row per message about a sale that the seller received, if messages are fetched",
        ORDER_MESSAGES,
    ),
    AnswerKind.FEEDBACK: SalesTable(
        "order_feedback", "One row per feedback about a sale, if feedback is fetched", ORDER_FEEDBACK
    ),
}

PARTS: tuple[AnswerKind, ...] = tuple(kind for kind in TABLES if kind is not AnswerKind.ORDER)
"""The kinds that are parts of an order."""

OPTIONAL_PARTS = frozenset({AnswerKind.MESSAGES, AnswerKind.FEEDBACK})
"""Those that are fetched only if the settings or a request name them: nothing shows that they have changed."""

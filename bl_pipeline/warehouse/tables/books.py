"""The tables of `books`: what an accountant works with."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    text,
)

from bl_pipeline.warehouse.tables.schema import (
    count_column,
    flag_column,
    metadata,
    order_key,
    text_column,
    time_column,
)


def _amount_column(name: str, comment: str) -> Column[object]:
    """An amount in whole cents."""
    return Column(name, Numeric(19, 2), nullable=False, comment=comment)


tax_settings = Table(
    "tax_settings",
    metadata,
    Column("store", Text, primary_key=True, comment="Key of the store, from BL_STORE"),
    text_column("home_country", "Country in which the seller is registered, ISO 3166-1 alpha-2", null=False),
    text_column(
        "vat_scheme",
        "none (not registered for VAT), small (exempt small business), standard, cash (VAT is due when paid) or margin "
        "(VAT on the margin of used goods)",
        null=False,
    ),
    flag_column("oss", "VAT of consumers in other EU countries is declared in the One-Stop Shop", null=False),
    text_column(
        "vat_source",
        "bricklink: the VAT that BrickLink gives; computed: taken out of the gross by tax_rates",
        null=False,
    ),
    time_column("noted_at", "Since when they are so", null=False),
    schema="books",
    comment="One row per store with tax settings: what reports have to know of its taxes; today's, not history",
)

tax_rates = Table(
    "tax_rates",
    metadata,
    Column("store", Text, primary_key=True, comment="Key of the store, from BL_STORE"),
    Column("country_code", Text, primary_key=True, comment="Country whose rate it is, ISO 3166-1 alpha-2"),
    Column("valid_from", Date, primary_key=True, comment="First day of the rate, in the store's time zone"),
    Column("rate", Numeric(19, 4), nullable=False, comment="Standard VAT rate in per cent"),
    schema="books",
    comment="The VAT rates of the tax settings; each is valid until the next one of its country",
)

imported_refunds = Table(
    "imported_refunds",
    metadata,
    Column("refund_id", BigInteger, Identity(always=True), primary_key=True, comment="Grows with each line"),
    text_column("store", "Key of the store, from BL_STORE", null=False),
    text_column("platform", "Where the order was placed: bricklink", null=False),
    text_column("platform_order_id", "The order that was refunded, wholly or in part", null=False),
    Column("date", Date, nullable=False, comment="Day of the refund, as the seller has written it"),
    Column("amount", Numeric(19, 4), nullable=False, comment="What the buyer got back; negative in a correction"),
    text_column("currency", "ISO 4217 code of the amount", null=False),
    text_column("reference", "Number of the refund at the bank or the payment service; once an order", null=False),
    text_column("note", "The seller's note"),
    text_column("file", "Name of the file", null=False),
    time_column("imported_at", "When it was imported", null=False),
    Index("ix_imported_refunds_reference", "store", "platform", "platform_order_id", "reference", unique=True),
    schema="books",
    comment="Refunds as the seller has imported them: BrickLink's API shows none; append-only",
)

imported_fees = Table(
    "imported_fees",
    metadata,
    Column("fee_id", BigInteger, Identity(always=True), primary_key=True, comment="Grows with each line"),
    text_column("store", "Key of the store, from BL_STORE", null=False),
    text_column("platform", "Where the order was placed: bricklink", null=False),
    text_column("platform_order_id", "The order that it is about; null if it is about none, or about several"),
    Column("date", Date, nullable=False, comment="Day of the fee or the payout, as the seller has written it"),
    Column(
        "amount",
        Numeric(19, 4),
        nullable=False,
        comment="What the seller pays, or of a payout receives; negative in a correction or a credit",
    ),
    text_column("currency", "ISO 4217 code of the amount", null=False),
    text_column("kind", "payment_fee, bricklink_fee, postage, payout or other", null=False),
    text_column("source", "Who charges or pays it, such as paypal, stripe or bricklink, in lower case", null=False),
    text_column("reference", "Its number at the source; once for a kind, and an order if there is one", null=False),
    text_column("note", "The seller's note"),
    text_column("file", "Name of the file", null=False),
    time_column("imported_at", "When it was imported", null=False),
    Index(
        "ix_imported_fees_reference",
        "store",
        "source",
        "kind",
        "reference",
        "platform",
        "platform_order_id",
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
    schema="books",
    comment="Fees and payouts as the seller has imported them: BrickLink's API shows none; append-only",
)

journal = Table(
    "journal",
    metadata,
    Column("store", Text, primary_key=True, comment="Key of the store, from BL_STORE"),
    Column(
        "entry_no",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Number of the entry in its store, from 1",
    ),
    Column(
        "line_no", Integer, primary_key=True, autoincrement=False, comment="Number of the line in its entry, from 1"
    ),
    text_column("document", "Reference of the order: BL-<order id>", null=False),
    text_column("platform", "Where the order was placed: bricklink", null=False),
    text_column("platform_order_id", "The order's id at the platform", null=False),
    text_column("event", "sale, correction, cancellation or batch", null=False),
    Column("booking_date", Date, nullable=False, comment="Day to which it is booked, in the store's time zone"),
    Column(
        "tax_point",
        Date,
        nullable=False,
        comment="Day of the order's tax point as first booked: the earlier of payment and dispatch",
    ),
    time_column("order_date", "When it was ordered, as known then", null=False),
    time_column("seen_at", "When the answer was received that showed it", null=False),
    Column("period", Date, nullable=False, comment="First day of the month of booking_date"),
    Column(
        "corrects_period",
        Date,
        comment="First day of the month of the tax point, if it is another one than period; null if it is the same",
    ),
    text_column(
        "account_key",
        "receivable, sales_goods, sales_shipping, sales_charges, discounts, output_vat, sales_tax_payable or "
        "marketplace_tax_clearing",
        null=False,
    ),
    Column(
        "is_reversal",
        Boolean,
        nullable=False,
        comment="Takes back a line of the order's entry before; false for a line of the new values",
    ),
    text_column("country_code", "Country of the address, ISO 3166-1 alpha-2"),
    text_column("region", "home, eu, third or unclear: where that is, seen from the seller's country", null=False),
    text_column("special_territory", "Territory with tax rules other than those of its country; null for none"),
    Column("vat_rate", Numeric(19, 4), comment="VAT rate in per cent"),
    text_column("tax_kind", "standard, oss, export, marketplace, none or unclear", null=False),
    _amount_column("debit", "Amount in currency; 0 if the line is a credit"),
    _amount_column("credit", "Amount in currency; 0 if the line is a debit"),
    text_column("currency", "ISO 4217 code of the amounts", null=False),
    count_column("source_document_id", "landing.documents: the answer that showed it", null=False),
    count_column("previous_document_id", "The same of the order's entry before; null for its first"),
    time_column("booked_at", "When the entry was written", null=False),
    Index("ix_journal_order", "store", "platform", "platform_order_id", "entry_no"),
    Index("ix_journal_period", "store", "period"),
    schema="books",
    comment="The journal, a row an account line; append-only, in each entry debit = credit",
)

closings = Table(
    "closings",
    metadata,
    Column("closing_id", BigInteger, Identity(always=True), primary_key=True, comment="Grows with each closing"),
    text_column("store", "Key of the store", null=False),
    Column("period", Date, nullable=False, comment="First day of the month that was closed"),
    text_column("timezone", "Time zone in which the month began and ended", null=False),
    time_column("closed_at", "When it was closed", null=False),
    time_column("reopened_at", "When it was opened again; null if it is closed"),
    count_column("last_document_id", "landing.documents: the last answer whose state the journal knew", null=False),
    count_column("last_entry_no", "The last entry of the store's journal; 0 if there was none", null=False),
    count_column("entries", "Entries of the period", null=False),
    text_column("digest", "SHA-256 of all entries of the period", null=False),
    Index("ix_closings_closed", "store", "period", unique=True, postgresql_where=text("reopened_at IS NULL")),
    schema="books",
    comment="One row each time a period was closed; of a row only reopened_at is ever set, once",
)

closing_totals = Table(
    "closing_totals",
    metadata,
    Column("closing_id", ForeignKey("books.closings.closing_id"), primary_key=True, comment="The closing"),
    Column("account_key", Text, primary_key=True, comment="Account, as in books.journal"),
    Column("currency", Text, primary_key=True, comment="ISO 4217 code of the amounts"),
    _amount_column("debit", "Sum of the debits of the period"),
    _amount_column("credit", "Sum of the credits of the period"),
    schema="books",
    comment="The totals of a period when it was closed, a row for each account and currency; append-only",
)

unbooked = Table(
    "unbooked",
    metadata,
    *order_key(),
    schema="books",
    comment="Orders whose states have changed since the journal was last written, kept by a trigger on the history",
)

progress = Table(
    "progress",
    metadata,
    Column("store", Text, primary_key=True, comment="Key of the store"),
    count_column("last_document_id", "landing.documents: the last answer whose state the journal knows", null=False),
    schema="books",
    comment="One row per store: up to which answer the journal is written",
)

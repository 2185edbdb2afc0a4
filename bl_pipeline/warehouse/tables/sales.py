"""The tables of `landing`, answers as received, and of `sales`, the same normalised."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Identity, Index, Integer, Numeric, Table, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, TIMESTAMP

from bl_pipeline import columns
from bl_pipeline.columns import PARTS, TABLES, AnswerKind, ColumnType
from bl_pipeline.rules.statuses import OPEN
from bl_pipeline.warehouse.tables.schema import metadata, order_key, sql_list, text_column, time_column

_TYPES: dict[ColumnType, Any] = {
    ColumnType.TEXT: Text,
    ColumnType.HTML: Text,
    ColumnType.MONEY: Numeric(19, 4),
    ColumnType.WEIGHT: Numeric(19, 4),
    ColumnType.RATE: Numeric(19, 4),
    ColumnType.TIME: TIMESTAMP(timezone=True),
    ColumnType.COUNT: BigInteger,
    ColumnType.NUMBER: Integer,
    ColumnType.FLAG: Boolean,
    ColumnType.TEXTS: ARRAY(Text),
    ColumnType.JSON: JSONB,
}


documents = Table(
    "documents",
    metadata,
    Column("document_id", BigInteger, Identity(always=True), primary_key=True, comment="Grows with each answer"),
    *order_key(is_primary=False),
    text_column(
        "kind",
        f"order (GET /orders/{{id}}), or a part of it (GET /orders/{{id}}/<kind>): {', '.join(PARTS)}",
        null=False,
    ),
    Column("body", JSON, nullable=False, comment="The answer's data, byte for byte as received"),
    text_column("listed_fingerprint", "Fingerprint of the list row under which it was fetched"),
    time_column("listed_status_changed_at", "date_status_changed of the list row under which it was fetched"),
    time_column("fetched_at", "When the answer was received", null=False),
    text_column("run_id", "The run that fetched it", null=False),
    Index("ix_documents_order", "store", "platform", "platform_order_id", "kind", "document_id"),
    schema="landing",
    comment=f"Every answer about an order as received ({', '.join(TABLES)}); append-only",
)


def _sales_table(table: columns.SalesTable, *indexes: Index) -> Table:
    """A table of `sales`, as columns.py declares it."""
    return Table(
        table.name,
        metadata,
        *order_key(),
        *(
            Column(
                column.name,
                _TYPES[column.type],
                nullable=column.null and column.type is not ColumnType.NUMBER,
                primary_key=column.type is ColumnType.NUMBER,
                comment=column.comment,
            )
            for column in table.columns
            if column.name != "platform_order_id"
        ),
        *indexes,
        schema="sales",
        comment=table.comment,
    )


orders = _sales_table(TABLES[AnswerKind.ORDER], Index("ix_orders_order_date", "store", "order_date"))
parts: dict[AnswerKind, Table] = {kind: _sales_table(TABLES[kind]) for kind in PARTS}
order_items = parts[AnswerKind.ITEMS]
Index("ix_order_items_item_number", order_items.c.store, func.lower(order_items.c.item_number))

_FOR_THE_LIST = (
    "order_date", "status", "platform_status", "currency", "total", "country_code", "payment_status", "paid_at",
    "shipped_at", "status_changed_at",
)  # fmt: skip

order_search = Table(
    "order_search",
    metadata,
    *order_key(),
    text_column(
        "words", "What a search looks at: ids, buyer and tracking number, without case and accents", null=False
    ),
    *(
        Column(name, orders.c[name].type, nullable=orders.c[name].nullable, comment="That of the order")
        for name in _FOR_THE_LIST
    ),
    text_column("buyer", "buyer_name of the order, or else buyer_username, in lower case"),
    # With the platform, so that the index alone says which orders are on a page.
    Index("ix_order_search_order_date", "store", "order_date", "platform_order_id", "platform"),
    Index(
        "ix_order_search_open",
        "store",
        "order_date",
        postgresql_where=text(f"status IN ({sql_list(OPEN)})"),
    ),
    schema="sales",
    comment="One row per sale, kept by a trigger on sales.orders: what the list of orders is searched, filtered, "
    "sorted and added up by",
)

TRACKED = (
    "platform_status", "payment_status", "order_date", "paid_at", "shipped_at", "total", "final_total", "credit",
    "coupon", "currency", "is_filed", "payment_method", "country_code", "address_state", "postal_code", "total_count",
    "subtotal", "shipping", "fees", "insurance", "etc1", "etc2", "tax", "vat_rate", "vat_amount",
    "sales_tax_collected_by_bricklink", "vat_collected_by_bricklink",
)  # fmt: skip
"""The columns of an order whose changes the history has: all that a report or the books make of an order."""

order_status_history = Table(
    "order_status_history",
    metadata,
    *order_key(),
    Column("document_id", BigInteger, primary_key=True, comment="landing.documents: the order that showed the change"),
    time_column("observed_at", "When the pipeline first saw it: changes between two fetches are not seen", null=False),
    time_column("status_changed_at", "date_status_changed"),
    text_column("status", "Normalised status", null=False),
    *(
        Column(name, orders.c[name].type, nullable=orders.c[name].nullable, comment="That of the order at that time")
        for name in TRACKED
    ),
    schema="sales",
    comment="One row each time status, payment, dates, amounts, tax, country or filing of an order were seen to differ",
)

replaced_items = Table(
    "replaced_items",
    metadata,
    *order_key(),
    Column("items_document_id", BigInteger, primary_key=True, comment="landing.documents: the answer that had them"),
    *(
        Column(
            column.name, column.type, nullable=column.nullable, primary_key=column.primary_key, comment=column.comment
        )
        for column in order_items.columns
        if column.name not in ("store", "platform", "platform_order_id")
    ),
    time_column("known_from", "When that answer was received", null=False),
    time_column("replaced_at", "When the answer was received that had others", null=False),
    schema="sales",
    comment="One row per lot that an order had once: those of sales.order_items before other ones replaced them",
)

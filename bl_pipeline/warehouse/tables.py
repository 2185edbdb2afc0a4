"""The warehouse's tables, each column with the comment an analyst reads.

Schemas: `landing` (as received), `sales` (normalised), `sync` (what the pipeline knows about itself).
Money is numeric(19,4) in the row's currency, time is timestamptz in UTC, every key starts with the store.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, TIMESTAMP

from bl_pipeline import columns
from bl_pipeline.columns import PARTS, TABLES, AnswerKind, Kind

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
SCHEMAS = ("landing", "sales", "sync", "reports")


def _text(name: str, comment: str, *, null: bool = True) -> Column[str]:
    return Column(name, Text, nullable=null, comment=comment)


def _money(name: str, comment: str) -> Column[object]:
    return Column(name, Numeric(19, 4), comment=comment)


def _time(name: str, comment: str, *, null: bool = True) -> Column[object]:
    return Column(name, TIMESTAMP(timezone=True), nullable=null, comment=comment)


def _count(name: str, comment: str, *, null: bool = True) -> Column[int]:
    return Column(name, BigInteger, nullable=null, comment=comment)


def _flag(name: str, comment: str, *, null: bool = True) -> Column[bool]:
    return Column(name, Boolean, nullable=null, comment=comment)


_TYPES: dict[Kind, Any] = {
    Kind.TEXT: Text,
    Kind.HTML: Text,
    Kind.MONEY: Numeric(19, 4),
    Kind.WEIGHT: Numeric(19, 4),
    Kind.RATE: Numeric(19, 4),
    Kind.TIME: TIMESTAMP(timezone=True),
    Kind.COUNT: BigInteger,
    Kind.NUMBER: Integer,
    Kind.FLAG: Boolean,
    Kind.TEXTS: ARRAY(Text),
    Kind.JSON: JSONB,
}


def _order_key(*, is_primary: bool = True) -> list[Column[str]]:
    comments = {
        "store": "Key of the store, from BL_STORE",
        "platform": "Where the order was placed: bricklink",
        "platform_order_id": "The order's id at the platform",
    }
    return [
        Column(name, Text, primary_key=is_primary, nullable=False, comment=comment)
        for name, comment in comments.items()
    ]


documents = Table(
    "documents",
    metadata,
    Column("document_id", BigInteger, Identity(always=True), primary_key=True, comment="Grows with each answer"),
    *_order_key(is_primary=False),
    _text(
        "kind",
        f"order (GET /orders/{{id}}), or a part of it (GET /orders/{{id}}/<kind>): {', '.join(PARTS)}",
        null=False,
    ),
    Column("body", JSON, nullable=False, comment="The answer's data, byte for byte as received"),
    _text("listed_fingerprint", "Fingerprint of the list row under which it was fetched"),
    _time("listed_status_changed_at", "date_status_changed of the list row under which it was fetched"),
    _time("fetched_at", "When the answer was received", null=False),
    _text("run_id", "The run that fetched it", null=False),
    Index("ix_documents_order", "store", "platform", "platform_order_id", "kind", "document_id"),
    schema="landing",
    comment=f"Every answer about an order as received ({', '.join(TABLES)}); append-only",
)


def _sales_table(table: columns.SalesTable, *indexes: Index) -> Table:
    """A table of `sales`, as columns.py declares it."""
    return Table(
        table.name,
        metadata,
        *_order_key(),
        *(
            Column(
                column.name,
                _TYPES[column.kind],
                nullable=column.null and column.kind is not Kind.NUMBER,
                primary_key=column.kind is Kind.NUMBER,
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
    *_order_key(),
    _text("words", "What a search looks at: ids, buyer and tracking number, without case and accents", null=False),
    *(
        Column(name, orders.c[name].type, nullable=orders.c[name].nullable, comment="That of the order")
        for name in _FOR_THE_LIST
    ),
    _text("buyer", "buyer_name of the order, or else buyer_username, in lower case"),
    # With the platform, so that the index alone says which orders are on a page.
    Index("ix_order_search_order_date", "store", "order_date", "platform_order_id", "platform"),
    Index(
        "ix_order_search_open",
        "store",
        "order_date",
        postgresql_where=text("status IN ('pending', 'processing', 'shipped', 'on_hold', 'unknown')"),
    ),
    schema="sales",
    comment="One row per sale, kept by a trigger on sales.orders: what the list of orders is searched, filtered, "
    "sorted and added up by",
)

order_status_history = Table(
    "order_status_history",
    metadata,
    *_order_key(),
    Column("document_id", BigInteger, primary_key=True, comment="landing.documents: the order that showed the change"),
    _time("observed_at", "When the pipeline first saw it: changes between two fetches are not seen", null=False),
    _time("status_changed_at", "date_status_changed"),
    _text("status", "Normalised status", null=False),
    _text("platform_status", "The status in BrickLink's own word", null=False),
    _text("payment_status", "Payment status"),
    _time("order_date", "date_ordered at that time", null=False),
    _time("paid_at", "payment.date_paid at that time"),
    _time("shipped_at", "shipping.date_shipped at that time"),
    _money("total", "total at that time"),
    _money("final_total", "final_total at that time"),
    _money("credit", "credit at that time"),
    _money("coupon", "coupon at that time"),
    _text("currency", "ISO 4217 code of the amounts", null=False),
    _flag("is_filed", "Filed at that time"),
    schema="sales",
    comment="One row each time status, payment, dates, amounts or filing of an order were seen to differ",
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, primary_key=True, comment="Dagster's run id"),
    _text("store", "Key of the store", null=False),
    _text("job", "Name of the Dagster job", null=False),
    _time("started_at", "Start of the run", null=False),
    _time("finished_at", "End of the run"),
    _text(
        "status",
        "started, succeeded, completed_with_errors, stopped_at_budget, failed or canceled",
        null=False,
    ),
    _time("listed_at", "When both lists, unfiled and filed, were asked; null if they were not"),
    _count("orders_listed", "Orders in BrickLink's lists; null if none was asked, or if only some orders are synced"),
    _count("orders_created", "Orders new to the warehouse"),
    _count("orders_updated", "Orders whose content changed"),
    _count("orders_skipped", "Orders found unchanged"),
    _count("orders_deferred", "Orders left for the next run at the call budget"),
    _count("orders_failed", "Orders that could not be fetched or read"),
    _count("api_calls", "Calls made by this run, failed ones included"),
    Column("duration_seconds", Numeric(12, 3), comment="Seconds from start to end"),
    _text("stop_reason", "What stopped the run before its end: budget, credentials, unreachable, settings or error"),
    _text("message", "What the stop means and what to do"),
    Column("detected_by", JSONB, comment="Changed orders by the way the change was detected"),
    Column("scope", Text, nullable=False, server_default="all", comment="What the run is about: all orders, or some"),
    _time("cancel_requested_at", "When bl cancel asked the run to stop; null if it did not"),
    Index("ix_runs_store_started_at", "store", "started_at"),
    schema="sync",
    comment="One row per run of a sync job: its SyncResult",
)

run_orders = Table(
    "run_orders",
    metadata,
    Column(
        "run_id",
        Text,
        ForeignKey("sync.runs.run_id", ondelete="CASCADE"),
        primary_key=True,
        comment="The run that planned it",
    ),
    Column("platform_order_id", Text, primary_key=True, comment="The order's id at the platform"),
    Column("batch_number", Integer, nullable=False, comment="Fan-out batch, from 1, in order of priority"),
    Column("position", Integer, nullable=False, comment="Order of priority within the run, from 1"),
    _text("reason", "Why it is fetched", null=False),
    _flag("fetch_order", "The order itself is fetched; else only its items", null=False),
    *(
        _flag(f"force_{kind}", f"{kind.capitalize()} are fetched even if they cannot have changed", null=False)
        for kind in PARTS
    ),
    _text("outcome", "created, updated, skipped, failed or deferred; null until done"),
    schema="sync",
    comment="What each run set out to fetch, and how it went",
)

order_state = Table(
    "order_state",
    metadata,
    *_order_key(),
    _time("order_date", "date_ordered in the list", null=False),
    _text("listed_fingerprint", "Fingerprint of the list row", null=False),
    _text("listed_status", "Status in the list, BrickLink's own word", null=False),
    _time("listed_status_changed_at", "date_status_changed in the list"),
    _flag("listed_filed", "In the list of filed orders"),
    Column("is_listed", Boolean, nullable=False, server_default="true", comment="In the lists when last asked"),
    _time("first_listed_at", "When the order was first listed", null=False),
    _text("stored_fingerprint", "listed_fingerprint under which the stored order was fetched"),
    _time("stored_status_changed_at", "listed_status_changed_at under which the stored order was fetched"),
    _count("order_document_id", "landing.documents: the stored order"),
    _text("order_fingerprint", "Subtotal, counts, weight, currency and date_ordered of the stored order"),
    _time("order_fetched_at", "When the order was last fetched, changed or not"),
    *(
        column
        for kind in PARTS
        for column in (
            _text(f"{kind}_fingerprint", f"order_fingerprint of the order for which the stored {kind} were fetched"),
            _count(f"{kind}_document_id", f"landing.documents: the stored {kind}"),
            _time(f"{kind}_fetched_at", f"When the {kind} were last fetched, changed or not"),
        )
    ),
    _text("error", "Why the last attempt at this order failed; null after a success"),
    _text("error_class", "Class of the error"),
    _time("failed_at", "When the last attempt failed"),
    Column("attempts", Integer, nullable=False, server_default="0", comment="Failed attempts in a row"),
    Index("ix_order_state_failed", "store", postgresql_where=text("failed_at IS NOT NULL")),
    schema="sync",
    comment="Per order: what the list said, what is stored, what failed",
)

api_calls = Table(
    "api_calls",
    metadata,
    Column("call_id", BigInteger, Identity(always=True), primary_key=True, comment="Grows with each attempt"),
    _text("store", "Key of the store", null=False),
    _text("run_id", "The run that made the call", null=False),
    _time("started_at", "When the call was sent, or was about to be", null=False),
    _time("finished_at", "When it ended; null if nobody waited for that"),
    _text("method", "HTTP method", null=False),
    _text("path", "Path below the API's base URL", null=False),
    _text("outcome", "ok, or the kind of failure; null is not known, and counts as spent"),
    _text("key_hash", "Hash of the API key, with the warehouse's salt; null is not known, and counts for every key"),
    _time("counted_at", "From when the call counts, if started_at was in the future when the next call was counted"),
    Index("ix_api_calls_store_started_at", "store", "started_at"),
    Index("ix_api_calls_key_hash_started_at", "key_hash", "started_at"),
    schema="sync",
    comment="The call ledger: every attempt, noted with its answer; until then it is in call_reservations",
)

call_reservations = Table(
    "call_reservations",
    metadata,
    Column("reservation_id", BigInteger, Identity(always=True), primary_key=True, comment="Grows with each run"),
    _text("store", "Key of the store", null=False),
    _text("run_id", "The run that makes the calls", null=False),
    _text("key_hash", "Hash of the API key, as in api_calls", null=False),
    _count("calls", "Calls that may be made, or are made and not noted in api_calls yet", null=False),
    _time("usable_until", "None of them is sent later. They count as made at this time, for 24 hours", null=False),
    _time("counted_at", "From when they count, if usable_until was in the future when the next call was counted"),
    schema="sync",
    comment="Calls counted before they are sent, a row a run; what stays is spent: its process died, and nobody knows",
)

writes = Table(
    "writes",
    metadata,
    Column("write_id", BigInteger, Identity(always=True), primary_key=True, comment="Grows with each request"),
    *_order_key(is_primary=False),
    _text("run_id", "The run that sent it", null=False),
    _text("requested_by", "Who asked for it: this store's seller", null=False),
    _text("kind", "update, payment_status, status or drive_thru", null=False),
    Column("asked", JSONB, nullable=False, comment="What the fields were asked to become"),
    Column("before", JSONB, nullable=False, comment="What the order said of them before"),
    _time("noted_at", "Written before the request was sent", null=False),
    _text("answer", "accepted, refused, lost, or not_sent; null if the process died before it was known"),
    _time("answered_at", "When the answer came, or was given up"),
    _text(
        "outcome",
        "done, not_done, partly_done, refused, or changed (by somebody else meanwhile); null until it is known",
    ),
    Column("after", JSONB, comment="What the order said of the fields afterwards"),
    _count("document_id", "landing.documents: the order that showed the outcome"),
    _time("settled_at", "When the outcome was known"),
    _text("settled_by", "The run that found out"),
    Index("ix_writes_order", "store", "platform", "platform_order_id"),
    schema="sync",
    comment="Every request that was to change an order at BrickLink; append-only, and no value is ever changed",
)

api_key_salt = Table(
    "api_key_salt",
    metadata,
    _text("salt", "Random, made with the table", null=False),
    schema="sync",
    comment="One row: with it the ledger knows an API key by a hash, and never stores the key",
)

buyer_salt = Table(
    "buyer_salt",
    metadata,
    _text("salt", "Random, made with the table", null=False),
    schema="sync",
    comment="One row: with it reports know a buyer by a hash, which nobody can look up who does not see this",
)

full_syncs = Table(
    "full_syncs",
    metadata,
    Column("full_sync_id", BigInteger, Identity(always=True), primary_key=True, comment="Grows with each request"),
    _text("store", "Key of the store", null=False),
    _time("requested_at", "Every order fetched before this is fetched again", null=False),
    _time("completed_at", "When the last order had been fetched; null while it goes on"),
    _flag("include_items", "Items are fetched again too", null=False),
    _time("orders_from", "Only orders of this order_date or later; null is no limit"),
    _time("orders_before", "Only orders of an order_date before this; null is no limit"),
    _time("withdrawn_at", "When bl cancel withdrew the request; null if it did not"),
    schema="sync",
    comment="Requested full syncs; each goes on over runs and days until it is complete",
)

stores = Table(
    "stores",
    metadata,
    Column("store", Text, primary_key=True, comment="Key of the store, from BL_STORE"),
    _text("timezone", "Time zone of the days, months and years in reports, from BL_TIMEZONE", null=False),
    schema="sync",
    comment="One row per store: what reports have to know of it",
)

report_views = Table(
    "report_views",
    metadata,
    Column("name", Text, primary_key=True, comment="Name of the view in the schema reports"),
    _text("digest", "Digest of the SQL from which the views were made", null=False),
    schema="sync",
    comment="One row per report: the view that has been made of it",
)

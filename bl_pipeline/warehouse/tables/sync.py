"""The tables of `sync`: what the pipeline knows about itself."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Identity, Index, Integer, Numeric, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from bl_pipeline.columns import PARTS
from bl_pipeline.warehouse.tables.schema import count_column, flag_column, metadata, order_key, text_column, time_column

runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, primary_key=True, comment="Dagster's run id"),
    text_column("store", "Key of the store", null=False),
    text_column("job", "Name of the Dagster job", null=False),
    time_column("started_at", "Start of the run", null=False),
    time_column("finished_at", "End of the run"),
    text_column(
        "status",
        "started, succeeded, completed_with_errors, stopped_at_budget, failed or canceled",
        null=False,
    ),
    time_column("listed_at", "When both lists, unfiled and filed, were asked; null if they were not"),
    count_column(
        "orders_listed", "Orders in BrickLink's lists; null if none was asked, or if only some orders are synced"
    ),
    count_column("orders_created", "Orders new to the warehouse"),
    count_column("orders_updated", "Orders whose content changed"),
    count_column("orders_skipped", "Orders found unchanged"),
    count_column("orders_deferred", "Orders left for the next run at the call budget"),
    count_column("orders_failed", "Orders that could not be fetched or read"),
    count_column("api_calls", "Calls made by this run, failed ones included"),
    Column("duration_seconds", Numeric(12, 3), comment="Seconds from start to end"),
    text_column(
        "stop_reason", "What stopped the run before its end: budget, credentials, unreachable, settings or error"
    ),
    text_column("message", "What the stop means and what to do"),
    Column("detected_by", JSONB, comment="Changed orders by the way the change was detected"),
    Column("scope", Text, nullable=False, server_default="all", comment="What the run is about: all orders, or some"),
    time_column("cancel_requested_at", "When bl cancel asked the run to stop; null if it did not"),
    time_column(
        "lease_until",
        "Until when the run has the store, by the clock of Postgres, if its steps are in several processes; null if "
        "they are in one, which has a lock",
    ),
    Index("ix_runs_started", "store", postgresql_where=text("status = 'started'")),
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
    text_column("reason", "Why it is fetched", null=False),
    flag_column("fetch_order", "The order itself is fetched; else only its items", null=False),
    *(
        flag_column(f"force_{kind}", f"{kind.capitalize()} are fetched even if they cannot have changed", null=False)
        for kind in PARTS
    ),
    text_column("outcome", "created, updated, skipped, failed or deferred; null until done"),
    schema="sync",
    comment="What each run set out to fetch, and how it went",
)

order_state = Table(
    "order_state",
    metadata,
    *order_key(),
    time_column("order_date", "date_ordered in the list", null=False),
    text_column("listed_fingerprint", "Fingerprint of the list row", null=False),
    text_column("listed_status", "Status in the list, BrickLink's own word", null=False),
    time_column("listed_status_changed_at", "date_status_changed in the list"),
    flag_column("listed_filed", "In the list of filed orders"),
    Column("is_listed", Boolean, nullable=False, server_default="true", comment="In the lists when last asked"),
    time_column("first_listed_at", "When the order was first listed", null=False),
    text_column("stored_fingerprint", "listed_fingerprint under which the stored order was fetched"),
    time_column("stored_status_changed_at", "listed_status_changed_at under which the stored order was fetched"),
    count_column("order_document_id", "landing.documents: the stored order"),
    text_column("order_fingerprint", "Subtotal, counts, weight, currency and date_ordered of the stored order"),
    time_column("order_fetched_at", "When the order was last fetched, changed or not"),
    *(
        column
        for kind in PARTS
        for column in (
            text_column(
                f"{kind}_fingerprint", f"order_fingerprint of the order for which the stored {kind} were fetched"
            ),
            count_column(f"{kind}_document_id", f"landing.documents: the stored {kind}"),
            time_column(f"{kind}_fetched_at", f"When the {kind} were last fetched, changed or not"),
        )
    ),
    text_column("error", "Why the last attempt at this order failed; null after a success"),
    text_column("error_class", "Class of the error"),
    time_column("failed_at", "When the last attempt failed"),
    Column("attempts", Integer, nullable=False, server_default="0", comment="Failed attempts in a row"),
    Index("ix_order_state_failed", "store", postgresql_where=text("failed_at IS NOT NULL")),
    schema="sync",
    comment="Per order: what the list said, what is stored, what failed",
)

api_calls = Table(
    "api_calls",
    metadata,
    Column("call_id", BigInteger, Identity(always=True), primary_key=True, comment="Grows with each attempt"),
    text_column("store", "Key of the store", null=False),
    text_column("run_id", "The run that made the call", null=False),
    time_column("started_at", "When the call was sent, or was about to be", null=False),
    time_column("finished_at", "When it ended; null if nobody waited for that"),
    text_column("method", "HTTP method", null=False),
    text_column("path", "Path below the API's base URL", null=False),
    text_column("outcome", "ok, or the kind of failure; null is not known, and counts as spent"),
    text_column(
        "key_hash", "Hash of the API key, with the warehouse's salt; null is not known, and counts for every key"
    ),
    time_column(
        "counted_at", "From when the call counts, if started_at was in the future when the next call was counted"
    ),
    Index("ix_api_calls_store_started_at", "store", "started_at"),
    Index("ix_api_calls_key_hash_started_at", "key_hash", "started_at"),
    schema="sync",
    comment="The call ledger: every attempt, noted with its answer; until then it is in call_reservations",
)

call_reservations = Table(
    "call_reservations",
    metadata,
    Column("reservation_id", BigInteger, Identity(always=True), primary_key=True, comment="Grows with each run"),
    text_column("store", "Key of the store", null=False),
    text_column("run_id", "The run that makes the calls", null=False),
    text_column("key_hash", "Hash of the API key, as in api_calls", null=False),
    count_column("calls", "Calls that may be made, or are made and not noted in api_calls yet", null=False),
    time_column(
        "usable_until", "None of them is sent later. They count as made at this time, for 24 hours", null=False
    ),
    time_column("counted_at", "From when they count, if usable_until was in the future when the next call was counted"),
    schema="sync",
    comment="Calls counted before they are sent, a row a run; what stays is spent: its process died, and nobody knows",
)

writes = Table(
    "writes",
    metadata,
    Column("write_id", BigInteger, Identity(always=True), primary_key=True, comment="Grows with each request"),
    *order_key(is_primary=False),
    text_column("run_id", "The run that sent it", null=False),
    text_column("requested_by", "Who asked for it: this store's seller", null=False),
    text_column("kind", "update, payment_status, status or drive_thru", null=False),
    Column("asked", JSONB, nullable=False, comment="What the fields were asked to become"),
    Column("before", JSONB, nullable=False, comment="What the order said of them before"),
    time_column("noted_at", "Written before the request was sent", null=False),
    text_column("answer", "accepted, refused, lost, or not_sent; null if the process died before it was known"),
    time_column("answered_at", "When the answer came, or was given up"),
    text_column(
        "outcome",
        "done, not_done, partly_done, refused, or changed (by somebody else meanwhile); null until it is known",
    ),
    Column("after", JSONB, comment="What the order said of the fields afterwards"),
    count_column("document_id", "landing.documents: the order that showed the outcome"),
    time_column("settled_at", "When the outcome was known"),
    text_column("settled_by", "The run that found out"),
    Index("ix_writes_order", "store", "platform", "platform_order_id"),
    schema="sync",
    comment="Every request that was to change an order at BrickLink; append-only, and no value is ever changed",
)

api_key_salt = Table(
    "api_key_salt",
    metadata,
    text_column("salt", "Random, made with the table", null=False),
    schema="sync",
    comment="One row: with it the ledger knows an API key by a hash, and never stores the key",
)

buyer_salt = Table(
    "buyer_salt",
    metadata,
    text_column("salt", "Random, made with the table", null=False),
    schema="sync",
    comment="One row: with it reports know a buyer by a hash, which nobody can look up who does not see this",
)

full_syncs = Table(
    "full_syncs",
    metadata,
    Column("full_sync_id", BigInteger, Identity(always=True), primary_key=True, comment="Grows with each request"),
    text_column("store", "Key of the store", null=False),
    time_column("requested_at", "Every order fetched before this is fetched again", null=False),
    time_column("completed_at", "When the last order had been fetched; null while it goes on"),
    flag_column("include_items", "Items are fetched again too", null=False),
    time_column("orders_from", "Only orders of this order_date or later; null is no limit"),
    time_column("orders_before", "Only orders of an order_date before this; null is no limit"),
    time_column("withdrawn_at", "When bl cancel withdrew the request; null if it did not"),
    schema="sync",
    comment="Requested full syncs; each goes on over runs and days until it is complete",
)

stores = Table(
    "stores",
    metadata,
    Column("store", Text, primary_key=True, comment="Key of the store, from BL_STORE"),
    text_column("timezone", "Time zone of the days, months and years in reports, from BL_TIMEZONE", null=False),
    schema="sync",
    comment="One row per store: what reports have to know of it",
)

store_readers = Table(
    "store_readers",
    metadata,
    Column("role_name", Text, primary_key=True, comment="Name of a role of Postgres"),
    Column("store", Text, primary_key=True, comment="Key of a store whose rows the role sees"),
    schema="sync",
    comment="Which roles see the rows of which stores in the schema store_reports; docs/analyst-role.sql writes it",
)

report_views = Table(
    "report_views",
    metadata,
    Column("name", Text, primary_key=True, comment="Name of the view in the schema reports"),
    text_column("digest", "Digest of the SQL from which the views were made", null=False),
    schema="sync",
    comment="One row per report: the view that has been made of it",
)

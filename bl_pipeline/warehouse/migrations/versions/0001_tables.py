"""The first tables: landing, sales, sync."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for schema in ("landing", "sales", "sync", "reports"):
        op.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    op.create_table(
        "documents",
        sa.Column(
            "document_id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="Grows with each answer",
        ),
        sa.Column("store", sa.Text(), nullable=False, comment="Key of the store, from BL_STORE"),
        sa.Column("platform", sa.Text(), nullable=False, comment="Where the order was placed: bricklink"),
        sa.Column("platform_order_id", sa.Text(), nullable=False, comment="The order's id at the platform"),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="order (GET /orders/{id}) or items (GET /orders/{id}/items)",
        ),
        sa.Column(
            "body",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="The answer's data, byte for byte as received",
        ),
        sa.Column(
            "listed_hash",
            sa.Text(),
            nullable=True,
            comment="Content hash of the list row under which it was fetched",
        ),
        sa.Column(
            "listed_status_changed_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="date_status_changed of the list row under which it was fetched",
        ),
        sa.Column(
            "fetched_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="When the answer was received",
        ),
        sa.Column("run_id", sa.Text(), nullable=False, comment="The run that fetched it"),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_documents")),
        schema="landing",
        comment="Every order and items answer as received; append-only",
    )
    op.create_index(
        "ix_documents_order",
        "documents",
        ["store", "platform", "platform_order_id", "kind", "document_id"],
        unique=False,
        schema="landing",
    )
    op.create_table(
        "order_items",
        sa.Column("store", sa.Text(), nullable=False, comment="Key of the store, from BL_STORE"),
        sa.Column("platform", sa.Text(), nullable=False, comment="Where the order was placed: bricklink"),
        sa.Column("platform_order_id", sa.Text(), nullable=False, comment="The order's id at the platform"),
        sa.Column("batch_number", sa.Integer(), nullable=False, comment="Batch of the order, from 1"),
        sa.Column("line_number", sa.Integer(), nullable=False, comment="Line within the batch, from 1"),
        sa.Column(
            "inventory_id", sa.BigInteger(), nullable=True, comment="Id of the lot in the store's inventory"
        ),
        sa.Column("item_number", sa.Text(), nullable=True, comment="Catalogue number, item.no"),
        sa.Column("item_name", sa.Text(), nullable=True, comment="Catalogue name, unescaped from HTML"),
        sa.Column(
            "item_type",
            sa.Text(),
            nullable=True,
            comment="PART, SET, MINIFIG, BOOK, GEAR, CATALOG, INSTRUCTION, UNSORTED_LOT or ORIGINAL_BOX",
        ),
        sa.Column("category_id", sa.BigInteger(), nullable=True, comment="BrickLink's id of the category"),
        sa.Column(
            "color_id",
            sa.BigInteger(),
            nullable=True,
            comment="BrickLink's id of the colour, 0 where there is none",
        ),
        sa.Column("color_name", sa.Text(), nullable=True, comment="Name of the colour"),
        sa.Column("quantity", sa.BigInteger(), nullable=True, comment="Pieces"),
        sa.Column("condition", sa.Text(), nullable=True, comment="N new or U used"),
        sa.Column(
            "completeness", sa.Text(), nullable=True, comment="Of sets: C complete, B incomplete, S sealed"
        ),
        sa.Column(
            "unit_price",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="Final price of one piece, unit_price_final",
        ),
        sa.Column(
            "list_unit_price",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="Price of one piece before discounts, unit_price",
        ),
        sa.Column(
            "total_price", sa.Numeric(precision=19, scale=4), nullable=True, comment="unit_price x quantity"
        ),
        sa.Column("currency", sa.Text(), nullable=True, comment="ISO 4217 code of the prices"),
        sa.Column(
            "disp_unit_price",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="unit_price as the buyer saw it, in disp_currency",
        ),
        sa.Column(
            "disp_list_unit_price",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="list_unit_price as the buyer saw it, in disp_currency",
        ),
        sa.Column("disp_currency", sa.Text(), nullable=True, comment="ISO 4217 code of the disp_ amounts"),
        sa.Column(
            "order_cost",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="order_cost, undocumented by BrickLink",
        ),
        sa.Column(
            "weight", sa.Numeric(precision=19, scale=4), nullable=True, comment="Weight of one piece in grams"
        ),
        sa.Column(
            "description", sa.Text(), nullable=True, comment="Description the buyer saw, unescaped from HTML"
        ),
        sa.Column(
            "remarks",
            sa.Text(),
            nullable=True,
            comment="The seller's own remarks on the lot, unescaped from HTML",
        ),
        sa.PrimaryKeyConstraint(
            "store",
            "platform",
            "platform_order_id",
            "batch_number",
            "line_number",
            name=op.f("pk_order_items"),
        ),
        schema="sales",
        comment="One row per line of a sale; outlives BrickLink's purge",
    )
    op.create_table(
        "order_status_history",
        sa.Column("store", sa.Text(), nullable=False, comment="Key of the store, from BL_STORE"),
        sa.Column("platform", sa.Text(), nullable=False, comment="Where the order was placed: bricklink"),
        sa.Column("platform_order_id", sa.Text(), nullable=False, comment="The order's id at the platform"),
        sa.Column(
            "document_id",
            sa.BigInteger(),
            nullable=False,
            comment="landing.documents: the order that showed the change",
        ),
        sa.Column(
            "observed_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="When the pipeline first saw it: changes between two fetches are not seen",
        ),
        sa.Column(
            "status_changed_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="date_status_changed",
        ),
        sa.Column("status", sa.Text(), nullable=False, comment="Normalised status"),
        sa.Column("platform_status", sa.Text(), nullable=False, comment="The status in BrickLink's own word"),
        sa.Column("payment_status", sa.Text(), nullable=True, comment="Payment status"),
        sa.Column(
            "order_date",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="date_ordered at that time",
        ),
        sa.Column(
            "paid_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="payment.date_paid at that time",
        ),
        sa.Column(
            "shipped_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="shipping.date_shipped at that time",
        ),
        sa.Column("total", sa.Numeric(precision=19, scale=4), nullable=True, comment="total at that time"),
        sa.Column(
            "final_total",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="final_total at that time",
        ),
        sa.Column("credit", sa.Numeric(precision=19, scale=4), nullable=True, comment="credit at that time"),
        sa.Column("coupon", sa.Numeric(precision=19, scale=4), nullable=True, comment="coupon at that time"),
        sa.Column("currency", sa.Text(), nullable=False, comment="ISO 4217 code of the amounts"),
        sa.Column("is_filed", sa.Boolean(), nullable=True, comment="Filed at that time"),
        sa.PrimaryKeyConstraint(
            "store", "platform", "platform_order_id", "document_id", name=op.f("pk_order_status_history")
        ),
        schema="sales",
        comment="One row each time status, payment, dates, amounts or filing of an order were seen to differ",
    )
    op.create_table(
        "orders",
        sa.Column("store", sa.Text(), nullable=False, comment="Key of the store, from BL_STORE"),
        sa.Column("platform", sa.Text(), nullable=False, comment="Where the order was placed: bricklink"),
        sa.Column("platform_order_id", sa.Text(), nullable=False, comment="The order's id at the platform"),
        sa.Column(
            "display_id", sa.Text(), nullable=False, comment="The order's id as people see it: BL-<id>"
        ),
        sa.Column(
            "order_date",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="date_ordered; a batch added to the order resets it",
        ),
        sa.Column(
            "first_order_date",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="order_date as first seen",
        ),
        sa.Column(
            "status_changed_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="date_status_changed",
        ),
        sa.Column("buyer_name", sa.Text(), nullable=True, comment="Full name of the addressee"),
        sa.Column("buyer_username", sa.Text(), nullable=True, comment="The buyer's BrickLink username"),
        sa.Column("buyer_email", sa.Text(), nullable=True, comment="The buyer's e-mail address"),
        sa.Column(
            "buyer_order_count",
            sa.BigInteger(),
            nullable=True,
            comment="Orders this buyer has placed in the store, as BrickLink counts",
        ),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment="pending, processing, shipped, completed, on_hold, problem, cancelled or unknown",
        ),
        sa.Column("platform_status", sa.Text(), nullable=False, comment="The status in BrickLink's own word"),
        sa.Column(
            "payment_status",
            sa.Text(),
            nullable=True,
            comment="None, Sent, Received, Clearing, Returned, Bounced or Completed",
        ),
        sa.Column("payment_method", sa.Text(), nullable=True, comment="Payment method in BrickLink's words"),
        sa.Column(
            "payment_currency",
            sa.Text(),
            nullable=True,
            comment="ISO 4217 code of the currency the buyer pays in",
        ),
        sa.Column("paid_at", postgresql.TIMESTAMP(timezone=True), nullable=True, comment="payment.date_paid"),
        sa.Column(
            "subtotal",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="Sum of the items, cost.subtotal",
        ),
        sa.Column(
            "shipping",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="Shipping charged, cost.shipping",
        ),
        sa.Column(
            "fees",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="total - subtotal - shipping: everything that is neither items nor shipping",
        ),
        sa.Column(
            "total",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="What the order comes to, cost.grand_total",
        ),
        sa.Column(
            "final_total",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="The total less the tax BrickLink collects itself, cost.final_total",
        ),
        sa.Column(
            "currency",
            sa.Text(),
            nullable=False,
            comment="ISO 4217 code of every amount not named disp_, cost.currency_code",
        ),
        sa.Column(
            "insurance",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="Part of fees: insurance charged",
        ),
        sa.Column(
            "etc1",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="Part of fees: additional charge 1",
        ),
        sa.Column(
            "etc2",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="Part of fees: additional charge 2",
        ),
        sa.Column(
            "tax",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="Part of fees: sales tax, cost.salesTax",
        ),
        sa.Column(
            "credit",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="Taken off fees: credit given to the buyer",
        ),
        sa.Column(
            "coupon",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="Taken off fees: coupon used by the buyer",
        ),
        sa.Column(
            "vat_rate", sa.Numeric(precision=19, scale=4), nullable=True, comment="VAT rate in per cent"
        ),
        sa.Column(
            "vat_amount",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="VAT contained in the total",
        ),
        sa.Column(
            "sales_tax_collected_by_bricklink",
            sa.Boolean(),
            nullable=True,
            comment="BrickLink collects the sales tax and pays it on",
        ),
        sa.Column(
            "vat_collected_by_bricklink",
            sa.Boolean(),
            nullable=True,
            comment="BrickLink collects the VAT and pays it on",
        ),
        sa.Column(
            "disp_currency",
            sa.Text(),
            nullable=True,
            comment="ISO 4217 code of the disp_ amounts: what the buyer saw",
        ),
        sa.Column(
            "disp_subtotal",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="subtotal as the buyer saw it, in disp_currency, rounded by BrickLink",
        ),
        sa.Column(
            "disp_shipping",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="shipping as the buyer saw it, in disp_currency",
        ),
        sa.Column(
            "disp_total",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="total as the buyer saw it, in disp_currency",
        ),
        sa.Column(
            "disp_final_total",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="final_total as the buyer saw it, in disp_currency",
        ),
        sa.Column(
            "disp_insurance",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="insurance as the buyer saw it, in disp_currency",
        ),
        sa.Column(
            "disp_etc1",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="etc1 as the buyer saw it, in disp_currency",
        ),
        sa.Column(
            "disp_etc2",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="etc2 as the buyer saw it, in disp_currency",
        ),
        sa.Column(
            "disp_credit",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="credit as the buyer saw it, in disp_currency",
        ),
        sa.Column(
            "disp_coupon",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="coupon as the buyer saw it, in disp_currency",
        ),
        sa.Column(
            "disp_vat_amount",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="vat_amount as the buyer saw it, in disp_currency",
        ),
        sa.Column(
            "shipping_method_id",
            sa.BigInteger(),
            nullable=True,
            comment="BrickLink's id of the shipping method",
        ),
        sa.Column("shipping_method", sa.Text(), nullable=True, comment="Name of the shipping method"),
        sa.Column("tracking_number", sa.Text(), nullable=True, comment="Tracking number"),
        sa.Column("tracking_url", sa.Text(), nullable=True, comment="Tracking link"),
        sa.Column(
            "shipped_at", postgresql.TIMESTAMP(timezone=True), nullable=True, comment="shipping.date_shipped"
        ),
        sa.Column(
            "country_code",
            sa.Text(),
            nullable=True,
            comment="Country of the address, ISO 3166-1 alpha-2 (GB, where BrickLink says UK)",
        ),
        sa.Column(
            "shipping_address",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="The address: name, lines, city, state, postal code, country, phone",
        ),
        sa.Column("total_count", sa.BigInteger(), nullable=True, comment="Pieces in the order"),
        sa.Column("unique_count", sa.BigInteger(), nullable=True, comment="Lots in the order"),
        sa.Column(
            "total_weight",
            sa.Numeric(precision=19, scale=4),
            nullable=True,
            comment="Weight of the items in grams",
        ),
        sa.Column("is_filed", sa.Boolean(), nullable=True, comment="The seller has filed the order away"),
        sa.Column("is_invoiced", sa.Boolean(), nullable=True, comment="The seller has sent an invoice"),
        sa.Column("require_insurance", sa.Boolean(), nullable=True, comment="The buyer asked for insurance"),
        sa.Column(
            "drive_thru_sent", sa.Boolean(), nullable=True, comment="The seller has sent a Drive Thru message"
        ),
        sa.Column("remarks", sa.Text(), nullable=True, comment="The seller's remarks on the order"),
        sa.Column("seller_username", sa.Text(), nullable=True, comment="The seller's BrickLink username"),
        sa.Column("store_name", sa.Text(), nullable=True, comment="The store's name at BrickLink"),
        sa.Column(
            "order_document_id",
            sa.BigInteger(),
            nullable=False,
            comment="landing.documents: the order as received",
        ),
        sa.Column(
            "items_document_id",
            sa.BigInteger(),
            nullable=True,
            comment="landing.documents: its items as received",
        ),
        sa.Column(
            "fetched_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="When the order was received",
        ),
        sa.PrimaryKeyConstraint("store", "platform", "platform_order_id", name=op.f("pk_orders")),
        schema="sales",
        comment="One row per sale, as last received",
    )
    op.create_index("ix_orders_order_date", "orders", ["store", "order_date"], unique=False, schema="sales")
    op.create_table(
        "api_calls",
        sa.Column(
            "call_id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="Grows with each attempt",
        ),
        sa.Column("store", sa.Text(), nullable=False, comment="Key of the store"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="The run that made the call"),
        sa.Column(
            "started_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="Written before the call was sent",
        ),
        sa.Column(
            "finished_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="When it was over; null where the process died meanwhile",
        ),
        sa.Column("method", sa.Text(), nullable=False, comment="HTTP method"),
        sa.Column("path", sa.Text(), nullable=False, comment="Path below the API's base URL"),
        sa.Column(
            "outcome", sa.Text(), nullable=True, comment="ok, or the kind of failure; null counts as spent"
        ),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_api_calls")),
        schema="sync",
        comment="The call ledger: every attempt, counted before it was sent",
    )
    op.create_index(
        "ix_api_calls_store_started_at", "api_calls", ["store", "started_at"], unique=False, schema="sync"
    )
    op.create_table(
        "full_syncs",
        sa.Column(
            "full_sync_id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="Grows with each request",
        ),
        sa.Column("store", sa.Text(), nullable=False, comment="Key of the store"),
        sa.Column(
            "requested_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="Every order fetched before this is fetched again",
        ),
        sa.Column(
            "completed_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="When the last order had been fetched; null while it goes on",
        ),
        sa.Column("include_items", sa.Boolean(), nullable=False, comment="Items are fetched again too"),
        sa.Column(
            "orders_from",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="Only orders of this order_date or later; null is no limit",
        ),
        sa.Column(
            "orders_before",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="Only orders of an order_date before this; null is no limit",
        ),
        sa.PrimaryKeyConstraint("full_sync_id", name=op.f("pk_full_syncs")),
        schema="sync",
        comment="Requested full syncs; each goes on over runs and days until it is complete",
    )
    op.create_table(
        "order_state",
        sa.Column("store", sa.Text(), nullable=False, comment="Key of the store, from BL_STORE"),
        sa.Column("platform", sa.Text(), nullable=False, comment="Where the order was placed: bricklink"),
        sa.Column("platform_order_id", sa.Text(), nullable=False, comment="The order's id at the platform"),
        sa.Column(
            "order_date",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="date_ordered in the list",
        ),
        sa.Column("listed_hash", sa.Text(), nullable=False, comment="Content hash of the list row"),
        sa.Column(
            "listed_status", sa.Text(), nullable=False, comment="Status in the list, BrickLink's own word"
        ),
        sa.Column(
            "listed_status_changed_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="date_status_changed in the list",
        ),
        sa.Column("listed_filed", sa.Boolean(), nullable=True, comment="In the list of filed orders"),
        sa.Column(
            "is_listed",
            sa.Boolean(),
            server_default="true",
            nullable=False,
            comment="In the lists when last asked",
        ),
        sa.Column(
            "first_listed_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="When the order was first listed",
        ),
        sa.Column(
            "held_hash",
            sa.Text(),
            nullable=True,
            comment="listed_hash under which the stored order was fetched",
        ),
        sa.Column(
            "held_status_changed_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="listed_status_changed_at under which the stored order was fetched",
        ),
        sa.Column(
            "order_document_id", sa.BigInteger(), nullable=True, comment="landing.documents: the stored order"
        ),
        sa.Column("order_digest", sa.Text(), nullable=True, comment="Digest of the stored order's JSON"),
        sa.Column(
            "order_key", sa.Text(), nullable=True, comment="Subtotal, counts and weight of the stored order"
        ),
        sa.Column(
            "order_fetched_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="When the order was last fetched, changed or not",
        ),
        sa.Column(
            "items_key",
            sa.Text(),
            nullable=True,
            comment="order_key of the order for which the stored items were fetched",
        ),
        sa.Column(
            "items_document_id", sa.BigInteger(), nullable=True, comment="landing.documents: the stored items"
        ),
        sa.Column("items_digest", sa.Text(), nullable=True, comment="Digest of the stored items' JSON"),
        sa.Column(
            "items_fetched_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="When the items were last fetched, changed or not",
        ),
        sa.Column(
            "error",
            sa.Text(),
            nullable=True,
            comment="Why the last attempt at this order failed; null after a success",
        ),
        sa.Column("error_class", sa.Text(), nullable=True, comment="Class of the error"),
        sa.Column(
            "failed_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="When the last attempt failed",
        ),
        sa.Column(
            "attempts", sa.Integer(), server_default="0", nullable=False, comment="Failed attempts in a row"
        ),
        sa.PrimaryKeyConstraint("store", "platform", "platform_order_id", name=op.f("pk_order_state")),
        schema="sync",
        comment="Per order: what the list said, what the warehouse holds, what failed",
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Text(), nullable=False, comment="Dagster's run id"),
        sa.Column("store", sa.Text(), nullable=False, comment="Key of the store"),
        sa.Column("job", sa.Text(), nullable=False, comment="Name of the Dagster job"),
        sa.Column(
            "started_at", postgresql.TIMESTAMP(timezone=True), nullable=False, comment="Start of the run"
        ),
        sa.Column(
            "finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True, comment="End of the run"
        ),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment="started, succeeded, completed_with_errors, stopped_at_budget, failed or canceled",
        ),
        sa.Column(
            "listed_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="When both lists, unfiled and filed, were asked; null where they were not",
        ),
        sa.Column(
            "orders_listed",
            sa.BigInteger(),
            nullable=True,
            comment="Orders in BrickLink's lists; null where no list was asked",
        ),
        sa.Column("orders_created", sa.BigInteger(), nullable=True, comment="Orders new to the warehouse"),
        sa.Column("orders_updated", sa.BigInteger(), nullable=True, comment="Orders whose content changed"),
        sa.Column("orders_skipped", sa.BigInteger(), nullable=True, comment="Orders found unchanged"),
        sa.Column(
            "orders_deferred",
            sa.BigInteger(),
            nullable=True,
            comment="Orders left for the next run at the call budget",
        ),
        sa.Column(
            "orders_failed",
            sa.BigInteger(),
            nullable=True,
            comment="Orders that could not be fetched or read",
        ),
        sa.Column(
            "api_calls",
            sa.BigInteger(),
            nullable=True,
            comment="Calls made by this run, failed ones included",
        ),
        sa.Column(
            "duration_seconds",
            sa.Numeric(precision=12, scale=3),
            nullable=True,
            comment="Seconds from start to end",
        ),
        sa.Column(
            "stop_reason",
            sa.Text(),
            nullable=True,
            comment="What stopped the run before its end: budget, credentials, unreachable or error",
        ),
        sa.Column("message", sa.Text(), nullable=True, comment="What the stop means and what to do"),
        sa.Column(
            "detected_by",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="Changed orders by the way the change was detected",
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
        schema="sync",
        comment="One row per run of a sync job: its SyncResult",
    )
    op.create_index("ix_runs_store_started_at", "runs", ["store", "started_at"], unique=False, schema="sync")
    op.create_table(
        "run_orders",
        sa.Column("run_id", sa.Text(), nullable=False, comment="The run that planned it"),
        sa.Column("platform_order_id", sa.Text(), nullable=False, comment="The order's id at the platform"),
        sa.Column(
            "batch_number",
            sa.Integer(),
            nullable=False,
            comment="Fan-out batch, from 1, in order of priority",
        ),
        sa.Column(
            "position", sa.Integer(), nullable=False, comment="Order of priority within the run, from 1"
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why it is fetched"),
        sa.Column(
            "fetch_order",
            sa.Boolean(),
            nullable=False,
            comment="The order itself is fetched; else only its items",
        ),
        sa.Column(
            "force_items",
            sa.Boolean(),
            nullable=False,
            comment="Items are fetched even where they cannot have changed",
        ),
        sa.Column(
            "outcome",
            sa.Text(),
            nullable=True,
            comment="created, updated, skipped, failed or deferred; null until done",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["sync.runs.run_id"], name=op.f("fk_run_orders_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "platform_order_id", name=op.f("pk_run_orders")),
        schema="sync",
        comment="What each run set out to fetch, and how it went",
    )

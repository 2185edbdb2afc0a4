"""The warehouse's tables, each column with the comment an analyst reads.

Schemas: `landing` (as received), `sales` (normalised), `sync` (what the pipeline knows about itself), `books` (what an
accountant works with).
Money is numeric(19,4) in the row's currency, time is timestamptz in UTC, every key starts with the store.
"""

from bl_pipeline.warehouse.tables.books import (
    closing_totals,
    closings,
    imported_fees,
    imported_refunds,
    journal,
    progress,
    tax_rates,
    tax_settings,
    unbooked,
)
from bl_pipeline.warehouse.tables.sales import (
    TRACKED,
    documents,
    order_items,
    order_search,
    order_status_history,
    orders,
    parts,
    replaced_items,
)
from bl_pipeline.warehouse.tables.schema import SCHEMAS, metadata
from bl_pipeline.warehouse.tables.sync import (
    api_calls,
    api_key_salt,
    buyer_salt,
    call_reservations,
    full_syncs,
    order_state,
    report_views,
    run_orders,
    runs,
    store_readers,
    stores,
    writes,
)

__all__ = [
    "SCHEMAS",
    "TRACKED",
    "api_calls",
    "api_key_salt",
    "buyer_salt",
    "call_reservations",
    "closing_totals",
    "closings",
    "documents",
    "full_syncs",
    "imported_fees",
    "imported_refunds",
    "journal",
    "metadata",
    "order_items",
    "order_search",
    "order_state",
    "order_status_history",
    "orders",
    "parts",
    "progress",
    "replaced_items",
    "report_views",
    "run_orders",
    "runs",
    "store_readers",
    "stores",
    "tax_rates",
    "tax_settings",
    "unbooked",
    "writes",
]

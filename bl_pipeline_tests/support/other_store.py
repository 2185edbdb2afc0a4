"""A second store in the warehouse, `other`, with the same order ids as the first and full of faults."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from bl_pipeline.warehouse.tables import metadata

NEVER_BY_STORE = {
    "landing.documents": {"document_id"},
    "sync.api_calls": {"call_id"},
    "sync.call_reservations": {"reservation_id"},
    "sync.full_syncs": {"full_sync_id"},
    "sync.writes": {"write_id"},
    "books.closings": {"closing_id"},
    "books.imported_refunds": {"refund_id"},
    "books.imported_fees": {"fee_id"},
}
BY_STORE = [table for table in metadata.sorted_tables if "store" in table.columns]
FAULTS = (
    "UPDATE sales.orders SET unreadable_fields = '{planted}', total = total + 1, "
    "subtotal = subtotal + 5, insurance = 3, unique_count = 99, "
    "total_count = 99, status = 'unknown', platform_status = 'NOVEL', buyer_username = 'anna', country_code = 'DE', "
    "paid_at = now(), currency = 'JPY', items_document_id = NULL WHERE store = 'other'",
    "DELETE FROM sales.orders WHERE store = 'other' AND right(platform_order_id, 1) IN ('1', '2', '3')",
    "DELETE FROM sales.order_items WHERE store = 'other' AND right(platform_order_id, 1) IN ('4', '5')",
    "UPDATE sales.order_items SET quantity = quantity + 1, total_price = 7, currency = 'JPY', "
    "unreadable_fields = '{planted}' WHERE store = 'other'",
    "UPDATE sales.order_status_history SET platform_status = 'RECEIVED', status = 'shipped', credit = 9, "
    "document_id = document_id + 100000, observed_at = observed_at - interval '9 days' WHERE store = 'other'",
    "UPDATE sync.order_state SET failed_at = '2026-06-15', error = 'planted', error_class = 'Planted', attempts = 7, "
    "listed_fingerprint = 'planted' WHERE store = 'other'",
    "UPDATE sync.runs SET status = 'failed', stop_reason = 'credentials', message = 'planted', "
    "started_at = started_at + interval '3 hours', finished_at = finished_at + interval '3 hours', "
    "listed_at = listed_at + interval '1 minute' WHERE store = 'other'",
    "INSERT INTO sync.runs (run_id, store, job, started_at, finished_at, status, orders_listed) "
    "VALUES ('other-last', 'other', 'planted', '2026-06-15 13:00Z', '2026-06-15 14:00Z', 'succeeded', 99)",
    "INSERT INTO sync.runs (run_id, store, job, started_at, status) "
    "VALUES ('other-started', 'other', 'planted', '2026-06-15 12:00Z', 'started')",
    "INSERT INTO sync.runs (run_id, store, job, started_at, status, lease_until) VALUES "
    "('other-distributed', 'other', 'planted', '2026-06-15 12:00Z', 'started', '2099-01-01'), "
    "('other-lost', 'other', 'planted', '2026-06-15 12:00Z', 'started', '2026-06-15 12:01Z')",
    "INSERT INTO sync.run_orders (run_id, platform_order_id, batch_number, position, reason, fetch_order, force_items, "
    "force_messages, force_feedback, outcome) "
    "SELECT 'other-last', platform_order_id, 1, 1, 'recheck', true, true, true, true, 'failed' FROM sync.order_state "
    "WHERE store = 'other'",
    "INSERT INTO sync.writes (store, platform, platform_order_id, run_id, requested_by, kind, asked, before, noted_at) "
    "SELECT 'other', platform, platform_order_id, 'a write', 'planted', 'update', '{}', '{}', '2026-06-15 13:00Z' "
    "FROM sync.order_state WHERE store = 'other'",
    "INSERT INTO sales.order_messages (store, platform, platform_order_id, line_number, body) "
    "SELECT 'other', platform, platform_order_id, 9, 'planted' FROM sync.order_state WHERE store = 'other'",
    "INSERT INTO sales.order_feedback (store, platform, platform_order_id, line_number, rating) "
    "SELECT 'other', platform, platform_order_id, 9, 2 FROM sync.order_state WHERE store = 'other'",
    "INSERT INTO books.imported_refunds "
    "(store, platform, platform_order_id, date, amount, currency, reference, file, imported_at) "
    "SELECT store, platform, platform_order_id, '2026-06-15', 1, currency, 'planted', 'planted', '2026-06-15 13:00Z' "
    "FROM sales.orders WHERE store = 'other'",
    "INSERT INTO books.imported_fees "
    "(store, platform, date, amount, currency, kind, source, reference, file, imported_at) VALUES "
    "('other', 'bricklink', '2026-06-15', 1, 'EUR', 'other', 'planted', 'planted', 'planted', '2026-06-15 13:00Z')",
    "INSERT INTO books.journal (store, entry_no, line_no, document, platform, platform_order_id, event, booking_date, "
    "tax_point, order_date, seen_at, period, account_key, is_reversal, region, tax_kind, debit, credit, currency, "
    "source_document_id, booked_at) SELECT 'other', 100000 + state.n, 1, 'BL-' || platform_order_id, platform, "
    "platform_order_id, 'sale', '2026-04-30', '2026-04-30', now(), now(), '2026-04-01', 'receivable', false, 'home', "
    "'none', 9, 0, 'EUR', 1, now() FROM (SELECT *, row_number() OVER () AS n FROM sync.order_state "
    "WHERE store = 'other') state",
    "INSERT INTO books.closings (store, period, timezone, closed_at, last_document_id, last_entry_no, entries, digest) "
    "SELECT 'other', month, 'UTC', '2026-06-14', 1, 100000, 1, 'planted' "
    "FROM generate_series(timestamp '2026-01-01', '2027-12-01', '1 month') months (month) ON CONFLICT DO NOTHING",
    "INSERT INTO sync.full_syncs (store, requested_at, include_items) VALUES ('other', '2026-06-15 12:30Z', true), "
    "('other', '2026-01-01', true)",
    "UPDATE sync.stores SET timezone = 'Pacific/Auckland' WHERE store = 'other'",
    "UPDATE sync.api_calls SET key_hash = 'planted' WHERE store = 'other'",
    "UPDATE landing.documents SET body = replace(body::text, '\"SHIPPED\"', '\"NOVEL\"')::json WHERE store = 'other'",
    # Of an order that the first store does not have.
    "UPDATE sales.orders SET platform_order_id = '77' WHERE store = 'other' AND platform_order_id = ("
    "SELECT min(platform_order_id) FROM sales.orders WHERE store = 'other' AND NOT EXISTS ("
    "SELECT FROM sales.order_items i WHERE i.store = 'other' AND i.platform_order_id = orders.platform_order_id))",
    "UPDATE sync.order_state SET platform_order_id = '77' WHERE store = 'other' AND platform_order_id = ("
    "SELECT min(platform_order_id) FROM sync.order_state WHERE store = 'other')",
)


def put_other_beside(connection: Connection) -> None:
    """The second store: every row of the first one again, with faults."""
    for table in BY_STORE:
        name = f"{table.schema}.{table.name}"
        columns = [column.name for column in table.columns if column.name not in NEVER_BY_STORE.get(name, ())]
        values = {"store": "'other'", "run_id": "'other-' || run_id"}
        selected = ", ".join(values.get(column, column) for column in columns)
        connection.execute(
            text(f"INSERT INTO {name} ({', '.join(columns)}) SELECT {selected} FROM {name} WHERE store = 'main'")
        )
    for fault in FAULTS:
        assert connection.execute(text(fault)).rowcount, fault


def rows_of_other(connection: Connection) -> dict[str, list[Any]]:
    """Every row of the second store."""
    return {
        table.name: sorted(
            map(repr, connection.execute(text(f"SELECT * FROM {table.schema}.{table.name} WHERE store = 'other'")))
        )
        for table in BY_STORE
    }

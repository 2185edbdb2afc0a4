"""Rows are compared with the stored ones, no longer by digests; the key of the items takes in currency and date."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _extended(key: str, currency: str, order_date: str) -> str:
    """The JSON array of a key with two values more."""
    moment = f"""to_char({order_date} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')"""
    return f"left({key}, -1) || ', ' || to_json({currency}) || ', ' || to_json({moment}) || ']'"


def upgrade() -> None:
    """Apply."""
    op.drop_column("order_state", "order_digest", schema="sync")
    op.drop_column("order_state", "items_digest", schema="sync")
    op.alter_column(
        "order_state",
        "order_key",
        schema="sync",
        comment="Subtotal, counts, weight, currency and date_ordered of the stored order",
        existing_type=sa.Text(),
        existing_comment="Subtotal, counts and weight of the stored order",
    )
    # Currency and date of the items are those of the order when its items were fetched, as the history has them. If
    # it does not say, they are those of the stored order: items are not fetched again because a record is missing.
    items_key = _extended("s.items_key", "coalesce(h.currency, o.currency)", "coalesce(h.order_date, o.order_date)")
    op.execute(
        f"""
        UPDATE sync.order_state s
        SET order_key = extended.order_key, items_key = extended.items_key
        FROM (
            SELECT o.store, o.platform, o.platform_order_id,
                {_extended("s.order_key", "o.currency", "o.order_date")} AS order_key,
                {items_key} AS items_key
            FROM sales.orders o
            JOIN sync.order_state s USING (store, platform, platform_order_id)
            LEFT JOIN LATERAL (
                SELECT h.currency, h.order_date FROM sales.order_status_history h
                WHERE (h.store, h.platform, h.platform_order_id) = (o.store, o.platform, o.platform_order_id)
                  AND h.document_id < s.items_document_id
                ORDER BY h.document_id DESC LIMIT 1
            ) h ON true
        ) extended
        WHERE (s.store, s.platform, s.platform_order_id)
            = (extended.store, extended.platform, extended.platform_order_id)
        """
    )

"""What the list of orders filters, sorts and adds up, beside what it searches: in narrow rows, read in milliseconds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_OPEN = sa.text("status IN ('pending', 'processing', 'shipped', 'on_hold', 'unknown')")
_COLUMNS = (
    sa.Column("order_date", TIMESTAMP(timezone=True), nullable=False, comment="That of the order"),
    sa.Column("status", sa.Text(), nullable=False, comment="That of the order"),
    sa.Column("platform_status", sa.Text(), nullable=False, comment="That of the order"),
    sa.Column("currency", sa.Text(), nullable=False, comment="That of the order"),
    sa.Column("total", sa.Numeric(19, 4), comment="That of the order"),
    sa.Column("country_code", sa.Text(), comment="That of the order"),
    sa.Column("payment_status", sa.Text(), comment="That of the order"),
    sa.Column("paid_at", TIMESTAMP(timezone=True), comment="That of the order"),
    sa.Column("shipped_at", TIMESTAMP(timezone=True), comment="That of the order"),
    sa.Column("status_changed_at", TIMESTAMP(timezone=True), comment="That of the order"),
    sa.Column("buyer", sa.Text(), comment="buyer_name of the order, or else buyer_username, in lower case"),
)
_NAMES = ", ".join(column.name for column in _COLUMNS)
_EXCLUDED = ", ".join(f"excluded.{name}" for name in ("words", *_NAMES.split(", ")))


def _row(order: str) -> str:
    """The values of a row, from the row of sales.orders."""
    fields = [f"{order}.{name}" for name in ("store", "platform", "platform_order_id")]
    words = [
        f"{order}.{name}" for name in ("display_id", "buyer_name", "buyer_username", "buyer_email", "tracking_number")
    ]
    same = [f"{order}.{column.name}" for column in _COLUMNS if column.name != "buyer"]
    buyer = f"lower(coalesce({order}.buyer_name, {order}.buyer_username))"
    return ", ".join([*fields, f"sales.plain_text(concat_ws(' ', {', '.join(words)}))", *same, buyer])


def upgrade() -> None:
    """Apply, and fill the table anew from the orders that are there."""
    # Emptied and not made anew, so that it keeps the rights that were granted.
    op.execute("TRUNCATE sales.order_search")
    for column in _COLUMNS:
        op.add_column("order_search", column, schema="sales")
    op.create_table_comment(
        "order_search",
        "One row per sale, kept by a trigger on sales.orders: what the list of orders is searched, filtered, sorted "
        "and added up by",
        existing_comment=None,
        schema="sales",
    )
    op.execute(
        f"""
        CREATE OR REPLACE FUNCTION sales.keep_order_search() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP <> 'INSERT' AND (
                TG_OP = 'DELETE' OR (NEW.store, NEW.platform, NEW.platform_order_id)
                    IS DISTINCT FROM (OLD.store, OLD.platform, OLD.platform_order_id)
            ) THEN
                DELETE FROM sales.order_search s
                WHERE (s.store, s.platform, s.platform_order_id) = (OLD.store, OLD.platform, OLD.platform_order_id);
            END IF;
            IF TG_OP <> 'DELETE' THEN
                INSERT INTO sales.order_search AS s (store, platform, platform_order_id, words, {_NAMES})
                VALUES ({_row("NEW")})
                ON CONFLICT (store, platform, platform_order_id) DO UPDATE
                SET (words, {_NAMES}) = ROW ({_EXCLUDED})
                WHERE s.* IS DISTINCT FROM excluded.*;
            END IF;
            RETURN NULL;
        END
        $$
        """
    )
    op.execute(
        f"""
        INSERT INTO sales.order_search (store, platform, platform_order_id, words, {_NAMES})
        SELECT {_row("o")} FROM sales.orders o
        """
    )
    # With the platform, so that the index alone says which orders are on a page.
    by_date = ["store", "order_date", "platform_order_id", "platform"]
    op.create_index("ix_order_search_order_date", "order_search", by_date, schema="sales")
    op.create_index("ix_order_search_open", "order_search", by_date[:2], schema="sales", postgresql_where=_OPEN)
    op.create_index(
        "ix_order_state_failed",
        "order_state",
        ["store"],
        schema="sync",
        postgresql_where=sa.text("failed_at IS NOT NULL"),
    )

"""What a search of the list of orders looks at, made once for each order: 100,000 take milliseconds, not seconds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply, and fill the table from the orders that are there."""
    # The extension unaccent is not on every server. Letters with a stroke are not made of a letter and a mark. Most
    # texts are ASCII, and lower() is all they need.
    op.execute(
        r"""
        CREATE FUNCTION sales.plain_text(written text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
            SELECT CASE
                WHEN octet_length(written) = length(written) THEN lower(written)
                ELSE replace(
                    translate(
                        lower(regexp_replace(normalize(written, NFKD), '[\u0300-\u036f]', '', 'g')),
                        'øØłŁđĐı', 'oollddi'
                    ),
                    'ß', 'ss'
                )
            END
        $$
        """
    )
    op.create_table(
        "order_search",
        sa.Column("store", sa.Text(), nullable=False, primary_key=True, comment="Key of the store, from BL_STORE"),
        sa.Column(
            "platform",
            sa.Text(),
            nullable=False,
            primary_key=True,
            comment="Where the order was placed: bricklink",
        ),
        sa.Column(
            "platform_order_id", sa.Text(), nullable=False, primary_key=True, comment="The order's id at the platform"
        ),
        sa.Column(
            "words",
            sa.Text(),
            nullable=False,
            comment="What a search looks at: ids, buyer and tracking number, without case and accents",
        ),
        schema="sales",
        comment="One row per sale, kept by a trigger on sales.orders: what the list of orders is searched by",
    )
    op.execute(
        """
        CREATE FUNCTION sales.keep_order_search() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP <> 'INSERT' AND (
                TG_OP = 'DELETE' OR (NEW.store, NEW.platform, NEW.platform_order_id)
                    IS DISTINCT FROM (OLD.store, OLD.platform, OLD.platform_order_id)
            ) THEN
                DELETE FROM sales.order_search s
                WHERE (s.store, s.platform, s.platform_order_id) = (OLD.store, OLD.platform, OLD.platform_order_id);
            END IF;
            IF TG_OP <> 'DELETE' THEN
                INSERT INTO sales.order_search (store, platform, platform_order_id, words)
                VALUES (
                    NEW.store, NEW.platform, NEW.platform_order_id,
                    sales.plain_text(concat_ws(
                        ' ', NEW.display_id, NEW.buyer_name, NEW.buyer_username, NEW.buyer_email, NEW.tracking_number
                    ))
                )
                ON CONFLICT (store, platform, platform_order_id) DO UPDATE SET words = excluded.words
                WHERE order_search.words <> excluded.words;
            END IF;
            RETURN NULL;
        END
        $$
        """
    )
    op.execute(
        "CREATE TRIGGER keep_order_search AFTER INSERT OR UPDATE OR DELETE ON sales.orders FOR EACH ROW "
        "EXECUTE FUNCTION sales.keep_order_search()"
    )
    op.execute(
        """
        INSERT INTO sales.order_search (store, platform, platform_order_id, words)
        SELECT store, platform, platform_order_id,
            sales.plain_text(concat_ws(' ', display_id, buyer_name, buyer_username, buyer_email, tracking_number))
        FROM sales.orders
        """
    )
    op.create_index(
        "ix_order_items_item_number", "order_items", ["store", sa.text("lower(item_number)")], schema="sales"
    )

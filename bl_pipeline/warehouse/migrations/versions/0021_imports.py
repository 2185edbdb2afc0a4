"""Refunds and fees that the seller imports: books.imported_refunds and books.imported_fees, both append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_TIME = postgresql.TIMESTAMP(timezone=True)
_MONEY = sa.Numeric(19, 4)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "imported_refunds",
        _id("refund_id"),
        *_order("The order that was refunded, wholly or in part", null=False),
        sa.Column("date", sa.Date(), nullable=False, comment="Day of the refund, as the seller has written it"),
        sa.Column("amount", _MONEY, nullable=False, comment="What the buyer got back; negative in a correction"),
        sa.Column("currency", sa.Text(), nullable=False, comment="ISO 4217 code of the amount"),
        sa.Column(
            "reference",
            sa.Text(),
            nullable=False,
            comment="Number of the refund at the bank or the payment service; once an order",
        ),
        *_imported(),
        schema="books",
        comment="Refunds as the seller has imported them: BrickLink's API shows none; append-only",
    )
    op.create_index(
        "ix_imported_refunds_reference",
        "imported_refunds",
        ["store", "platform", "platform_order_id", "reference"],
        unique=True,
        schema="books",
    )
    op.create_table(
        "imported_fees",
        _id("fee_id"),
        *_order("The order that it is about; null if it is about none, or about several", null=True),
        sa.Column(
            "date", sa.Date(), nullable=False, comment="Day of the fee or the payout, as the seller has written it"
        ),
        sa.Column(
            "amount",
            _MONEY,
            nullable=False,
            comment="What the seller pays, or of a payout receives; negative in a correction or a credit",
        ),
        sa.Column("currency", sa.Text(), nullable=False, comment="ISO 4217 code of the amount"),
        sa.Column("kind", sa.Text(), nullable=False, comment="payment_fee, bricklink_fee, postage, payout or other"),
        sa.Column(
            "source",
            sa.Text(),
            nullable=False,
            comment="Who charges or pays it, such as paypal, stripe or bricklink, in lower case",
        ),
        sa.Column(
            "reference",
            sa.Text(),
            nullable=False,
            comment="Its number at the source; once for a kind, and an order if there is one",
        ),
        *_imported(),
        schema="books",
        comment="Fees and payouts as the seller has imported them: BrickLink's API shows none; append-only",
    )
    op.create_index(
        "ix_imported_fees_reference",
        "imported_fees",
        ["store", "source", "kind", "reference", "platform", "platform_order_id"],
        unique=True,
        schema="books",
        postgresql_nulls_not_distinct=True,
    )
    op.execute(
        """
        CREATE FUNCTION books.keep_imports() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            -- Only the store can have another name: bl rename-store.
            IF TG_OP <> 'UPDATE' OR to_jsonb(NEW) - 'store' <> to_jsonb(OLD) - 'store' THEN
                RAISE EXCEPTION 'books.% is append-only: import a further line with a negative amount', TG_TABLE_NAME;
            END IF;
            RETURN NEW;
        END
        $$
        """
    )
    for table in ("imported_refunds", "imported_fees"):
        op.execute(
            f"CREATE TRIGGER keep_imports BEFORE UPDATE OR DELETE ON books.{table} FOR EACH ROW "
            "EXECUTE FUNCTION books.keep_imports()"
        )
        op.execute(
            f"CREATE TRIGGER keep_all_imports BEFORE TRUNCATE ON books.{table} FOR EACH STATEMENT "
            "EXECUTE FUNCTION books.keep_imports()"
        )


def _id(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), sa.Identity(always=True), primary_key=True, comment="Grows with each line")


def _order(comment: str, *, null: bool) -> list[sa.Column[str]]:
    return [
        sa.Column("store", sa.Text(), nullable=False, comment="Key of the store, from BL_STORE"),
        sa.Column("platform", sa.Text(), nullable=False, comment="Where the order was placed: bricklink"),
        sa.Column("platform_order_id", sa.Text(), nullable=null, comment=comment),
    ]


def _imported() -> list[sa.Column[object]]:
    return [
        sa.Column("note", sa.Text(), nullable=True, comment="The seller's note"),
        sa.Column("file", sa.Text(), nullable=False, comment="Name of the file"),
        sa.Column("imported_at", _TIME, nullable=False, comment="When it was imported"),
    ]

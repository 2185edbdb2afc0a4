"""What was written to orders at BrickLink: sync.writes, to which rows are added and of which none is rewritten."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "writes",
        sa.Column(
            "write_id", sa.BigInteger(), sa.Identity(always=True), primary_key=True, comment="Grows with each request"
        ),
        sa.Column("store", sa.Text(), nullable=False, comment="Key of the store, from BL_STORE"),
        sa.Column("platform", sa.Text(), nullable=False, comment="Where the order was placed: bricklink"),
        sa.Column("platform_order_id", sa.Text(), nullable=False, comment="The order's id at the platform"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="The run that sent it"),
        sa.Column("requested_by", sa.Text(), nullable=False, comment="Who asked for it: this store's seller"),
        sa.Column("kind", sa.Text(), nullable=False, comment="update, payment_status, status or drive_thru"),
        sa.Column("asked", postgresql.JSONB(), nullable=False, comment="What the fields were asked to become"),
        sa.Column("before", postgresql.JSONB(), nullable=False, comment="What the order said of them before"),
        sa.Column("noted_at", _TIME, nullable=False, comment="Written before the request was sent"),
        sa.Column(
            "answer",
            sa.Text(),
            nullable=True,
            comment="accepted, refused, lost, or not_sent; null if the process died before it was known",
        ),
        sa.Column("answered_at", _TIME, nullable=True, comment="When the answer came, or was given up"),
        sa.Column(
            "outcome",
            sa.Text(),
            nullable=True,
            comment="done, not_done, partly_done, refused, or changed (by somebody else meanwhile); null until it is "
            "known",
        ),
        sa.Column("after", postgresql.JSONB(), nullable=True, comment="What the order said of the fields afterwards"),
        sa.Column(
            "document_id",
            sa.BigInteger(),
            nullable=True,
            comment="landing.documents: the order that showed the outcome",
        ),
        sa.Column("settled_at", _TIME, nullable=True, comment="When the outcome was known"),
        sa.Column("settled_by", sa.Text(), nullable=True, comment="The run that found out"),
        schema="sync",
        comment="Every request that was to change an order at BrickLink; append-only, and no value is ever changed",
    )
    op.create_index("ix_writes_order", "writes", ["store", "platform", "platform_order_id"], schema="sync")
    op.execute(
        """
        CREATE FUNCTION sync.keep_writes() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            -- A value is set once. Only the store can have another name: bl rename-store.
            IF TG_OP <> 'UPDATE' OR EXISTS (
                SELECT FROM jsonb_each(to_jsonb(OLD)) AS old (name, value)
                WHERE value <> 'null' AND name <> 'store' AND to_jsonb(NEW) -> name IS DISTINCT FROM value
            ) THEN
                RAISE EXCEPTION 'sync.writes is append-only: what is stored of a write is never changed';
            END IF;
            RETURN NEW;
        END
        $$
        """
    )
    op.execute(
        "CREATE TRIGGER keep_writes BEFORE UPDATE OR DELETE ON sync.writes FOR EACH ROW "
        "EXECUTE FUNCTION sync.keep_writes()"
    )
    op.execute(
        "CREATE TRIGGER keep_all_writes BEFORE TRUNCATE ON sync.writes FOR EACH STATEMENT "
        "EXECUTE FUNCTION sync.keep_writes()"
    )

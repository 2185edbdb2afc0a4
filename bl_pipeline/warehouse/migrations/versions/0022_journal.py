"""The journal and the closed periods, append-only; and what the journal has yet to look at."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_TIME = sa.TIMESTAMP(timezone=True)
_CENTS = sa.Numeric(19, 2)


def _column(name: str, kind: Any, comment: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, comment=comment, **{"nullable": False, **options})


def _journal() -> None:
    op.create_table(
        "journal",
        _column("store", sa.Text(), "Key of the store, from BL_STORE", primary_key=True),
        _column(
            "entry_no",
            sa.BigInteger(),
            "Number of the entry in its store, from 1",
            primary_key=True,
            autoincrement=False,
        ),
        _column(
            "line_no", sa.Integer(), "Number of the line in its entry, from 1", primary_key=True, autoincrement=False
        ),
        _column("document", sa.Text(), "Reference of the order: BL-<order id>"),
        _column("platform", sa.Text(), "Where the order was placed: bricklink"),
        _column("platform_order_id", sa.Text(), "The order's id at the platform"),
        _column("event", sa.Text(), "sale, correction, cancellation or batch"),
        _column("booking_date", sa.Date(), "Day to which it is booked, in the store's time zone"),
        _column(
            "tax_point",
            sa.Date(),
            "Day of the order's tax point as first booked: the earlier of payment and dispatch",
        ),
        _column("order_date", _TIME, "When it was ordered, as known then"),
        _column("seen_at", _TIME, "When the answer was received that showed it"),
        _column("period", sa.Date(), "First day of the month of booking_date"),
        _column(
            "corrects_period",
            sa.Date(),
            "First day of the month of the tax point, if it is another one than period; null if it is the same",
            nullable=True,
        ),
        _column(
            "account_key",
            sa.Text(),
            "receivable, sales_goods, sales_shipping, sales_charges, discounts, output_vat, sales_tax_payable or "
            "marketplace_tax_clearing",
        ),
        _column(
            "is_reversal",
            sa.Boolean(),
            "Takes back a line of the order's entry before; false for a line of the new values",
        ),
        _column("country_code", sa.Text(), "Country of the address, ISO 3166-1 alpha-2", nullable=True),
        _column("region", sa.Text(), "home, eu, third or unclear: where that is, seen from the seller's country"),
        _column(
            "special_territory",
            sa.Text(),
            "Territory with tax rules other than those of its country; null for none",
            nullable=True,
        ),
        _column("vat_rate", sa.Numeric(19, 4), "VAT rate in per cent", nullable=True),
        _column("tax_kind", sa.Text(), "standard, oss, export, marketplace, none or unclear"),
        _column("debit", _CENTS, "Amount in currency; 0 if the line is a credit"),
        _column("credit", _CENTS, "Amount in currency; 0 if the line is a debit"),
        _column("currency", sa.Text(), "ISO 4217 code of the amounts"),
        _column("source_document_id", sa.BigInteger(), "landing.documents: the answer that showed it"),
        _column(
            "previous_document_id",
            sa.BigInteger(),
            "The same of the order's entry before; null for its first",
            nullable=True,
        ),
        _column("booked_at", _TIME, "When the entry was written"),
        schema="books",
        comment="The journal, a row an account line; append-only, in each entry debit = credit",
    )
    op.create_index(
        "ix_journal_order", "journal", ["store", "platform", "platform_order_id", "entry_no"], schema="books"
    )
    op.create_index("ix_journal_period", "journal", ["store", "period"], schema="books")


def _closings() -> None:
    op.create_table(
        "closings",
        sa.Column(
            "closing_id", sa.BigInteger(), sa.Identity(always=True), primary_key=True, comment="Grows with each closing"
        ),
        _column("store", sa.Text(), "Key of the store"),
        _column("period", sa.Date(), "First day of the month that was closed"),
        _column("timezone", sa.Text(), "Time zone in which the month began and ended"),
        _column("closed_at", _TIME, "When it was closed"),
        _column("reopened_at", _TIME, "When it was opened again; null if it is closed", nullable=True),
        _column("last_document_id", sa.BigInteger(), "landing.documents: the last answer whose state the journal knew"),
        _column("last_entry_no", sa.BigInteger(), "The last entry of the store's journal; 0 if there was none"),
        _column("entries", sa.BigInteger(), "Entries of the period"),
        _column("digest", sa.Text(), "SHA-256 of all entries of the period"),
        schema="books",
        comment="One row each time a period was closed; of a row only reopened_at is ever set, once",
    )
    op.create_index(
        "ix_closings_closed",
        "closings",
        ["store", "period"],
        unique=True,
        postgresql_where=sa.text("reopened_at IS NULL"),
        schema="books",
    )
    op.create_table(
        "closing_totals",
        _column(
            "closing_id",
            sa.BigInteger(),
            "The closing",
            primary_key=True,
            autoincrement=False,
        ),
        _column("account_key", sa.Text(), "Account, as in books.journal", primary_key=True),
        _column("currency", sa.Text(), "ISO 4217 code of the amounts", primary_key=True),
        _column("debit", _CENTS, "Sum of the debits of the period"),
        _column("credit", _CENTS, "Sum of the credits of the period"),
        sa.ForeignKeyConstraint(["closing_id"], ["books.closings.closing_id"], name="fk_closing_totals_closing_id"),
        schema="books",
        comment="The totals of a period when it was closed, a row for each account and currency; append-only",
    )


def _unbooked() -> None:
    op.create_table(
        "unbooked",
        _column("store", sa.Text(), "Key of the store, from BL_STORE", primary_key=True),
        _column("platform", sa.Text(), "Where the order was placed: bricklink", primary_key=True),
        _column("platform_order_id", sa.Text(), "The order's id at the platform", primary_key=True),
        schema="books",
        comment="Orders whose states have changed since the journal was last written, kept by a trigger on the history",
    )
    op.create_table(
        "progress",
        _column("store", sa.Text(), "Key of the store", primary_key=True),
        _column(
            "last_document_id", sa.BigInteger(), "landing.documents: the last answer whose state the journal knows"
        ),
        schema="books",
        comment="One row per store: up to which answer the journal is written",
    )
    op.execute(
        """
        CREATE FUNCTION books.note_unbooked() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO books.unbooked (store, platform, platform_order_id)
            SELECT DISTINCT store, platform, platform_order_id FROM changed
            ON CONFLICT DO NOTHING;
            RETURN NULL;
        END
        $$
        """
    )
    for event in ("INSERT", "UPDATE"):
        op.execute(
            f"CREATE TRIGGER note_unbooked_{event.lower()} AFTER {event} ON sales.order_status_history "
            "REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION books.note_unbooked()"
        )
    op.execute(
        """
        CREATE FUNCTION books.note_all_unbooked() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO books.unbooked (store, platform, platform_order_id)
            SELECT DISTINCT store, platform, platform_order_id FROM sales.order_status_history
            WHERE store IN (SELECT store FROM changed)
            ON CONFLICT DO NOTHING;
            RETURN NULL;
        END
        $$
        """
    )
    for table in ("tax_settings", "tax_rates"):
        for event, rows in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
            op.execute(
                f"CREATE TRIGGER note_all_unbooked_{event.lower()} AFTER {event} ON books.{table} "
                f"REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION books.note_all_unbooked()"
            )
    op.execute(
        """
        INSERT INTO books.unbooked (store, platform, platform_order_id)
        SELECT DISTINCT store, platform, platform_order_id FROM sales.order_status_history
        """
    )


_KEPT = {"journal": ("store",), "closings": ("store", "reopened_at"), "closing_totals": ()}
"""Table → columns that may be set in a row that is there."""


def _append_only() -> None:
    op.execute(
        """
        CREATE FUNCTION books.keep() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            -- A store can get another name (bl rename-store), and a period can be reopened once.
            IF TG_OP = 'UPDATE' THEN
                IF to_jsonb(OLD) - TG_ARGV = to_jsonb(NEW) - TG_ARGV
                    AND (to_jsonb(OLD) ->> 'reopened_at' IS NULL
                        OR to_jsonb(OLD) -> 'reopened_at' = to_jsonb(NEW) -> 'reopened_at')
                THEN
                    RETURN NEW;
                END IF;
            END IF;
            RAISE EXCEPTION 'books.% is append-only: what is booked or closed is never changed', TG_TABLE_NAME;
        END
        $$
        """
    )
    for table, columns in _KEPT.items():
        arguments = ", ".join(f"'{column}'" for column in columns)
        op.execute(
            f"CREATE TRIGGER keep_{table} BEFORE UPDATE OR DELETE ON books.{table} FOR EACH ROW "
            f"EXECUTE FUNCTION books.keep({arguments})"
        )
        op.execute(
            f"CREATE TRIGGER keep_all_{table} BEFORE TRUNCATE ON books.{table} FOR EACH STATEMENT "
            "EXECUTE FUNCTION books.keep()"
        )


def upgrade() -> None:
    """Apply. The first sync afterwards books all orders that are stored."""
    _journal()
    _closings()
    _unbooked()
    _append_only()

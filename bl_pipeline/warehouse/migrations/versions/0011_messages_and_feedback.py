"""Messages and feedback about orders: their tables, and what is known of them for each order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_ORDER_KEY = (
    ("store", "Key of the store, from BL_STORE"),
    ("platform", "Where the order was placed: bricklink"),
    ("platform_order_id", "The order's id at the platform"),
)


def _table(name: str, comment: str, *columns: sa.Column[object]) -> None:
    key = (sa.Column(name, sa.Text(), nullable=False, comment=says) for name, says in _ORDER_KEY)
    number = sa.Column("line_number", sa.Integer(), nullable=False, comment="Place in the answer, from 1")
    primary = sa.PrimaryKeyConstraint("store", "platform", "platform_order_id", "line_number")
    op.create_table(name, *key, number, *columns, primary, schema="sales", comment=comment)


def _unreadable(of: str) -> sa.Column[object]:
    return sa.Column(
        "unreadable_fields",
        postgresql.ARRAY(sa.Text()),
        comment=f"Fields of the {of} that could not be read as expected: null here, or as text; null if there are none",
    )


def upgrade() -> None:
    """Apply. Nothing was fetched of either kind yet."""
    _table(
        "order_messages",
        "One row per message about a sale that the seller received, if messages are fetched",
        sa.Column("sent_at", sa.DateTime(timezone=True), comment="dateSent"),
        sa.Column("sender", sa.Text(), comment="BrickLink username of who sent it, from"),
        sa.Column("recipient", sa.Text(), comment="BrickLink username of who received it, to"),
        sa.Column("subject", sa.Text(), comment="Subject, unescaped from HTML"),
        sa.Column("body", sa.Text(), comment="Text of the message, unescaped from HTML"),
        _unreadable("message"),
    )
    _table(
        "order_feedback",
        "One row per feedback about a sale, if feedback is fetched",
        sa.Column("feedback_id", sa.BigInteger(), comment="BrickLink's id of the feedback"),
        sa.Column("rated_at", sa.DateTime(timezone=True), comment="date_rated"),
        sa.Column("rating", sa.BigInteger(), nullable=False, comment="0 praise, 1 neutral, 2 complaint"),
        sa.Column("rating_of", sa.Text(), comment="Who is rated, rating_of_bs: S the seller, B the buyer"),
        sa.Column("sender", sa.Text(), comment="BrickLink username of who rated, from"),
        sa.Column("recipient", sa.Text(), comment="BrickLink username of who is rated, to"),
        sa.Column("comment", sa.Text(), comment="Comment, unescaped from HTML"),
        sa.Column("reply", sa.Text(), comment="Reply to the comment, unescaped from HTML"),
        _unreadable("feedback"),
    )
    for kind in ("messages", "feedback"):
        for name, column_type, comment in (
            ("fingerprint", sa.Text(), f"order_fingerprint of the order for which the stored {kind} were fetched"),
            ("document_id", sa.BigInteger(), f"landing.documents: the stored {kind}"),
            ("fetched_at", sa.DateTime(timezone=True), f"When the {kind} were last fetched, changed or not"),
        ):
            op.add_column("order_state", sa.Column(f"{kind}_{name}", column_type, comment=comment), schema="sync")
        op.add_column(
            "run_orders",
            sa.Column(
                f"force_{kind}",
                sa.Boolean(),
                nullable=False,
                server_default="false",
                comment=f"{kind.capitalize()} are fetched even if they cannot have changed",
            ),
            schema="sync",
        )
        op.alter_column("run_orders", f"force_{kind}", server_default=None, schema="sync")
    op.alter_column(
        "documents",
        "kind",
        comment="order (GET /orders/{id}), or a part of it (GET /orders/{id}/<kind>): items, messages, feedback",
        existing_type=sa.Text(),
        existing_nullable=False,
        schema="landing",
    )
    op.create_table_comment(
        "documents",
        "Every answer about an order as received (order, items, messages, feedback); append-only",
        schema="landing",
    )

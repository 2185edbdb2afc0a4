"""Which fields of an order and of a lot could not be read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Rows that are there keep null: they were read under stricter rules, or not at all."""
    for table, of in (("orders", "order"), ("order_items", "lot")):
        op.add_column(
            table,
            sa.Column(
                "unreadable_fields",
                postgresql.ARRAY(sa.Text()),
                nullable=True,
                comment=f"Fields of the {of} that could not be read as expected: "
                "null here, or as text; null if there are none",
            ),
            schema="sales",
        )
    op.alter_column(
        "order_items",
        "item_number",
        comment="Catalogue number, item.no; null for a custom item, which has none",
        existing_type=sa.Text(),
        schema="sales",
    )
    op.alter_column(
        "orders",
        "platform_status",
        comment="The status in BrickLink's own word, empty if it cannot be read",
        existing_type=sa.Text(),
        existing_nullable=False,
        schema="sales",
    )

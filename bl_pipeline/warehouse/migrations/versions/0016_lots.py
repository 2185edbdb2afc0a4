"""Comments that call a row of order_items a lot, as BrickLink does."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

COMMENTS = {
    "TABLE sales.order_items": "One row per lot of an order; outlives BrickLink's purge",
    "COLUMN sales.order_items.line_number": "Place of the lot within the batch, from 1",
}


def upgrade() -> None:
    """Apply."""
    for what, comment in COMMENTS.items():
        literal = comment.replace("'", "''")
        op.execute(sa.text(f"COMMENT ON {what} IS '{literal}'"))

"""Comments of tables and columns in plainer English."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

COMMENTS = {
    "TABLE sync.order_state": "Per order: what the list said, what is stored, what failed",
    "COLUMN sync.runs.listed_at": "When both lists, unfiled and filed, were asked; null if they were not",
    "COLUMN sync.runs.orders_listed": (
        "Orders in BrickLink's lists; null if none was asked, or if only some orders are synced"
    ),
    "COLUMN sync.run_orders.force_items": "Items are fetched even if they cannot have changed",
    "COLUMN sync.api_calls.finished_at": "When it ended; null if the process died before",
    "COLUMN sync.report_views.stored_at": (
        "The report shows the state of this moment; null if it is computed when it is read"
    ),
    "COLUMN sales.order_items.color_id": "BrickLink's id of the colour, 0 if there is none",
}


def upgrade() -> None:
    """Apply."""
    for what, comment in COMMENTS.items():
        literal = comment.replace("'", "''")
        op.execute(sa.text(f"COMMENT ON {what} IS '{literal}'"))

"""One word for a fingerprint, and "stored" for what the warehouse has, in the names of columns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COLUMNS = [
    ("sync", "order_state", "listed_hash", "listed_fingerprint", "Fingerprint of the list row"),
    ("sync", "order_state", "held_hash", "stored_fingerprint",
     "listed_fingerprint under which the stored order was fetched"),
    ("sync", "order_state", "held_status_changed_at", "stored_status_changed_at",
     "listed_status_changed_at under which the stored order was fetched"),
    ("sync", "order_state", "order_key", "order_fingerprint",
     "Subtotal, counts, weight, currency and date_ordered of the stored order"),
    ("sync", "order_state", "items_key", "items_fingerprint",
     "order_fingerprint of the order for which the stored items were fetched"),
    ("landing", "documents", "listed_hash", "listed_fingerprint",
     "Fingerprint of the list row under which it was fetched"),
]  # fmt: skip


def upgrade() -> None:
    """Apply."""
    for schema, table, before, after, comment in COLUMNS:
        op.alter_column(table, before, new_column_name=after, schema=schema)
        op.execute(sa.text(f"COMMENT ON COLUMN {schema}.{table}.{after} IS '{comment}'"))

"""Which orders a run is about, and what bl cancel asks for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Apply."""
    for column in (
        sa.Column(
            "scope",
            sa.Text(),
            nullable=False,
            server_default="all",
            comment="What the run is about: all orders, or some",
        ),
        sa.Column(
            "cancel_requested_at",
            _TIME,
            nullable=True,
            comment="When bl cancel asked the run to stop; null if it did not",
        ),
    ):
        op.add_column("runs", column, schema="sync")
    op.execute("UPDATE sync.runs SET scope = 'some' WHERE job IN ('refresh_order', 'retry_failed_orders', 'full_sync')")
    op.add_column(
        "full_syncs",
        sa.Column(
            "withdrawn_at", _TIME, nullable=True, comment="When bl cancel withdrew the request; null if it did not"
        ),
        schema="sync",
    )

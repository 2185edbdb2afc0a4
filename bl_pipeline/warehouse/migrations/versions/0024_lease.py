"""A run whose steps are in several processes owns its row by a lease."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "runs",
        sa.Column(
            "lease_until",
            sa.TIMESTAMP(timezone=True),
            comment="Until when the run has the store, by the clock of Postgres, if its steps are in several "
            "processes; null if they are in one, which has a lock",
        ),
        schema="sync",
    )
    op.create_index("ix_runs_started", "runs", ["store"], schema="sync", postgresql_where=sa.text("status = 'started'"))

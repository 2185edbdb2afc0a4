"""What the reports stand on: each store's time zone, and which views are made of which SQL."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("CREATE SCHEMA IF NOT EXISTS stored")
    op.create_table(
        "stores",
        sa.Column("store", sa.Text(), nullable=False, comment="Key of the store, from BL_STORE"),
        sa.Column(
            "timezone",
            sa.Text(),
            nullable=False,
            comment="Time zone of the days, months and years in reports, from BL_TIMEZONE",
        ),
        sa.PrimaryKeyConstraint("store", name=op.f("pk_stores")),
        schema="sync",
        comment="One row per store: what reports have to know of it",
    )
    op.create_table(
        "report_views",
        sa.Column("name", sa.Text(), nullable=False, comment="Name of the view in the schema reports"),
        sa.Column("digest", sa.Text(), nullable=False, comment="Digest of the SQL from which the views were made"),
        sa.Column(
            "stored_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="The report shows the state of this moment; null where it is worked out when it is read",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_report_views")),
        schema="sync",
        comment="One row per report: the view that has been made of it",
    )

"""sync.store_readers: which roles of Postgres see which stores in the schema store_reports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. The views of the reports are made again in the same transaction, since their digests differ."""
    op.create_table(
        "store_readers",
        sa.Column("role_name", sa.Text(), nullable=False, comment="Name of a role of Postgres"),
        sa.Column("store", sa.Text(), nullable=False, comment="Key of a store whose rows the role sees"),
        sa.PrimaryKeyConstraint("role_name", "store", name=op.f("pk_store_readers")),
        schema="sync",
        comment="Which roles see the rows of which stores in the schema store_reports; docs/analyst-role.sql writes it",
    )
    op.execute("UPDATE sync.report_views SET digest = ''")

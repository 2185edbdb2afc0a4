"""Reports are computed when they are read: their stored rows go."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. The views are made again in the same transaction, since their digests differ."""
    connection = op.get_bind()
    stored = connection.execute(
        sa.text(
            """
            SELECT c.oid, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = 'stored' AND c.relkind = 'r' AND c.relname IN (SELECT name FROM sync.report_views)
            """
        )
    ).all()
    for oid, name in stored:
        # What a user has built on the view keeps it: it is replaced by one of the same columns without the table.
        columns = connection.scalars(
            sa.text(
                """
                SELECT format('NULL::%s AS %I', format_type(atttypid, atttypmod), attname) FROM pg_attribute
                WHERE attrelid = :oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum
                """
            ),
            {"oid": oid},
        ).all()
        op.execute(f"CREATE OR REPLACE VIEW reports.{name} AS SELECT {', '.join(columns)}")
        op.execute(f"DROP TABLE stored.{name}")
    op.execute("UPDATE sync.report_views SET digest = ''")
    op.drop_column("report_views", "stored_at", schema="sync")
    # What a user has put there stays.
    left = "SELECT EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('stored'))"
    if not connection.scalar(sa.text(left)):
        op.execute("DROP SCHEMA IF EXISTS stored")

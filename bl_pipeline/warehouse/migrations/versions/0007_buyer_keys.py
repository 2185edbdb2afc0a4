"""The secret with which reports distinguish buyers without their names."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "buyer_salt",
        sa.Column("salt", sa.Text(), nullable=False, comment="Random, made with the table"),
        schema="sync",
        comment="One row: with it reports know a buyer by a hash, which nobody can look up who does not see this",
    )
    op.execute(sa.text("INSERT INTO sync.buyer_salt (salt) VALUES (:salt)").bindparams(salt=secrets.token_hex(32)))

"""The ledger counts by the API key, and names calls that are dated in the future."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Calls made before have no key: they count for every key."""
    op.create_table(
        "api_key_salt",
        sa.Column("salt", sa.Text(), nullable=False, comment="Random, made with the table"),
        schema="sync",
        comment="One row: with it the ledger knows an API key by a hash, and never stores the key",
    )
    op.execute(sa.text("INSERT INTO sync.api_key_salt (salt) VALUES (:salt)").bindparams(salt=secrets.token_hex(16)))
    op.add_column(
        "api_calls",
        sa.Column(
            "key_hash",
            sa.Text(),
            nullable=True,
            comment="Hash of the API key, with the warehouse's salt; null is not known, and counts for every key",
        ),
        schema="sync",
    )
    op.add_column(
        "api_calls",
        sa.Column(
            "counted_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="From when the call counts, if started_at was in the future when the next call was counted",
        ),
        schema="sync",
    )
    op.alter_column(
        "runs",
        "stop_reason",
        comment="What stopped the run before its end: budget, credentials, unreachable, settings or error",
        existing_comment="What stopped the run before its end: budget, credentials, unreachable or error",
        schema="sync",
    )
    op.create_index("ix_api_calls_key_hash_started_at", "api_calls", ["key_hash", "started_at"], schema="sync")

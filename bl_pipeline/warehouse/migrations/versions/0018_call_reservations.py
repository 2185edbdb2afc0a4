"""Calls are reserved in blocks before they are sent, and noted with their answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TIME = sa.TIMESTAMP(timezone=True)
COMMENTS = {
    "TABLE sync.api_calls": (
        "The call ledger: every attempt, noted with its answer; until then it is in call_reservations"
    ),
    "COLUMN sync.api_calls.started_at": "When the call was sent, or was about to be",
    "COLUMN sync.api_calls.finished_at": "When it ended; null if nobody waited for that",
    "COLUMN sync.api_calls.outcome": "ok, or the kind of failure; null is not known, and counts as spent",
}


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "call_reservations",
        sa.Column(
            "reservation_id", sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="Grows with each run"
        ),
        sa.Column("store", sa.Text, nullable=False, comment="Key of the store"),
        sa.Column("run_id", sa.Text, nullable=False, comment="The run that makes the calls"),
        sa.Column("key_hash", sa.Text, nullable=False, comment="Hash of the API key, as in api_calls"),
        sa.Column(
            "calls",
            sa.BigInteger,
            nullable=False,
            comment="Calls that may be made, or are made and not noted in api_calls yet",
        ),
        sa.Column(
            "usable_until",
            TIME,
            nullable=False,
            comment="None of them is sent later. They count as made at this time, for 24 hours",
        ),
        sa.Column(
            "counted_at",
            TIME,
            comment="From when they count, if usable_until was in the future when the next call was counted",
        ),
        schema="sync",
        comment=(
            "Calls counted before they are sent, a row a run; what stays is spent: its process died, and nobody knows"
        ),
    )
    for what, comment in COMMENTS.items():
        literal = comment.replace("'", "''")
        op.execute(sa.text(f"COMMENT ON {what} IS '{literal}'"))

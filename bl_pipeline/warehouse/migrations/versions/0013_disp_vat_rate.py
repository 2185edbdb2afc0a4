"""The VAT rate that the buyer was shown, the one documented field of an order that had no column."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Rows that are there keep null until their order is fetched again, or until `bl rebuild`."""
    op.add_column(
        "orders",
        sa.Column(
            "disp_vat_rate",
            sa.Numeric(19, 4),
            nullable=True,
            comment="VAT rate in per cent, as the buyer saw it",
        ),
        schema="sales",
    )

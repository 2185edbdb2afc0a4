"""The history has all that reports make of an order; replaced lots are kept; views of what was known at a moment."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_KEY = ("store", "platform", "platform_order_id")
_COMMENTS = (
    "Key of the store, from BL_STORE",
    "Where the order was placed: bricklink",
    "The order's id at the platform",
)
_MONEY = sa.Numeric(19, 4)
_TIME = sa.TIMESTAMP(timezone=True)
_ADDED: dict[str, Any] = {
    "payment_method": sa.Text(), "country_code": sa.Text(), "address_state": sa.Text(), "postal_code": sa.Text(),
    "total_count": sa.BigInteger(), "subtotal": _MONEY, "shipping": _MONEY, "fees": _MONEY, "insurance": _MONEY,
    "etc1": _MONEY, "etc2": _MONEY, "tax": _MONEY, "vat_rate": _MONEY, "vat_amount": _MONEY,
    "sales_tax_collected_by_bricklink": sa.Boolean(), "vat_collected_by_bricklink": sa.Boolean(),
}  # fmt: skip
"""Columns of the history that it did not have, as they are in sales.orders."""

_BEFORE = (
    "platform_status", "payment_status", "order_date", "paid_at", "shipped_at", "total", "final_total", "credit",
    "coupon", "currency", "is_filed",
)  # fmt: skip
_AT_THAT_TIME = "That of the order at that time"
_LOTS: dict[str, tuple[Any, str]] = {
    "inventory_id": (sa.BigInteger(), "Id of the lot in the store's inventory"),
    "item_number": (sa.Text(), "Catalogue number, item.no; null for a custom item, which has none"),
    "item_name": (sa.Text(), "Catalogue name, unescaped from HTML"),
    "item_type": (
        sa.Text(),
        "PART, SET, MINIFIG, BOOK, GEAR, CATALOG, INSTRUCTION, UNSORTED_LOT or ORIGINAL_BOX",
    ),
    "category_id": (sa.BigInteger(), "BrickLink's id of the category"),
    "color_id": (sa.BigInteger(), "BrickLink's id of the colour, 0 if there is none"),
    "color_name": (sa.Text(), "Name of the colour"),
    "quantity": (sa.BigInteger(), "Pieces"),
    "condition": (sa.Text(), "N new or U used"),
    "completeness": (sa.Text(), "Of sets: C complete, B incomplete, S sealed"),
    "unit_price": (_MONEY, "Final price of one piece, unit_price_final"),
    "list_unit_price": (_MONEY, "Price of one piece before discounts, unit_price"),
    "total_price": (_MONEY, "unit_price x quantity"),
    "currency": (sa.Text(), "ISO 4217 code of the prices"),
    "disp_unit_price": (_MONEY, "unit_price as the buyer saw it, in disp_currency"),
    "disp_list_unit_price": (_MONEY, "list_unit_price as the buyer saw it, in disp_currency"),
    "disp_currency": (sa.Text(), "ISO 4217 code of the disp_ amounts"),
    "order_cost": (_MONEY, "order_cost, undocumented by BrickLink"),
    "weight": (_MONEY, "Weight of one piece in grams"),
    "description": (sa.Text(), "Description the buyer saw, unescaped from HTML"),
    "remarks": (sa.Text(), "The seller's own remarks on the lot, unescaped from HTML"),
    "unreadable_fields": (
        sa.ARRAY(sa.Text()),
        "Fields of the lot that could not be read as expected: null here, or as text; null if there are none",
    ),
}
_STATE = (
    "status", "status_changed_at", "platform_status", "payment_status", "payment_method", "order_date", "paid_at",
    "shipped_at", "country_code", "address_state", "postal_code", "total_count", "currency", "subtotal", "shipping",
    "fees", "insurance", "etc1", "etc2", "tax", "credit", "coupon", "total", "final_total", "vat_rate", "vat_amount",
    "sales_tax_collected_by_bricklink", "vat_collected_by_bricklink", "is_filed",
)  # fmt: skip
_ITEM = ("batch_number", "line_number", *_LOTS)

_VIEWS = {
    "known_orders": (
        "One row per sale as it was known at bl_pipeline.as_of; as last received if that is not set",
        f"""
        SELECT {", ".join(_KEY)}, {", ".join(_STATE)}, buyer_username, first_order_date,
            order_document_id AS document_id, fetched_at AS observed_at
        FROM sales.orders WHERE sales.as_of() IS NULL
        UNION ALL
        SELECT {", ".join(_KEY)}, {", ".join(f"h.{name}" for name in _STATE)}, o.buyer_username, o.first_order_date,
            h.document_id, h.observed_at
        FROM (
            SELECT DISTINCT ON ({", ".join(_KEY)}) * FROM sales.order_status_history
            WHERE observed_at <= sales.as_of()
            ORDER BY {", ".join(_KEY)}, document_id DESC
        ) h JOIN sales.orders o USING ({", ".join(_KEY)})
        WHERE sales.as_of() IS NOT NULL
        """,
    ),
    "known_items": (
        "One row per lot of a sale as it was known at bl_pipeline.as_of; as last received if that is not set",
        f"""
        SELECT {", ".join((*_KEY, *_ITEM))} FROM sales.order_items WHERE sales.as_of() IS NULL
        UNION ALL
        SELECT {", ".join(f"i.{name}" for name in (*_KEY, *_ITEM))}
        FROM sales.order_items i JOIN sales.orders o USING ({", ".join(_KEY)})
        JOIN landing.documents d ON d.document_id = o.items_document_id
        WHERE sales.as_of() IS NOT NULL AND d.fetched_at <= sales.as_of()
        UNION ALL
        SELECT {", ".join((*_KEY, *_ITEM))} FROM sales.replaced_items
        WHERE known_from <= sales.as_of() AND replaced_at > sales.as_of()
        """,
    ),
    "known_states": (
        "The rows of sales.order_status_history that were known at bl_pipeline.as_of; all of them if that is not set",
        "SELECT * FROM sales.order_status_history WHERE sales.as_of() IS NULL OR observed_at <= sales.as_of()",
    ),
}


def upgrade() -> None:
    """Apply. States before the last one of an order lack the new columns until `bl rebuild` reads them again."""
    op.add_column(
        "orders",
        sa.Column("address_state", sa.Text(), comment="State or region of the address, as the buyer has written it"),
        schema="sales",
    )
    op.add_column("orders", sa.Column("postal_code", sa.Text(), comment="Postal code of the address"), schema="sales")
    op.execute(
        """
        UPDATE sales.orders
        SET address_state = shipping_address ->> 'state', postal_code = shipping_address ->> 'postal_code'
        WHERE shipping_address ?| ARRAY['state', 'postal_code']
        """
    )
    for name, kind in _ADDED.items():
        op.add_column("order_status_history", sa.Column(name, kind, comment=_AT_THAT_TIME), schema="sales")
    for name in _BEFORE:
        op.execute(f"COMMENT ON COLUMN sales.order_status_history.{name} IS '{_AT_THAT_TIME}'")
    op.execute(
        "COMMENT ON TABLE sales.order_status_history IS 'One row each time status, payment, dates, amounts, tax, "
        "country or filing of an order were seen to differ'"
    )
    op.execute(
        f"""
        UPDATE sales.order_status_history h
        SET ({", ".join(_ADDED)}) = ROW ({", ".join(f"o.{name}" for name in _ADDED)})
        FROM (
            SELECT DISTINCT ON ({", ".join(_KEY)}) {", ".join(_KEY)}, document_id FROM sales.order_status_history
            ORDER BY {", ".join(_KEY)}, document_id DESC
        ) last JOIN sales.orders o USING ({", ".join(_KEY)})
        WHERE ({", ".join(f"h.{name}" for name in (*_KEY, "document_id"))})
            = ({", ".join(f"last.{name}" for name in (*_KEY, "document_id"))})
        """
    )
    op.create_table(
        "replaced_items",
        *(
            sa.Column(name, sa.Text(), primary_key=True, comment=comment)
            for name, comment in zip(_KEY, _COMMENTS, strict=True)
        ),
        sa.Column(
            "items_document_id",
            sa.BigInteger(),
            primary_key=True,
            autoincrement=False,
            comment="landing.documents: the answer that had them",
        ),
        sa.Column("batch_number", sa.Integer(), primary_key=True, comment="Batch of the order, from 1"),
        sa.Column("line_number", sa.Integer(), primary_key=True, comment="Place of the lot within the batch, from 1"),
        *(sa.Column(name, kind, comment=comment) for name, (kind, comment) in _LOTS.items()),
        sa.Column("known_from", _TIME, nullable=False, comment="When that answer was received"),
        sa.Column("replaced_at", _TIME, nullable=False, comment="When the answer was received that had others"),
        schema="sales",
        comment="One row per lot that an order had once: those of sales.order_items before other ones replaced them",
    )
    op.execute(
        """
        CREATE FUNCTION sales.as_of() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
        RETURN CAST(nullif(pg_catalog.current_setting('bl_pipeline.as_of', true), '') AS timestamptz)
        """
    )
    op.execute(
        "COMMENT ON FUNCTION sales.as_of() IS 'The moment as of which reports are asked for; null is now. "
        "The setting bl_pipeline.as_of of the session or the transaction'"
    )
    for name, (comment, query) in _VIEWS.items():
        op.execute(f"CREATE VIEW sales.{name} AS {query}")
        op.execute(f"COMMENT ON VIEW sales.{name} IS '{comment}'")

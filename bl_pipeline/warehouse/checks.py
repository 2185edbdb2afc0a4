"""What must be true of the warehouse: for each check a query for the orders that break it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from bl_pipeline.columns import OrderGroup
from bl_pipeline.rules.statuses import PURGED
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.tables import orders, parts

MOST_ORDER_IDS = 100
"""At most this many of the orders that break a check are named."""

_ITEMS = """
    SELECT store, platform, platform_order_id, sum(total_price) AS price, sum(quantity) AS pieces, count(*) AS lots,
        array_agg(DISTINCT currency) FILTER (WHERE currency IS NOT NULL) AS currencies
    FROM sales.order_items GROUP BY store, platform, platform_order_id
"""
_WITH_ITEMS = f"""
    SELECT o.*, i.price, i.pieces, i.lots, i.currencies FROM sales.orders o
    JOIN ({_ITEMS}) i USING (store, platform, platform_order_id)
    JOIN sync.order_state s USING (store, platform, platform_order_id)
    -- Items of an earlier content of the order are known to differ, and fetched again unless purged.
    WHERE s.items_fingerprint = s.order_fingerprint
"""

_NOT_IN_SALES = """
    NOT EXISTS (
        SELECT FROM sales.orders o
        WHERE (o.store, o.platform, o.platform_order_id) = (s.store, s.platform, s.platform_order_id)
    )
"""

_NO_CURRENCY = """
    SELECT platform_order_id, 'cost.currency_code' AS field FROM sales.orders
    WHERE store = :store AND currency !~ '^[A-Z]{3}$'
"""
_UNREADABLE = " UNION ".join(
    [
        *(
            f"SELECT platform_order_id, {before} unnest(unreadable_fields) AS field FROM {table.fullname} "
            "WHERE store = :store"
            for before, table in (("", orders), *((f"'{kind}.' ||", table) for kind, table in parts.items()))
        ),
        _NO_CURRENCY,
    ]
)

OFFENDING_ORDERS = {
    # Prices are rounded to 4 decimals, so the price of each piece may be wrong by half of the last one.
    "items_match_subtotal": f"""
        SELECT platform_order_id FROM ({_WITH_ITEMS}) o
        WHERE store = :store AND (abs(price - subtotal) > 0.00005 * pieces OR currencies <> ARRAY[currency])
    """,
    "items_match_counts": f"""
        SELECT platform_order_id FROM ({_WITH_ITEMS}) o
        WHERE store = :store AND (pieces <> total_count OR lots <> unique_count)
    """,
    "totals_add_up": """
        SELECT platform_order_id FROM sales.orders
        WHERE store = :store
          AND (coalesce(subtotal, 0) + coalesce(shipping, 0) + coalesce(fees, 0) <> total OR total IS NULL)
    """,
    "fees_match_their_parts": """
        SELECT platform_order_id FROM sales.orders
        WHERE store = :store AND fees <> coalesce(insurance, 0) + coalesce(etc1, 0) + coalesce(etc2, 0)
            + coalesce(tax, 0) - coalesce(credit, 0) - coalesce(coupon, 0)
    """,
    # It is unknown whether final_total deducts VAT that BrickLink collects: right by either reading is right.
    "collected_tax_is_explained": """
        SELECT platform_order_id FROM (
            SELECT
                platform_order_id,
                total - final_total
                    - CASE WHEN sales_tax_collected_by_bricklink THEN coalesce(tax, 0) ELSE 0 END AS without_vat,
                CASE WHEN vat_collected_by_bricklink THEN coalesce(vat_amount, 0) ELSE 0 END AS vat
            FROM sales.orders WHERE store = :store
        ) o
        WHERE abs(without_vat) > 0.01 AND abs(without_vat - vat) > 0.01
    """,
    "listed_orders_are_stored": f"""
        SELECT platform_order_id FROM sync.order_state s WHERE store = :store AND is_listed AND {_NOT_IN_SALES}
    """,
    "loaded_orders_are_stored": f"""
        SELECT platform_order_id FROM sync.order_state s
        WHERE store = :store AND order_document_id IS NOT NULL AND {_NOT_IN_SALES}
    """,
    "statuses_are_known": f"""
        SELECT platform_order_id FROM sales.orders
        WHERE store = :store AND status = '{OrderGroup.UNKNOWN}' AND platform_status <> '{PURGED}'
    """,
    # An items_fingerprint that is empty says that not all items could be read.
    "items_are_stored": f"""
        SELECT platform_order_id FROM sales.orders o LEFT JOIN sync.order_state s
            USING (store, platform, platform_order_id)
        WHERE store = :store AND platform_status <> '{PURGED}' AND (
            s.items_fingerprint = '' OR total_count > 0 AND NOT EXISTS (
                SELECT FROM sales.order_items i
                WHERE (i.store, i.platform, i.platform_order_id) = (o.store, o.platform, o.platform_order_id)
            )
        )
    """,
    "fields_are_readable": f"SELECT DISTINCT platform_order_id FROM ({_UNREADABLE}) fields",
}
"""Check → query for the ids of the orders that break it."""


@dataclass(frozen=True, slots=True)
class Offenders:
    """How many orders break a check, and the first of them."""

    count: int
    order_ids: list[str]


def find_offenders(connection: Connection, warehouse: Warehouse, check: str) -> Offenders:
    """The orders that break a check."""
    rows = connection.execute(
        text(
            f"""
            SELECT platform_order_id, count(*) OVER () FROM ({OFFENDING_ORDERS[check]}) offending
            ORDER BY platform_order_id LIMIT {MOST_ORDER_IDS}
            """
        ),
        {"store": warehouse.store},
    ).all()
    return Offenders(rows[0][1] if rows else 0, [row[0] for row in rows])


def unreadable_fields(connection: Connection, warehouse: Warehouse) -> dict[str, int]:
    """Fields that could not be read as expected, those of lots as `items.<field>`; in how many orders, most first."""
    rows = connection.execute(
        text(f"SELECT field, count(*) FROM ({_UNREADABLE}) fields GROUP BY field ORDER BY count(*) DESC, field"),
        {"store": warehouse.store},
    )
    return {row[0]: row[1] for row in rows}

"""A large warehouse, made by Postgres itself: no order is real, but sizes and spreads are those of a big store."""

from __future__ import annotations

from sqlalchemy import Connection, text

ORDERS = """
INSERT INTO sales.orders (
    store, platform, platform_order_id, display_id, order_date, first_order_date, status_changed_at, buyer_name,
    buyer_username, buyer_email, buyer_order_count, status, platform_status, payment_status, payment_method,
    payment_currency, paid_at, subtotal, shipping, fees, total, final_total, currency, insurance, etc1, etc2, tax,
    credit, coupon, vat_rate, vat_amount, sales_tax_collected_by_bricklink, vat_collected_by_bricklink,
    disp_currency, disp_subtotal, disp_shipping, disp_total, disp_final_total, shipping_method_id, shipping_method,
    tracking_number, tracking_url, shipped_at, country_code, shipping_address, total_count, unique_count,
    total_weight, is_filed, is_invoiced, require_insurance, drive_thru_sent, seller_username, store_name,
    order_document_id, items_document_id, fetched_at
)
SELECT
    'main', 'bricklink', id::text, 'BL-' || id, placed, placed, placed + days * interval '1 day',
    'Buyer ' || buyer, 'buyer' || buyer, 'buyer' || buyer || '@example.com', 1 + id % 9, status, platform_status,
    CASE WHEN is_paid THEN 'Received' ELSE 'None' END,
    (ARRAY['PayPal (Onsite)', 'Credit/Debit (Powered by Stripe)', 'IBAN', 'Bank Transfer'])[1 + id % 4],
    currency, CASE WHEN is_paid THEN placed + interval '3 hours' END,
    subtotal, 4.95, tax - credit, subtotal + 4.95 + tax - credit, subtotal + 4.95 - credit, currency, 0, 0, 0, tax,
    credit, 0, vat_rate, subtotal * vat_rate / (100 + vat_rate), country_code = 'US', country_code = 'GB',
    currency, subtotal, 4.95, subtotal + 4.95, subtotal + 4.95, 116410, 'Tracked Parcel (International)',
    'TR' || id, 'https://track.example.org/TR' || id,
    CASE WHEN is_shipped AND id % 50 > 0 THEN placed + interval '30 hours' END,
    country_code,
    jsonb_build_object('name', 'Buyer ' || buyer, 'full', '1 Long Street, 12345 Somewhere', 'address1',
        '1 Long Street', 'city', 'Somewhere', 'postal_code', '12345', 'country_code', country_code),
    100, 5, 250, id % 100 > 4, true, false, true, 'example_bricks', 'Example Bricks', id, id, placed
FROM (
    SELECT
        id,
        -- Seven years, growing.
        timestamptz '2026-11-01' - (2555 * power(random(), 1.5)) * interval '1 day' AS placed,
        (200000 * power(random(), 2))::int AS buyer,
        2 + id % 20 AS days,
        least(id % 100, 99) AS fate
    FROM generate_series(1, :orders) AS id
) placed
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN fate < 2 THEN 'cancelled' WHEN fate < 3 THEN 'problem' WHEN fate < 4 THEN 'pending'
            WHEN fate < 6 THEN 'processing' WHEN fate < 10 THEN 'shipped' ELSE 'completed' END AS status,
        CASE WHEN fate < 2 THEN 'CANCELLED' WHEN fate < 3 THEN 'NPB' WHEN fate < 4 THEN 'PENDING'
            WHEN fate < 6 THEN 'PAID' WHEN fate < 10 THEN 'SHIPPED' WHEN fate < 60 THEN 'PURGED'
            ELSE 'COMPLETED' END AS platform_status,
        fate >= 4 AS is_paid,
        fate >= 6 AS is_shipped,
        (ARRAY['EUR', 'EUR', 'EUR', 'USD', 'GBP'])[1 + (id / 100) % 5] AS currency,
        (ARRAY['DE', 'NL', 'US', 'GB', 'FR', 'BE', 'AT', 'IT', 'ES', 'PL', 'SE', 'CH'])[1 + (id / 7) % 12]
            AS country_code,
        (5 + 200 * power(random(), 4))::numeric(19, 4) AS subtotal
) states
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN country_code = 'US' THEN round(subtotal * 0.0625, 2) ELSE 0 END AS tax,
        CASE WHEN id % 20 = 0 THEN 1.5 ELSE 0 END AS credit,
        CASE country_code WHEN 'DE' THEN 19 WHEN 'US' THEN 0 WHEN 'CH' THEN 0 ELSE 20 END AS vat_rate
) money
"""

ITEMS = """
INSERT INTO sales.order_items (
    store, platform, platform_order_id, batch_number, line_number, inventory_id, item_number, item_name, item_type,
    category_id, color_id, color_name, quantity, condition, completeness, unit_price, list_unit_price, total_price,
    currency, disp_unit_price, disp_list_unit_price, disp_currency, order_cost, weight, description, remarks
)
SELECT
    'main', 'bricklink', o.platform_order_id, 1, line, 190000000 + item, item::text,
    'Brick, Modified 1 x 2 with a Name of Usual Length ' || item,
    (ARRAY['PART', 'PART', 'PART', 'PART', 'PART', 'PART', 'PART', 'MINIFIG', 'SET', 'GEAR'])[1 + item % 10],
    item % 300, item % 60, 'Colour ' || item % 60, 20, CASE WHEN item % 3 = 0 THEN 'U' ELSE 'N' END, NULL,
    o.subtotal / 100, o.subtotal / 90, CASE WHEN line < 5 THEN round(o.subtotal / 5, 2)
        ELSE o.subtotal - 4 * round(o.subtotal / 5, 2) END,
    o.currency, o.subtotal / 100, o.subtotal / 90, o.currency, 0, 2.32, 'like new', 'A-01'
FROM sales.orders o
CROSS JOIN LATERAL generate_series(1, 5) AS line
-- Few items make up most of the sales. Mentioning the order makes it a new number for each.
CROSS JOIN LATERAL (SELECT (30000 * power(random(), 3))::int + 0 * length(o.platform_order_id) AS item) chosen
-- One in a hundred was purged before its items were fetched.
WHERE o.order_document_id % 100 <> 11
"""

HISTORY = """
INSERT INTO sales.order_status_history (
    store, platform, platform_order_id, document_id, observed_at, status_changed_at, status, platform_status,
    payment_status, order_date, paid_at, shipped_at, total, final_total, credit, coupon, currency, is_filed,
    payment_method, country_code, postal_code, total_count, subtotal, shipping, fees, insurance, etc1, etc2, tax,
    vat_rate, vat_amount, sales_tax_collected_by_bricklink, vat_collected_by_bricklink
)
SELECT
    o.store, o.platform, o.platform_order_id, o.order_document_id * 10 + step,
    o.order_date + (step * 1.5 + 1.6) * interval '1 day', o.order_date + (step * 1.5 + 1) * interval '1 day',
    seen.status, seen.platform_status, 'Received', o.order_date, o.paid_at, o.shipped_at, o.total, o.final_total,
    CASE WHEN step = 1 THEN 0 ELSE o.credit END, 0, o.currency, false,
    o.payment_method, o.country_code, '12345', o.total_count, o.subtotal, o.shipping, o.fees, o.insurance, o.etc1,
    o.etc2, o.tax, o.vat_rate, o.vat_amount, o.sales_tax_collected_by_bricklink, o.vat_collected_by_bricklink
FROM sales.orders o
CROSS JOIN LATERAL (
    VALUES (1, 'processing', 'PAID'), (2, 'shipped', 'SHIPPED'), (3, 'completed', 'RECEIVED'),
        (4, o.status, o.platform_status)
) AS seen (step, status, platform_status)
-- A third was watched from the beginning, the others were first seen when all was over.
WHERE step = 4 OR (o.order_document_id % 3 = 0 AND o.status = 'completed')
"""

LANDED = """
INSERT INTO landing.documents (
    document_id, store, platform, platform_order_id, kind, body, fetched_at, run_id
) OVERRIDING SYSTEM VALUE
SELECT items_document_id, store, platform, platform_order_id, 'items', '[]', fetched_at, 'none' FROM sales.orders
"""

STATES = """
INSERT INTO sync.order_state (
    store, platform, platform_order_id, order_date, listed_fingerprint, listed_status, listed_status_changed_at,
    listed_filed, first_listed_at, stored_fingerprint, stored_status_changed_at, order_document_id, order_fingerprint,
    order_fetched_at, items_document_id, items_fingerprint, items_fetched_at, failed_at, error
)
SELECT
    store, platform, platform_order_id, order_date, md5(platform_order_id), platform_status, status_changed_at,
    is_filed, order_date, md5(platform_order_id), status_changed_at, order_document_id, md5('o' || platform_order_id),
    fetched_at, items_document_id, md5('o' || platform_order_id), fetched_at,
    CASE WHEN order_document_id % 20000 = 0 THEN fetched_at END,
    CASE WHEN order_document_id % 20000 = 0 THEN 'BrickLink did not answer in time.' END
FROM sales.orders
"""


def fill(connection: Connection, orders: int) -> None:
    """So many orders, five times as many items, their history and their states, into an empty warehouse."""
    connection.execute(text("SELECT setseed(0.5)"))
    connection.execute(text(ORDERS), {"orders": orders})
    connection.execute(text(ITEMS))
    connection.execute(text(LANDED))
    # The next answer that lands gets the number after these.
    connection.execute(
        text(
            "SELECT setval(pg_get_serial_sequence('landing.documents', 'document_id'), max(document_id)) "
            "FROM landing.documents"
        )
    )
    connection.execute(text(HISTORY))
    connection.execute(text(STATES))

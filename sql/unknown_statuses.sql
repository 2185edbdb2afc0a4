-- Unknown statuses
--
-- Question: Which orders count as revenue though nobody knows what their status means, or how they ended?
-- Group: To check
-- Grain: store, platform_status, reason, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   platform_status: the status in BrickLink's own word
--   currency: ISO 4217 code of the amount
--   orders [orders]: how many
--   first_order_date [UTC]: the oldest order
--   last_order_date [UTC]: the newest order
--   revenue [currency]: what they come to in the revenue reports
--   reason: unknown_status: nobody knows what it means; first_seen_purged: BrickLink had purged the order before it was
--     first seen, so it may have been cancelled
-- Caveats:
--   Empty when all is well. A status is unknown when BrickLink has invented it since this release.
--   An order that was first seen PURGED is taken for completed if it has a payment date, and else for unknown.
SELECT
    store,
    platform_status,
    currency,
    count(*) AS orders,
    min(order_date) AS first_order_date,
    max(order_date) AS last_order_date,
    sum(revenue) AS revenue,
    CASE WHEN first_seen_purged THEN 'first_seen_purged' ELSE 'unknown_status' END AS reason
FROM reports.revenue_orders
WHERE status = 'unknown' OR first_seen_purged
GROUP BY store, platform_status, currency, first_seen_purged

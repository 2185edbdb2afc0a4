-- Unknown statuses
--
-- Question: Which orders count as revenue though nobody knows what their status means?
-- Group: To check
-- Grain: store, platform_status, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   platform_status: the status in BrickLink's own word
--   currency: ISO 4217 code of the amount
--   orders [orders]: how many
--   first_order_date [UTC]: the oldest order
--   last_order_date [UTC]: the newest order
--   revenue [currency]: what they come to in the revenue reports
-- Caveats:
--   Empty when all is well. A status is unknown when BrickLink has invented it since this release.
--   PURGED here means: first seen when it was already purged, and never paid.
SELECT
    store,
    platform_status,
    currency,
    count(*) AS orders,
    min(order_date) AS first_order_date,
    max(order_date) AS last_order_date,
    sum(revenue) AS revenue
FROM reports.revenue_orders
WHERE status = 'unknown'
GROUP BY store, platform_status, currency

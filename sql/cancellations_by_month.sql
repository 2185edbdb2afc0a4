-- Cancellations by month
--
-- Question: Which orders came to nothing, and had they been paid?
-- Group: Tax, credits and cancellations
-- Grain: store, month, status, platform_status, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   month [date]: first day of the month of the order date, in the store's time zone (BL_TIMEZONE)
--   status: cancelled or problem
--   platform_status: BrickLink's own word, such as CANCELLED, NPB (non-paying buyer), NSS (seller did not send)
--   currency: ISO 4217 code of the amounts
--   orders [orders]: how many
--   paid_orders [orders]: of these, with a payment date: to be refunded, if that has not been done
--   total [currency]: what the buyers would have paid
--   revenue_lost [currency]: what the seller would have got
--   paid_revenue_lost [currency]: of this, from orders with a payment date
-- Caveats:
--   Exactly the orders that revenue_orders leaves out. BrickLink does not say whether a payment was refunded.
-- Period: month, adds up
-- Chart: orders over month split status
SELECT
    o.store,
    date_trunc('month', o.order_date AT TIME ZONE coalesce(s.timezone, 'UTC'))::date AS month,
    o.status,
    o.platform_status,
    o.currency,
    count(*) AS orders,
    count(o.paid_at) AS paid_orders,
    sum(o.total) AS total,
    sum(coalesce(o.final_total, o.total)) AS revenue_lost,
    coalesce(sum(coalesce(o.final_total, o.total)) FILTER (WHERE o.paid_at IS NOT NULL), 0) AS paid_revenue_lost
FROM sales.orders o
LEFT JOIN sync.stores s ON s.store = o.store
WHERE NOT EXISTS (
    SELECT FROM reports.revenue_orders r
    WHERE r.store = o.store
      AND r.platform = o.platform
      AND r.platform_order_id = o.platform_order_id
)
GROUP BY o.store, month, o.status, o.platform_status, o.currency

-- Cancellations and problems by month
--
-- Question: Which orders were cancelled or have a problem, when did they stop counting as revenue, and had they been paid?
-- Group: Tax, credits and cancellations
-- Grain: store, month, order_month, status, platform_status, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   month [date]: first day of the month in which the order stopped counting as revenue: by BrickLink's date of the
--     status, else when it was seen; in the store's time zone (BL_TIMEZONE)
--   status: cancelled or problem
--   platform_status: BrickLink's own word, such as CANCELLED, NPB (non-paying buyer), NSS (seller did not send)
--   currency: ISO 4217 code of the amounts
--   orders [orders]: how many
--   paid_orders [orders]: of these, with a payment date: to be refunded, if that has not been done
--   total [currency]: what the buyers would have paid
--   revenue_lost [currency]: deprecated: amount. A problem may still be solved, and the order be paid
--   paid_revenue_lost [currency]: deprecated: paid_amount. The money may have been kept
--   order_month [date]: first day of the month of the order date
--   amount [currency]: what the seller would get by them: final_total; the total if that is absent
--   paid_amount [currency]: of this, from orders with a payment date
-- Caveats:
--   Exactly the orders that revenue_orders leaves out now, each once: one that counts again is here no more. Each change
--     by itself is in adjustments, as cancelled and reopened, in the same months.
--   A problem is a complaint that is open, and no outcome: a buyer may still pay (NPB), a parcel arrive (NRS, NSS).
--     payments_to_check names the problems that have been paid. BrickLink does not say whether a payment was refunded.
-- Period: month, adds up
-- Chart: orders over month split status
SELECT
    o.store,
    date_trunc('month', coalesce(ended.at, o.observed_at) AT TIME ZONE coalesce(s.timezone, 'UTC'))::date AS month,
    o.status,
    o.platform_status,
    o.currency,
    count(*) AS orders,
    count(o.paid_at) AS paid_orders,
    sum(o.total) AS total,
    sum(coalesce(o.final_total, o.total)) AS revenue_lost,
    coalesce(sum(coalesce(o.final_total, o.total)) FILTER (WHERE o.paid_at IS NOT NULL), 0) AS paid_revenue_lost,
    date_trunc('month', o.order_date AT TIME ZONE coalesce(s.timezone, 'UTC'))::date AS order_month,
    sum(coalesce(o.final_total, o.total)) AS amount,
    coalesce(sum(coalesce(o.final_total, o.total)) FILTER (WHERE o.paid_at IS NOT NULL), 0) AS paid_amount
FROM sales.known_orders o
LEFT JOIN sync.stores s ON s.store = o.store
LEFT JOIN LATERAL (
    SELECT max(h.valid_from) AS at
    FROM (
        SELECT valid_from, counts_as_revenue, lag(counts_as_revenue, 1, true) OVER (ORDER BY state_number) AS counted
        FROM reports.status_history
        WHERE store = o.store AND platform = o.platform AND platform_order_id = o.platform_order_id
    ) h
    WHERE h.counted AND NOT h.counts_as_revenue
) ended ON true
WHERE NOT EXISTS (
    SELECT FROM reports.revenue_orders r
    WHERE r.store = o.store
      AND r.platform = o.platform
      AND r.platform_order_id = o.platform_order_id
)
GROUP BY o.store, month, order_month, o.status, o.platform_status, o.currency

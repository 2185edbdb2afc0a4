-- Fulfilment times
--
-- Question: How long do orders take from placed to paid, shipped and received?
-- Group: Work on orders
-- Grain: store, month, step
-- Columns:
--   store: key of the store, from BL_STORE
--   month [date]: first day of the month of the order date, in the store's time zone (BL_TIMEZONE)
--   step: 1 placed to paid, 2 paid to shipped, 3 shipped to received, or 4 placed to received
--   orders [orders]: orders of the month of which both moments are known
--   median_hours [hours]: the time in the middle (median), half of the orders were faster and half slower
--   p90_hours [hours]: nine of ten orders were faster than this
--   average_hours [hours]: their average
-- Caveats:
--   Only orders that count as revenue. Shipped is as in revenue_orders. Received is BrickLink's date of the status
--     RECEIVED, from the status history: an order that was never seen in it is left out, so these are fewer.
--   A step that ran backwards, for example in an order that was reopened after its shipping, is left out.
--   Recent months are not complete: the slow orders are still to come.
-- Period: month
-- Chart: median_hours over month split step
WITH moments AS (
    SELECT
        r.store,
        date_trunc('month', r.order_date AT TIME ZONE r.timezone)::date AS month,
        r.order_date AS placed,
        r.paid_at AS paid,
        r.shipped_at AS shipped,
        (
            SELECT min(least(h.status_changed_at, h.observed_at))
            FROM sales.known_states h
            WHERE h.store = r.store
              AND h.platform = r.platform
              AND h.platform_order_id = r.platform_order_id
              AND h.platform_status = 'RECEIVED'
        ) AS received
    FROM reports.revenue_orders r
),
steps AS (
    SELECT store, month, step, extract(epoch FROM till - since) / 3600 AS hours
    FROM moments
    CROSS JOIN LATERAL (
        VALUES
            ('1 placed to paid', placed, paid),
            ('2 paid to shipped', paid, shipped),
            ('3 shipped to received', shipped, received),
            ('4 placed to received', placed, received)
    ) AS steps (step, since, till)
    WHERE till >= since
)
SELECT
    store,
    month,
    step,
    count(*) AS orders,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY hours)::numeric, 2) AS median_hours,
    round(percentile_cont(0.9) WITHIN GROUP (ORDER BY hours)::numeric, 2) AS p90_hours,
    round(avg(hours), 2) AS average_hours
FROM steps
GROUP BY store, month, step

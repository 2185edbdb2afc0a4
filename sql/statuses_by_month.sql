-- Orders by status at the end of the month
--
-- Question: How many orders were in each status at the end of each month, and what did their totals come to?
-- Group: Work on orders
-- Grain: store, month, status, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   month [date]: first day of the month at whose end is counted, in the store's time zone (BL_TIMEZONE)
--   status: group of the status, such as processing; not_seen: placed by then, but its status at that time was never seen
--   currency: ISO 4217 code of the amount
--   orders [orders]: how many
--   revenue [currency]: deprecated: amount. No revenue: cancelled orders and problems have it too
--   amount [currency]: their final_total (total if it is absent) at that time
-- Caveats:
--   amount is no revenue: cancelled orders and problems have one too.
--   An order is counted in every month from that in which it was placed. The current month is as of now.
--   From the status history, which is sampled: before the first sync of an order only its then last change is known.
-- Period: month
-- Chart: orders over month split status without completed, cancelled
WITH moves AS (
    SELECT h.store, h.currency, move.status, move.at, move.orders, move.orders * move.amount AS amount
    FROM reports.status_history h
    CROSS JOIN LATERAL (
        SELECT h.status, h.valid_from, 1, coalesce(h.final_total, h.total)
        UNION ALL
        SELECT h.status, h.valid_to, -1, coalesce(h.final_total, h.total)
        WHERE h.valid_to IS NOT NULL
        UNION ALL
        SELECT 'not_seen', least(h.order_date, h.valid_from), 1, coalesce(h.final_total, h.total)
        WHERE h.state_number = 1
        UNION ALL
        SELECT 'not_seen', h.valid_from, -1, coalesce(h.final_total, h.total)
        WHERE h.state_number = 1
    ) AS move (status, at, orders, amount)
),
monthly AS (
    SELECT
        m.store,
        m.currency,
        m.status,
        date_trunc('month', m.at AT TIME ZONE coalesce(s.timezone, 'UTC')) AS month,
        sum(m.orders) AS orders,
        sum(m.amount) AS amount
    FROM moves m
    LEFT JOIN sync.stores s ON s.store = m.store
    GROUP BY m.store, m.currency, m.status, 4
),
calendar AS (
    SELECT kinds.store, kinds.currency, kinds.status, month
    FROM (SELECT store, currency, status, min(month) AS first_month FROM monthly GROUP BY 1, 2, 3) kinds
    LEFT JOIN sync.stores s ON s.store = kinds.store
    CROSS JOIN LATERAL generate_series(
        kinds.first_month, date_trunc('month', least(sales.as_of(), now()) AT TIME ZONE coalesce(s.timezone, 'UTC')), interval '1 month'
    ) AS month
),
stock AS (
    SELECT
        store,
        month::date AS month,
        status,
        currency,
        sum(monthly.orders) OVER earlier AS orders,
        sum(monthly.amount) OVER earlier AS amount
    FROM calendar
    LEFT JOIN monthly USING (store, currency, status, month)
    WINDOW earlier AS (PARTITION BY store, currency, status ORDER BY month)
)
SELECT store, month, status, currency, orders::bigint AS orders, amount AS revenue, amount
FROM stock
WHERE orders > 0

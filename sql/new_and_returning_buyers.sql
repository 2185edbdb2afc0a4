-- New and returning buyers
--
-- Question: How much of a month's revenue comes from buyers who had never bought before?
-- Group: Buyers and countries
-- Grain: store, month, buyer_kind, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   month [date]: first day of the month of the order date, in the store's time zone (BL_TIMEZONE)
--   buyer_kind: new: the month of the buyer's first order; returning: a later month; unknown: BrickLink has lost the name
--   currency: ISO 4217 code of the amounts
--   buyers [buyers]: different buyers; of kind unknown, orders
--   orders [orders]: how many
--   revenue [currency]: what the seller gets
--   turnover [currency]: what the seller earns before costs: revenue less the VAT and the sales tax that the seller pays
-- Caveats:
--   A buyer is a BrickLink username: one who changes it counts as new. A buyer in two currencies counts in both rows.
--   First means the first order in this warehouse that counts as revenue.
--   buyers do not add up over months, or over currencies; orders, revenue and turnover do.
-- Period: month, adds up
-- Chart: revenue over month split buyer_kind
WITH bought AS (
    SELECT
        r.store,
        date_trunc('month', r.order_date AT TIME ZONE r.timezone)::date AS month,
        r.currency,
        r.revenue,
        r.turnover,
        o.buyer_username
    FROM reports.revenue_orders r
    JOIN sales.known_orders o USING (store, platform, platform_order_id)
),
known AS (
    SELECT bought.*, min(month) OVER (PARTITION BY store, buyer_username) AS first_month
    FROM bought
),
labelled AS (
    SELECT
        known.*,
        CASE
            WHEN buyer_username IS NULL THEN 'unknown'
            WHEN month = first_month THEN 'new'
            ELSE 'returning'
        END AS buyer_kind
    FROM known
)
SELECT
    store,
    month,
    buyer_kind,
    currency,
    CASE WHEN buyer_kind = 'unknown' THEN count(*) ELSE count(DISTINCT buyer_username) END AS buyers,
    count(*) AS orders,
    sum(revenue) AS revenue,
    sum(turnover) AS turnover
FROM labelled
GROUP BY store, month, buyer_kind, currency

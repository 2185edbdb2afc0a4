-- Credits, coupons and lowered totals
--
-- Question: Which orders got a credit or a coupon, or have a lower total than at first, and when was that seen?
-- Group: Single orders and lots
-- Grain: store, platform, platform_order_id, state_number, kind, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   platform: where the order was placed: bricklink
--   platform_order_id: the order's id at the platform
--   state_number: the state in status_history that showed it
--   kind: credit, coupon, or decrease (the order's total is lower than when seen before, for whatever reason)
--   at [UTC]: when it was seen; the order date for what the order had when it was first seen
--   month [date]: first day of the month of that moment, in the store's time zone (BL_TIMEZONE)
--   currency: ISO 4217 code of the amounts
--   before [currency]: the credit, the coupon or the revenue before; null if the order was not seen before in this currency
--   after [currency]: the same after; null if the order is in another currency now
--   amount [currency]: what the seller gets less by it; negative if a credit or a coupon was taken back
--   counts_as_revenue: the order counts as revenue now; false for cancelled ones and problems
-- Caveats:
--   A credit given later is a decrease too: never add kinds together.
--   Amounts are compared within one currency only. When the currency of an order changes, its credit and coupon are
--     taken back in the old one and given in the new one, and there is no decrease.
--   From the status history, which is sampled: what changed twice between two fetches is seen as one change.
--   revenue is final_total, total if it is absent.
-- Period: month
WITH states AS (
    SELECT
        h.*,
        coalesce(h.final_total, h.total) AS revenue,
        row_number() OVER states AS state_number,
        lag(h.currency) OVER states AS currency_before,
        lag(h.credit) OVER states AS credit_before,
        lag(h.coupon) OVER states AS coupon_before,
        lag(coalesce(h.final_total, h.total)) OVER states AS revenue_before
    FROM sales.order_status_history h
    WINDOW states AS (PARTITION BY h.store, h.platform, h.platform_order_id ORDER BY h.document_id)
),
compared AS (
    SELECT s.store, s.platform, s.platform_order_id, s.state_number, s.order_date, s.observed_at, in_currency.*
    FROM states s
    CROSS JOIN LATERAL (
        SELECT
            s.currency,
            s.credit,
            s.coupon,
            s.revenue,
            CASE WHEN s.currency = s.currency_before THEN s.credit_before END AS credit_before,
            CASE WHEN s.currency = s.currency_before THEN s.coupon_before END AS coupon_before,
            CASE WHEN s.currency = s.currency_before THEN s.revenue_before END AS revenue_before
        UNION ALL
        SELECT s.currency_before, NULL, NULL, NULL, s.credit_before, s.coupon_before, s.revenue_before
        WHERE s.currency <> s.currency_before
    ) AS in_currency
),
changes AS (
    SELECT compared.*, change.kind, change.before, change.after, change.amount
    FROM compared
    CROSS JOIN LATERAL (
        VALUES
            ('credit', credit_before, credit, coalesce(credit, 0) - coalesce(credit_before, 0)),
            ('coupon', coupon_before, coupon, coalesce(coupon, 0) - coalesce(coupon_before, 0)),
            ('decrease', revenue_before, revenue, greatest(revenue_before - revenue, 0))
    ) AS change (kind, before, after, amount)
    WHERE change.amount <> 0
)
SELECT
    c.store,
    c.platform,
    c.platform_order_id,
    c.state_number,
    c.kind,
    moment.at,
    date_trunc('month', moment.at AT TIME ZONE coalesce(s.timezone, 'UTC'))::date AS month,
    c.currency,
    c.before,
    c.after,
    c.amount,
    r.platform_order_id IS NOT NULL AS counts_as_revenue
FROM changes c
LEFT JOIN reports.revenue_orders r USING (store, platform, platform_order_id)
LEFT JOIN sync.stores s ON s.store = c.store
CROSS JOIN LATERAL (SELECT CASE WHEN c.state_number = 1 THEN c.order_date ELSE c.observed_at END AS at) AS moment

-- Adjustments of orders
--
-- What has changed the amounts of an order after it was placed, each change when it happened or was seen. Kinds:
-- credit and coupon: given, changed or taken back; what an order has when it is first seen, too.
-- increase and decrease: the order's revenue is more (a batch, for example) or less than before, for whatever reason.
-- cancelled and reopened: the order stopped counting as revenue (cancelled, or a problem), or counts again.
-- currency: the order's revenue left one currency and came into another.
-- vat and sales_tax: the seller pays more or less of it. country: the order's revenue is of another country.
--
-- Question: Which orders have changed in amount, tax, country or currency, by how much, and when was that seen?
-- Group: Single orders and lots
-- Grain: store, platform, platform_order_id, state_number, kind, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   platform: where the order was placed: bricklink
--   platform_order_id: the order's id at the platform
--   state_number: the state in status_history that showed it
--   kind: credit, coupon, increase, decrease, cancelled, reopened, currency, vat, sales_tax or country
--   at [UTC]: when it was seen, or BrickLink's date of the status if it was cancelled or reopened; the order date for what
--     the order had when it was first seen
--   month [date]: first day of the month of that moment, in the store's time zone (BL_TIMEZONE)
--   currency: ISO 4217 code of the amounts
--   before [currency]: the credit, the coupon, the tax or the revenue before; null if there was none in this currency
--   after [currency]: the same after; null if there is none in this currency any more
--   amount [currency]: what the seller gets less by it; negative if it is more. Of vat and sales_tax what the seller pays
--     more. 0 if the country has changed
--   counts_as_revenue: the order counts as revenue now; false for cancelled ones and problems
--   counted: the order counted as revenue when this was seen; of a cancellation: before it
--   order_month [date]: first day of the month of the order date at that time, in the store's time zone
--   country_before: kind country: the country before; else null
--   country_after: kind country: the country after; else null
-- Caveats:
--   Increase, decrease, cancelled, reopened and currency add up to the change of an order's revenue; with vat and
--     sales_tax to that of its turnover. A credit given later is a decrease too: never add it to those.
--   Amounts are compared within one currency only. When the currency of an order changes, its credit and coupon are
--     taken back in the old one and given in the new one.
--   Of an order that was first seen cancelled the revenue that it would have been is taken back.
--   From the status history, which is sampled: what changed twice between two fetches is seen as one change.
--   revenue is final_total, total if it is absent.
-- Period: month
WITH states AS (
    SELECT
        h.store,
        h.platform,
        h.platform_order_id,
        h.state_number,
        h.order_date,
        h.observed_at,
        h.valid_from,
        h.currency,
        h.credit,
        h.coupon,
        h.country_code,
        h.counts_as_revenue AS counts,
        coalesce(h.final_total, h.total) AS revenue,
        CASE WHEN h.vat_collected_by_bricklink THEN 0 ELSE coalesce(h.vat_amount, 0) END AS vat,
        CASE WHEN h.sales_tax_collected_by_bricklink THEN 0 ELSE coalesce(h.sales_tax, 0) END AS sales_tax
    FROM reports.status_history h
),
followed AS (
    -- An order that is first seen cancelled has counted before, as far as this report goes.
    SELECT
        states.*,
        lag(currency, 1, currency) OVER earlier AS currency_before,
        lag(credit) OVER earlier AS credit_before,
        lag(coupon) OVER earlier AS coupon_before,
        lag(country_code, 1, country_code) OVER earlier AS country_before,
        lag(counts, 1, true) OVER earlier AS counted_before,
        lag(revenue, 1, revenue) OVER earlier AS revenue_before,
        lag(vat, 1, vat) OVER earlier AS vat_before,
        lag(sales_tax, 1, sales_tax) OVER earlier AS sales_tax_before
    FROM states
    WINDOW earlier AS (PARTITION BY store, platform, platform_order_id ORDER BY state_number)
),
compared AS (
    SELECT
        f.store,
        f.platform,
        f.platform_order_id,
        f.state_number,
        f.order_date,
        CASE WHEN f.state_number = 1 THEN f.order_date ELSE f.observed_at END AS seen_at,
        CASE
            WHEN f.counts <> f.counted_before THEN f.valid_from
            WHEN f.state_number = 1 THEN f.order_date
            ELSE f.observed_at
        END AS moved_at,
        f.counts,
        CASE
            WHEN f.counts AND f.counted_before AND f.currency <> f.currency_before THEN 'currency'
            WHEN f.counts AND NOT f.counted_before THEN 'reopened'
            WHEN f.counted_before AND NOT f.counts THEN 'cancelled'
            WHEN f.counts AND f.revenue > f.revenue_before THEN 'increase'
            WHEN f.counts AND f.revenue < f.revenue_before THEN 'decrease'
        END AS movement,
        CASE WHEN f.counts AND f.counted_before THEN f.country_before END AS country_before,
        CASE WHEN f.counts AND f.counted_before THEN f.country_code END AS country_after,
        in_currency.*
    FROM followed f
    CROSS JOIN LATERAL (
        SELECT
            f.currency,
            true AS is_new,
            f.credit,
            f.coupon,
            CASE WHEN f.counts THEN f.revenue END AS revenue,
            CASE WHEN f.counts THEN f.vat END AS vat,
            CASE WHEN f.counts THEN f.sales_tax END AS sales_tax,
            CASE WHEN f.currency = f.currency_before THEN f.credit_before END AS credit_before,
            CASE WHEN f.currency = f.currency_before THEN f.coupon_before END AS coupon_before,
            CASE WHEN f.counted_before AND f.currency = f.currency_before THEN f.revenue_before END AS revenue_before,
            CASE WHEN f.counted_before AND f.currency = f.currency_before THEN f.vat_before END AS vat_before,
            CASE WHEN f.counted_before AND f.currency = f.currency_before THEN f.sales_tax_before END AS sales_tax_before
        UNION ALL
        SELECT
            f.currency_before,
            false,
            NULL,
            NULL,
            NULL,
            NULL,
            NULL,
            f.credit_before,
            f.coupon_before,
            CASE WHEN f.counted_before THEN f.revenue_before END,
            CASE WHEN f.counted_before THEN f.vat_before END,
            CASE WHEN f.counted_before THEN f.sales_tax_before END
        WHERE f.currency <> f.currency_before
    ) AS in_currency
),
changes AS (
    SELECT c.*, change.kind, change.before, change.after, change.amount, change.at, change.counted
    FROM compared c
    CROSS JOIN LATERAL (
        VALUES
            ('credit', credit_before, credit, coalesce(credit, 0) - coalesce(credit_before, 0), seen_at, counts),
            ('coupon', coupon_before, coupon, coalesce(coupon, 0) - coalesce(coupon_before, 0), seen_at, counts),
            (movement, revenue_before, revenue, coalesce(revenue_before, 0) - coalesce(revenue, 0), moved_at, true),
            ('vat', vat_before, vat, coalesce(vat, 0) - coalesce(vat_before, 0), moved_at, true),
            (
                'sales_tax',
                sales_tax_before,
                sales_tax,
                coalesce(sales_tax, 0) - coalesce(sales_tax_before, 0),
                moved_at,
                true
            ),
            (
                CASE WHEN is_new AND country_before IS DISTINCT FROM country_after THEN 'country' END,
                revenue_before,
                revenue,
                0,
                moved_at,
                true
            )
    ) AS change (kind, before, after, amount, at, counted)
    WHERE num_nulls(change.before, change.after) < 2
      AND (change.amount <> 0 AND change.kind IS NOT NULL OR change.kind IN ('cancelled', 'reopened', 'country'))
)
SELECT
    c.store,
    c.platform,
    c.platform_order_id,
    c.state_number,
    c.kind,
    c.at,
    date_trunc('month', c.at AT TIME ZONE coalesce(s.timezone, 'UTC'))::date AS month,
    c.currency,
    c.before,
    c.after,
    c.amount,
    r.platform_order_id IS NOT NULL AS counts_as_revenue,
    c.counted,
    date_trunc('month', c.order_date AT TIME ZONE coalesce(s.timezone, 'UTC'))::date AS order_month,
    CASE WHEN c.kind = 'country' THEN c.country_before END AS country_before,
    CASE WHEN c.kind = 'country' THEN c.country_after END AS country_after
FROM changes c
LEFT JOIN reports.revenue_orders r USING (store, platform, platform_order_id)
LEFT JOIN sync.stores s ON s.store = c.store

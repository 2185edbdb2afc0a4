-- Reconciliation of the four bases
--
-- From the revenue of a month by order date to that by payment date, by shipping date and by tax point, step by step:
-- the rows of 10 to 19 add up to 20, those of 20 to 29 to 30, and those of 30 to 39 to 40.
--
-- Question: Why does a month's revenue differ by order date, payment date, shipping date and tax point?
-- Group: To check
-- Grain: store, month, currency, step
-- Columns:
--   store: key of the store, from BL_STORE
--   month [date]: first day of the month, in the store's time zone (BL_TIMEZONE)
--   currency: ISO 4217 code of the amounts
--   step: a basis (10, 20, 30, 40), what leads from it to the next (their numbers in between), or 50, which is on none
--   orders [orders]: how many; below 0 if the step takes them off
--   revenue [currency]: what the seller gets; below 0 if the step takes it off
--   turnover [currency]: revenue less the VAT and the sales tax that the seller pays; null for step 50
-- Caveats:
--   A step without orders has no row; so has a basis: its revenue is 0.
--   12, 13 and 14 are named one by one in payments_to_check, as is 50. 50 is in the month of the payment.
--   Money that was received for orders which were cancelled or refunded since is in no step.
-- Period: month
WITH dated AS (
    SELECT
        r.store,
        r.currency,
        r.revenue,
        r.turnover,
        date_trunc('month', r.order_date AT TIME ZONE r.timezone)::date AS ordered,
        date_trunc('month', r.counted_paid_at AT TIME ZONE r.timezone)::date AS paid,
        date_trunc('month', r.shipped_at AT TIME ZONE r.timezone)::date AS shipped,
        c.reason
    FROM reports.revenue_orders r
    LEFT JOIN reports.payments_to_check c USING (store, platform, platform_order_id)
),
steps AS (
    SELECT dated.store, dated.currency, dated.revenue, dated.turnover, step.*
    FROM dated
    CROSS JOIN LATERAL (SELECT least(paid, shipped) AS due) AS tax_point
    CROSS JOIN LATERAL (
        VALUES
            ('10 by order date', ordered, 1),
            ('11 not paid', CASE WHEN paid IS NULL AND reason IS NULL THEN ordered END, -1),
            ('12 paid or sent, no payment date', CASE WHEN reason = 'no_payment_date' THEN ordered END, -1),
            (
                '13 clearing, returned or bounced',
                CASE WHEN reason IN ('clearing', 'returned', 'bounced') THEN ordered END,
                -1
            ),
            ('14 paid before it changed', CASE WHEN reason = 'paid_before' THEN ordered END, -1),
            ('15 paid in another month', CASE WHEN paid <> ordered THEN ordered END, -1),
            ('16 ordered in another month', CASE WHEN paid <> ordered THEN paid END, 1),
            ('20 by payment date', paid, 1),
            ('21 not shipped', CASE WHEN shipped IS NULL THEN paid END, -1),
            ('22 shipped in another month', CASE WHEN shipped <> paid THEN paid END, -1),
            ('23 paid in another month', CASE WHEN shipped <> paid THEN shipped END, 1),
            ('24 shipped, no payment that counts', CASE WHEN paid IS NULL THEN shipped END, 1),
            ('30 by shipping date', shipped, 1),
            ('31 paid in a month before', CASE WHEN due <> shipped THEN shipped END, -1),
            ('32 shipped in a month after', CASE WHEN due <> shipped THEN due END, 1),
            ('33 paid, not shipped', CASE WHEN shipped IS NULL THEN due END, 1),
            ('40 by tax point', due, 1)
    ) AS step (step, month, sign)
    UNION ALL
    SELECT
        c.store,
        c.currency,
        c.amount,
        NULL,
        '50 paid, but a problem',
        date_trunc('month', coalesce(c.paid_at, c.order_date) AT TIME ZONE coalesce(s.timezone, 'UTC'))::date,
        1
    FROM reports.payments_to_check c
    LEFT JOIN sync.stores s ON s.store = c.store
    WHERE c.reason = 'paid_problem'
)
SELECT
    store,
    month,
    currency,
    step,
    sum(sign) AS orders,
    sum(sign * revenue) AS revenue,
    sum(sign * turnover) AS turnover
FROM steps
WHERE month IS NOT NULL
GROUP BY store, month, currency, step

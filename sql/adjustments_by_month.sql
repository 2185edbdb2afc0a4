-- Credits, coupons and lowered totals by month
--
-- Question: What is the sum of credits, coupons and decreased totals?
-- Group: Tax, credits and cancellations
-- Grain: store, month, kind, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   month [date]: first day of the month in which it was seen, in the store's time zone (BL_TIMEZONE)
--   kind: credit, coupon, or decrease (the order's total is lower than when seen before, for whatever reason)
--   currency: ISO 4217 code of the amount
--   orders [orders]: how many
--   amount [currency]: what the seller gets less by it
-- Caveats:
--   Only orders that count as revenue. A credit given later is a decrease too: never add kinds together.
--   What an order had when it was first seen is in the month of its order date. See adjustments for each single one.
--   When the currency of an order changes, its credit and coupon move to the new currency.
-- Period: month
-- Chart: amount over month split kind
SELECT
    store,
    month,
    kind,
    currency,
    count(DISTINCT (platform, platform_order_id)) AS orders,
    sum(amount) AS amount
FROM reports.adjustments
WHERE counts_as_revenue
GROUP BY store, month, kind, currency

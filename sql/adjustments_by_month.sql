-- Adjustments of orders by month
--
-- Question: By how much did credits, cancellations, batches and other changes move the revenue, in the month of the change?
-- Group: Tax, credits and cancellations
-- Grain: store, month, order_month, kind, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   month [date]: first day of the month in which it happened or was seen, in the store's time zone (BL_TIMEZONE)
--   kind: credit, coupon, increase, decrease, cancelled, reopened, currency, vat, sales_tax or country: see adjustments
--   currency: ISO 4217 code of the amount
--   orders [orders]: how many
--   amount [currency]: what the seller gets less by it; of vat and sales_tax what the seller pays more
--   order_month [date]: first day of the month of the order date at that time
-- Caveats:
--   Only orders that counted as revenue then: a month that is over does not change if an order is cancelled later.
--   Increase, decrease, cancelled, reopened and currency may be added up. A credit given later is a decrease too.
--   What an order had when it was first seen is in the month of its order date. See adjustments for each single one.
--   When the currency of an order changes, its credit and coupon move to the new currency.
-- Period: month
-- Chart: amount over month split kind without credit, coupon, vat, sales_tax, country
SELECT
    store,
    month,
    kind,
    currency,
    count(DISTINCT (platform, platform_order_id)) AS orders,
    sum(amount) AS amount,
    order_month
FROM reports.adjustments
WHERE counted
GROUP BY store, month, order_month, kind, currency

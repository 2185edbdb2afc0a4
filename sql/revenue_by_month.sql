-- Revenue by month
--
-- Question: What did the store earn each month?
-- Group: Revenue over time
-- Grain: store, basis, month, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   basis: which date counts: order_date, paid_date or shipped_date
--   month [date]: first day of the month, in the store's time zone (BL_TIMEZONE)
--   currency: ISO 4217 code of the amounts
--   orders [orders]: how many
--   items_total [currency]: what the items cost
--   shipping [currency]: shipping charged
--   fees [currency]: everything in the total that is neither items nor shipping; less credit and coupon
--   tax_collected_by_bricklink [currency]: tax that BrickLink keeps for the tax office; not the seller's
--   revenue [currency]: what the seller gets: items_total + shipping + fees - tax_collected_by_bricklink
-- Caveats:
--   Every order is in each basis whose date it has: filter on one basis before adding anything up.
--   Without a row there was no order: months without orders are left out.
-- Period: month, adds up
-- Chart: revenue over month
SELECT
    store,
    basis,
    month,
    currency,
    count(*) AS orders,
    sum(items_total) AS items_total,
    sum(shipping) AS shipping,
    sum(fees) AS fees,
    sum(tax_collected_by_bricklink) AS tax_collected_by_bricklink,
    sum(revenue) AS revenue
FROM reports.revenue_dates
GROUP BY store, basis, month, currency

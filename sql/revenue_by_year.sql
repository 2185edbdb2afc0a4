-- Revenue by year
--
-- Question: What did the seller get each year, and what of it is turnover?
-- Group: Revenue over time
-- Grain: store, basis, year, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   basis: which date counts: order_date, paid_date, shipped_date or tax_point
--   year: the year, in the store's time zone (BL_TIMEZONE)
--   currency: ISO 4217 code of the amounts
--   orders [orders]: how many
--   items_total [currency]: what the items cost
--   shipping [currency]: shipping charged
--   fees [currency]: deprecated: charges - discounts + all sales tax. No fee that the seller pays
--   tax_collected_by_bricklink [currency]: tax that BrickLink keeps for the tax office; not the seller's
--   revenue [currency]: what the seller gets: items_total + shipping + charges - discounts + sales_tax_by_seller
--     + sales_tax_by_bricklink - tax_collected_by_bricklink
--   charges [currency]: insurance and additional charges
--   discounts [currency]: credit and coupon, which are taken off
--   sales_tax_by_seller [currency]: sales tax that the seller pays to the tax office
--   sales_tax_by_bricklink [currency]: sales tax that BrickLink pays to the tax office
--   vat_by_seller [currency]: VAT that the seller pays to the tax office; it is in the prices
--   turnover [currency]: what the seller earns before costs: revenue - vat_by_seller - sales_tax_by_seller
-- Caveats:
--   Every order is in each basis whose date it has: filter on one basis before adding anything up.
--   Without a row there was no order: years without orders are left out.
-- Period: year, adds up
-- Chart: revenue over year
SELECT
    store,
    basis,
    year,
    currency,
    count(*) AS orders,
    sum(items_total) AS items_total,
    sum(shipping) AS shipping,
    sum(fees) AS fees,
    sum(tax_collected_by_bricklink) AS tax_collected_by_bricklink,
    sum(revenue) AS revenue,
    sum(charges) AS charges,
    sum(discounts) AS discounts,
    coalesce(sum(sales_tax_by_seller), 0) AS sales_tax_by_seller,
    coalesce(sum(sales_tax_by_bricklink), 0) AS sales_tax_by_bricklink,
    coalesce(sum(vat_by_seller), 0) AS vat_by_seller,
    sum(turnover) AS turnover
FROM reports.revenue_dates
GROUP BY store, basis, year, currency

-- Revenue dates
--
-- The orders of revenue_orders once for each basis: an accountant's four answers to "when was it earned?".
--
-- Question: On which day, and in which month and year, does each order count, on each of four bases?
-- Group: Single orders and lots
-- Grain: store, platform, platform_order_id, basis
-- Columns:
--   store: key of the store, from BL_STORE
--   platform: where the order was placed: bricklink
--   platform_order_id: the order's id at the platform
--   basis: which date counts: order_date, paid_date, shipped_date or tax_point
--   at [UTC]: the moment that counts
--   day [date]: its day in the store's time zone (BL_TIMEZONE)
--   month [date]: the first day of its month in the store's time zone
--   year: its year in the store's time zone
--   buyer_key: identifies a buyer without the name; null if BrickLink has lost the name
--   country_code: country of the address, ISO 3166-1 alpha-2; null if there is no address
--   payment_method: payment method in BrickLink's words
--   currency: ISO 4217 code of the amounts
--   items_total [currency]: what the items cost
--   shipping [currency]: shipping charged
--   fees [currency]: deprecated: charges - discounts + all sales tax. No fee that the seller pays
--   total [currency]: what the buyer pays: items_total + shipping + charges - discounts + all sales tax
--   tax_collected_by_bricklink [currency]: tax in the total that BrickLink keeps for the tax office
--   revenue [currency]: what the seller gets: total - tax_collected_by_bricklink
--   vat_rate [%]: VAT rate
--   vat_by_seller [currency]: VAT in the total that the seller pays to the tax office
--   vat_by_bricklink [currency]: VAT in the total that BrickLink collects and pays
--   sales_tax_by_seller [currency]: sales tax in the total that the seller pays to the tax office
--   sales_tax_by_bricklink [currency]: sales tax in the total that BrickLink collects and pays
--   charges [currency]: insurance and additional charges: what the total has besides items, shipping and sales tax
--   discounts [currency]: credit and coupon, which are taken off
--   turnover [currency]: revenue - vat_by_seller - sales_tax_by_seller: what the seller earns before costs
--   shipped_at_is: how certain shipped_at is, as in revenue_orders
-- Caveats:
--   paid_date has no payment that is clearing, was returned or has bounced. tax_point is the earlier of payment and
--     dispatch, when VAT becomes due for most sellers in the EU and the UK. Ask your accountant which basis is yours.
--   An order is here once for each basis whose date it has: filter on one basis before adding anything up.
--   BL_TIMEZONE decides on which day an order counts. Another time zone moves past orders to other days, months and years.
--   In a large warehouse filter on basis and at: by order date that uses an index; a day is computed for every row.
-- Period: day
WITH dated AS NOT MATERIALIZED (
    SELECT 'order_date' AS basis, order_date AS at, * FROM reports.revenue_orders
    UNION ALL
    SELECT 'paid_date', counted_paid_at, * FROM reports.revenue_orders WHERE counted_paid_at IS NOT NULL
    UNION ALL
    SELECT 'shipped_date', shipped_at, * FROM reports.revenue_orders WHERE shipped_at IS NOT NULL
    UNION ALL
    SELECT 'tax_point', least(counted_paid_at, shipped_at), *
    FROM reports.revenue_orders WHERE coalesce(counted_paid_at, shipped_at) IS NOT NULL
)
SELECT
    store,
    platform,
    platform_order_id,
    basis,
    at,
    (at AT TIME ZONE timezone)::date AS day,
    date_trunc('month', at AT TIME ZONE timezone)::date AS month,
    extract(year FROM at AT TIME ZONE timezone)::integer AS year,
    buyer_key,
    country_code,
    payment_method,
    currency,
    items_total,
    shipping,
    fees,
    total,
    tax_collected_by_bricklink,
    revenue,
    vat_rate,
    vat_by_seller,
    vat_by_bricklink,
    sales_tax_by_seller,
    sales_tax_by_bricklink,
    charges,
    discounts,
    turnover,
    shipped_at_is
FROM dated

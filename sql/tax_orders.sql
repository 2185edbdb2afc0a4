-- Tax of the orders that count
--
-- The orders of revenue_orders with the kind of tax that each has, worked out from the tax settings (BL_TAX_FILE).
-- tax_return adds them up. What is not certain is unclear, with the reason, and has no VAT: nothing is guessed.
--
-- Question: Which kind of tax does each order have, at which rate, and why is it not clear for some?
-- Group: Single orders and lots
-- Grain: store, platform, platform_order_id
-- Columns:
--   store: key of the store, from BL_STORE
--   platform: where the order was placed: bricklink
--   platform_order_id: the order's id at the platform
--   tax_date [date]: the day whose rate counts: of the tax point, else of the order; in the store's time zone
--   country_code: country of the address, ISO 3166-1 alpha-2; null if there is no address
--   special_territory: territory whose VAT is not that of its country, such as canary_islands; null if it is none
--   region: seen from the home country: home, eu (another EU country), third (any other) or unclear
--   tax_kind: standard (VAT of the home country), oss (of the destination, declared in the One-Stop Shop), export (none,
--     the goods leave the VAT area), marketplace (BrickLink collects it), none (the scheme is without VAT) or unclear
--   rate [%]: VAT rate; null if unclear
--   rate_source: bricklink (BrickLink's), computed (of BL_TAX_FILE) or none
--   currency: ISO 4217 code of the amounts
--   gross [currency]: what the buyer pays, all tax included
--   net [currency]: gross less VAT and sales tax, whoever pays them; null if unclear
--   vat [currency]: VAT that the seller owes; null if unclear
--   other_tax [currency]: sales tax, and VAT that BrickLink pays: gross - net - vat; null if unclear
--   revenue [currency]: what the seller gets, as in revenue_orders
--   unclear: why it is unclear; null if it is clear
--   bricklink_vat: of VAT that BrickLink collects, what the amounts show: deducted (final_total is less by it),
--     not_deducted, or unclear; null if BrickLink collects none
--   timezone: the store's time zone, in which days and months begin and end, from BL_TIMEZONE
--   order_date [UTC]: when it was ordered
--   counted_paid_at [UTC]: when it was paid, as in revenue_orders; null if it was not, or the payment does not count
--   shipped_at [UTC]: when it was shipped, or first seen shipped; null if neither is known
-- Caveats:
--   The tax settings are today's, also as of a moment in the past: of that moment are the orders.
--   BrickLink does not say whether a buyer is a business. Sales to other EU countries count as sales to consumers.
--   A computed VAT is taken out of the gross by the rate of tax_date, and rounded half up to two decimals for each order.
--   An address without a postal code counts as one in the main part of its country.
--   This is no tax advice: docs/books.md says what each kind is made of. Ask your accountant.
SELECT
    r.store,
    r.platform,
    r.platform_order_id,
    dated.tax_date,
    r.country_code,
    placed.special_territory,
    placed.region,
    t.tax_kind,
    t.rate,
    t.rate_source,
    r.currency,
    r.total AS gross,
    t.net,
    t.vat,
    r.total - t.net - t.vat AS other_tax,
    r.revenue,
    t.unclear,
    t.bricklink_vat,
    r.timezone,
    r.order_date,
    r.counted_paid_at,
    r.shipped_at
FROM reports.revenue_orders r
JOIN sales.known_orders o USING (store, platform, platform_order_id)
LEFT JOIN books.tax_settings s ON s.store = r.store
CROSS JOIN LATERAL (
    SELECT
        (coalesce(least(r.counted_paid_at, r.shipped_at), r.order_date) AT TIME ZONE r.timezone)::date AS tax_date,
        books.special_territory(o.country_code, o.postal_code) AS special_territory
    OFFSET 0
) AS dated
CROSS JOIN LATERAL (
    SELECT
        dated.special_territory,
        books.region(s.home_country, o.country_code, dated.special_territory) AS region,
        books.vat_country(o.country_code, dated.special_territory) AS vat_country
    OFFSET 0
) AS placed
LEFT JOIN LATERAL (
    SELECT rate FROM books.tax_rates
    WHERE store = r.store AND country_code = s.home_country AND valid_from <= dated.tax_date
    ORDER BY valid_from DESC LIMIT 1
) AS home ON true
LEFT JOIN LATERAL (
    SELECT rate FROM books.tax_rates
    WHERE store = r.store AND country_code = placed.vat_country AND valid_from <= dated.tax_date
    ORDER BY valid_from DESC LIMIT 1
) AS destination ON placed.region = 'eu'
CROSS JOIN LATERAL books.tax(
    s.vat_scheme, s.oss, s.vat_source, placed.region, placed.special_territory, home.rate, destination.rate,
    o.total, o.final_total, o.vat_rate, o.vat_amount, o.vat_collected_by_bricklink,
    o.tax, o.sales_tax_collected_by_bricklink
) AS t

-- Tax return
--
-- The orders of tax_orders added up for a tax return. docs/books.md shows which rows make the boxes of a return.
--
-- Question: What does a tax return have to say: how much was sold, with which kind of tax, at which rate, and how much VAT is due?
-- Group: Tax, credits and cancellations
-- Grain: store, basis, month, country_code, special_territory, region, tax_kind, rate, rate_source, currency, unclear
-- Columns:
--   store: key of the store, from BL_STORE
--   basis: which date counts: order_date, paid_date, shipped_date or tax_point
--   month [date]: first day of the month, in the store's time zone (BL_TIMEZONE)
--   country_code: country of the address, ISO 3166-1 alpha-2; null if there is no address
--   special_territory: territory whose VAT is not that of its country, such as canary_islands; null if it is none
--   region: seen from the home country: home, eu (another EU country), third (any other) or unclear
--   tax_kind: standard, oss, export, marketplace, none or unclear, as in tax_orders
--   rate [%]: VAT rate; null if unclear
--   rate_source: bricklink (BrickLink's), computed (of BL_TAX_FILE) or none
--   currency: ISO 4217 code of the amounts
--   unclear: why it is unclear; null if it is clear
--   orders [orders]: how many
--   gross [currency]: what the buyers pay, all tax included
--   net [currency]: gross less VAT and sales tax, whoever pays them; null if unclear
--   vat [currency]: VAT that the seller owes; null if unclear
--   other_tax [currency]: sales tax, and VAT that BrickLink pays: gross - net - vat; null if unclear
--   revenue [currency]: what the seller gets: gross less tax that BrickLink collects
-- Caveats:
--   Every order is in each basis whose date it has: filter on one basis before adding anything up. tax_point is that of
--     most schemes, paid_date that of cash accounting.
--   Orders that are unclear have rows of their own, with no net and no VAT. A return is whole when there are none.
--   It changes with the orders: what was filed stays as it was only in a closed period, or as of a moment.
--   The tax settings are today's, also as of a moment in the past: of that moment are the orders.
--   This is no tax advice. Ask your accountant.
-- Period: month, adds up
-- Basis: tax_point
-- Chart: gross by tax_kind
SELECT
    t.store,
    dated.basis,
    date_trunc('month', dated.at AT TIME ZONE t.timezone)::date AS month,
    t.country_code,
    t.special_territory,
    t.region,
    t.tax_kind,
    t.rate,
    t.rate_source,
    t.currency,
    t.unclear,
    count(*) AS orders,
    sum(t.gross) AS gross,
    sum(t.net) AS net,
    sum(t.vat) AS vat,
    sum(t.other_tax) AS other_tax,
    sum(t.revenue) AS revenue
FROM reports.tax_orders t
-- The bases of revenue_dates, without the tax of an order once for each.
CROSS JOIN LATERAL (
    VALUES
        ('order_date', t.order_date),
        ('paid_date', t.counted_paid_at),
        ('shipped_date', t.shipped_at),
        ('tax_point', least(t.counted_paid_at, t.shipped_at))
) AS dated (basis, at)
WHERE dated.at IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11

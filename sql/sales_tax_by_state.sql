-- Sales tax by state
--
-- Sales to the United States, with the sales tax of each state. An order without a country belongs to them if it has
-- sales tax, which no other country has at BrickLink. Months, states and currencies without orders have no row.
--
-- Question: What was sold into each state of the United States, and who collected the sales tax?
-- Group: Tax, credits and cancellations
-- Grain: store, basis, month, state, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   basis: which date counts: order_date, paid_date, shipped_date or tax_point
--   month [date]: first day of the month, in the store's time zone (BL_TIMEZONE)
--   state: two letters of the USPS: a state, DC, a territory (PR, GU, VI, AS, MP), or armed forces (AA, AE, AP); unclear
--     if neither the address nor its ZIP code says it
--   currency: ISO 4217 code of the amounts
--   orders [orders]: how many
--   gross_sales [currency]: what the buyers pay, less all sales tax
--   facilitated_sales [currency]: of gross_sales, orders whose sales tax BrickLink collects as a marketplace facilitator
--   seller_taxed_sales [currency]: of gross_sales, orders whose sales tax the seller collects
--   untaxed_sales [currency]: of gross_sales, orders without sales tax
--   tax_by_seller [currency]: sales tax that the seller pays to the state
--   tax_by_bricklink [currency]: sales tax that BrickLink pays to the state
--   gross_12_months [currency a year]: gross_sales of this month and the eleven before it, in the currency of the row
--   orders_12_months [orders a year]: how many orders that are
-- Caveats:
--   Every order is in each basis whose date it has: filter on one basis before adding anything up.
--   If BrickLink does not say that it collects the sales tax, the seller does.
--   The state is what the address says; without one that is known, it is that of the ZIP code. Counties and cities are
--     not distinguished.
--   Thresholds of states differ in what they count: compare gross_12_months and orders_12_months with each state's rule.
-- Period: month, adds up
-- Chart: gross_sales over month
WITH sold AS MATERIALIZED (
    SELECT
        r.store,
        r.timezone,
        r.order_date,
        r.counted_paid_at,
        r.shipped_at,
        books.us_state(coalesce(o.country_code, 'US'), o.address_state, o.postal_code) AS state,
        r.currency,
        o.sales_tax_collected_by_bricklink IS TRUE AS is_facilitated,
        r.total - coalesce(r.sales_tax_by_seller, 0) - coalesce(r.sales_tax_by_bricklink, 0) AS gross,
        coalesce(r.sales_tax_by_seller, 0) AS tax_by_seller,
        coalesce(r.sales_tax_by_bricklink, 0) AS tax_by_bricklink
    FROM reports.revenue_orders r
    JOIN sales.known_orders o USING (store, platform, platform_order_id)
    WHERE o.country_code IN ('US', 'PR', 'GU', 'VI', 'AS', 'MP') OR o.country_code IS NULL AND o.tax <> 0
),
monthly AS (
    SELECT
        store,
        dated.basis,
        date_trunc('month', dated.at AT TIME ZONE timezone)::date AS month,
        state,
        currency,
        count(*) AS orders,
        coalesce(sum(gross), 0) AS gross_sales,
        coalesce(sum(gross) FILTER (WHERE is_facilitated), 0) AS facilitated_sales,
        coalesce(sum(gross) FILTER (WHERE tax_by_seller <> 0), 0) AS seller_taxed_sales,
        coalesce(sum(gross) FILTER (WHERE NOT is_facilitated AND tax_by_seller = 0), 0) AS untaxed_sales,
        sum(tax_by_seller) AS tax_by_seller,
        sum(tax_by_bricklink) AS tax_by_bricklink
    FROM sold
    -- The bases of revenue_dates.
    CROSS JOIN LATERAL (
        VALUES
            ('order_date', order_date),
            ('paid_date', counted_paid_at),
            ('shipped_date', shipped_at),
            ('tax_point', least(counted_paid_at, shipped_at))
    ) AS dated (basis, at)
    WHERE dated.at IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
)
SELECT
    store,
    basis,
    month,
    state,
    currency,
    orders,
    gross_sales,
    facilitated_sales,
    seller_taxed_sales,
    untaxed_sales,
    tax_by_seller,
    tax_by_bricklink,
    sum(gross_sales) OVER a_year AS gross_12_months,
    (sum(orders) OVER a_year)::bigint AS orders_12_months
FROM monthly
WINDOW a_year AS (
    PARTITION BY store, basis, state, currency
    ORDER BY month RANGE BETWEEN INTERVAL '11 months' PRECEDING AND CURRENT ROW
)

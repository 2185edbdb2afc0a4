-- What the books make of each state of an order
--
-- The values that the journal books, in whole cents, for each state in which an order was seen. An order counts in the
-- books once it is paid or shipped, until it is cancelled. A complaint (problem) counts if it was paid.
--
-- Question: What did the books have to say of an order, each time it was seen to have changed?
-- Group: Single orders and lots
-- Grain: store, platform, platform_order_id, state_number
-- Columns:
--   store: key of the store, from BL_STORE
--   platform: where the order was placed: bricklink
--   platform_order_id: the order's id at the platform
--   state_number: the order's states in the order they were seen, from 1
--   document_id: landing.documents: the answer that showed it
--   observed_at [UTC]: when that was received
--   changed_at [UTC]: BrickLink's date of the change of status, if it is about this change; else null
--   order_date [UTC]: when it was ordered; a batch added to the order resets it
--   counts: the order counts in the books
--   tax_point [UTC]: the earlier of payment and dispatch; null if the order does not count
--   tax_period [date]: the first day of the tax point's month, in the store's time zone
--   currency: ISO 4217 code of the amounts
--   country_code: country of the address, ISO 3166-1 alpha-2; null if there is no address
--   region: home, eu, third or unclear: where that is, seen from the seller's country
--   special_territory: territory with tax rules other than those of its country; null for none
--   vat_rate [%]: VAT rate, as in tax_orders; BrickLink's if the kind of tax is unclear
--   tax_kind: standard, oss, export, marketplace, none or unclear, as in tax_orders
--   receivable [currency]: what the seller gets: revenue, in whole cents
--   sales_goods [currency]: items without VAT, and what rounding leaves
--   sales_shipping [currency]: shipping without VAT
--   sales_charges [currency]: insurance and additional charges without VAT
--   discounts [currency]: credit and coupon without VAT, which are taken off
--   output_vat [currency]: VAT that the seller pays to the tax office; if the kind of tax is unclear, what BrickLink gives
--   sales_tax_payable [currency]: sales tax that the seller pays to the tax office
--   marketplace_tax [currency]: tax that BrickLink collects and pays: the total less what the seller gets
--   given [currency]: credit and coupon as given, VAT included
-- Caveats:
--   receivable = sales_goods + sales_shipping + sales_charges - discounts + output_vat + sales_tax_payable, exactly.
--   The tax settings are today's. If they change, the journal books the difference: to the day of the
--     order's last entry, or if that month is closed to the first open one.
--   A payment stays a payment if a batch is added, though BrickLink takes its date away until all is paid again.
--   A payment that is clearing is none yet; one that was returned or has bounced is none.
WITH numbered AS (
    SELECT
        h.*,
        row_number() OVER states AS state_number,
        lag(h.observed_at) OVER states AS not_before,
        h.order_date > lag(h.order_date) OVER states AS is_batch,
        CASE WHEN h.payment_status IN ('Clearing', 'Returned', 'Bounced') THEN NULL ELSE h.paid_at END AS own_paid_at,
        coalesce(
            h.shipped_at,
            min(CASE WHEN h.status IN ('shipped', 'completed') THEN least(h.status_changed_at, h.observed_at) END)
                OVER states
        ) AS sent_at
    FROM sales.known_states h
    WINDOW states AS (PARTITION BY h.store, h.platform, h.platform_order_id ORDER BY h.document_id)
),
batched AS (
    SELECT
        numbered.*,
        count(*) FILTER (WHERE is_batch) OVER states AS batch,
        lead(is_batch) OVER states AS is_last_of_batch
    FROM numbered
    WINDOW states AS (PARTITION BY store, platform, platform_order_id ORDER BY document_id)
),
paid AS (
    SELECT
        batched.*,
        CASE
            WHEN payment_status IN ('Returned', 'Bounced') THEN NULL
            ELSE least(
                own_paid_at,
                min(CASE WHEN is_last_of_batch THEN own_paid_at END) OVER (
                    PARTITION BY store, platform, platform_order_id
                    ORDER BY batch GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                )
            )
        END AS counted_paid_at
    FROM batched
),
priced AS (
    SELECT
        p.*,
        coalesce(z.timezone, 'UTC') AS timezone,
        coalesce(p.final_total, p.total) AS revenue,
        coalesce(p.shipping, 0) AS shipped_for,
        coalesce(p.credit, 0) + coalesce(p.coupon, 0) AS given,
        coalesce(p.tax, 0) AS sales_tax,
        coalesce(p.sales_tax_collected_by_bricklink, false) AS tax_is_kept
    FROM paid p
    LEFT JOIN sync.stores z ON z.store = p.store
),
counted AS (
    SELECT
        priced.*,
        total - sales_tax AS price,
        total - subtotal - shipped_for + given - sales_tax AS charges,
        total - revenue - CASE WHEN tax_is_kept THEN sales_tax ELSE 0 END AS vat_kept,
        coalesce(
            -- Until a rebuild reads them again, states from before migration 0019 lack their amounts.
            revenue IS NOT NULL AND total IS NOT NULL AND subtotal IS NOT NULL AND currency IS NOT NULL
                AND status <> 'cancelled'
                AND (counted_paid_at IS NOT NULL OR sent_at IS NOT NULL AND status <> 'problem'),
            false
        ) AS counts
    FROM priced
),
taxed AS (
    SELECT
        c.*,
        placed.special_territory,
        placed.region,
        t.tax_kind,
        coalesce(t.rate, trim_scale(c.vat_rate)) AS rate,
        coalesce(t.vat, CASE WHEN c.vat_collected_by_bricklink THEN 0 ELSE c.vat_amount END, 0) AS vat
    FROM counted c
    LEFT JOIN books.tax_settings s ON s.store = c.store
    CROSS JOIN LATERAL (
        SELECT
            (coalesce(CASE WHEN c.counts THEN least(c.counted_paid_at, c.sent_at) END, c.order_date)
                AT TIME ZONE c.timezone)::date AS tax_date,
            books.special_territory(c.country_code, c.postal_code) AS special_territory
        OFFSET 0
    ) AS dated
    CROSS JOIN LATERAL (
        SELECT
            dated.special_territory,
            books.region(s.home_country, c.country_code, dated.special_territory) AS region,
            books.vat_country(c.country_code, dated.special_territory) AS vat_country
        OFFSET 0
    ) AS placed
    LEFT JOIN LATERAL (
        SELECT rate FROM books.tax_rates
        WHERE store = c.store AND country_code = s.home_country AND valid_from <= dated.tax_date
        ORDER BY valid_from DESC LIMIT 1
    ) AS home ON true
    LEFT JOIN LATERAL (
        SELECT rate FROM books.tax_rates
        WHERE store = c.store AND country_code = placed.vat_country AND valid_from <= dated.tax_date
        ORDER BY valid_from DESC LIMIT 1
    ) AS destination ON placed.region = 'eu'
    CROSS JOIN LATERAL books.tax(
        s.vat_scheme, s.oss, s.vat_source, placed.region, placed.special_territory, home.rate, destination.rate,
        c.total, c.final_total, c.vat_rate, c.vat_amount, c.vat_collected_by_bricklink,
        c.tax, c.sales_tax_collected_by_bricklink
    ) AS t
),
rounded AS (
    SELECT
        taxed.*,
        round(revenue, 2) AS receivable,
        round(vat, 2) AS output_vat,
        CASE WHEN tax_is_kept THEN 0 ELSE round(sales_tax, 2) END AS sales_tax_payable,
        round(coalesce(shipped_for * (price - vat - vat_kept) / nullif(price, 0), shipped_for), 2) AS sales_shipping,
        round(coalesce(charges * (price - vat - vat_kept) / nullif(price, 0), charges), 2) AS sales_charges,
        round(coalesce(given * (price - vat - vat_kept) / nullif(price, 0), given), 2) AS discounts
    FROM taxed
)
SELECT
    store,
    platform,
    platform_order_id,
    state_number,
    document_id,
    observed_at,
    CASE
        WHEN status_changed_at <= observed_at AND (not_before IS NULL OR status_changed_at >= not_before)
        THEN status_changed_at
    END AS changed_at,
    order_date,
    counts,
    CASE WHEN counts THEN least(counted_paid_at, sent_at) END AS tax_point,
    CASE
        WHEN counts THEN date_trunc('month', least(counted_paid_at, sent_at) AT TIME ZONE timezone)::date
    END AS tax_period,
    currency,
    country_code,
    region,
    special_territory,
    rate AS vat_rate,
    tax_kind,
    receivable,
    receivable - sales_tax_payable - output_vat - sales_shipping - sales_charges + discounts AS sales_goods,
    sales_shipping,
    sales_charges,
    discounts,
    output_vat,
    sales_tax_payable,
    round(total, 2) - receivable AS marketplace_tax,
    given
FROM rounded

-- Orders that count as revenue
--
-- The one definition of revenue: every other report of revenue selects from here.
-- An order counts unless its status excludes it. The list names what is excluded, so a status that nobody
-- knew yet counts, and is flagged in unknown_statuses; it does not vanish.
-- Revenue is final_total: the total less the tax that BrickLink collects and pays on itself. If BrickLink
-- gave no final_total it is the total.
--
-- Question: Which orders count as revenue, on which dates, and with what amounts?
-- Group: Single orders and lots
-- Grain: store, platform, platform_order_id
-- Columns:
--   store: key of the store, from BL_STORE
--   platform: where the order was placed: bricklink
--   platform_order_id: the order's id at the platform
--   timezone: the store's time zone, in which days, months and years begin and end, from BL_TIMEZONE
--   order_date [UTC]: when it was ordered
--   paid_at [UTC]: when it was paid; null if it has no payment date
--   shipped_at [UTC]: when it was shipped, or first seen shipped; null if neither is known
--   status: group of the status, such as processing
--   platform_status: the status in BrickLink's own word
--   buyer_key: identifies a buyer without the name; null if BrickLink has lost the name
--   country_code: country of the address, ISO 3166-1 alpha-2; null if there is no address
--   payment_method: payment method in BrickLink's words
--   total_count [pieces]: how many pieces
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
--   payment_status: payment status in BrickLink's words
--   counted_paid_at [UTC]: paid_at; null while the payment is clearing, and if it was returned or has bounced
--   shipped_at_is: exact: BrickLink's shipping date; status: BrickLink's date of the status SHIPPED; at_latest: the
--     order was shipped then or before, because it was first seen in a later status; null if shipped_at is
--   charges [currency]: insurance and additional charges: what the total has besides items, shipping and sales tax
--   discounts [currency]: credit and coupon, which are taken off
--   turnover [currency]: revenue - vat_by_seller - sales_tax_by_seller: what the seller earns before costs
--   first_seen_purged: BrickLink had purged the order before it was first seen: nobody knows how it ended
-- Caveats:
--   If BrickLink gives no shipping date, shipped_at comes from the status history. shipped_at_is says how certain it is.
--   Of an order that was first seen PURGED nobody knows how it ended: paid or not, it may have been cancelled. Its
--     shipped_at, if BrickLink gives none, is only its last change of status. unknown_statuses has their sum.
--   A batch added to an order resets its order date, and takes the payment date away until it is paid again.
--   Currencies are never added together.
--   Partial refunds are not taken off: BrickLink's API does not show them, a seller sees them only on the order's page.
--   A buyer is a BrickLink username. Its key is a hash with a secret of this warehouse: nobody can look it up without
--     that, and another warehouse has other keys.
SELECT
    o.store,
    o.platform,
    o.platform_order_id,
    coalesce(s.timezone, 'UTC') AS timezone,
    o.order_date,
    o.paid_at,
    -- Postgres computes a subquery only for who asks for its column, and a join for everybody.
    CASE
        WHEN o.shipped_at IS NOT NULL THEN o.shipped_at
        ELSE (
            SELECT min(least(h.status_changed_at, h.observed_at))
            FROM sales.known_states h
            WHERE h.store = o.store
              AND h.platform = o.platform
              AND h.platform_order_id = o.platform_order_id
              AND h.status IN ('shipped', 'completed')
        )
    END AS shipped_at,
    o.status,
    o.platform_status,
    (
        SELECT left(encode(sha256(convert_to(k.salt || encode(once, 'hex'), 'UTF8')), 'hex'), 20)
        FROM sync.buyer_salt k
        CROSS JOIN LATERAL sha256(convert_to(k.salt || o.buyer_username, 'UTF8')) once
    ) AS buyer_key,
    o.country_code,
    o.payment_method,
    o.total_count,
    o.currency,
    o.subtotal AS items_total,
    o.shipping,
    o.fees,
    o.total,
    o.total - coalesce(o.final_total, o.total) AS tax_collected_by_bricklink,
    coalesce(o.final_total, o.total) AS revenue,
    trim_scale(o.vat_rate) AS vat_rate,
    CASE WHEN o.vat_collected_by_bricklink THEN 0 ELSE o.vat_amount END AS vat_by_seller,
    CASE WHEN o.vat_collected_by_bricklink THEN o.vat_amount ELSE 0 END AS vat_by_bricklink,
    CASE WHEN o.sales_tax_collected_by_bricklink THEN 0 ELSE o.tax END AS sales_tax_by_seller,
    CASE WHEN o.sales_tax_collected_by_bricklink THEN o.tax ELSE 0 END AS sales_tax_by_bricklink,
    o.payment_status,
    CASE
        WHEN o.payment_status IN ('Clearing', 'Returned', 'Bounced') THEN NULL
        ELSE o.paid_at
    END AS counted_paid_at,
    CASE
        WHEN o.shipped_at IS NOT NULL THEN 'exact'
        ELSE (
            SELECT
                CASE
                    WHEN h.platform_status = 'SHIPPED' AND h.status_changed_at <= h.observed_at THEN 'status'
                    ELSE 'at_latest'
                END
            FROM sales.known_states h
            WHERE h.store = o.store
              AND h.platform = o.platform
              AND h.platform_order_id = o.platform_order_id
              AND h.status IN ('shipped', 'completed')
            ORDER BY least(h.status_changed_at, h.observed_at), h.document_id
            LIMIT 1
        )
    END AS shipped_at_is,
    o.total - o.subtotal - coalesce(o.shipping, 0)
        + coalesce(o.credit, 0) + coalesce(o.coupon, 0) - coalesce(o.tax, 0) AS charges,
    coalesce(o.credit, 0) + coalesce(o.coupon, 0) AS discounts,
    coalesce(o.final_total, o.total)
        - CASE WHEN o.vat_collected_by_bricklink THEN 0 ELSE coalesce(o.vat_amount, 0) END
        - CASE WHEN o.sales_tax_collected_by_bricklink THEN 0 ELSE coalesce(o.tax, 0) END AS turnover,
    CASE
        WHEN o.platform_status = 'PURGED' THEN NOT EXISTS (
            SELECT FROM sales.known_states h
            WHERE h.store = o.store
              AND h.platform = o.platform
              AND h.platform_order_id = o.platform_order_id
              AND h.platform_status <> 'PURGED'
        )
        ELSE false
    END AS first_seen_purged
FROM sales.known_orders o
LEFT JOIN sync.stores s ON s.store = o.store
WHERE o.status NOT IN ('cancelled', 'problem')

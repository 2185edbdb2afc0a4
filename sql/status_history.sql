-- Status history
--
-- Every order's history as a slowly changing dimension (type 2): one row for each state it was seen in, without
-- gaps or overlaps from the first on. It is sampled: BrickLink shows an order's state as of now and the date of its
-- last change of status, and the pipeline asks at intervals. valid_from_is says where valid_from comes from.
--
-- Question: In which state was an order at a given moment?
-- Group: Single orders and lots
-- Grain: store, platform, platform_order_id, valid_from
-- Columns:
--   store: key of the store, from BL_STORE
--   platform: where the order was placed: bricklink
--   platform_order_id: the order's id at the platform
--   state_number: the order's states in the order they were seen, from 1
--   status: group of the status, such as processing
--   platform_status: the status in BrickLink's own word
--   payment_status: payment status in BrickLink's words
--   order_date [UTC]: when it was ordered; a batch added to the order resets it
--   is_filed: filed away by the seller
--   currency: ISO 4217 code of the amounts
--   total [currency]: what the buyer pays
--   final_total [currency]: the total less the tax BrickLink collects
--   credit [currency]: credit given to the buyer
--   coupon [currency]: coupon used by the buyer
--   valid_from [UTC]: since when, included
--   valid_to [UTC]: until when, not included; null for the state the order is in now
--   is_current: the state the order is in now, as last seen
--   valid_from_is: exact: BrickLink's date of the change of status; observed: the change was seen then, and happened before
--   not_before [UTC]: the change happened after this: when the state before was seen; null for the first state
--   observed_at [UTC]: when the pipeline first saw this state
--   is_ours: bl update made the change: sync.writes has a request for it, and the order showed it right after
--   paid_at [UTC]: the payment date
--   shipped_at [UTC]: BrickLink's shipping date
--   payment_method: payment method in BrickLink's words
--   country_code: country of the address, ISO 3166-1 alpha-2; null if there is no address
--   total_count [pieces]: how many pieces
--   items_total [currency]: what the items cost
--   shipping [currency]: shipping charged
--   insurance [currency]: insurance charged
--   etc1 [currency]: additional charge 1
--   etc2 [currency]: additional charge 2
--   sales_tax [currency]: sales tax on top of the prices
--   vat_rate [%]: VAT rate
--   vat_amount [currency]: VAT in the total
--   sales_tax_collected_by_bricklink: BrickLink collects and pays the sales tax
--   vat_collected_by_bricklink: BrickLink collects and pays the VAT
--   counts_as_revenue: an order in this status counts as revenue, as in revenue_orders
-- Caveats:
--   States between two fetches are never seen: between observed_at and valid_to the order may have been in others.
--   Changes without a date of their own, such as payment status, amounts and filing, are dated when they were seen.
--   Nothing is known of the time before an order's first row.
WITH seen AS (
    SELECT
        h.*,
        row_number() OVER states AS state_number,
        lag(h.observed_at) OVER states AS not_before
    FROM sales.known_states h
    WINDOW states AS (PARTITION BY h.store, h.platform, h.platform_order_id ORDER BY h.document_id)
),
dated AS (
    SELECT
        seen.*,
        status_changed_at <= observed_at AND (not_before IS NULL OR status_changed_at >= not_before) AS is_exact
    FROM seen
),
timed AS (
    SELECT dated.*, CASE WHEN is_exact THEN status_changed_at ELSE observed_at END AS valid_from
    FROM dated
)
SELECT
    store,
    platform,
    platform_order_id,
    state_number,
    status,
    platform_status,
    payment_status,
    order_date,
    is_filed,
    currency,
    total,
    final_total,
    credit,
    coupon,
    valid_from,
    lead(valid_from) OVER states AS valid_to,
    lead(valid_from) OVER states IS NULL AS is_current,
    CASE WHEN is_exact THEN 'exact' ELSE 'observed' END AS valid_from_is,
    not_before,
    observed_at,
    EXISTS (
        SELECT FROM sync.writes w
        WHERE w.store = timed.store AND w.platform = timed.platform AND w.platform_order_id = timed.platform_order_id
            AND w.document_id = timed.document_id AND w.outcome IN ('done', 'partly_done')
            AND w.asked ?| ARRAY[
                'status', 'payment_status', 'is_filed', 'date_shipped', 'shipping', 'insurance', 'credit', 'etc1', 'etc2'
            ]
    ) AS is_ours,
    paid_at,
    shipped_at,
    payment_method,
    country_code,
    total_count,
    subtotal AS items_total,
    shipping,
    insurance,
    etc1,
    etc2,
    tax AS sales_tax,
    trim_scale(vat_rate) AS vat_rate,
    vat_amount,
    sales_tax_collected_by_bricklink,
    vat_collected_by_bricklink,
    status NOT IN ('cancelled', 'problem') AS counts_as_revenue
FROM timed
WINDOW states AS (PARTITION BY store, platform, platform_order_id ORDER BY state_number)

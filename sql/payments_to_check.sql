-- Payments to check
--
-- Question: Of which orders does the payment not say what the books need: no date, money that came back, a problem?
-- Group: To check
-- Grain: store, platform, platform_order_id
-- Columns:
--   store: key of the store, from BL_STORE
--   platform: where the order was placed: bricklink
--   platform_order_id: the order's id at the platform
--   reason: no_payment_date: paid, sent or completed, and BrickLink gives no date of the payment; clearing: there is a
--     date or the order went on, and the money has not come; returned or bounced: the money is gone; paid_problem: the
--     order has a problem (NPB, NPX, NRS, NSS), and its payment was received; paid_before: it was paid, and lost its
--     payment date when it changed, for example because a batch was added
--   order_date [UTC]: when it was ordered
--   paid_at [UTC]: the payment date; null if it has none
--   days [days]: days since the payment date; since the order date if there is none
--   status: group of the status, such as processing
--   platform_status: the status in BrickLink's own word
--   payment_status: payment status in BrickLink's words
--   payment_method: payment method in BrickLink's words
--   currency: ISO 4217 code of the amounts
--   total [currency]: what the buyer pays
--   amount [currency]: what the seller gets by it: final_total; the total if that is absent
--   paid_before [currency]: paid_before: what the seller got by it when it was last seen paid, in this currency; else null
-- Caveats:
--   None of these is in the revenue by paid_date, whatever has become of the money. bases_reconciliation has their sums.
--   A problem is a complaint that is open, and no outcome: the money may be kept, or refunded. BrickLink's API does not
--     show refunds. Payments of cancelled orders are in cancellations_by_month.
WITH checked AS (
    SELECT
        o.*,
        CASE
            WHEN o.status = 'cancelled' THEN NULL
            WHEN o.payment_status IN ('Returned', 'Bounced') THEN lower(o.payment_status)
            WHEN o.payment_status = 'Clearing'
                AND (o.paid_at IS NOT NULL OR o.status IN ('processing', 'shipped', 'completed'))
                THEN 'clearing'
            WHEN o.paid_at IS NULL
                AND NOT o.status IN ('processing', 'shipped', 'completed')
                AND coalesce(o.payment_status, '') NOT IN ('Received', 'Completed')
                THEN CASE WHEN earlier.amount IS NOT NULL THEN 'paid_before' END
            WHEN o.status = 'problem' THEN 'paid_problem'
            WHEN o.paid_at IS NULL THEN 'no_payment_date'
        END AS reason,
        earlier.amount AS paid_before
    FROM sales.known_orders o
    LEFT JOIN LATERAL (
        SELECT coalesce(h.final_total, h.total) AS amount
        FROM sales.known_states h
        WHERE o.paid_at IS NULL
          AND h.store = o.store
          AND h.platform = o.platform
          AND h.platform_order_id = o.platform_order_id
          AND h.paid_at IS NOT NULL
          AND h.currency = o.currency
          AND coalesce(h.payment_status IN ('Clearing', 'Returned', 'Bounced'), false) IS FALSE
        ORDER BY h.document_id DESC
        LIMIT 1
    ) earlier ON true
)
SELECT
    store,
    platform,
    platform_order_id,
    reason,
    order_date,
    paid_at,
    floor(extract(epoch FROM least(sales.as_of(), now()) - coalesce(paid_at, order_date)) / 86400)::integer AS days,
    status,
    platform_status,
    payment_status,
    payment_method,
    currency,
    total,
    coalesce(final_total, total) AS amount,
    CASE WHEN reason = 'paid_before' THEN paid_before END AS paid_before
FROM checked
WHERE reason IS NOT NULL

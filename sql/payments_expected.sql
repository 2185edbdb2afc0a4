-- Payments expected
--
-- One row for each order that was paid, to be compared with the statement of the bank or the payment service. The API
-- knows that an order was paid, when, how and in which currency, and not how much came in: the amount is the order's.
--
-- Question: Which payments should be in the statement of the bank or the payment service?
-- Group: Books
-- Grain: store, platform, platform_order_id
-- Columns:
--   store: key of the store, from BL_STORE
--   platform: where the order was placed: bricklink
--   platform_order_id: the order's id at the platform
--   reference: BL- and the order's id
--   paid_at [UTC]: when it was paid
--   day [date]: its day in the store's time zone (BL_TIMEZONE)
--   payment_method: payment method in BrickLink's words
--   payment_status: payment status in BrickLink's words
--   platform_status: the order's status in BrickLink's own word
--   currency: ISO 4217 code of the currency in which the buyer pays; the order's if BrickLink gives none
--   amount [currency]: what the order comes to in that currency; null if BrickLink gives its total only in other ones
--   order_currency: ISO 4217 code of the order's own currency
--   exchanged: the buyer pays in another currency than the order's
-- Caveats:
--   Nothing is converted. In another currency than the order's, the amount is the total that the buyer was shown.
--   Orders that were cancelled or are a problem are here too, if they were paid. What was given back is in
--     refunds_to_check.
--   A payment that is clearing, was returned or has bounced is not here, nor one without a payment date.
--   After a batch the order has one payment date for all of it: earlier payments are not known to the API.
--   If BrickLink collects the tax, it takes it out of the payment: the amount is before that, and before fees.
-- Period: day
SELECT
    o.store,
    o.platform,
    o.platform_order_id,
    o.display_id AS reference,
    o.paid_at,
    (o.paid_at AT TIME ZONE coalesce(s.timezone, 'UTC'))::date AS day,
    o.payment_method,
    o.payment_status,
    o.platform_status,
    coalesce(o.payment_currency, o.currency) AS currency,
    CASE
        WHEN o.payment_currency = o.disp_currency THEN o.disp_total
        WHEN o.payment_currency = o.currency THEN round(o.total, 2)
    END AS amount,
    o.currency AS order_currency,
    o.payment_currency <> o.currency AS exchanged
FROM sales.orders o
LEFT JOIN sync.stores s ON s.store = o.store
WHERE o.paid_at IS NOT NULL AND coalesce(o.payment_status, '') NOT IN ('Clearing', 'Returned', 'Bounced')

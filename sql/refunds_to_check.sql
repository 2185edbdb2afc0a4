-- Refunds to check
--
-- BrickLink's API shows no refund. It shows orders that come to less than was paid for them: each is here, with the
-- refunds that the seller has imported for it (bl import refunds) and what is left. It is a list to go through with the
-- statement of the bank or the payment service; none of its amounts is booked as a refund.
--
-- Question: Which buyers may have got money back, what was imported of it, and what is left to check?
-- Group: Books
-- Grain: store, platform, platform_order_id, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   platform: where the order was placed: bricklink
--   platform_order_id: the order's id at the platform
--   reason: cancelled, problem (such as NSS), credit (given after payment, all of the amount), decrease (any other), or
--     imported (a refund was imported, and nothing at BrickLink asks for one in this currency)
--   platform_status: the order's status in BrickLink's own word
--   seen_at [UTC]: when the order was first seen to come to less; null if reason is imported
--   currency: ISO 4217 code of the amounts
--   paid [currency]: the most that the order came to while it was paid, in whole cents; null if it was never seen paid in this currency
--   due [currency]: what it comes to now, in whole cents; 0 if it is cancelled or a problem
--   to_check [currency]: paid - due: what the buyer may have got back
--   imported [currency]: refunds imported for the order
--   left_to_check [currency]: to_check - imported; negative if more was given back than the order comes to less
-- Caveats:
--   to_check is no refund: a problem may be solved, and a buyer may have got nothing or something else.
--   What an order had when it was first seen paid is not here: nobody knows if a credit came before the payment.
--   Partial refunds that the seller gives without changing the order are not here until they are imported.
--   A payment that was returned or has bounced went back by itself, and is not here.
--   A refund in another currency than the order's is in a row of its own: compare the two by hand.
WITH states AS NOT MATERIALIZED (
    SELECT
        *,
        paid_at IS NOT NULL AND coalesce(payment_status, '') NOT IN ('Clearing', 'Returned', 'Bounced') AS is_paid
    FROM sales.known_states
),
paid AS (
    SELECT store, platform, platform_order_id, currency, max(round(total, 2)) AS paid
    FROM states
    WHERE is_paid
    GROUP BY 1, 2, 3, 4
),
orders AS (
    SELECT
        p.*,
        o.status,
        o.platform_status,
        o.credit,
        CASE WHEN o.status IN ('cancelled', 'problem') THEN 0 ELSE round(o.total, 2) END AS due
    FROM paid p
    JOIN sales.known_orders o USING (store, platform, platform_order_id, currency)
    WHERE coalesce(o.payment_status, '') NOT IN ('Returned', 'Bounced')
),
refunds AS (
    SELECT store, platform, platform_order_id, currency, sum(amount) AS imported
    FROM books.imported_refunds
    GROUP BY 1, 2, 3, 4
),
listed AS (
    SELECT
        store,
        platform,
        platform_order_id,
        currency,
        o.status,
        o.platform_status,
        o.credit,
        o.paid,
        o.due,
        greatest(coalesce(o.paid - o.due, 0), 0) AS to_check,
        coalesce(f.imported, 0) AS imported
    FROM (SELECT * FROM orders WHERE paid > due) o
    FULL JOIN refunds f USING (store, platform, platform_order_id, currency)
)
SELECT
    l.store,
    l.platform,
    l.platform_order_id,
    CASE
        WHEN l.to_check = 0 THEN 'imported'
        WHEN l.status IN ('cancelled', 'problem') THEN l.status
        WHEN coalesce(l.credit, 0) - coalesce(before.credit, 0) > l.to_check - 0.01 THEN 'credit'
        ELSE 'decrease'
    END AS reason,
    coalesce(l.platform_status, o.platform_status) AS platform_status,
    after.seen_at,
    l.currency,
    coalesce(l.paid, p.paid) AS paid,
    coalesce(l.due, p.due) AS due,
    l.to_check,
    l.imported,
    l.to_check - l.imported AS left_to_check
FROM listed l
LEFT JOIN orders p USING (store, platform, platform_order_id, currency)
LEFT JOIN sales.known_orders o USING (store, platform, platform_order_id)
-- The last state in which it was paid and came to the most, and what followed.
LEFT JOIN LATERAL (
    SELECT s.document_id, s.credit
    FROM states s
    WHERE s.store = l.store AND s.platform = l.platform AND s.platform_order_id = l.platform_order_id
      AND s.currency = l.currency AND s.is_paid AND round(s.total, 2) = l.paid AND NOT s.status IN ('cancelled', 'problem')
    ORDER BY s.document_id DESC
    LIMIT 1
) before ON l.to_check > 0
LEFT JOIN LATERAL (
    SELECT min(s.observed_at) AS seen_at
    FROM states s
    WHERE s.store = l.store AND s.platform = l.platform AND s.platform_order_id = l.platform_order_id
      AND s.document_id > coalesce(before.document_id, 0)
) after ON l.to_check > 0

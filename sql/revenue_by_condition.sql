-- Items sold by condition
--
-- Question: New or used: what is sold?
-- Group: Items sold
-- Grain: store, month, condition, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   month [date]: first day of the month of the order date, in the store's time zone (BL_TIMEZONE)
--   condition: N new or U used; null if the item is not known
--   currency: ISO 4217 code of the amount
--   orders [orders]: orders with such an item
--   lots [lots]: rows of orders, each of one item
--   quantity [pieces]: how many pieces
--   items_total [currency]: what the items cost, without shipping, charges and tax added to the order; VAT that is in
--     the prices is in it
--   items_net [currency]: items_total without the VAT that the seller pays
-- Caveats:
--   Credits and coupons are not shared out to items, so items_total is more than the items' part of revenue.
--   An order with several kinds of items counts in several rows: orders do not add up over kinds, amounts do.
--   The row without an item has what is not known: items purged by BrickLink before they were fetched (see missing),
--     and the difference if rounded lots of an order do not add up to its total.
-- Period: month, adds up
-- Chart: items_total by condition
WITH per_order AS (
    SELECT
        store,
        month,
        condition,
        currency,
        count(line_number) AS lots,
        sum(quantity) AS quantity,
        sum(items_total) AS items_total,
        sum(items_net) AS items_net
    FROM reports.revenue_items
    -- What differs most is first: sorting compares it first.
    GROUP BY platform_order_id, platform, store, month, condition, currency
)
SELECT
    store,
    month,
    condition,
    currency,
    count(*) AS orders,
    sum(lots)::bigint AS lots,
    sum(quantity)::bigint AS quantity,
    sum(items_total) AS items_total,
    sum(items_net) AS items_net
FROM per_order
GROUP BY store, month, condition, currency

-- Lots of the orders that count as revenue
--
-- Every lot of every order in revenue_orders, on its order date. If the lots of an order do not add up to what
-- BrickLink says its items cost, for example because they were purged before they were fetched, one more row
-- without an item has the difference: so the items always add up to the orders.
--
-- Question: Which items were sold, on which date, and for how much?
-- Group: Single orders and lots
-- Grain: store, platform, platform_order_id, batch_number, line_number
-- Columns:
--   store: key of the store, from BL_STORE
--   platform: where the order was placed: bricklink
--   platform_order_id: the order's id at the platform
--   batch_number: batch of the order, from 1; null in the row that has the difference
--   line_number: lot within the batch, from 1; null in the row that has the difference
--   order_date [UTC]: when it was ordered
--   day [date]: the day of the order, in the store's time zone (BL_TIMEZONE)
--   month [date]: the first day of its month in the store's time zone
--   item_type: PART, SET, MINIFIG and so on, BrickLink's words; null if the item is not known
--   item_number: catalogue number; null if the item is not known, or is a custom item that has none
--   item_name: catalogue name, or the name of a custom item; null if the item is not known
--   category_id: BrickLink's id of the category; null if the item is not known
--   color_id: BrickLink's id of the colour, 0 if there is none; null if the item is not known
--   color_name: name of the colour; null if the item is not known
--   condition: N new or U used; null if the item is not known
--   currency: ISO 4217 code of the amount
--   quantity [pieces]: how many pieces
--   items_total [currency]: final unit price x quantity; VAT that is in the price is in it
--   items_net [currency]: items_total without the VAT that the seller pays, at the order's rate, to 4 decimals
--   order_cost [currency]: cost of one piece as the seller has entered it at BrickLink, 0 if nothing was entered; null if
--     BrickLink has not sent it, or the item is not known
-- Caveats:
--   Shipping, charges, credits, coupons and sales tax belong to whole orders and are not shared out to items.
--   BrickLink shows prices with VAT to some buyers and without it to others: compare items_net, not items_total. It is
--     equal to items_total if the seller pays no VAT on the order, also if BrickLink collects it, or gives no rate.
--   Lots in another currency than their order, fetched before it changed, are not known until they are fetched again.
--   Items are on the order date only. A batch added to an order resets that date for all its items.
-- Period: day
WITH ordered AS NOT MATERIALIZED (
    SELECT
        *,
        CASE WHEN vat_by_seller <> 0 AND vat_rate > 0 THEN 1 + vat_rate / 100 ELSE 1 END AS with_vat,
        (order_date AT TIME ZONE timezone)::date AS day,
        date_trunc('month', order_date AT TIME ZONE timezone)::date AS month
    FROM reports.revenue_orders
)
SELECT
    i.store,
    i.platform,
    i.platform_order_id,
    i.batch_number,
    i.line_number,
    r.order_date,
    r.day,
    r.month,
    i.item_type,
    i.item_number,
    i.item_name,
    i.category_id,
    i.color_id,
    i.color_name,
    i.condition,
    r.currency,
    i.quantity,
    i.total_price AS items_total,
    round(i.total_price / r.with_vat, 4) AS items_net,
    i.order_cost
FROM sales.known_items i
JOIN ordered r USING (store, platform, platform_order_id)
WHERE coalesce(i.currency, r.currency) = r.currency
UNION ALL
SELECT
    r.store, r.platform, r.platform_order_id, NULL, NULL, r.order_date, r.day, r.month,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    r.currency,
    r.total_count - lines.quantity,
    r.items_total - lines.items_total,
    round((r.items_total - lines.items_total) / r.with_vat, 4),
    NULL
FROM ordered r
CROSS JOIN LATERAL (
    SELECT coalesce(sum(i.quantity), 0)::bigint AS quantity, coalesce(sum(i.total_price), 0) AS items_total
    FROM sales.known_items i
    WHERE i.store = r.store AND i.platform = r.platform AND i.platform_order_id = r.platform_order_id
      AND coalesce(i.currency, r.currency) = r.currency
) lines
WHERE r.items_total <> lines.items_total OR r.total_count <> lines.quantity

-- Open orders by age
--
-- Question: Which orders are still to be paid, packed, sent or received, and how long have they waited?
-- Group: Work on orders
-- Grain: store, status, age, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   status: pending, processing, shipped, on_hold, or unknown
--   age: days since the order, in classes that sort by their text
--   currency: ISO 4217 code of the amounts
--   orders [orders]: how many
--   paid_orders [orders]: of these, paid
--   oldest_order_date [UTC]: the order that has waited longest
--   total [currency]: what the buyers pay
--   revenue [currency]: what the seller gets
-- Caveats:
--   As of now. Age counts from the order date, which a batch added to the order resets.
--   Orders that BrickLink has purged are left out: nothing can be done about them any more.
-- Chart: orders by age split status
SELECT
    o.store,
    o.status,
    CASE
        WHEN least(sales.as_of(), now()) - o.order_date < interval '3 days' THEN '00-02 days'
        WHEN least(sales.as_of(), now()) - o.order_date < interval '8 days' THEN '03-07 days'
        WHEN least(sales.as_of(), now()) - o.order_date < interval '15 days' THEN '08-14 days'
        WHEN least(sales.as_of(), now()) - o.order_date < interval '31 days' THEN '15-30 days'
        WHEN least(sales.as_of(), now()) - o.order_date < interval '61 days' THEN '31-60 days'
        ELSE '61 days and more'
    END AS age,
    o.currency,
    count(*) AS orders,
    count(o.paid_at) AS paid_orders,
    min(o.order_date) AS oldest_order_date,
    sum(o.total) AS total,
    sum(coalesce(o.final_total, o.total)) AS revenue
FROM sales.known_orders o
WHERE o.status IN ('pending', 'processing', 'shipped', 'on_hold', 'unknown')
  AND o.platform_status <> 'PURGED'
GROUP BY o.store, o.status, age, o.currency

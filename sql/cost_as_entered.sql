-- Cost of goods, as entered
--
-- What the seller has entered at BrickLink as the cost of the lots that were sold, as far as there is one: BrickLink sends
-- it with an order's lots as order_cost, which its API's pages do not mention.
--
-- Question: What did the sold lots cost, and for how many of them is a cost known?
-- Group: Books
-- Grain: store, month, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   month [date]: first day of the month of the order date, in the store's time zone (BL_TIMEZONE)
--   currency: ISO 4217 code of the amounts
--   lots [lots]: lots sold, as far as they are known
--   lots_with_cost [lots]: of these, with a cost above 0
--   coverage [%]: lots_with_cost of lots
--   items_total [currency]: what the items were sold for, those that are not known too
--   items_total_with_cost [currency]: of this, of the lots with a cost
--   cost [currency]: cost of the lots with a cost; null if coverage, or items_total_with_cost of items_total, is below 90 %
-- Caveats:
--   With a cost for few lots a sum says nothing, so there is none below 90 %. It is never scaled up to all lots.
--   BrickLink does not document the field. Here it is the cost of one piece, in the order's currency, as the seller's
--     "My Cost" is: compare an order of yours before you rely on it.
--   0 is how BrickLink sends a lot without a cost: a lot that cost nothing counts as one without.
-- Period: month
WITH months AS (
    SELECT
        store,
        month,
        currency,
        count(line_number) AS lots,
        count(*) FILTER (WHERE order_cost > 0) AS lots_with_cost,
        sum(items_total) AS items_total,
        coalesce(sum(items_total) FILTER (WHERE order_cost > 0), 0) AS items_total_with_cost,
        sum(order_cost * quantity) FILTER (WHERE order_cost > 0) AS cost
    FROM reports.revenue_items
    GROUP BY 1, 2, 3
)
SELECT
    store,
    month,
    currency,
    lots,
    lots_with_cost,
    round(100.0 * lots_with_cost / nullif(lots, 0), 1) AS coverage,
    items_total,
    items_total_with_cost,
    CASE WHEN lots_with_cost >= 0.9 * lots AND items_total_with_cost >= 0.9 * items_total THEN cost END AS cost
FROM months

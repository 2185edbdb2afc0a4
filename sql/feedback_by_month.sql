-- Feedback by month
--
-- Question: How are the store and its buyers rated?
-- Group: Buyers and countries
-- Grain: store, month, rating_of, rating
-- Columns:
--   store: key of the store, from BL_STORE
--   month [date]: first day of the month of the rating, in the store's time zone (BL_TIMEZONE)
--   rating_of: who is rated: seller or buyer
--   rating: praise, neutral or complaint
--   ratings [ratings]: how many
--   replies [ratings]: of these, with a reply
-- Caveats:
--   Empty until BL_FEEDBACK says of which orders a sync asks for feedback; bl feedback ID --fetch asks for one order.
--   Only of the orders that were asked about, as of the last time.
-- Period: month
-- Chart: ratings over month split rating
SELECT
    f.store,
    date_trunc('month', f.rated_at AT TIME ZONE coalesce(s.timezone, 'UTC'))::date AS month,
    CASE f.rating_of WHEN 'S' THEN 'seller' WHEN 'B' THEN 'buyer' ELSE f.rating_of END AS rating_of,
    CASE f.rating WHEN 0 THEN 'praise' WHEN 1 THEN 'neutral' WHEN 2 THEN 'complaint' ELSE f.rating::text END AS rating,
    count(*) AS ratings,
    count(f.reply) AS replies
FROM sales.order_feedback f
LEFT JOIN sync.stores s ON s.store = f.store
GROUP BY f.store, month, f.rating_of, f.rating

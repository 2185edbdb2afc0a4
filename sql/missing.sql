-- What is missing
--
-- Question: Which orders or items does BrickLink have, or did it have, that are not stored in the warehouse?
-- Group: To check
-- Grain: store, platform, platform_order_id
-- Columns:
--   store: key of the store, from BL_STORE
--   platform: where the order was placed: bricklink
--   platform_order_id: the order's id at the platform
--   missing: order (listed by BrickLink, never loaded) or items (the order is loaded, its items are not, or not all)
--   reason: purged: BrickLink deleted the items before they were fetched, for good; unreadable: what BrickLink sent
--     cannot be read, or not all of it, see bl errors; failed: it could not be fetched, see bl errors; or not_fetched:
--     left for a later sync, or a sync without items
--   order_date [UTC]: when it was ordered
--   platform_status: the status in BrickLink's own word
--   currency: ISO 4217 code of the amount; null if the order is missing
--   total_count [pieces]: how many pieces; null if the order is missing
--   items_total [currency]: what the items cost; null if the order is missing
--   missing_count [pieces]: how many of them are not stored; below 0 if items are stored that were taken off the order
--   missing_total [currency]: what those cost
-- Caveats:
--   An order of which a lot is unreadable is stored all the same and counts in revenue; its other lots are stored too.
--   Revenue by item, colour and so on has what is missing here in the rows without an item. Lots that differ from
--     the order by a rounding only are there too, and not here.
--   Of missing orders nothing is in any other report.
SELECT
    o.store,
    o.platform,
    o.platform_order_id,
    'items' AS missing,
    CASE
        WHEN o.platform_status = 'PURGED' THEN 'purged'
        WHEN s.error_class IN ('InvalidResource', 'NotNormalisable', 'UnstorableAnswer') THEN 'unreadable'
        WHEN s.error IS NOT NULL THEN 'failed'
        ELSE 'not_fetched'
    END AS reason,
    o.order_date,
    o.platform_status,
    o.currency,
    o.total_count,
    o.subtotal AS items_total,
    o.total_count - found.quantity AS missing_count,
    o.subtotal - found.items_total AS missing_total
FROM sales.orders o
LEFT JOIN sync.order_state s USING (store, platform, platform_order_id)
CROSS JOIN LATERAL (
    SELECT
        count(*) AS lines,
        coalesce(sum(i.quantity), 0)::bigint AS quantity,
        coalesce(sum(i.total_price), 0) AS items_total
    FROM sales.order_items i
    WHERE i.store = o.store
      AND i.platform = o.platform
      AND i.platform_order_id = o.platform_order_id
      AND coalesce(i.currency, o.currency) = o.currency
) found
-- An items_fingerprint that is empty says that not all items could be read.
WHERE o.total_count <> found.quantity OR (o.subtotal <> 0 AND found.lines = 0) OR s.items_fingerprint = ''
UNION ALL
SELECT
    s.store,
    s.platform,
    s.platform_order_id,
    'order',
    CASE
        WHEN s.error_class IN ('InvalidResource', 'NotNormalisable', 'UnstorableAnswer') THEN 'unreadable'
        WHEN s.error IS NOT NULL THEN 'failed'
        ELSE 'not_fetched'
    END,
    s.order_date,
    s.listed_status,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL
FROM sync.order_state s
WHERE s.order_document_id IS NULL

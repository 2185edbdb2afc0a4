-- Completeness
--
-- Question: Are all orders of BrickLink's lists in the figures, and until when were the lists read?
-- Group: To check
-- Grain: store
-- Columns:
--   store: key of the store, from BL_STORE
--   orders [orders]: orders that are stored
--   missing_orders [orders]: orders in BrickLink's lists that are not stored: they are in no figure; see missing
--   oldest_missing_order_date [UTC]: the oldest of these; null if there is none
--   outdated_orders [orders]: orders that have changed at BrickLink, and that have not been loaded since, as they were not fetched or cannot be read
--   oldest_outdated_order_date [UTC]: the oldest of these; null if there is none
--   lists_read_at [UTC]: when a sync last began to read the lists: orders and changes after that are not known
--   both_lists_read_at [UTC]: when the list of filed orders was last read too, in which changes are rare
-- Caveats:
--   A return or a month that is closed should have 0 missing and 0 outdated orders, and lists that were read after its end.
--   BrickLink's lists show changes of status, payment, totals and filing; an address that was corrected alone is seen when
--     the order is fetched again.
WITH lists AS (
    SELECT store, max(started_at) AS lists_read_at, max(listed_at) AS both_lists_read_at
    FROM sync.runs
    WHERE orders_listed IS NOT NULL
    GROUP BY store
)
SELECT
    s.store,
    coalesce(stored.orders, 0) AS orders,
    coalesce(o.missing_orders, 0) AS missing_orders,
    o.oldest_missing_order_date,
    coalesce(o.outdated_orders, 0) AS outdated_orders,
    o.oldest_outdated_order_date,
    r.lists_read_at,
    r.both_lists_read_at
FROM sync.stores s
LEFT JOIN (SELECT store, count(*) AS orders FROM sales.orders GROUP BY store) stored ON stored.store = s.store
LEFT JOIN (
    SELECT
        store,
        count(*) FILTER (WHERE is_missing) AS missing_orders,
        min(order_date) FILTER (WHERE is_missing) AS oldest_missing_order_date,
        count(*) FILTER (WHERE is_outdated) AS outdated_orders,
        min(order_date) FILTER (WHERE is_outdated) AS oldest_outdated_order_date
    FROM (
        SELECT
            store,
            order_date,
            order_document_id IS NULL AS is_missing,
            order_document_id IS NOT NULL AND is_listed
                AND stored_fingerprint IS DISTINCT FROM listed_fingerprint
                -- An empty one says that the order is newer than the list: it has moved since the list was read.
                AND NOT coalesce(stored_fingerprint = '' AND order_fetched_at >= lists_read_at, false) AS is_outdated
        FROM sync.order_state
        LEFT JOIN lists USING (store)
    ) AS states
    GROUP BY store
) o ON o.store = s.store
LEFT JOIN lists r ON r.store = s.store

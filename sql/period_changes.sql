-- Changes after closing
--
-- What was seen of the orders of a closed period after it was closed. The period itself does not move: the journal has
-- these changes in the periods that were open then. An order belongs to the period of its tax point.
--
-- Question: What would a closed period say today, and which orders make the difference?
-- Group: Tax, credits and cancellations
-- Grain: store, period, platform, platform_order_id, state_number, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   period [date]: the closed period, its first day
--   platform: where the order was placed: bricklink
--   platform_order_id: the order's id at the platform
--   state_number: the order's state in book_states that showed the change
--   what: cancelled (it does not count any more), reopened (it counts again), late (it counts, and did not before), date
--     (its tax point moved into or out of the period), batch, credit (or coupon), amount, country, vat or recomputed (the
--     answers known at the closing give something else today: other tax settings, another time zone, a rebuild that
--     reads more, or an answer that was loaded late)
--   before: what it was before: an amount, a country, or kind of tax and rate
--   after: the same afterwards; null if there is none
--   revenue_movement [currency]: by how much the period's revenue differs through it
--   vat_movement [currency]: by how much the seller's VAT of the period differs through it
--   currency: ISO 4217 code of the amounts
--   seen_at [UTC]: when it was seen; of what was recomputed, when that was booked, null if only the time zone is another
-- Caveats:
--   The sum of the movements of a period is its figure now less its figure at closing, in each currency, both by the
--     tax points of book_states. A change that was seen before the closing and after the period's end is in both, and
--     is booked in the period in which it was seen.
--   A row without movement has another country, kind of tax or rate, so that the lines of a tax return differ and not
--     their sum; or it is about an order that comes to nothing.
--   If a change is of several kinds, what is the first that applies, in the order above.
--   If a rebuild reads another date of payment in an answer that was known at the closing, no row shows that the order
--     has left its month: the journal has the day of the order's first entry only, not that of each answer.
--   A period that was reopened and closed again starts anew with its last closing.
-- Period: period
WITH closed AS (
    SELECT c.*, coalesce(z.timezone, 'UTC') AS timezone_now
    FROM books.closings c
    LEFT JOIN sync.stores z ON z.store = c.store
    WHERE c.reopened_at IS NULL
),
states AS (
    SELECT
        s.*,
        coalesce(lag(counts) OVER states, false) AS counted,
        coalesce(
            bool_or(counts) OVER (
                PARTITION BY store, platform, platform_order_id ORDER BY state_number
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ),
            false
        ) AS ever_counted,
        lag(tax_period) OVER states AS tax_period_before,
        lag(currency) OVER states AS currency_before,
        lag(receivable) OVER states AS receivable_before,
        lag(output_vat) OVER states AS output_vat_before,
        lag(order_date) OVER states AS order_date_before,
        lag(given) OVER states AS given_before,
        lag(country_code) OVER states AS country_before,
        lag(region) OVER states AS region_before,
        lag(special_territory) OVER states AS territory_before,
        lag(tax_kind) OVER states AS kind_before,
        lag(vat_rate) OVER states AS rate_before
    FROM reports.book_states s
    WINDOW states AS (PARTITION BY store, platform, platform_order_id ORDER BY state_number)
),
sides AS (
    SELECT
        s.*,
        c.period,
        side.of_currency,
        side.revenue_movement,
        side.vat_movement,
        side.is_before,
        side.is_after,
        CASE
            WHEN NOT s.counts THEN 'cancelled'
            WHEN NOT s.counted AND s.ever_counted THEN 'reopened'
            WHEN NOT s.counted THEN 'late'
            WHEN s.tax_period <> s.tax_period_before THEN 'date'
            WHEN s.order_date > s.order_date_before AND side.revenue_movement <> 0 THEN 'batch'
            WHEN s.given <> s.given_before THEN 'credit'
            WHEN side.revenue_movement <> 0 THEN 'amount'
            WHEN (s.country_code, s.region, s.special_territory)
                IS DISTINCT FROM (s.country_before, s.region_before, s.territory_before) THEN 'country'
            ELSE 'vat'
        END AS what
    FROM states s
    CROSS JOIN LATERAL (
        SELECT
            of_period,
            of_currency,
            sum(revenue) AS revenue_movement,
            sum(vat) AS vat_movement,
            bool_or(NOT is_new) AS is_before,
            bool_or(is_new) AS is_after
        FROM (
            SELECT s.tax_period, s.currency, s.receivable, s.output_vat, true WHERE s.counts
            UNION ALL
            SELECT s.tax_period_before, s.currency_before, -s.receivable_before, -s.output_vat_before, false
            WHERE s.counted
        ) AS each (of_period, of_currency, revenue, vat, is_new)
        GROUP BY of_period, of_currency
    ) side
    JOIN closed c ON c.store = s.store AND c.period = side.of_period AND s.document_id > c.last_document_id
    WHERE s.document_id > (SELECT min(last_document_id) FROM closed)
      AND (
          side.revenue_movement <> 0 OR side.vat_movement <> 0 OR side.is_before <> side.is_after
          OR (s.country_code, s.region, s.special_territory, s.tax_kind, s.vat_rate)
              IS DISTINCT FROM (s.country_before, s.region_before, s.territory_before, s.kind_before, s.rate_before)
      )
),
-- Few as a rule: orders that were booked again without a new answer, or have yet to be; all, if the time zone is another.
doubtful AS (
    SELECT store, platform, platform_order_id
    FROM books.journal j
    WHERE (
        seen_at = booked_at
        AND entry_no > (SELECT min(last_entry_no) FROM closed c WHERE c.store = j.store)
    ) OR store IN (SELECT store FROM closed WHERE timezone <> timezone_now)
    UNION
    SELECT store, platform, platform_order_id FROM books.unbooked
),
read_again AS (
    SELECT
        d.*,
        s.*,
        lead(s.document_id) OVER (
            PARTITION BY d.store, d.platform, d.platform_order_id ORDER BY s.document_id
        ) AS next_document_id,
        (
            SELECT min(tax_point) FROM books.journal j
            WHERE j.store = d.store AND j.platform = d.platform AND j.platform_order_id = d.platform_order_id
        ) AS booked_tax_point
    FROM doubtful d
    CROSS JOIN LATERAL (
        SELECT
            state_number, document_id, counts, tax_point, tax_period, currency, country_code, special_territory,
            receivable, output_vat, tax_kind, vat_rate
        FROM reports.book_states
        WHERE store = d.store AND platform = d.platform AND platform_order_id = d.platform_order_id
        OFFSET 0 -- order by order: else Postgres works the view out for all orders there are
    ) s
),
-- The last state that a closing knew, as it is read today, beside what was booked of the order then.
recomputed AS (
    SELECT
        r.*,
        c.period,
        side.*,
        booked.receivable AS receivable_then,
        concat_ws(' ', booked.tax_kind, trim_scale(booked.vat_rate) || ' %', booked.output_vat) AS vat_then,
        concat_ws(' ', booked.country_code, booked.special_territory) AS country_then,
        booked.receivable IS DISTINCT FROM r.receivable AS is_amount,
        (r.tax_kind, r.vat_rate, r.output_vat)
            IS DISTINCT FROM (booked.tax_kind, booked.vat_rate, booked.output_vat) AS is_vat,
        (
            SELECT max(booked_at) FROM books.journal j
            WHERE j.store = r.store AND j.platform = r.platform AND j.platform_order_id = r.platform_order_id
              AND entry_no > c.last_entry_no AND source_document_id <= c.last_document_id
        ) AS booked_again_at
    FROM read_again r
    JOIN closed c
        ON c.store = r.store AND c.last_document_id >= r.document_id
        AND (r.next_document_id IS NULL OR r.next_document_id > c.last_document_id)
    CROSS JOIN LATERAL (
        SELECT coalesce(
            date_trunc('month', r.tax_point AT TIME ZONE c.timezone), date_trunc('month', r.booked_tax_point)
        )::date AS period_then
    ) dated
    LEFT JOIN LATERAL (
        SELECT
            currency,
            coalesce(sum(debit - credit) FILTER (WHERE account_key = 'receivable'), 0.00) AS receivable,
            coalesce(sum(credit - debit) FILTER (WHERE account_key = 'output_vat'), 0.00) AS output_vat,
            min(country_code) AS country_code,
            min(special_territory) AS special_territory,
            min(tax_kind) AS tax_kind,
            min(vat_rate) AS vat_rate
        FROM books.journal j
        WHERE j.store = r.store AND j.platform = r.platform AND j.platform_order_id = r.platform_order_id
          AND NOT is_reversal
          AND entry_no = (
              SELECT max(entry_no) FROM books.journal last
              WHERE last.store = r.store AND last.platform = r.platform
                AND last.platform_order_id = r.platform_order_id AND last.entry_no <= c.last_entry_no
          )
        GROUP BY currency
    ) booked ON true
    CROSS JOIN LATERAL (
        SELECT
            of_currency,
            sum(revenue) AS revenue_movement,
            sum(vat) AS vat_movement,
            bool_or(NOT is_new) AS is_before,
            bool_or(is_new) AS is_after
        FROM (
            SELECT r.currency, r.receivable, r.output_vat, true WHERE r.counts AND r.tax_period = c.period
            UNION ALL
            SELECT booked.currency, -booked.receivable, -booked.output_vat, false
            WHERE booked.currency IS NOT NULL AND dated.period_then = c.period
        ) AS each (of_currency, revenue, vat, is_new)
        GROUP BY of_currency
    ) side
    WHERE c.period IN (r.tax_period, dated.period_then)
      AND (
          side.revenue_movement <> 0 OR side.vat_movement <> 0 OR side.is_before <> side.is_after
          OR (r.country_code, r.special_territory, r.tax_kind, r.vat_rate)
              IS DISTINCT FROM (booked.country_code, booked.special_territory, booked.tax_kind, booked.vat_rate)
      )
)
SELECT
    store,
    period,
    platform,
    platform_order_id,
    state_number,
    what,
    CASE
        WHEN NOT is_before THEN NULL
        WHEN what = 'country' THEN concat_ws(' ', country_before, territory_before)
        WHEN what = 'vat' THEN concat_ws(' ', kind_before, rate_before || ' %', output_vat_before)
        ELSE receivable_before::text
    END AS before,
    CASE
        WHEN NOT is_after THEN NULL
        WHEN what = 'country' THEN concat_ws(' ', country_code, special_territory)
        WHEN what = 'vat' THEN concat_ws(' ', tax_kind, vat_rate || ' %', output_vat)
        ELSE receivable::text
    END AS after,
    revenue_movement,
    vat_movement,
    of_currency AS currency,
    observed_at AS seen_at
FROM sides
UNION ALL
SELECT
    store,
    period,
    platform,
    platform_order_id,
    state_number,
    'recomputed',
    CASE
        WHEN NOT is_before THEN NULL
        WHEN is_amount OR NOT is_after THEN receivable_then::text
        WHEN is_vat THEN vat_then
        ELSE country_then
    END,
    CASE
        WHEN NOT is_after THEN NULL
        WHEN is_amount OR NOT is_before THEN receivable::text
        WHEN is_vat THEN concat_ws(' ', tax_kind, vat_rate || ' %', output_vat)
        ELSE concat_ws(' ', country_code, special_territory)
    END,
    revenue_movement,
    vat_movement,
    of_currency,
    booked_again_at
FROM recomputed

"""The journal: what the states of orders say that is not booked yet, appended to books.journal.

An order's states come from reports.book_states, which has the values in whole cents. Each state whose values differ
from those booked before becomes an entry: the lines of the order's entry before are taken back, the new ones booked.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text


def is_behind(connection: Connection, store: str) -> bool:
    """Whether states of orders have changed since the journal was last written."""
    return bool(
        connection.scalar(text("SELECT EXISTS (SELECT FROM books.unbooked WHERE store = :store)"), {"store": store})
    )


def lock_books(connection: Connection, store: str) -> None:
    """Keep others from booking and closing until the caller's transaction ends; waits for them first."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('bl_pipeline.books:' || :store, 0))"), {"store": store}
    )


def book(connection: Connection, store: str, now: datetime) -> int:
    """Bring the journal of a store up to date, in the caller's transaction; returns how many entries were written.

    Nothing is written if there is nothing new. The same states give the same entries with the same numbers, in one go
    or one after the other, as long as the same periods are closed.
    """
    if not is_behind(connection, store):
        return 0
    lock_books(connection, store)
    values = {"store": store, "now": now}
    connection.execute(text(_ORDERS))
    for table, statement in _STEPS.items():
        connection.execute(text(statement), values)
        # Postgres knows nothing of a new table, and would plan the next query for a few rows.
        connection.execute(text(f"ANALYZE {table}"))
    written = connection.scalar(text(_BOOK), values)
    connection.execute(text(_MOVE_ON), values)
    connection.execute(text("DROP TABLE orders_to_book, states_to_book, lines_to_book, fingerprints"))
    return written or 0


_ORDERS = "CREATE TEMP TABLE orders_to_book (platform text, platform_order_id text) ON COMMIT DROP"

# Taken out first: what another transaction adds meanwhile stays for the next time.
_TAKE = """
    WITH taken AS (DELETE FROM books.unbooked WHERE store = :store RETURNING platform, platform_order_id)
    INSERT INTO orders_to_book SELECT * FROM taken
"""

# Of the states that the journal knows, only the last one: it differs from what is booked if a rebuild reads answers
# otherwise, if an answer was loaded late, or if the tax settings have changed. That is seen now, and not before; it is
# booked to the day of the order's last entry, so that other tax settings make a month right as long as it is open.
_STATES = """
    CREATE TEMP TABLE states_to_book ON COMMIT DROP AS
    SELECT
        s.*,
        s.is_known AS is_seen_now,
        CASE WHEN s.is_known THEN :now ELSE s.observed_at END AS seen_at,
        (s.tax_point AT TIME ZONE s.timezone)::date AS tax_day,
        (CASE WHEN s.is_known THEN :now ELSE s.observed_at END AT TIME ZONE s.timezone)::date AS seen_day,
        CASE WHEN NOT s.is_known THEN (s.changed_at AT TIME ZONE s.timezone)::date END AS changed_day
    FROM (
        SELECT
            state.*,
            z.timezone,
            state.document_id <= known.last_document_id AS is_known,
            max(state.document_id) FILTER (WHERE state.document_id <= known.last_document_id)
                OVER (PARTITION BY state.platform, state.platform_order_id) AS last_known
        FROM orders_to_book o
        CROSS JOIN LATERAL (
            SELECT * FROM reports.book_states b
            WHERE b.store = :store AND b.platform = o.platform AND b.platform_order_id = o.platform_order_id
            OFFSET 0 -- order by order: else Postgres works the view out for all orders there are
        ) state
        CROSS JOIN (
            SELECT coalesce((SELECT timezone FROM sync.stores WHERE store = :store), 'UTC') AS timezone
        ) z
        CROSS JOIN (
            SELECT coalesce((SELECT last_document_id FROM books.progress WHERE store = :store), 0) AS last_document_id
        ) known
    ) s
    WHERE NOT s.is_known OR s.document_id = s.last_known
"""

# What is booked of an order, under document 0, and what each state of it would book.
_LINES = """
    CREATE TEMP TABLE lines_to_book ON COMMIT DROP AS
    SELECT
        o.platform, o.platform_order_id, CAST(0 AS bigint) AS document_id, j.line_no AS place, j.account_key,
        j.debit, j.credit, j.currency, j.country_code, j.region, j.special_territory,
        trim_scale(j.vat_rate) AS vat_rate, j.tax_kind
    FROM orders_to_book o
    JOIN books.journal j ON j.store = :store AND j.platform = o.platform AND j.platform_order_id = o.platform_order_id
    WHERE NOT j.is_reversal AND j.entry_no = (
        SELECT max(entry_no) FROM books.journal last
        WHERE last.store = :store AND last.platform = o.platform AND last.platform_order_id = o.platform_order_id
    )
    UNION ALL
    SELECT
        s.platform, s.platform_order_id, s.document_id, line.place, line.account_key,
        greatest(line.amount, 0), greatest(-line.amount, 0), s.currency, s.country_code, s.region, s.special_territory,
        s.vat_rate, s.tax_kind
    FROM states_to_book s
    CROSS JOIN LATERAL (
        VALUES
            (1, 'receivable', s.receivable),
            (2, 'sales_goods', -s.sales_goods),
            (3, 'sales_shipping', -s.sales_shipping),
            (4, 'sales_charges', -s.sales_charges),
            (5, 'discounts', s.discounts),
            (6, 'output_vat', -s.output_vat),
            (7, 'sales_tax_payable', -s.sales_tax_payable),
            (8, 'marketplace_tax_clearing', s.marketplace_tax),
            (9, 'marketplace_tax_clearing', -s.marketplace_tax)
    ) AS line (place, account_key, amount)
    WHERE s.counts AND line.amount <> 0
"""

# Of each state the fingerprint of its lines: a new entry is written if it differs. A state that books nothing has none.
_FINGERPRINTS = """
    CREATE TEMP TABLE fingerprints ON COMMIT DROP AS
    SELECT
        platform, platform_order_id, document_id,
        string_agg(account_key || ' ' || debit::numeric(19, 2) || ' ' || credit::numeric(19, 2), ', ' ORDER BY place)
            -- The same in each line.
            || jsonb_build_array(
                min(currency), min(country_code), min(region), min(special_territory), min(vat_rate), min(tax_kind)
            ) AS fingerprint
    FROM lines_to_book
    GROUP BY platform, platform_order_id, document_id
"""

_STEPS = {
    "orders_to_book": _TAKE,
    "states_to_book": _STATES,
    "lines_to_book": _LINES,
    "fingerprints": _FINGERPRINTS,
}
"""Temporary table → what fills it."""

_BOOK = """
    WITH open AS (
        -- The day before which all is closed.
        SELECT coalesce((max(period) + interval '1 month')::date, '-infinity') AS first_day
        FROM books.closings WHERE store = :store AND reopened_at IS NULL
    ),
    booked AS (
        SELECT o.platform, o.platform_order_id, last.*
        FROM orders_to_book o
        CROSS JOIN LATERAL (
            SELECT j.booking_date, j.tax_point, j.order_date, j.source_document_id FROM books.journal j
            WHERE j.store = :store AND j.platform = o.platform AND j.platform_order_id = o.platform_order_id
            ORDER BY j.entry_no DESC LIMIT 1
        ) last
    ),
    compared AS (
        SELECT
            s.*,
            coalesce(found.fingerprint, '') AS fingerprint,
            lag(coalesce(found.fingerprint, ''), 1, coalesce(before.fingerprint, '')) OVER states AS fingerprint_before
        FROM states_to_book s
        LEFT JOIN fingerprints found USING (platform, platform_order_id, document_id)
        LEFT JOIN fingerprints before
            ON before.platform = s.platform AND before.platform_order_id = s.platform_order_id
            AND before.document_id = 0
        WINDOW states AS (PARTITION BY s.platform, s.platform_order_id ORDER BY s.document_id)
    ),
    changed AS (
        SELECT
            c.*,
            lag(c.document_id, 1, 0) OVER states AS lines_before,
            coalesce(lag(c.document_id) OVER states, b.source_document_id) AS previous_document_id,
            coalesce(lag(c.order_date) OVER states, b.order_date) AS order_date_before,
            b.booking_date AS booked_day,
            coalesce(b.tax_point, first_value(c.tax_day) OVER states) AS first_tax_day
        FROM compared c
        LEFT JOIN booked b USING (platform, platform_order_id)
        WHERE c.fingerprint <> c.fingerprint_before
        WINDOW states AS (PARTITION BY c.platform, c.platform_order_id ORDER BY c.document_id)
    ),
    dated AS (
        SELECT
            c.*,
            coalesce((SELECT max(entry_no) FROM books.journal WHERE store = :store), 0)
                + row_number() OVER (ORDER BY NOT is_seen_now, document_id, platform, platform_order_id) AS entry_no,
            CASE
                WHEN previous_document_id IS NULL THEN 'sale'
                WHEN fingerprint = '' THEN 'cancellation'
                WHEN order_date > order_date_before AND fingerprint_before <> '' THEN 'batch'
                ELSE 'correction'
            END AS event,
            greatest(
                CASE
                    WHEN previous_document_id IS NULL THEN tax_day
                    -- Nothing has happened to the order: what it was booked to is corrected, if that is still open.
                    WHEN is_seen_now THEN booked_day
                    WHEN changed_day >= first_day THEN changed_day
                    ELSE seen_day
                END,
                first_day
            ) AS booking_date
        FROM changed c
        CROSS JOIN open
    ),
    written AS (
        INSERT INTO books.journal (
            store, entry_no, line_no, document, platform, platform_order_id, event, booking_date, tax_point, order_date,
            seen_at, period, corrects_period, account_key, is_reversal, country_code, region, special_territory,
            vat_rate, tax_kind, debit, credit, currency, source_document_id, previous_document_id, booked_at
        )
        SELECT
            :store, d.entry_no, row_number() OVER (PARTITION BY d.entry_no ORDER BY NOT l.is_reversal, l.place),
            'BL-' || d.platform_order_id, d.platform, d.platform_order_id, d.event, d.booking_date, d.first_tax_day,
            d.order_date, d.seen_at, date_trunc('month', d.booking_date)::date,
            nullif(date_trunc('month', d.first_tax_day)::date, date_trunc('month', d.booking_date)::date),
            l.account_key, l.is_reversal, l.country_code, l.region, l.special_territory, l.vat_rate, l.tax_kind,
            l.debit, l.credit, l.currency, d.document_id, d.previous_document_id, :now
        FROM dated d
        JOIN (
            SELECT true AS is_reversal, e.entry_no, l.place, l.account_key, l.credit AS debit, l.debit AS credit,
                l.currency, l.country_code, l.region, l.special_territory, l.vat_rate, l.tax_kind
            FROM dated e
            JOIN lines_to_book l USING (platform, platform_order_id)
            WHERE l.document_id = e.lines_before
            UNION ALL
            SELECT false, e.entry_no, l.place, l.account_key, l.debit, l.credit,
                l.currency, l.country_code, l.region, l.special_territory, l.vat_rate, l.tax_kind
            FROM dated e
            JOIN lines_to_book l USING (platform, platform_order_id, document_id)
        ) l USING (entry_no)
        RETURNING entry_no
    )
    SELECT count(DISTINCT entry_no) FROM written
"""

_MOVE_ON = """
    INSERT INTO books.progress (store, last_document_id)
    SELECT :store, max(document_id) FROM states_to_book HAVING max(document_id) IS NOT NULL
    ON CONFLICT (store) DO UPDATE
    SET last_document_id = greatest(progress.last_document_id, excluded.last_document_id)
"""

"""Periods: a month of the journal is closed, and then never moves; closed ones are checked against their digest.

Months are closed one after the other, so that all before the first open one is closed: what is seen later has one place
to be booked in. A closing is a row of books.closings with the totals of its period in books.closing_totals.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from bl_pipeline.books.booking import book, lock_books
from bl_pipeline.books.export_lines import SOLD
from bl_pipeline.books.journal import AccountKey
from bl_pipeline.questions import QuestionError
from bl_pipeline.records import COMPLETE
from bl_pipeline.reports.views import read_timezone
from bl_pipeline.settings import Store
from bl_pipeline.warehouse.tables.schema import sql_list
from bl_pipeline.wording import plural

_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
_YEARS = range(1995, 2100)
"""In which an order can be: see `bricklink/tolerance.py`."""

_NAMED = 5
"""Missing orders that a message names."""

_NOTHING = Decimal()


class ClosingRefused(Exception):
    """The period stays as it is; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Total:
    """What an account has in a period: sums of debits and credits in a currency."""

    account_key: str
    currency: str
    debit: Decimal
    credit: Decimal


@dataclass(frozen=True, slots=True)
class Figures:
    """What a period comes to in a currency: what the seller gets, of this the turnover, and the VAT that is owed."""

    receivable: Decimal
    turnover: Decimal
    vat: Decimal


@dataclass(frozen=True, slots=True)
class Period:
    """A month of the journal, `period` being its first day, and its last closing.

    `closed_at` and what follows it are None if it was never closed; `reopened_at` is None unless it was reopened, and
    is open since. `is_intact`: the entries are those that were closed; None if the period is open.
    """

    period: date
    entries: int
    totals: tuple[Total, ...]
    digest: str
    closed_at: datetime | None = None
    reopened_at: datetime | None = None
    last_document_id: int | None = None
    is_intact: bool | None = None

    @property
    def is_closed(self) -> bool:
        """Nothing is booked to it any more."""
        return self.closed_at is not None and self.reopened_at is None

    def figures(self) -> dict[str, Figures]:
        """The figures by currency."""
        balances: dict[str, dict[str, Decimal]] = {}
        for total in self.totals:
            balances.setdefault(total.currency, {})[total.account_key] = total.debit - total.credit
        return {
            currency: Figures(
                receivable=balance.get(AccountKey.RECEIVABLE, _NOTHING),
                turnover=-sum((balance.get(account, _NOTHING) for account in SOLD), _NOTHING),
                vat=-balance.get(AccountKey.OUTPUT_VAT, _NOTHING),
            )
            for currency, balance in sorted(balances.items())
        }


def close(connection: Connection, store: Store, period: date, now: datetime) -> list[date]:
    """Close a month, in the caller's transaction, after the journal was brought up to date; returns what was closed.

    The first closing of a store closes the earlier months of its journal too. `period` is the first day. The caller
    has the store's lock, so that no sync is running. Raises ClosingRefused.
    """
    lock_books(connection, store.key)
    book(connection, store.key, now)
    _check(connection, store, period, now)
    closed = connection.scalars(text(_CLOSE), {"store": store.key, "period": period, "now": now}).all()
    connection.execute(text(_NOTE_TOTALS), {"store": store.key, "closed": list(closed)})
    return sorted(closed)


def reopen(connection: Connection, store: Store, period: date, now: datetime) -> None:
    """Open a closed month again, in the caller's transaction; that it was closed stays noted. Raises ClosingRefused."""
    lock_books(connection, store.key)
    last = _last_closed(connection, store.key)
    if last is None or period > last:
        raise ClosingRefused(f"{month(period)} is open. Nothing was changed.")
    if period < _first_closed(connection, store.key):
        raise ClosingRefused(
            f"{month(period)} is before the first month of the journal, so it was never closed. Nothing was changed."
        )
    if period < last:
        raise ClosingRefused(
            f"{month(period)} cannot be reopened while a later month is closed: changes that were seen since are "
            f"booked after {month(last)}. Nothing was changed.\n"
            f"Reopen {month(last)} first: {store.command(f'reopen {month(last)}')}"
        )
    connection.execute(
        text("UPDATE books.closings SET reopened_at = :now WHERE store = :store AND period = :period AND "
             "reopened_at IS NULL"),
        {"store": store.key, "period": period, "now": now},
    )  # fmt: skip


def month(period: date) -> str:
    """A period as it is written in commands and messages, such as 2026-09."""
    return f"{period:%Y-%m}"


def parse_month(written: str) -> date:
    """The first day of a month that is written as 2026-09. Raises QuestionError."""
    found = _MONTH.fullmatch(written.strip())
    try:
        if found is None or int(found[1]) not in _YEARS:
            raise ValueError
        return date(int(found[1]), int(found[2]), 1)
    except ValueError:
        years = f"{_YEARS.start} to {_YEARS.stop - 1}"
        raise QuestionError(f"{written!r} is no month of the years {years}. Write it as 2026-09.") from None


def read_periods(connection: Connection, store: str) -> list[Period]:
    """Every month that has entries or was ever closed, oldest first; of each its last closing."""
    totals: dict[date, list[Total]] = {}
    for row in connection.execute(text(f"{_TOTALS} ORDER BY period, account_key, currency"), {"store": store}):
        totals.setdefault(row.period, []).append(Total(row.account_key, row.currency, row.debit, row.credit))
    noted: dict[int, list[Total]] = {}
    for row in connection.execute(
        text(
            """
            SELECT t.* FROM books.closing_totals t JOIN books.closings c USING (closing_id)
            WHERE c.store = :store ORDER BY closing_id, account_key, currency
            """
        ),
        {"store": store},
    ):
        noted.setdefault(row.closing_id, []).append(Total(row.account_key, row.currency, row.debit, row.credit))
    return [
        Period(
            period=row.period,
            entries=row.entries,
            totals=tuple(totals.get(row.period, ())),
            digest=row.digest,
            closed_at=row.closed_at,
            reopened_at=row.reopened_at,
            last_document_id=row.last_document_id,
            is_intact=_is_intact(row, totals.get(row.period, []), noted),
        )
        for row in connection.execute(text(_PERIODS), {"store": store})
    ]


def next_to_close(periods: Sequence[Period], timezone: str, now: datetime) -> date | None:
    """The month that can be closed next: the one after the last closed month, or at first the last month that is over.

    None if that is not over yet, or if nothing is booked.
    """
    this_month = now.astimezone(ZoneInfo(timezone)).date().replace(day=1)
    closed = [period.period for period in periods if period.is_closed]
    if closed:
        following = (max(closed) + timedelta(days=31)).replace(day=1)
        return following if following < this_month else None
    if not periods or periods[0].period >= this_month:
        return None
    return (this_month - timedelta(days=1)).replace(day=1)


def unclear_orders(connection: Connection, store: str, periods: Sequence[date]) -> int:
    """How many orders were booked to these periods whose kind of tax was unclear."""
    return connection.scalar(
        text(
            """
            SELECT count(DISTINCT (platform, platform_order_id)) FROM books.journal
            WHERE store = :store AND period = ANY(:periods) AND tax_kind = 'unclear' AND NOT is_reversal
            """
        ),
        {"store": store, "periods": list(periods)},
    ) or 0  # fmt: skip


def other_timezones(connection: Connection, store: str) -> list[str]:
    """The time zones in which months were closed that are not the store's now."""
    rows = connection.scalars(
        text(
            """
            SELECT DISTINCT timezone FROM books.closings
            WHERE store = :store AND reopened_at IS NULL AND timezone <> :timezone ORDER BY 1
            """
        ),
        {"store": store, "timezone": read_timezone(connection, store)},
    )
    return list(rows)


def _is_intact(row: Any, totals: Sequence[Total], noted: dict[int, list[Total]]) -> bool | None:
    if row.closed_at is None or row.reopened_at is not None:
        return None
    return (row.digest, row.entries) == (row.closed_digest, row.closed_entries) and list(totals) == noted.get(
        row.closing_id, []
    )


def _check(connection: Connection, store: Store, period: date, now: datetime) -> None:
    """Raise ClosingRefused if the month is closed, not over or not the next one, or if its orders are not all known."""
    name = month(period)
    last = _last_closed(connection, store.key)
    if last is not None and period <= last:
        raise ClosingRefused(
            f"{name} is closed already. Nothing was changed.\nSee when: {store.command('periods')}. To open the last "
            f"closed month again: {store.command(f'reopen {month(last)}')}"
        )
    timezone = read_timezone(connection, store.key)
    following, end, listed_at = connection.execute(
        text(_ENDS), {"store": store.key, "period": period, "timezone": timezone, "last": last}
    ).one()
    if now < end:
        last_day = (end.astimezone(ZoneInfo(timezone)) - timedelta(days=1)).date()
        raise ClosingRefused(f"{name} is not over: its last day is {last_day}, in {timezone}. Nothing was changed.")
    if following is not None and period > following:
        raise ClosingRefused(
            f"{month(following)} is still open, and months are closed one after the other: what is seen later is "
            "booked to the first open one. Nothing was changed.\n"
            f"Close it first: {store.command(f'close {month(following)}')}"
        )
    if listed_at is None or listed_at < end:
        raise ClosingRefused(
            f"No sync of all orders was complete since {name} was over, so orders and changes of it may not "
            f"be known yet. Nothing was changed.\nRun: {store.command('sync')}, then try again."
        )
    missing = connection.scalars(text(_MISSING), {"store": store.key, "end": end}).all()
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise ClosingRefused(
            f"{plural(len(missing), 'order')} placed before the end of {name} could not be fetched or read yet, new or "
            f"as BrickLink has changed them, so the books are not complete: {', '.join(missing[:_NAMED])}{more}. "
            "Nothing was changed.\n"
            f"See why with: {store.command('errors')}. Fetch them with: {store.command('sync')}, then close the month."
        )


def _last_closed(connection: Connection, store: str) -> date | None:
    last: date | None = connection.scalar(
        text("SELECT max(period) FROM books.closings WHERE store = :store AND reopened_at IS NULL"), {"store": store}
    )
    return last


def _first_closed(connection: Connection, store: str) -> date:
    first: date = connection.scalar(
        text("SELECT min(period) FROM books.closings WHERE store = :store"), {"store": store}
    )
    return first


_ENDS = f"""
    SELECT
        CAST(CAST(:last AS date) + interval '1 month' AS date),
        (CAST(:period AS date) + interval '1 month') AT TIME ZONE :timezone,
        (
            SELECT max(listed_at) FROM sync.runs
            WHERE store = :store AND scope = 'all' AND status IN ({sql_list(COMPLETE)})
        )
"""

# Those that reports.completeness counts as missing or outdated: a payment may be what has changed.
_MISSING = """
    SELECT platform_order_id FROM sync.order_state
    WHERE store = :store AND order_date < :end AND (
        order_document_id IS NULL
        OR is_listed AND stored_fingerprint IS DISTINCT FROM listed_fingerprint AND NOT coalesce(
            -- The order is newer than the list.
            stored_fingerprint = '' AND order_fetched_at >= (
                SELECT max(started_at) FROM sync.runs WHERE store = :store AND orders_listed IS NOT NULL
            ),
            false
        )
    )
    ORDER BY order_date, platform_order_id
"""

# Without the store, which can get another name.
_DIGESTS = """
    SELECT
        period,
        count(*) AS entries,
        encode(sha256(string_agg(sha256(convert_to(lines, 'UTF8')), ''::bytea ORDER BY entry_no)), 'hex') AS digest
    FROM (
        SELECT
            period,
            entry_no,
            string_agg(
                jsonb_build_array(
                    entry_no, line_no, document, platform, platform_order_id, event, booking_date, tax_point,
                    order_date AT TIME ZONE 'UTC', seen_at AT TIME ZONE 'UTC', period, corrects_period, account_key,
                    is_reversal, country_code, region, special_territory, vat_rate, tax_kind, debit, credit, currency,
                    source_document_id, previous_document_id, booked_at AT TIME ZONE 'UTC'
                )::text,
                E'\\n' ORDER BY line_no
            ) AS lines
        FROM books.journal
        WHERE store = :store
        GROUP BY period, entry_no
    ) entries
    GROUP BY period
"""

_TOTALS = """
    SELECT period, account_key, currency, sum(debit) AS debit, sum(credit) AS credit
    FROM books.journal WHERE store = :store GROUP BY period, account_key, currency
"""

_OF_NOTHING = "encode(sha256(''::bytea), 'hex')"

_CLOSE = f"""
    INSERT INTO books.closings (store, period, timezone, closed_at, last_document_id, last_entry_no, entries, digest)
    SELECT
        :store,
        months.period::date,
        coalesce((SELECT timezone FROM sync.stores WHERE store = :store), 'UTC'),
        :now,
        coalesce((SELECT last_document_id FROM books.progress WHERE store = :store), 0),
        coalesce((SELECT max(entry_no) FROM books.journal WHERE store = :store), 0),
        coalesce(found.entries, 0),
        coalesce(found.digest, {_OF_NOTHING})
    FROM generate_series(
        CASE
            WHEN EXISTS (SELECT FROM books.closings WHERE store = :store AND reopened_at IS NULL)
            THEN CAST(:period AS date)
            ELSE least(CAST(:period AS date), (SELECT min(period) FROM books.journal WHERE store = :store))
        END::timestamp,
        CAST(:period AS date)::timestamp,
        interval '1 month'
    ) AS months (period)
    LEFT JOIN ({_DIGESTS}) found ON found.period = months.period::date
    ORDER BY months.period
    RETURNING period
"""

_NOTE_TOTALS = f"""
    INSERT INTO books.closing_totals (closing_id, account_key, currency, debit, credit)
    SELECT c.closing_id, t.account_key, t.currency, t.debit, t.credit
    FROM books.closings c JOIN ({_TOTALS}) t ON t.period = c.period
    WHERE c.store = :store AND c.reopened_at IS NULL AND c.period = ANY(:closed)
"""

_PERIODS = f"""
    SELECT
        period,
        coalesce(found.entries, 0) AS entries,
        coalesce(found.digest, {_OF_NOTHING}) AS digest,
        last.closing_id, last.closed_at, last.reopened_at, last.last_document_id,
        last.entries AS closed_entries, last.digest AS closed_digest
    FROM ({_DIGESTS}) found
    FULL JOIN (
        SELECT DISTINCT ON (period) * FROM books.closings WHERE store = :store ORDER BY period, closing_id DESC
    ) last USING (period)
    ORDER BY period
"""

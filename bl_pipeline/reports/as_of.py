"""A report as the warehouse knew it at a moment: an answer of BrickLink that was received later does not count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from bl_pipeline.questions import QuestionError, in_utc, parse_time
from bl_pipeline.reports.files import Report, read_reports, reports_as_of

_INCOMPLETE = """
    SELECT EXISTS (
        SELECT FROM sales.order_status_history
        WHERE store = ANY(:stores) AND total IS NOT NULL
          AND num_nonnulls(subtotal, shipping, fees, total_count, payment_method, country_code) = 0
    )
"""
"""States that a release stored whose history had only some columns: they have none of those that were added."""


def parse_moment(written: str, timezone: str, now: datetime) -> datetime:
    """The last moment of a year, a month or a day of the store, or a time such as 2026-03-14T09:30Z; aware, in UTC.

    Of a period that is not over it is `now`. Raises QuestionError, if it begins later than now, too.
    """

    def aware(moment: datetime) -> datetime:
        try:
            return in_utc(moment, timezone)
        except OverflowError:
            raise QuestionError(f"{written!r} is no moment of an order. Write it as 2026-03-14T09:30Z.") from None

    if aware(parse_time(written)) > now:
        raise QuestionError(f"{written!r} is in the future: nobody knows yet what the reports will say then.")
    return min(aware(parse_time(written, end=True)) - timedelta(microseconds=1), now)


@contextmanager
def known_at(connection: Connection, stores: Sequence[str], report: Report, moment: datetime | None) -> Iterator[None]:
    """While this is open, the report has the rows that it had at the moment; None is now.

    Raises QuestionError if the report cannot say that.
    """
    if moment is None:
        yield
        return
    able = {each.name for each in reports_as_of(read_reports())}
    if report.name not in able:
        raise QuestionError(
            f"{report.name} is about now: leave --as-of out. Reports with a past: {', '.join(sorted(able))}"
        )
    if connection.scalar(text(_INCOMPLETE), {"stores": list(stores)}):
        raise QuestionError(
            "An older version of bl_pipeline has stored less of the earlier states of orders than this needs. Fill "
            "them from the stored answers, once and without any call: bl rebuild"
        )
    set_moment = text("SELECT set_config('bl_pipeline.as_of', :moment, true)")
    connection.execute(set_moment, {"moment": moment.isoformat()})
    yield
    connection.execute(set_moment, {"moment": ""})  # after an error it ends with the transaction

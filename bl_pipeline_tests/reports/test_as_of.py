"""Every report as of a moment is the report that was read at that moment."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, text

from bl_pipeline.questions import QuestionError
from bl_pipeline.reports.as_of import parse_moment
from bl_pipeline.reports.files import read_reports, reports_as_of
from bl_pipeline.reports.reading import ReportQuestion, find_report, read_report
from bl_pipeline.sandbox import SandboxServer, Store, move_on
from bl_pipeline.settings import load_settings
from bl_pipeline.sync.rebuild import rebuild
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline_tests.conftest import NOW, Clock, Sync, sandbox_settings
from bl_pipeline_tests.support.many_orders import fill
from bl_pipeline_tests.support.servers import TEMPLATE, Postgres
from bl_pipeline_tests.support.sessions import session_at

pytestmark = pytest.mark.slow

SYNCS = 24
# Ages and the last month are those of the day on which one asks, and that is not the sandbox's.
REPORTS = sorted(
    {report.name for report in reports_as_of(read_reports())}
    - {"open_orders_by_age", "payments_to_check", "statuses_by_month"}
)

Rows = Counter[tuple[Any, ...]]


@dataclass
class Lives:
    """A warehouse that was synced many times; `seen` has the rows of each report after each sync, by its moment."""

    warehouse: Warehouse
    sync: Sync
    seen: dict[datetime, dict[str, Rows]]


def rows_now(connection: Connection) -> dict[str, Rows]:
    """The rows of each report."""
    return {name: rows_of(connection, f"reports.{name}") for name in REPORTS}


def rows_of(connection: Connection, relation: str, **values: Any) -> Rows:
    """The rows of a relation, in no order."""
    rows = connection.execute(text(f"SELECT * FROM {relation}"), values)
    return Counter(tuple(row) for row in rows)


def live(store: Store, rng: random.Random) -> None:
    """Some hours in the life of a store: everything that can happen to an order, often what lists do not show."""
    store.advance(timedelta(hours=rng.randint(1, 200)))
    move_on(store, new=rng.randint(0, 3), changed=rng.randint(3, 9), seed=rng.randrange(10**6))
    unpaid = [order for order in store.sales.values() if order.payment.status == "None" and not order.is_purged]
    for order in rng.sample(unpaid, min(len(unpaid), 3)):
        cents = Decimal(rng.randint(1, 400)) / 100
        store.edit_costs(order.order_id, **{rng.choice(("credit", "shipping", "coupon")): cents})
    pending = [order for order in unpaid if order.status == "PENDING" and order.unique_count > 1]
    for order in rng.sample(pending, min(len(pending), 1)):
        store.remove_last_item(order.order_id)
    open_orders = [order for order in store.sales.values() if order.status in {"PAID", "PACKED", "SHIPPED"}]
    for order in rng.sample(open_orders, min(len(open_orders), 2)):
        rng.choice((store.cancel, store.add_batch, store.complete))(order.order_id)
    strange = rng.choice(list(store.sales.values()))
    if not strange.is_purged:
        store.set_status(strange.order_id, rng.choice(("QUARANTINED", "NSS", "NPB", "OCR", "RECEIVED")))
    for order in rng.sample(done := [o for o in store.sales.values() if o.status == "COMPLETED"], min(len(done), 1)):
        store.purge(order.order_id)


@pytest.fixture(scope="module")
def lives(postgres: Postgres) -> Iterator[Lives]:
    """The lives of a store with three currencies."""
    store = Store.grow(orders=40, seed=5, now=NOW, days=300, purged=3, currencies=("EUR", "USD", "GBP"))
    rng = random.Random(17)
    with postgres.database(TEMPLATE) as url, SandboxServer(store, timestamp_lifetime=10**9) as server:
        settings = sandbox_settings(server, url, bl_timezone="Europe/Berlin")
        sync = Sync(settings, Clock(store.now))
        seen = {}
        with open_warehouse(settings) as warehouse:
            for _ in range(SYNCS):
                sync.clock.now = store.now
                assert sync().success
                with warehouse.engine.connect() as connection:
                    seen[sync.clock()] = rows_now(connection)
                live(store, rng)
            yield Lives(warehouse, sync, seen)


def compare(lives: Lives, moments: list[datetime]) -> None:
    """Every report as of each moment has the rows that it had after the last sync before it."""
    with lives.warehouse.engine.connect() as connection:
        for moment in moments:
            then = max(at for at in lives.seen if at <= moment)
            for name in REPORTS:
                shown = rows_of(connection, f"reports.{name}_as_of(:moment)", moment=moment)
                assert shown == lives.seen[then][name], (name, str(moment))


def random_moments(lives: Lives, number: int) -> list[datetime]:
    """Moments from the first sync to a while after the last one, and those of the syncs themselves."""
    rng = random.Random(3)
    first, last = min(lives.seen), max(lives.seen) + timedelta(days=3)
    return [first + (last - first) * rng.random() for _ in range(number)]


def test_states_differ_at_the_moments(lives: Lives) -> None:
    """What is compared below moves."""
    for name in REPORTS:
        distinct = {frozenset(rows[name].items()) for rows in lives.seen.values()}
        assert len(distinct) > 2, name
    with lives.warehouse.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM sales.replaced_items"))


def test_a_report_as_of_a_moment_is_the_one_that_was_read_then(lives: Lives) -> None:
    moments = sorted(lives.seen)
    compare(lives, [moments[0], moments[7], moments[15] + timedelta(seconds=1), *random_moments(lives, 5)])


@pytest.mark.full
def test_it_is_at_200_random_moments(lives: Lives) -> None:
    compare(lives, random_moments(lives, 200))


def test_it_is_after_a_rebuild(lives: Lives) -> None:
    with session_at(lives.sync.settings, lives.sync.clock, sleep=lives.sync.clock.sleep) as session:
        assert not rebuild(session).failures
    compare(lives, random_moments(lives, 8))


def test_before_the_first_sync_nothing_was_known(lives: Lives) -> None:
    with lives.warehouse.engine.connect() as connection:
        for name in REPORTS:
            before = min(lives.seen) - timedelta(microseconds=1)
            assert not rows_of(connection, f"reports.{name}_as_of(:moment)", moment=before), name


@pytest.mark.parametrize("moment", ["2099-01-01", "infinity"])
@pytest.mark.parametrize("name", ["open_orders_by_age", "payments_to_check", "statuses_by_month"])
def test_ages_and_months_end_now(lives: Lives, name: str, moment: str) -> None:
    """Also as of a moment to come. Planted: the month of the moment, and so months without end."""
    with lives.warehouse.engine.connect() as connection:
        shown = rows_of(connection, f"reports.{name}_as_of(:moment)", moment=moment)
        assert shown == rows_of(connection, f"reports.{name}")


def test_as_of_no_moment_is_not_as_of_now(lives: Lives) -> None:
    """Planted: a function that takes null, such as the closing of a month that was not closed, for now."""
    with lives.warehouse.engine.connect() as connection:
        assert not rows_of(connection, "reports.revenue_by_month_as_of(NULL)")


@pytest.mark.parametrize("style", ["ISO", "SQL, DMY", "Postgres", "German"])
def test_a_moment_is_the_same_in_every_session(postgres_15: Postgres, style: str) -> None:
    """Planted: the moment as the session writes it, in which Postgres 15 takes IST for the time of Israel."""
    with (
        postgres_15.database() as url,
        open_warehouse(load_settings(env_file=None, bl_database_url=url, bl_store="main")) as warehouse,
        warehouse.engine.connect() as connection,
    ):
        fill(connection, 20)
        last = connection.scalar(text("SELECT max(observed_at) FROM sales.order_status_history"))
        assert last is not None
        connection.execute(text(f"SET timezone = 'Asia/Kolkata'; SET datestyle = '{style}'"))
        count = text("SELECT count(*) FROM reports.status_history_as_of(:moment)")
        then, before = (connection.scalar(count, {"moment": last - timedelta(seconds=ago)}) for ago in (0, 1))
        assert then == before + 1


def test_a_question_has_a_moment_and_the_next_one_is_about_now(lives: Lives) -> None:
    """Caught: a setting that stays after its question."""
    moment = sorted(lives.seen)[4]
    report = find_report("revenue_orders")
    with lives.warehouse.engine.connect() as connection:
        then = read_report(connection, "main", report, ReportQuestion(as_of=moment))
        now = read_report(connection, "main", report)
    assert (then.as_of, now.as_of) == (moment, None)
    assert Counter(map(tuple, then.rows)) == lives.seen[moment]["revenue_orders"]
    assert Counter(map(tuple, now.rows)) == lives.seen[max(lives.seen)]["revenue_orders"]


def test_a_report_about_now_has_no_past(lives: Lives) -> None:
    asked = ReportQuestion(as_of=min(lives.seen))
    with lives.warehouse.engine.connect() as connection, pytest.raises(QuestionError, match="missing is about now"):
        read_report(connection, "main", find_report("missing"), asked)


def test_states_of_an_older_release_are_filled_first(lives: Lives) -> None:
    added = ", ".join(
        f"{name} = NULL" for name in ("subtotal", "shipping", "fees", "total_count", "payment_method", "country_code")
    )
    with lives.warehouse.engine.connect() as connection:
        connection.execute(text(f"UPDATE sales.order_status_history SET {added} WHERE document_id = 1"))
        with pytest.raises(QuestionError, match="bl rebuild"):
            read_report(connection, "main", find_report("revenue_orders"), ReportQuestion(as_of=NOW))
        connection.rollback()


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-10-05", "2026-10-05T21:59:59.999999Z"),
        ("2026-02", "2026-02-28T22:59:59.999999Z"),
        ("2025", "2025-12-31T22:59:59.999999Z"),
        ("2026-10-05T12:00Z", "2026-10-05T12:00:00Z"),
        ("2026-10-05T12:00", "2026-10-05T10:00:00Z"),
        ("2026-11", "2026-11-20T08:00:00Z"),
    ],
)
def test_a_moment_is_the_end_of_what_was_written_or_now(written: str, moment: str) -> None:
    now = datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert parse_moment(written, "Europe/Berlin", now) == datetime.fromisoformat(moment)


@pytest.mark.parametrize("written", ["0001", "0001-01-01T00:00+23:00", "9999-12-31T23:59:59.999999-23:00"])
@pytest.mark.parametrize("timezone", ["UTC", "Pacific/Auckland", "America/New_York"])
def test_a_moment_that_no_calendar_has_is_no_crash(written: str, timezone: str) -> None:
    """Planted: an OverflowError of the time zone."""
    now = datetime(2026, 11, 20, 8, tzinfo=UTC)
    try:
        assert parse_moment(written, timezone, now) < now
    except QuestionError as error:
        assert written in str(error)


def test_what_is_in_the_future_is_refused() -> None:
    now = datetime(2026, 11, 20, 8, tzinfo=UTC)
    for written in ("2026-11-21", f"{date(2027, 1, 1)}", "2026-11-20T08:01Z"):
        with pytest.raises(QuestionError, match="in the future"):
            parse_moment(written, "UTC", now)

"""The one place where the benchmarks call into the product: what is renamed there is renamed here, once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import psycopg
from sqlalchemy import Connection, text

from benchmarks.orders import Line, Sums, check
from benchmarks.processes import clean_environment
from bl_pipeline.bricklink import read_order, read_summaries
from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import ListedOrder, SyncRequest
from bl_pipeline.reports.files import read_reports
from bl_pipeline.reports.reading import ReportQuestion, read_report
from bl_pipeline.rules.normalise import order_fingerprint
from bl_pipeline.rules.summaries import listed_orders
from bl_pipeline.settings import Settings, load_settings
from bl_pipeline.sync.bookkeeping import book_changes
from bl_pipeline.sync.fetching import fetch_batch
from bl_pipeline.sync.finishing import finish
from bl_pipeline.sync.listing import ask_lists, list_orders
from bl_pipeline.sync.planning import batch_numbers, plan_changes
from bl_pipeline.sync.rebuild import ORDERS_AT_A_TIME
from bl_pipeline.sync.rebuild import rebuild as rebuild_landed
from bl_pipeline.sync.replaying import Replay, replays
from bl_pipeline.sync.run import run_sync
from bl_pipeline.sync.session import open_session
from bl_pipeline.terminal.reports import LATEST_ROWS
from bl_pipeline.warehouse.database import PLATFORM, Warehouse, open_warehouse
from bl_pipeline.warehouse.landing import Document
from bl_pipeline.warehouse.load import load
from bl_pipeline_tests.support import many_orders

BL = Path(sys.executable).with_name("bl")
STORE = "main"
_FETCHED_AT = datetime(2026, 11, 2, tzinfo=UTC)


def environment(url: str, **more: str) -> dict[str, str]:
    """The environment of a command `bl` on this warehouse."""
    return clean_environment(BL_DATABASE_URL=url, BL_STORE=STORE, **more)


def settings(url: str, **more: Any) -> Settings:
    """Settings of this warehouse; `more` are others by the fields' names."""
    return load_settings(env_file=None, bl_database_url=url, bl_store=STORE, **more)


@contextmanager
def warehouse_at(url: str) -> Iterator[Warehouse]:
    """The warehouse in a database, whose tables are made if they are not there."""
    with open_warehouse(settings(url), for_writing=True) as opened:
        yield opened


def rebuild(url: str) -> tuple[int, float]:
    """What `bl rebuild` does, in this process; the orders rebuilt, and the seconds once the warehouse is open."""
    with open_session(settings(url)) as session:
        started = time.perf_counter()
        rebuilt = rebuild_landed(session)
        return rebuilt.orders, time.perf_counter() - started


def make_tables(url: str) -> None:
    """The product's tables, in an empty database."""
    with warehouse_at(url):
        pass


def land(url: str, lines: Iterable[Line]) -> None:
    """The answers and states of a store that has been synced; its `sales` tables stay empty, as if they were lost."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        document_id = 0
        for batch in batches(lines):
            documents, states = [], []
            of_lists = _listed(batch)
            for line in batch:
                listed = of_lists[line.order_id]
                fingerprint = order_fingerprint(read_order(line.order))
                for kind, body in ((AnswerKind.ORDER, line.order), (AnswerKind.ITEMS, line.items)):
                    document_id += 1
                    documents.append(
                        (
                            document_id, STORE, PLATFORM, line.order_id, kind, body.decode(), listed.fingerprint,
                            listed.status_changed_at, _FETCHED_AT, "landed",
                        )
                    )  # fmt: skip
                states.append(
                    (
                        STORE, PLATFORM, line.order_id, listed.order_date, listed.fingerprint, listed.status,
                        listed.status_changed_at, listed.is_filed, _FETCHED_AT, listed.fingerprint,
                        listed.status_changed_at, document_id - 1, fingerprint, _FETCHED_AT, document_id, _FETCHED_AT,
                        fingerprint,
                    )
                )  # fmt: skip
            for table, rows in ((_DOCUMENTS, documents), (_STATES, states)):
                with cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy:
                    for row in rows:
                        copy.write_row(row)
        cursor.execute("SELECT setval(pg_get_serial_sequence('landing.documents', 'document_id'), %s)", [document_id])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) landing.documents, sync.order_state")


_DOCUMENTS = """landing.documents (
    document_id, store, platform, platform_order_id, kind, body, listed_fingerprint, listed_status_changed_at,
    fetched_at, run_id
)"""
_STATES = """sync.order_state (
    store, platform, platform_order_id, order_date, listed_fingerprint, listed_status, listed_status_changed_at,
    listed_filed, first_listed_at, stored_fingerprint, stored_status_changed_at, order_document_id, order_fingerprint,
    order_fetched_at, items_document_id, items_fetched_at, items_fingerprint
)"""


def _listed(lines: Sequence[Line]) -> dict[str, ListedOrder]:
    """What the lists say of these orders, by order id."""
    summaries, unreadable = read_summaries(b"[" + b",".join(line.row for line in lines) + b"]")
    assert not unreadable
    return listed_orders(summaries, filed=False)


@dataclass(frozen=True)
class Batch:
    """What the loader gets."""

    replay: Replay

    @property
    def orders(self) -> pd.DataFrame:
        """Rows of sales.orders."""
        return self.replay.order_rows

    @property
    def items(self) -> pd.DataFrame:
        """Rows of sales.order_items."""
        return self.replay.part_rows[AnswerKind.ITEMS].rows


def normalise(lines: Sequence[Line], *, first_document_id: int = 1) -> Batch:
    """JSON to DataFrames, all in memory."""
    landed = {
        line.order_id: [
            Document(line.order_id, kind, body, None, None, _FETCHED_AT, first_document_id + 2 * number + place)
            for place, (kind, body) in enumerate(((AnswerKind.ORDER, line.order), (AnswerKind.ITEMS, line.items)))
        ]
        for number, line in enumerate(lines)
    }
    (replay,), usual = replays(landed)
    check("orders normalised", len(usual), len(landed))
    return Batch(replay)


def merge(connection: Connection, warehouse: Warehouse, batch: Batch) -> tuple[int, int]:
    """Load a batch with the product's loader, in the caller's transaction; orders created and updated."""
    written = load(
        connection,
        warehouse,
        order_rows=batch.replay.order_rows,
        part_rows=batch.replay.part_rows,
        absent_kept=batch.replay.absent_kept,
        states=(),
    )
    return len(written.created), len(written.updated)


def api_settings(api: str, **more: Any) -> dict[str, Any]:
    """The settings of a store at this address of the API, with a budget that is large enough; by the fields' names."""
    credentials = dict.fromkeys(("consumer_key", "consumer_secret", "token_value", "token_secret"), "0" * 32)
    return {
        "bricklink_api_url": api,
        "bl_daily_call_limit": 1_000_000,
        **{f"bricklink_{name}": value for name, value in credentials.items()},
        **more,
    }


def api_environment(api: str) -> dict[str, str]:
    """The same as variables of the environment, for a command `bl`; without re-checks, which no list asks for."""
    return {name.upper(): str(value) for name, value in api_settings(api, bl_rechecks_per_day=0).items()}


def fetch_all(url: str, api: str, in_flight: int) -> dict[str, float]:
    """A first sync, step by step: its calls, and the seconds of its fetch phase."""
    with open_session(settings(url, **api_settings(api, bl_max_parallel_requests=in_flight))) as session:
        session.begin(uuid4().hex, job="sync_orders")
        list_orders(session, SyncRequest())
        plan = plan_changes(session, SyncRequest())
        started = time.perf_counter()
        for number in batch_numbers(plan):
            fetch_batch(session, number, include_items=True)
        seconds = time.perf_counter() - started
        return {"calls": finish(session).api_calls, "seconds": seconds}


def fill(url: str, orders: int) -> None:
    """A large synced store, made by Postgres itself: orders 1, 2, ... with five lots each, their history and states.

    All is booked, as after any sync.
    """
    with warehouse_at(url) as warehouse:
        with warehouse.engine.begin() as connection:
            many_orders.fill(connection, orders)
            connection.execute(text("ANALYZE"))
        with open_session(settings(url)) as session:
            check("the books", book_changes(session), None)
        with warehouse.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM (ANALYZE)"))
    make_tables(url)  # what the product prepares when it opens a warehouse


def sync(url: str, api: str) -> dict[str, float]:
    """A sync without Dagster: its calls, the orders that it skipped, and its seconds."""
    with open_session(settings(url, **api_settings(api, bl_rechecks_per_day=0))) as session:
        started = time.perf_counter()
        result = run_sync(session, SyncRequest(), run_id=uuid4().hex)
        seconds = time.perf_counter() - started
    return {"calls": result.api_calls, "skipped": result.orders_skipped, "seconds": seconds}


def list_and_plan(url: str, api: str) -> dict[str, float]:
    """The first two steps of a sync: how many orders are to be fetched, the seconds to ask the lists, and those of the
    rest: to compare them with what is stored, and to plan."""
    with open_session(settings(url, **api_settings(api, bl_rechecks_per_day=0))) as session:
        session.begin(uuid4().hex, job="sync_orders")
        started = time.perf_counter()
        ask_lists(session, session.run_id, include_filed=True)
        asked = time.perf_counter() - started
        list_orders(session, SyncRequest())
        plan = plan_changes(session, SyncRequest())
        both = time.perf_counter() - started
        finish(session)
    assert plan is not None
    return {"to_fetch": len(plan.fetches), "asked": asked, "compared": both - 2 * asked}


def refresh_and_read(url: str, api: str, order_ids: Sequence[str]) -> dict[str, float]:
    """The same as `refresh`, and the seconds from its end until a report shows what it has loaded."""
    found = refresh(url, api, order_ids)
    started = time.perf_counter()
    with warehouse_at(url) as warehouse, warehouse.engine.connect() as connection:
        shown = connection.scalar(text("SELECT sum(revenue) FROM reports.revenue_by_month WHERE basis = 'order_date'"))
        seconds = time.perf_counter() - started
        loaded = connection.scalar(
            text("SELECT sum(final_total) FROM sales.orders WHERE status NOT IN ('cancelled', 'problem')")
        )
    check("revenue by month", shown, loaded)
    return {**found, "current": seconds}


def read_all_reports(url: str) -> dict[str, float]:
    """The seconds to read each report as `bl report` shows it."""
    seconds = {}
    with warehouse_at(url) as warehouse, warehouse.engine.connect() as connection:
        for report in read_reports():
            asked = ReportQuestion(basis=report.basis, total=True, limit=None if report.chart else LATEST_ROWS)
            started = time.perf_counter()
            read_report(connection, warehouse.store, report, asked)
            seconds[report.name] = time.perf_counter() - started
    return seconds


def outdated_reports(url: str) -> dict[str, int]:
    """The reports whose rows are not those of their SELECT, with how many differ."""
    outdated = {}
    with psycopg.connect(url) as connection:
        for report in read_reports():
            row = connection.execute(
                f"""
                WITH shown AS MATERIALIZED (TABLE reports.{report.name}), said AS MATERIALIZED ({report.sql})
                SELECT count(*) FROM (
                    (TABLE shown EXCEPT ALL TABLE said) UNION ALL (TABLE said EXCEPT ALL TABLE shown)
                ) AS difference
                """.encode()
            ).fetchone()
            if row != (0,):
                outdated[report.name] = row[0] if row else -1
    return outdated


def refresh(url: str, api: str, order_ids: Sequence[str]) -> dict[str, float]:
    """A run that fetches and loads these orders: how many were updated, its calls, and its seconds."""
    with open_session(settings(url, **api_settings(api))) as session:
        started = time.perf_counter()
        result = run_sync(session, SyncRequest(order_ids=tuple(order_ids)), run_id=uuid4().hex, job="refresh_order")
        seconds = time.perf_counter() - started
    return {"updated": result.orders_updated, "calls": result.api_calls, "seconds": seconds}


def batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """As many orders at a time as `bl rebuild` takes."""
    rest = iter(lines)
    while batch := list(islice(rest, ORDERS_AT_A_TIME)):
        yield batch


def check_stored(what: str, url: str, sums: Sums) -> None:
    """Raise WrongResult if the warehouse has not these orders, to the last decimal, and each with its state."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            """
            SELECT count(*), (SELECT count(*) FROM sales.order_items), sum(total), sum(final_total),
                (SELECT sum(total_price) FROM sales.order_items)
            FROM sales.orders JOIN sync.order_state USING (store, platform, platform_order_id)
            """
        ).fetchone()
        assert found is not None
    sums.check(what, *found)

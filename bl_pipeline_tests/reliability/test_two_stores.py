"""A second store full of faults beside it: a store reads, does and reports the same as if it were alone.

Both have the same order ids, so a query that forgets the store meets rows of the other one. Every function of
`warehouse`, `reports` and `books` that is about one store is used, every report and every check; not the commands that
print what these return, and not the functions of stores.py, which are about the names of all stores
(test_store_names.py).
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from types import CodeType, FrameType
from typing import Any

import pytest
from sqlalchemy import Connection

import bl_pipeline.books
import bl_pipeline.reports
import bl_pipeline.warehouse
from bl_pipeline.books.accounts import template
from bl_pipeline.books.booking import book, is_behind
from bl_pipeline.books.closing import (
    ClosingRefused,
    Period,
    close,
    other_timezones,
    read_periods,
    reopen,
    unclear_orders,
)
from bl_pipeline.books.csv_tables import FileErrors
from bl_pipeline.books.exporting import AccountsFile, ExportFormat, export_period, read_combinations, read_lines
from bl_pipeline.books.import_files import ImportKind, parse_file
from bl_pipeline.books.importing import import_lines
from bl_pipeline.books.period_changes import read_period_changes
from bl_pipeline.columns import OPTIONAL_PARTS, AnswerKind
from bl_pipeline.questions import QuestionError
from bl_pipeline.records import SyncRequest
from bl_pipeline.reports import files, reading
from bl_pipeline.sandbox import Fault
from bl_pipeline.sync.asking import WriteOrder
from bl_pipeline.sync.planning import forecast_sync
from bl_pipeline.sync.rebuild import rebuild
from bl_pipeline.sync.status import read_status, state_after_runs
from bl_pipeline.sync.writing import run_write
from bl_pipeline.warehouse import (
    cancellation,
    checks,
    fulfilment,
    full_syncs,
    landing,
    orders_list,
    run_orders,
    runs,
    sales,
    state,
    trends,
    writes,
)
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.conftest import NOW
from bl_pipeline_tests.support.distributed import LONG
from bl_pipeline_tests.support.other_store import put_other_beside, rows_of_other
from bl_pipeline_tests.support.processes import EVERYTHING, contents
from bl_pipeline_tests.support.sales_rows import as_json
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.support.world import RememberingStore, World, new_world, session_on

EVERY_ROW = reading.ReportQuestion()


def refused(connection: Connection, warehouse: Warehouse) -> list[str]:
    """What is said of words that the store does not have: it names those that it has."""
    month = reading.find_report("revenue_by_month")
    messages = []
    for ask in (
        lambda: orders_list.read_orders(connection, warehouse, orders_list.OrderFilter(status="NONE")),
        lambda: reading.read_report(connection, warehouse.store, month, reading.ReportQuestion(currency="XXX")),
    ):
        with pytest.raises(QuestionError) as caught:
            ask()
        messages.append(str(caught.value))
    return messages


def periods_of(connection: Connection, store: str) -> list[Period]:
    """The periods without ids that count the answers of both stores; the digest is of them too."""
    return [replace(period, digest="", last_document_id=None) for period in read_periods(connection, store)]


def streamed(connection: Connection, store: str, report: files.Report) -> list[dict[str, Any]]:
    """The rows of a report as they are read by one who has no place for all."""
    columns, rows = reading.stream_report(connection, store, report, EVERY_ROW)
    return [dict(zip((column.name for column in columns), row, strict=True)) for row in rows]


def everything_read(world: World) -> dict[str, Any]:
    """All that can be read of the store."""
    warehouse, now = world.warehouse, world.clock.now
    with warehouse.engine.connect() as connection:
        every = orders_list.read_orders(connection, warehouse, orders_list.OrderFilter(limit=1000))
        listed = [dict(row) for row in every.rows]
        ids = [row["platform_order_id"] for row in listed]
        run = runs.last_runs(connection, warehouse, limit=1)[0]
        found: dict[str, Any] = {
            "orders": listed,
            "sums": (every.count, dict(every.totals), every.without_revenue),
            "refused": refused(connection, warehouse),
            "each": [sales.read_order_and_ours(connection, warehouse, row["platform_order_id"]) for row in listed],
            "fetched": [sales.last_fetched_at(connection, warehouse, row["platform_order_id"]) for row in listed],
            "parts": [
                sales.read_part(connection, warehouse, row["platform_order_id"], kind)
                for row in listed
                for kind in OPTIONAL_PARTS
            ],
            "writes": [
                (write.kind, write.asked, write.before, write.answer, write.outcome, write.after)
                for row in listed
                for write in writes.of_order(connection, warehouse, row["platform_order_id"])
            ],
            "unsettled": writes.unsettled(connection, warehouse),
            "rows": sales.count_rows(connection, warehouse),
            "known": state.count_orders(connection, warehouse),
            "asked": runs.last_listed_at(connection, warehouse),
            "changed": runs.last_change(connection, warehouse),
            "todo": fulfilment.read_todo(connection, warehouse, limit=100),
            "undecided": fulfilment.count_undecided(connection, warehouse),
            "chosen": fulfilment.read_chosen(connection, warehouse, ids),
            "picks": fulfilment.read_pick_list(connection, warehouse, ids),
            "answers": [
                [answer and answer.body for answer in landing.before_and_after(connection, warehouse, *about)]
                for about in ((order_id, AnswerKind.ORDER, "a write") for order_id in ids)
            ],
            "streamed": [streamed(connection, warehouse.store, report) for report in files.read_reports()],
            "checks": {
                check: checks.find_offenders(connection, warehouse, check).order_ids
                for check in checks.OFFENDING_ORDERS
            },
            "unreadable": checks.unreadable_fields(connection, warehouse),
            "failed": [(failed.order_id, failed.error) for failed in state.failed_orders(connection, warehouse)],
            "runs": [(run.job, run.status, run.message) for run in runs.last_runs(connection, warehouse, limit=100)],
            "errors": run_orders.run_errors(connection, warehouse, run.run_id),
            "state": state_after_runs(world.settings.store, connection, warehouse, now),
            "by day": trends.orders_by_day(connection, warehouse, now),
            "reports": {
                report.name: reading.read_report(connection, warehouse.store, report).dicts()
                for report in files.read_reports()
            },
            "periods": periods_of(connection, warehouse.store),
            "time zones of periods": other_timezones(connection, warehouse.store),
            "lines": [
                read_lines(connection, warehouse.store, period.period)
                for period in read_periods(connection, warehouse.store)
            ],
            "changes since": read_period_changes(connection, warehouse.store),
            "unbooked": is_behind(connection, warehouse.store),
            "report rows": {
                report.name: reading.count_rows(connection, warehouse.store, report) for report in files.read_reports()
            },
        }
    status = read_status(world.settings.store, warehouse, now).as_dict()
    found["status"] = {**status, "last_run": None, "warehouse": None}
    with session_on(warehouse, world.settings, world.clock) as session:
        found["forecast"] = forecast_sync(session, SyncRequest())
    return found


def keep_books(world: World, order_id: str) -> list[Any]:
    """Book, import, close, export and reopen; what came of it."""
    store, now, engine = world.warehouse.store, world.clock.now, world.warehouse.engine
    datev = world.settings.model_copy(update={"bl_datev_consultant": 1001, "bl_datev_client": 1})
    found: list[Any] = []
    for about in (order_id, order_id, "77"):
        written = f"date,order_id,amount,currency,reference,note\n2026-06-01,{about},1.50,EUR,R-1,\n".encode()
        with engine.begin() as connection:
            lines = parse_file(ImportKind.REFUNDS, written, today=now.date())
            try:
                found.append(import_lines(connection, store, ImportKind.REFUNDS, lines, file="refunds.csv", now=now))
            except FileErrors as refused:
                found.append(str(refused))
    with engine.begin() as connection:
        found.append(book(connection, store, now))
        for month in (date(2026, 5, 1), date(2026, 4, 1)):
            try:
                found.append(close(connection, datev.store, month, now))
            except ClosingRefused as refused:
                found.append(str(refused))
        header, *empty = template(read_combinations(connection, store)).splitlines()
        chart = "\n".join((header, *(f"{line[:-1]}1000," for line in empty)))
        accounts = AccountsFile("accounts.csv", chart.encode())
        files = export_period(connection, datev, ExportFormat.DATEV, date(2026, 5, 1), accounts, ["USD=1.1"], now)
        found.append(files)
        reopen(connection, datev.store, date(2026, 5, 1), now)
        found.append(periods_of(connection, store))
        found.append(close(connection, datev.store, date(2026, 5, 1), now))
        found.append(unclear_orders(connection, store, [date(2026, 4, 1), date(2026, 5, 1)]))
    return found


def drive(world: World) -> dict[str, Any]:
    """A life of the store in which every query is used; what was read at its end, and the results of its runs."""
    store = world.store
    world.advance(hours=1)
    open_ids = [order.order_id for order in store.sales.values() if not (order.is_filed or order.is_purged)]
    results: list[Any] = []

    def sync(request: SyncRequest = EVERYTHING) -> None:
        results.append(replace(world.sync(request), duration_seconds=0))

    store.add_batch(open_ids[0])
    store.set_status(open_ids[1], "PACKED")
    store.purge(open_ids[2])
    store.place_order(paid=True)
    world.server.faults.on(f"/orders/{open_ids[1]}$", Fault.WRONG_TYPE_MONEY)
    sync()
    sync(SyncRequest(order_ids=(str(open_ids[3]), str(open_ids[4]))))
    sync(SyncRequest(order_ids=tuple(map(str, open_ids[5:7])), also=OPTIONAL_PARTS))
    with session_on(world.warehouse, world.settings, world.clock) as session:
        asked = WriteOrder(str(open_ids[4]), {"remarks": "ours"}, unchanged_since=world.clock.now)
        written = run_write(session, asked, run_id="a write", job="update_order")
        assert [write.outcome for write in written.writes] == ["done"]
    sync(SyncRequest(order_ids=("77",)))
    sync(SyncRequest(only_failed=True))
    store.put(replace(store.order(open_ids[5]), direction="out"))
    results.append(("read", everything_read(world)))
    # No month is closed while an order has changed and cannot be read.
    world.server.faults.clear()
    sync(SyncRequest(only_failed=True))
    results.append(("books", keep_books(world, str(open_ids[4]))))
    world.overrides = {"bl_daily_call_limit": 130, "bl_call_reserve": 0}
    sync(SyncRequest(full_sync=True))
    with session_on(world.warehouse, world.settings, world.clock) as session:
        session.begin("canceled", job="sync_orders")
        with world.warehouse.engine.begin() as connection:
            assert cancellation.request_cancel(connection, world.warehouse, world.clock.now) == "canceled"
        session.cancel()
    world.advance(minutes=1)
    with session_on(world.warehouse, world.settings, world.clock) as session:
        session.lease = LONG
        assert session.try_begin_distributed("distributed", job="sync_orders")
        assert not SyncLock(world.warehouse).try_acquire()
        session.cancel()
    world.advance(hours=25)
    sync()
    world.overrides = {}
    world.server.faults.clear()
    world.advance(days=31)
    sync()
    with session_on(world.warehouse, world.settings, world.clock) as session:
        session.take_lock(lambda: None)
        assert not rebuild(session).undone
    results.append(("read", everything_read(world)))
    # Two runs that begin at the same moment have no order.
    world.advance(minutes=1)
    world.overrides = {"bl_daily_call_limit": 30, "bl_call_reserve": 0}
    sync(SyncRequest(full_sync=True))
    with world.warehouse.engine.begin() as connection:
        withdrawn = full_syncs.withdraw_full_syncs(connection, world.warehouse, world.clock.now)
        assert len(withdrawn) == 1
    world.overrides = {}
    return {"results": results, "read": everything_read(world)}


@contextmanager
def code_run() -> Iterator[set[CodeType]]:
    """The code that is run meanwhile, in threads too."""
    found: set[CodeType] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            found.add(frame.f_code)

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


def queries_by_store() -> dict[str, CodeType]:
    """Every function of the warehouse, reports and books that is about one store, as its parameters say."""
    found: dict[str, CodeType] = {}
    for package in (bl_pipeline.warehouse, bl_pipeline.reports, bl_pipeline.books):
        for module_info in pkgutil.iter_modules(package.__path__):
            if module_info.name == "stores":
                continue
            module = importlib.import_module(f"{package.__name__}.{module_info.name}")
            for name, function in inspect.getmembers(module, inspect.isfunction):
                about = {"warehouse", "store"} & set(inspect.signature(function).parameters)
                if function.__module__ == module.__name__ and about:
                    found[f"{module_info.name}.{name}"] = function.__code__
    return found


def without_provenance(value: Any) -> Any:
    """Without ids that count the answers of both stores."""
    if isinstance(value, dict):
        return {key: without_provenance(kept) for key, kept in value.items() if not str(key).endswith("document_id")}
    return [without_provenance(kept) for kept in value] if isinstance(value, list | tuple) else value


def of_main(warehouse: Warehouse) -> dict[str, Any]:
    tables = {
        table: {key: [row for row in rows if row["store"] == "main"] for key, rows in of_table.items()}
        for table, of_table in contents(warehouse).items()
    }
    return {table: {key: rows for key, rows in of_table.items() if rows} for table, of_table in tables.items()}


@pytest.mark.slow
def test_a_store_is_the_same_beside_another_one(postgres: Postgres, synced_template: str) -> None:
    """Planted: the store left out of a query, in each of checks.py, runs.py, run_orders.py, state.py, landing.py,
    load.py, sales.py, full_syncs.py, trends.py, booking.py, closing.py, exporting.py, importing.py, and in sql/.
    """
    outcomes: list[tuple[Any, Any]] = []
    for beside in (False, True):
        store = RememberingStore.of(orders=24, seed=7, now=NOW, filed=8, purged=4, unknown=1, currencies=("EUR", "USD"))
        with postgres.database(synced_template) as url, new_world(store, url, bl_max_parallel_requests=1) as world:
            if not beside:
                with code_run() as seen:
                    driven = drive(world)
                missing = sorted(name for name, code in queries_by_store().items() if code not in seen)
                assert missing == [], "drive() has to use these too"
                outcomes.append((driven, of_main(world.warehouse)))
                continue
            with world.warehouse.engine.begin() as connection:
                put_other_beside(connection)
                before = rows_of_other(connection)
            outcomes.append((drive(world), of_main(world.warehouse)))
            with world.warehouse.engine.connect() as connection:
                after = rows_of_other(connection)
    (alone, tables_alone), (beside_other, tables_beside) = outcomes
    assert before == after
    assert as_json(tables_beside) == as_json(tables_alone)
    assert as_json(without_provenance(beside_other)) == as_json(without_provenance(alone))

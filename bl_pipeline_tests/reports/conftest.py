"""One warehouse of a difficult store for all tests of reports of a worker: they only read it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from bl_pipeline.books.closing import close
from bl_pipeline.books.import_files import ImportKind, parse_file
from bl_pipeline.books.importing import import_lines
from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import SyncResult
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.settings import Settings, load_settings
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline_tests.conftest import Clock, Sync
from bl_pipeline_tests.support.main_store import MAIN
from bl_pipeline_tests.support.report_imports import fees_csv, refunds_csv
from bl_pipeline_tests.support.report_rows import Expected
from bl_pipeline_tests.support.report_store import CLOSED, NOW, ZONES, Books, days_of
from bl_pipeline_tests.support.servers import TEMPLATE, Postgres

DAYS = 3
DIFFICULT = f"{TEMPLATE}_books"
"""The template that `kept` makes and is a copy of."""


def buyer_key(salt: str, name: str) -> str:
    """What reports say of a buyer in place of the name."""
    inner = sha256(f"{salt}{name}".encode()).hexdigest()
    return sha256(f"{salt}{inner}".encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Kept:
    """What was seen of the store, and the warehouse that was synced at the same moments."""

    books: Books
    warehouse: Warehouse

    def rows(self, report: str) -> list[dict[str, Any]]:
        """All rows of a report."""
        with self.warehouse.engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(text(f"SELECT * FROM reports.{report}")).mappings()]
            salt = connection.scalar(text("SELECT salt FROM sync.buyer_salt"))
        buyers = {seen.order.buyer.name for seen in self.books.revenue()}
        names = {buyer_key(str(salt), name): name for name in buyers if name}
        for row in rows:
            if row.get("buyer_key") is not None:
                # By the name: a key says nothing by itself.
                row["buyer_key"] = names[row["buyer_key"]]
        return rows

    def expected(self, zone: str) -> Expected:
        """The reports as they have to be."""
        with self.warehouse.engine.connect() as connection:
            now: datetime | None = connection.scalar(text("SELECT now()"))
            documents = connection.execute(
                text("SELECT platform_order_id, document_id FROM sales.order_status_history ORDER BY document_id")
            ).all()
        assert now is not None
        self.books.documents.clear()
        for order_id, document_id in documents:
            self.books.documents.setdefault(int(order_id), []).append(document_id)
        return Expected(self.books, ZoneInfo(zone), now)


@pytest.fixture(scope="session")
def kept(postgres: Postgres) -> Iterator[Kept]:
    """A store synced three times, moving on in between; one worker syncs, the others copy what it has."""

    def fill(url: str) -> None:
        for day, store in enumerate(days_of(), start=1):
            with SandboxServer(store, timestamp_lifetime=10**9) as server:
                settings = _settings(url, **{key.lower(): value for key, value in server.environment().items()})
                sync = Sync(settings, Clock(store.now))
                assert sync().success
                if day == DAYS:
                    assert _ask_for_feedback(sync, store).success
            if store.now == NOW:
                with open_warehouse(_settings(url)) as warehouse, warehouse.engine.begin() as connection:
                    close(connection, MAIN, CLOSED, store.now)
        _import(settings, store)

    postgres.make_template(DIFFICULT, TEMPLATE, fill)
    books = Books()
    for store in days_of():
        books.look(store.sales, store.now)
        books.feedback = [each for order in store.sales.values() for each in store.conversations.feedback(order)]
    books.refunds = list(csv.DictReader(refunds_csv(store).splitlines()))
    books.fees = list(csv.DictReader(fees_csv(store).splitlines()))
    with postgres.database(DIFFICULT) as url, open_warehouse(_settings(url)) as warehouse:
        yield Kept(books, warehouse)


def _ask_for_feedback(sync: Sync, store: Store) -> SyncResult:
    """Of all orders at this moment: a sync asks for it at moments of its own."""
    order_ids = [str(order_id) for order_id in store.sales]
    return sync("refresh_order", order_ids=order_ids, include_items=False, also=frozenset({AnswerKind.FEEDBACK}))


def _import(settings: Settings, store: Store) -> None:
    """The seller's files, after the last sync."""
    files = {ImportKind.REFUNDS: refunds_csv(store), ImportKind.FEES: fees_csv(store)}
    for kind, content in files.items():
        lines = parse_file(kind, content.encode(), today=store.now.date())
        with open_warehouse(settings) as warehouse, warehouse.engine.begin() as connection:
            import_lines(connection, warehouse.store, kind, lines, file=f"{kind}.csv", now=store.now)


def _settings(url: str, **fields: str) -> Any:
    return load_settings(env_file=None, bl_database_url=url, bl_store="main", bl_timezone="UTC", **fields)


@pytest.fixture(scope="session")
def blank(postgres: Postgres) -> Iterator[Warehouse]:
    """A warehouse without orders."""
    with (
        postgres.database(TEMPLATE) as url,
        open_warehouse(load_settings(env_file=None, bl_database_url=url, bl_store="main")) as warehouse,
    ):
        yield warehouse


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest, kept: Kept) -> Iterator[str]:
    """The store's time zone, set in the warehouse for one test: other tests of the worker read it too."""
    name: str = request.param
    _set_zone(kept, name)
    yield name
    _set_zone(kept, "UTC")


def _set_zone(kept: Kept, zone: str) -> None:
    with kept.warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sync.stores SET timezone = :zone"), {"zone": zone})

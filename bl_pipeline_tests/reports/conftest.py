"""One warehouse of a difficult store for all tests of reports of a worker: they only read it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from bl_pipeline.sandbox import SandboxServer
from bl_pipeline.settings import load_settings
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline_tests.conftest import TEMPLATE, Clock, Postgres, Sync
from bl_pipeline_tests.reports.books import ZONES, Books, grow_store, move_on, move_on_again
from bl_pipeline_tests.reports.expected import Expected

if TYPE_CHECKING:
    import dagster as dg


@dataclass(frozen=True)
class SyncedBooks:
    """What was seen of the store, and the warehouse that was synced at the same moments."""

    books: Books
    warehouse: Warehouse

    def rows(self, report: str) -> list[dict[str, Any]]:
        """All rows of a report."""
        with self.warehouse.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(f"SELECT * FROM reports.{report}")).mappings()]

    def expected(self, zone: str) -> Expected:
        """The reports as they have to be."""
        with self.warehouse.engine.connect() as connection:
            now: datetime | None = connection.scalar(text("SELECT now()"))
        assert now is not None
        return Expected(self.books, ZoneInfo(zone), now)


@pytest.fixture(scope="session")
def synced(postgres: Postgres, dagster_instance: dg.DagsterInstance) -> Iterator[SyncedBooks]:
    """A store synced three times, moving on in between."""
    store, books = grow_store(), Books()
    with (
        postgres.database(TEMPLATE) as url,
        SandboxServer(store, timestamp_lifetime=10**9) as server,
        open_warehouse(settings := _settings(server, url)) as warehouse,
    ):
        sync = Sync(settings, Clock(store.now), dagster_instance)
        for move in (None, move_on, move_on_again):
            if move is not None:
                move(store)
            sync.clock.now = store.now
            result = sync()
            assert not result.errors
            assert result.stop_reason is None
            books.look(store.sales, store.now)
        yield SyncedBooks(books, warehouse)


def _settings(server: SandboxServer, url: str) -> Any:
    fields = {name.lower(): value for name, value in server.environment().items()}
    return load_settings(_env_file=None, bl_database_url=url, bl_store="main", bl_timezone="UTC", **fields)


@pytest.fixture(scope="session", params=ZONES)
def zone(request: pytest.FixtureRequest, synced: SyncedBooks) -> str:
    """The store's time zone, set in the warehouse."""
    name: str = request.param
    with synced.warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sync.stores SET timezone = :zone"), {"zone": name})
    return name

"""In this folder a sync is a run of Dagster; one Dagster UI for all tests of a worker that need one; and an inbox."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from bl_pipeline.sandbox import Store
from bl_pipeline_tests.conftest import DagsterSync
from bl_pipeline_tests.support.inbox import Inbox
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.support.ui import Desk, serve_desk

ORDERS = 30


@pytest.fixture
def sync(dagster_sync: DagsterSync) -> DagsterSync:
    """Run a job of Dagster."""
    return dagster_sync


@pytest.fixture
def synced(dagster_synced: DagsterSync) -> DagsterSync:
    """The same, but `store` has been synced once already, an hour ago."""
    return dagster_synced


@pytest.fixture(scope="session")
def desk(postgres: Postgres) -> Iterator[Desk]:
    """The UI of a store with this number of sales, none of them synced yet; it takes some seconds to start."""
    store = Store.grow(orders=ORDERS, seed=7, now=datetime.now(UTC), filed=8, purged=4)
    with postgres.database() as url, serve_desk(store, url) as desk:
        yield desk


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """Where messages arrive, over HTTP."""
    inbox = Inbox()
    thread = threading.Thread(target=inbox.server.serve_forever, args=(0.02,))
    thread.start()
    yield inbox
    inbox.server.shutdown()
    thread.join()
    inbox.server.server_close()

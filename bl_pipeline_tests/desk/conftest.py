"""One Dagster UI for all tests of a worker that need one: it takes some seconds to start."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from bl_pipeline.sandbox import Store
from bl_pipeline_tests.conftest import Postgres
from bl_pipeline_tests.defs.conftest import sync, synced  # noqa: F401 (here too a sync is a run of Dagster)
from bl_pipeline_tests.support.ui import Desk, serve_desk

ORDERS = 30


@pytest.fixture(scope="session")
def desk(postgres: Postgres) -> Iterator[Desk]:
    """The UI of a store with this number of sales, none of them synced yet."""
    store = Store.grow(orders=ORDERS, seed=7, now=datetime.now(UTC), filed=8, purged=4)
    with postgres.database() as url, serve_desk(store, url) as desk:
        yield desk

"""A hundred thousand orders with half a million items: how long the endpoints take on the server."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from bl_pipeline.settings import load_settings
from bl_pipeline.warehouse.database import open_warehouse
from bl_pipeline_tests.conftest import TEMPLATE, Postgres
from bl_pipeline_tests.desk.conftest import OpenDesk
from bl_pipeline_tests.support.many_orders import fill

ORDERS = 100_000
LIST, DETAIL = 0.2, 0.05
"""Seconds that a request of each may take on cores that do nothing else."""
BUSY = 5
"""On two busy cores a request takes up to so many times as long."""


@pytest.fixture
def large(postgres: Postgres, open_desk: OpenDesk) -> Iterator[TestClient]:
    """The desk of a large store."""
    with postgres.database(TEMPLATE) as url:
        settings = load_settings(_env_file=None, bl_database_url=url, bl_store="main")
        with open_warehouse(settings) as warehouse:
            with warehouse.engine.begin() as connection:
                fill(connection, ORDERS)
            with warehouse.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE"))
        client = open_desk(settings)
        yield client
        client.app.state.desk.source.close()  # type: ignore[attr-defined]


def seconds(client: TestClient, address: str) -> float:
    """How long a request takes: of several the one that others disturbed least."""
    times = []
    for _ in range(15):
        started = time.perf_counter()
        assert client.get(address).status_code == 200, address
        times.append(time.perf_counter() - started)
    return min(times)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_a_large_store_is_answered_at_once(large: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures are printed."""
    limits = {
        "/api/orders": LIST,
        "/api/orders?limit=1000": LIST,
        "/api/orders?offset=50000": LIST,
        "/api/orders?status=PAID&since=2026": LIST,
        "/api/orders?sort=-total": LIST,
        "/api/orders?unpaid=true": LIST,
        "/api/orders/BL-50000": DETAIL,
        "/api/integrations/bricklink/status": LIST,
    }
    figures = {address: seconds(large, address) for address in limits}
    with capsys.disabled():
        for address, took in figures.items():
            sys.stdout.write(f"{address:45} {1000 * took:6.1f} ms\n")
    assert {address: took for address, took in figures.items() if took > BUSY * limits[address]} == {}

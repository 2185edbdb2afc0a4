"""The first sync of a large store, at its real size: 20,000 orders with BrickLink's own budget."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import text

from bl_pipeline.records import ExitCode
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import NOW, Clock, MakeSettings
from bl_pipeline_tests.support.processes import run_steps
from bl_pipeline_tests.support.sessions import session_at

ORDERS = 20_000
BUDGET = 5000 - 250


@pytest.fixture
def store() -> Store:
    return Store.grow(orders=ORDERS, seed=3, now=NOW, filed=18_000, purged=8_000, days=1500)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_the_first_sync_of_20000_orders_takes_days_and_fetches_none_twice(
    make_settings: MakeSettings, clock: Clock, server: SandboxServer, store: Store, warehouse: Warehouse
) -> None:
    """A run every twelve hours: what one leaves of the day's calls is too little for the next, until they age out."""
    settings = make_settings(bl_rechecks_per_day=0)
    started = clock.now
    exit_codes: list[int] = []
    while not exit_codes or exit_codes[-1] != ExitCode.DONE:
        assert len(exit_codes) < 40
        with session_at(settings, clock) as session:
            exit_codes.append(run_steps(session).exit_code)
        clock.advance(hours=12)

    asked = Counter(request.path for request in server.requests)
    days = (clock.now - timedelta(hours=12) - started) / timedelta(days=1)
    print(f"{ORDERS:,} orders in {days} days, {len(exit_codes)} runs, {asked.total():,} calls")  # noqa: T201
    assert set(exit_codes[:-1]) == {ExitCode.BUDGET}
    assert {asked[f"/orders/{order_id}"] for order_id in store.sales} == {1}
    assert max(count for path, count in asked.items() if path != "/orders") == 1
    assert ORDERS * 2 / BUDGET <= days + 1 <= ORDERS * 2 / BUDGET + 2
    with warehouse.engine.connect() as connection:
        stored = connection.scalar(text("SELECT count(*) FROM sales.orders"))
        most = connection.scalar(
            text(
                """
                SELECT max(calls) FROM (
                    SELECT count(*) OVER (ORDER BY started_at RANGE BETWEEN interval '23:59:59.999999' PRECEDING
                        AND CURRENT ROW) AS calls
                    FROM sync.api_calls
                ) windows
                """
            )
        )
    assert (stored, most) == (ORDERS, BUDGET)

"""Many stores in one warehouse through a day: what goes wrong with one is of no concern to the others."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from bl_pipeline.records import ExitCode
from bl_pipeline.sandbox import Fault
from bl_pipeline_tests.support.fleet import Shop, figures, half_hour, new_fleet
from bl_pipeline_tests.support.servers import Postgres

LIMIT = 300
_OVERDRAWN = """
    SELECT c.store, max(used.calls) AS most FROM sync.api_calls c
    CROSS JOIN LATERAL (
        SELECT count(*) AS calls FROM sync.api_calls o
        WHERE o.key_hash = c.key_hash
            AND o.started_at > c.started_at - interval '24 hours' AND o.started_at <= c.started_at
    ) used
    GROUP BY c.store HAVING max(used.calls) > :limit
"""


@pytest.mark.parametrize(
    ("stores", "half_hours"),
    [
        pytest.param(6, 6, marks=pytest.mark.slow),
        pytest.param(50, 48, marks=pytest.mark.full),
    ],
)
def test_a_day_of_many_stores(postgres: Postgres, stores: int, half_hours: int) -> None:
    """Planted: a lock for all stores, a budget for all keys together, a listing that sees the other stores' orders."""
    with postgres.database() as url, new_fleet(url, stores, orders=12, limit=LIMIT) as shops:
        refused, limited, poisoned, *healthy = shops
        refused.server.faults.on("/orders", Fault.UNAUTHORIZED)
        limited.server.faults.on("/orders", Fault.RATE_LIMIT_ENVELOPE)
        poison = min(poisoned.store.sales)
        poisoned.server.faults.on(f"/orders/{poison}$", Fault.WRONG_TYPE_MONEY)

        for number in range(half_hours):
            half_hour(shops, number)
            assert [shop.key for shop in healthy if shop.stored() != shop.sold()] == []
            assert [shop.key for shop in healthy if shop.results[-1].exit_code != ExitCode.DONE] == []
            of_poison = {entry for entry in poisoned.sold() if entry[0] == str(poison)}
            assert poisoned.stored() == poisoned.sold() - of_poison

        assert {result.exit_code for result in refused.results} == {ExitCode.CREDENTIALS}
        # A refusal is asked for once a sync, and not tried again.
        assert len(refused.server.requests) == half_hours
        assert {result.exit_code for result in limited.results} <= {ExitCode.UNREACHABLE, ExitCode.BUDGET}
        assert {result.exit_code for result in poisoned.results} == {ExitCode.SOME_FAILED}
        assert refused.stored() == limited.stored() == set()
        assert_no_budget_is_exceeded(shops)
        print(figures(shops[0].warehouse))  # noqa: T201  (for docs/capacity.md, with -s)


def assert_no_budget_is_exceeded(shops: list[Shop]) -> None:
    with shops[0].warehouse.engine.connect() as connection:
        assert connection.execute(text(_OVERDRAWN), {"limit": LIMIT}).all() == []
        rows = connection.execute(text("SELECT store, count(*) AS calls FROM sync.api_calls GROUP BY store"))
        counted = {row.store: row.calls for row in rows}
    # What the ledger has is what BrickLink was asked.
    assert counted == {shop.key: len(shop.server.requests) for shop in shops}

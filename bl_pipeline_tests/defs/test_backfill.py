"""Months of a backfill in which the call budget ends: what a month could not do, a later sync does."""

from __future__ import annotations

import pytest

from bl_pipeline.records import StopReason
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline_tests.conftest import DagsterSync, MakeSettings

pytestmark = pytest.mark.slow

MAY = "2026-05-01"


def test_a_month_without_calls_is_fetched_by_the_next_sync(
    synced: DagsterSync, store: Store, server: SandboxServer, make_settings: MakeSettings
) -> None:
    """Its lists are too old to serve, and no call is left to ask for them: the wish must not be forgotten."""
    may = [order.order_id for order in store.sales.values() if f"{order.date_ordered:%Y-%m}-01" == MAY]
    synced.clock.advance(hours=2)
    without = synced("full_sync", settings=make_settings(bl_daily_call_limit=0, bl_call_reserve=0), partition=MAY)
    assert (without.stop_reason, without.api_calls) == (StopReason.BUDGET, 0)
    server.clear_requests()

    synced()

    asked = {request.path for request in server.requests}
    assert {f"/orders/{order_id}" for order_id in may} <= asked
    assert may


def test_a_month_that_is_refused_leaves_nothing_behind(
    synced: DagsterSync, server: SandboxServer, make_settings: MakeSettings
) -> None:
    synced.clock.advance(hours=2)
    refused = synced("full_sync", settings=make_settings(bricklink_token_secret="wrong"), partition=MAY)
    assert refused.stop_reason is StopReason.CREDENTIALS
    server.clear_requests()

    assert synced().api_calls == 2

"""Runs whose steps each have a session of their own, as in the processes of an executor; and leases that go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from sqlalchemy import text

from bl_pipeline.records import SyncRequest
from bl_pipeline.sync.fetching import fetch_batch
from bl_pipeline.sync.finishing import finish
from bl_pipeline.sync.listing import list_orders
from bl_pipeline.sync.planning import batch_numbers, plan_changes
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lease import LeaseTimes

LONG = LeaseTimes(working_seconds=3600, renewal_seconds=3600, between_steps_seconds=3600)
"""Nothing goes by itself: a test lets it go."""


def expire_lease(warehouse: Warehouse) -> None:
    """As if its time had passed."""
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sync.runs SET lease_until = clock_timestamp() WHERE status = 'started'"))


def distributed_steps(
    open_one: Callable[[], AbstractContextManager[SyncSession]],
    run_id: str,
    *,
    request: SyncRequest,
    batch_size: int,
    lease: LeaseTimes = LONG,
) -> Iterator[str]:
    """One run, step by step; gives the name of each step when it is done."""
    with open_one() as session:
        session.lease = lease
        assert session.try_begin_distributed(run_id, job="sync_orders")
        with session.step():
            list_orders(session, request)
    yield "list_orders"
    with open_one() as session:
        session.lease = lease
        assert session.attach(run_id)
        with session.step():
            plan = plan_changes(session, request, batch_size=batch_size)
    yield "plan_changes"
    for number in batch_numbers(plan, batch_size=batch_size):
        with open_one() as session:
            session.lease = lease
            assert session.attach(run_id)
            with session.step():
                fetch_batch(session, number, include_items=request.include_items)
        yield f"fetch_orders {number}"
    with open_one() as session:
        session.lease = lease
        assert session.attach(run_id)
        with session.step():
            session.result = finish(session)
    yield "finish_sync"

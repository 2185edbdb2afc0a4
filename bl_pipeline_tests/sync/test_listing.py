"""When BrickLink's lists are asked, and what is believed of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bl_pipeline.records import OrderDates, StopReason, SyncRequest
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.settings import load_settings
from bl_pipeline.sync.listing import LISTS_FRESH_FOR, list_orders
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.warehouse import runs
from bl_pipeline_tests.conftest import NOW, Sync

MOMENT = timedelta(microseconds=1)
SOME_DATES = OrderDates(before=NOW)


def lists_asked(server: SandboxServer) -> int:
    asked = sum(request.path == "/orders" for request in server.requests)
    server.clear_requests()
    return asked


@pytest.fixture
def nothing() -> Iterator[SandboxServer]:
    """A BrickLink whose lists are empty."""
    store = Store.grow(orders=0, seed=7, now=NOW, filed=0, purged=0)
    with SandboxServer(store, timestamp_lifetime=10**9) as server:
        yield server


def at(session: SyncSession, server: SandboxServer) -> None:
    """From now on the session asks this server."""
    names = server.environment()
    settings = load_settings(env_file=None, **{name.lower(): value for name, value in names.items()})
    session.store = replace(session.store, api_url=settings.store.api_url, credentials=settings.store.credentials)


def ask(session: SyncSession, run_id: str, **request: Any) -> int | None:
    session.begin(run_id, job="job")
    return list_orders(session, SyncRequest(**request))


def test_lists_that_were_just_asked_serve_the_next_runs_about_some_dates(
    synced: Sync, session: SyncSession, server: SandboxServer
) -> None:
    """The sync was an hour ago. Planted: the limits moved; the lists of a clock that was ahead believed."""
    server.clear_requests()
    clock = synced.clock
    assert clock.now == NOW + LISTS_FRESH_FOR
    assert ask(session, "1", dates=SOME_DATES) is None
    assert lists_asked(server) == 0
    clock.now = NOW + LISTS_FRESH_FOR + MOMENT
    assert ask(session, "2", dates=SOME_DATES) == 24
    assert lists_asked(server) == 2
    assert ask(session, "3", dates=SOME_DATES) is None
    # Whatever was asked before, a run about all orders asks.
    assert ask(session, "4") == 24
    assert lists_asked(server) == 2
    # Lists that only one of both were asked for do not count.
    clock.advance(hours=2)
    assert ask(session, "5", include_filed=False) == 16
    assert ask(session, "6", dates=SOME_DATES) == 24
    assert lists_asked(server) == 3


def test_lists_of_a_clock_that_was_ahead_are_asked_again(
    synced: Sync, session: SyncSession, server: SandboxServer
) -> None:
    server.clear_requests()
    synced.clock.now = NOW - MOMENT
    session.run_id = "run"
    with session.warehouse.engine.begin() as connection:
        runs.start_run(connection, session.warehouse, run_id="run", job="job", now=synced.clock(), of_all_orders=True)
    assert list_orders(session, SyncRequest(dates=SOME_DATES)) == 24
    assert lists_asked(server) == 2


def test_orders_that_are_known_or_have_failed_need_no_lists(
    synced: Sync, session: SyncSession, server: SandboxServer, store: Store
) -> None:
    server.clear_requests()
    known = str(max(store.sales))
    assert ask(session, "1", only_failed=True) is None
    assert ask(session, "2", order_ids=(known,)) is None
    assert lists_asked(server) == 0
    assert ask(session, "3", order_ids=(known, "99")) == 24
    assert lists_asked(server) == 2


def test_lists_without_any_order_are_not_believed(synced: Sync, session: SyncSession, nothing: SandboxServer) -> None:
    """Planted: all orders taken for gone. One list alone may be empty."""
    at(session, nothing)
    assert ask(session, "1") is None
    with session.warehouse.engine.connect() as connection:
        stop = runs.read_stop(connection, "1")
    assert stop is not None
    assert stop.reason is StopReason.ERROR
    assert "BrickLink lists no orders at all, but the warehouse has 24." in stop.message
    assert ask(session, "2", include_filed=False) == 0


def test_a_new_store_is_right_to_list_none(session: SyncSession, nothing: SandboxServer) -> None:
    at(session, nothing)
    assert ask(session, "1") == 0
    assert not session.is_stopped()


@pytest.mark.parametrize("wrong", [True, False])
def test_refused_credentials_stop_the_run(wrong: bool, session: SyncSession) -> None:
    credentials = session.store.known_credentials()
    if wrong:
        session.store = replace(session.store, credentials=replace(credentials, token_secret="wrong"))
    listed = ask(session, "1")
    with session.warehouse.engine.connect() as connection:
        stop = runs.read_stop(connection, "1")
    assert (listed, stop.reason if stop else None) == ((None, StopReason.CREDENTIALS) if wrong else (24, None))

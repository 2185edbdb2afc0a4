"""What the tests of reliability share: a world of a store, and a run within a number of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from bl_pipeline.records import SyncRequest, SyncResult
from bl_pipeline.sandbox import SandboxServer
from bl_pipeline_tests.conftest import Clock, MakeSettings
from bl_pipeline_tests.support.processes import run_steps
from bl_pipeline_tests.support.sessions import session_at
from bl_pipeline_tests.support.world import RememberingStore, World, new_world

RunOnce = Callable[..., SyncResult]
_EVERY_CHANGE = SyncRequest()


@pytest.fixture
def world(store: RememberingStore, database_url: str) -> Iterator[World]:
    """The store of the module, and an empty warehouse."""
    with new_world(store, database_url) as world:
        yield world


@pytest.fixture
def run_once(make_settings: MakeSettings, clock: Clock) -> RunOnce:
    """One run, within this number of calls in any 24 hours."""

    def run_once(request: SyncRequest = _EVERY_CHANGE, *, calls: int = 1000, rechecks: int = 0) -> SyncResult:
        settings = make_settings(
            bl_daily_call_limit=calls, bl_call_reserve=0, bl_rechecks_per_day=rechecks, bl_max_parallel_requests=1
        )
        with session_at(settings, clock) as session:
            return run_steps(session, request)

    return run_once


def asked(server: SandboxServer) -> list[str]:
    """What was asked about orders since the last look, and forget it: "1", "1/items"."""
    found = [request.path.removeprefix("/orders/") for request in server.requests if request.path != "/orders"]
    server.clear_requests()
    return found

"""The desk of the test's store, asked without a server between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from starlette.testclient import TestClient

from bl_pipeline.desk.app import create_app
from bl_pipeline.desk.launching import Launches
from bl_pipeline.desk.source import Source
from bl_pipeline.desk.state import Desk
from bl_pipeline.settings import Settings
from bl_pipeline_tests.conftest import Clock

OpenDesk = Callable[[Settings], TestClient]


@pytest.fixture
def open_desk(clock: Clock) -> Iterator[OpenDesk]:
    """Open the desk of these settings, on the test's clock: `client.app.state.desk` has its parts."""
    with ExitStack() as stack:

        def open_(settings: Settings) -> TestClient:
            desk = Desk(settings, Source(settings), Launches(settings), clock=clock)
            return stack.enter_context(TestClient(create_app(desk), follow_redirects=False))

        yield open_


@pytest.fixture
def client(open_desk: OpenDesk, settings: Settings) -> TestClient:
    """The desk of the test's store; with the fixture `synced`, of one that has been synced."""
    return open_desk(settings)

"""The desk of the test's store, asked without a server between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from bl_pipeline.desk.app import create_app
from bl_pipeline.desk.serving import desks_of_stores
from bl_pipeline.settings import Settings
from bl_pipeline_tests.conftest import Clock

if TYPE_CHECKING:
    from playwright.sync_api import Browser

OpenDesk = Callable[[Settings], TestClient]


@pytest.fixture
def open_desk(clock: Clock) -> Iterator[OpenDesk]:
    """Open the desk of these settings, on the test's clock: `client.app.state.desks` has its parts."""
    with ExitStack() as stack:

        def open_(settings: Settings) -> TestClient:
            desks = desks_of_stores(settings, [settings], clock=clock)
            return stack.enter_context(TestClient(create_app(desks), follow_redirects=False))

        yield open_


@pytest.fixture
def client(open_desk: OpenDesk, settings: Settings) -> TestClient:
    """The desk of the test's store; with the fixture `synced`, of one that has been synced."""
    return open_desk(settings)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser, for the tests of a module."""
    from playwright.sync_api import expect, sync_playwright

    from bl_pipeline_tests.support.desk_pages import PATIENCE
    from bl_pipeline_tests.support.ui import BROWSER

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        expect.set_options(timeout=PATIENCE)
        yield browser
        browser.close()

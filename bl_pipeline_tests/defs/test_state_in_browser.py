"""The state of the store, as the UI shows it: after a refused login, a retry that left an order failing, and with an
open full sync.

BL_SCREENSHOTS=docs/images takes the pictures of the documentation on the way.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from bl_pipeline.sandbox import Fault, Store
from bl_pipeline_tests.defs.test_browser import FLAGS, picture
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.support.ui import BROWSER, PATIENCE, Desk, serve_desk

pytestmark = [
    pytest.mark.full,  # eight commands beside a UI of its own: more than a minute
    pytest.mark.timeout(900),
    pytest.mark.skipif(BROWSER is None, reason="no browser is installed; on Debian: apt-get install chromium"),
]


@pytest.fixture
def own_desk(postgres: Postgres) -> Iterator[Desk]:
    """A UI of its own: what it shows is left by no other test."""
    store = Store.grow(orders=12, seed=7, now=datetime.now(UTC), filed=4, purged=2)
    with postgres.database() as url, serve_desk(store, url) as desk:
        yield desk


@pytest.fixture
def page() -> Iterator[Page]:
    """A browser's page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1600, "height": 640})
        page.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)
        yield page
        browser.close()


def bl(desk: Desk, *arguments: str, **changed: str) -> int:
    """The exit code of `bl`, run beside the UI."""
    command = str(Path(sys.executable).with_name("bl"))
    environment = {**desk.environment, "DAGSTER_HOME": str(desk.settings.bl_home / "dagster"), **changed}
    done = subprocess.run(
        [command, *arguments], env=environment, cwd=desk.settings.bl_home, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode


def shows(desk: Desk, page: Page, word: str, reason: str, name: str) -> None:
    """The newest event of `orders`, which is open on the page of its events, has the word and the reason."""
    page.goto(f"{desk.url}/assets/orders?view=events")
    for label, value in {"indicator": word, "reason": reason}.items():
        row = page.get_by_role("row").filter(has=page.get_by_text(label, exact=True)).last
        expect(row).to_contain_text(value)
    hide = page.get_by_text("Hide navigation")
    if hide.is_visible():
        hide.click()  # makes room for the whole reason
    cell = page.get_by_role("cell").filter(has_text=reason).first
    picture(page, name, cell)
    box, size = cell.bounding_box(), page.viewport_size
    assert box and size
    assert box["x"] + box["width"] <= size["width"], "the reason is cut off"


def test_the_ui_shows_how_the_store_stands(own_desk: Desk, page: Page) -> None:
    """Planted: no event after a run that failed."""
    desk = own_desk
    assert bl(desk, "sync") == 0
    assert bl(desk, "sync", BRICKLINK_TOKEN_SECRET="wrong") == 5
    shows(desk, page, "error", "The last sync failed (sync_orders", "state-refused")

    order_id = max(key for key, order in desk.server.store.sales.items() if not (order.is_purged or order.is_filed))
    desk.server.store.edit_remarks(order_id, "packed")
    desk.server.faults.on(f"/orders/{order_id}$", Fault.FORBIDDEN)
    assert bl(desk, "refresh", str(order_id)) == 3
    assert bl(desk, "sync") == 3
    assert bl(desk, "retry") == 3
    shows(desk, page, "error", "1 order could not be fetched or read", "state-retry")
    page.goto(f"{desk.url}/assets/orders?view=checks")
    expect(page.get_by_text("Not evaluated")).to_have_count(0)
    expect(page.get_by_text("store_is_in_step").first).to_be_visible()

    desk.server.faults.clear()
    assert bl(desk, "retry") == 0
    few = str(len(desk.server.requests) + 8)
    assert bl(desk, "sync", "--full", BL_DAILY_CALL_LIMIT=few, BL_CALL_RESERVE="0") == 4
    shows(desk, page, "stale", "A full sync is open", "state-full-sync")
    assert bl(desk, "cancel") == 0

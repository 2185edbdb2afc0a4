"""The desk of several stores in a real browser: whether everybody can use it, and from a card to its result."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, expect

from bl_pipeline_tests.conftest import Clock
from bl_pipeline_tests.support.desk_pages import open_page, serving
from bl_pipeline_tests.support.three_stores import ThreeStores, three_stores
from bl_pipeline_tests.support.ui import BROWSER

PICTURES = os.environ.get("BL_SCREENSHOTS")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(BROWSER is None, reason="no browser is installed; on Debian: apt-get install chromium"),
]
PAGES = (
    "/", "/orders", "/orders?store=bricks_de", "/reports", "/reports/revenue_by_month", "/reports/revenue_items",
    "/todo", "/stores/bricks_uk/", "/stores/bricks_de/", "/stores/bricks_us/", "/stores/bricks_uk/orders",
    "/stores/bricks_uk/reports/revenue_by_month",
)  # fmt: skip


@pytest.fixture
def stores(isolated: pytest.MonkeyPatch, tmp_path: Path, database_url: str, clock: Clock) -> Iterator[ThreeStores]:
    """Three stores: bricks_uk is synced, bricks_de was refused, bricks_us is not connected."""
    with three_stores(tmp_path, database_url, clock) as stores:
        yield stores


def test_everybody_can_use_each_page(stores: ThreeStores, browser: Browser) -> None:
    """axe finds nothing, light and dark, the menu of stores open; a phone shows each page without scrolling sideways.

    Planted: the menu without a name; cards of a fixed width.
    """
    found: dict[str, Any] = {}
    with serving(stores.installation, stores.all) as address:
        for look in ("light", "dark"):
            for width in (375, 1280):
                size = {"viewport": {"width": width, "height": 800}, "color_scheme": look}
                page, _ = open_page(browser, address, **size)
                for path in PAGES:
                    page.goto(address + path)
                    where = f"{path} {look} {width}"
                    for is_open in (False, True):
                        if is_open:
                            page.locator(".stores summary").click()
                        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                            found[f"{where} is too wide"] = page.evaluate("document.documentElement.scrollWidth")
                        if violations := Axe().run(page).response["violations"]:
                            found[where] = [(each["id"], each["nodes"][0]["html"]) for each in violations]
                        if PICTURES:
                            name = f"{path.strip('/').replace('/', '-').replace('?', '-') or 'cards'}-{look}-{width}"
                            page.screenshot(
                                path=Path(PICTURES) / f"{name}{'-open' if is_open else ''}.png", full_page=True
                            )
    assert found == {}


def test_from_a_card_to_the_result_and_to_another_store(stores: ThreeStores, browser: Browser) -> None:
    """Planted: the script of the progress asks for the run of another store, whose page is a 404."""
    with serving(stores.installation, stores.all) as address:
        page, wrong = open_page(browser, address, viewport={"width": 1100, "height": 800})
        page.get_by_role("button", name="Sync bricks_uk now").click()
        # Without a click, by the page's own script.
        expect(page.get_by_role("heading", name="Sync complete")).to_be_visible()
        page.get_by_role("link", name="Done").click()
        expect(page.get_by_role("heading", name="BrickLink store bricks_uk")).to_be_visible()
        expect(page.get_by_role("button", name="Sync now")).to_be_visible()
        page.get_by_text("Store bricks_uk").first.click()
        page.get_by_role("navigation", name="Stores").get_by_role("link", name="bricks_de").click()
        expect(page.get_by_role("heading", name="BrickLink store bricks_de")).to_be_visible()
        page.get_by_role("link", name="Orders", exact=True).click()
        expect(page).to_have_url(f"{address}/stores/bricks_de/orders")
        page.get_by_text("Store bricks_de").first.click()
        page.get_by_role("link", name="All stores").click()
        expect(page).to_have_url(f"{address}/orders")
        page.get_by_role("combobox", name="Store").select_option("bricks_de")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("cell", name="BrickLink, bricks_de").first).to_be_visible()
        expect(page.get_by_role("cell", name="BrickLink, bricks_uk")).to_have_count(0)
        assert wrong == []

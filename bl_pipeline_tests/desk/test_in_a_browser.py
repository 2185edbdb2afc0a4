"""The desk in a real browser: the journey of a seller, and whether everybody can use each page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect

from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.settings import Settings
from bl_pipeline_tests.conftest import MakeSettings, Sync
from bl_pipeline_tests.support.desk_pages import open_page, paused, serving
from bl_pipeline_tests.support.ui import BROWSER
from bl_pipeline_tests.support.waiting import wait_until

PICTURES = os.environ.get("BL_SCREENSHOTS")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(BROWSER is None, reason="no browser is installed; on Debian: apt-get install chromium"),
]


def picture(page: Page, name: str) -> None:
    """Take a picture for the documentation, if pictures are asked for."""
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def test_the_journey(settings: Settings, store: Store, server: SandboxServer, browser: Browser) -> None:
    """The card, a sync with its progress, its result, the card again; then one that is canceled."""
    with serving(settings) as address:
        page, wrong = open_page(browser, address, viewport={"width": 1100, "height": 800})
        expect(page.get_by_text("No sync of this store was complete yet")).to_be_visible()
        picture(page, "desk-first")
        server.latency = 0.2
        page.get_by_role("button", name="Sync now").click()
        expect(page.get_by_role("heading", name="Syncing")).to_be_visible()
        expect(page.get_by_text("of 24 orders fetched").or_(page.get_by_text("Sync complete"))).to_be_visible()
        picture(page, "desk-progress")
        # Without a click, by the page's own script.
        expect(page.get_by_role("heading", name="Sync complete")).to_be_visible()
        expect(page.get_by_text(f"{len(store.sales)} new, 0 changed, 0 unchanged")).to_be_visible()
        picture(page, "desk-result")
        page.get_by_role("link", name="Done").click()
        expect(page.get_by_text(f"{len(store.sales)} orders with")).to_be_visible()

        # The card comes again by itself until another sync can start.
        expect(page.get_by_role("button", name="Sync now")).to_be_visible()
        picture(page, "desk-card")
        asked, server.latency = len(server.requests), 60.0
        page.get_by_role("button", name="Sync now").click()
        wait_until(lambda: len(server.requests) > asked)
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_text("Canceled: sync_orders")).to_be_visible()
        assert wrong == []


def test_it_works_without_scripts(settings: Settings, store: Store, browser: Browser) -> None:
    """The page of the run comes again by itself until the run has ended."""
    with serving(settings) as address:
        page, _ = open_page(browser, address, java_script_enabled=False)
        page.get_by_role("button", name="Sync now").click()
        expect(page.get_by_role("heading", name="Sync complete")).to_be_visible()


PAGES = [
    "/", "/disconnect", "/problems", "/nothing", "/orders", "/orders?search=nobody", "/orders?sort=total&status=PAID",
    "/orders/{order}", "/orders/{order}/slip", "/picklist?order={order}", "/todo",
    "/todo?choose=to_pack", "/reports", "/reports/revenue_by_month",
    "/reports/revenue_by_country", "/reports/revenue_items",
]  # fmt: skip


def test_everybody_can_use_each_page(synced: Sync, make_settings: MakeSettings, store: Store, browser: Browser) -> None:
    """axe finds nothing, light and dark; a phone shows each page without scrolling sideways.

    Planted: a field without its label; a table as wide as a desk.
    """
    found: dict[str, Any] = {}
    order = next(order for order, sale in store.sales.items() if sale.lots and not sale.is_purged)
    with serving(make_settings()) as address:
        for look in ("light", "dark"):
            phone = {"viewport": {"width": 390, "height": 800}, "color_scheme": look}
            page, wrong = open_page(browser, address, **phone)
            for path in (path.format(order=order) for path in PAGES):
                answer = page.goto(address + path)
                assert answer is not None
                expected = 404 if path == "/nothing" else 200
                if answer.status != expected:
                    found[path] = answer.status
                    continue
                if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    found[f"{path} {look} is too wide"] = page.evaluate("document.documentElement.scrollWidth")
                if violations := Axe().run(page).response["violations"]:
                    found[f"{path} {look}"] = [(each["id"], each["nodes"][0]["html"]) for each in violations]
            assert [line for line in wrong if "404" not in line] == []
    assert found == {}


def test_from_what_is_to_be_done_to_paper_and_to_bricklink(
    synced: Sync, settings: Settings, store: Store, server: SandboxServer, browser: Browser, tmp_path: Path
) -> None:
    """Planted: a paper wider than a sheet, the menu printed, two slips on one sheet, a button without effect."""
    orders = [store.place_order(paid=True) for _ in range(2)]
    assert synced().success
    with serving(settings) as address:
        page, wrong = open_page(browser, f"{address}/todo", viewport={"width": 1100, "height": 800})
        for order in orders:
            page.get_by_role("checkbox", name=f"Choose BL-{order}").check()
        picture(page, "desk-todo")
        page.get_by_role("button", name="Packing slips").click()
        page.emulate_media(media="print")
        for sheet, width in (("A4", 186), ("Letter", 191)):
            page.set_viewport_size({"width": width * 96 * 10 // 254, "height": 1000})
            assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), sheet
            assert page.pdf(format=sheet).count(b"/Type /Page\n") == 2, sheet
        expect(page.get_by_role("navigation")).to_be_hidden()
        expect(page.get_by_role("table")).to_have_count(2)
        page.emulate_media(media="screen")
        page.set_viewport_size({"width": 390, "height": 800})
        page.go_back()
        page.get_by_role("button", name="Pick list").click()
        expect(page.get_by_role("heading", name="Pick list")).to_be_visible()
        assert not page.evaluate("document.querySelector('.picks').scrollWidth > innerWidth")
        page.get_by_role("link", name="To do").first.click()

        page.get_by_role("checkbox", name=f"Choose BL-{orders[0]}").check()
        page.get_by_role("textbox", name=f"Tracking number of BL-{orders[0]}").fill("TR1")
        page.get_by_role("button", name="Mark shipped").click()
        expect(page.get_by_role("heading", name="Preview: nothing was sent yet")).to_be_visible()
        assert Axe().run(page).response["violations"] == []
        with paused(server, 0):
            page.get_by_role("button", name="Send to BrickLink").click()
            expect(page.get_by_role("heading", name="Sending to BrickLink")).to_be_visible()
            expect(page.get_by_text("0 of 1 order sent.")).to_be_visible()
            assert Axe().run(page).response["violations"] == []
            page.screenshot(path=tmp_path / "sending.png")
        # Without a click.
        expect(page.get_by_role("heading", name="Done", exact=True)).to_be_visible()
        page.screenshot(path=tmp_path / "done.png")
        assert Axe().run(page).response["violations"] == []
        assert (store.order(orders[0]).status, store.order(orders[0]).shipping.tracking_no) == ("SHIPPED", "TR1")
        assert wrong == []

"""A seller's journey in real browsers, with all that goes wrong on it; each page is a picture in the test's folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Locator, Page, expect

from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline_tests.conftest import MakeSettings
from bl_pipeline_tests.support.clusters import external_postgres
from bl_pipeline_tests.support.desk_pages import open_page, paused, serving
from bl_pipeline_tests.support.ui import BROWSER

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(BROWSER is None, reason="no browser is installed; on Debian: apt-get install chromium"),
]

DESKTOP = {"viewport": {"width": 1100, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"}


def heading(page: Page, name: str) -> Locator:
    return page.get_by_role("heading", name=name, exact=True)


def press(page: Page, name: str | re.Pattern[str]) -> None:
    """Press a button; a page that is about to be loaded again by itself has it a moment later."""
    page.get_by_role("button", name=name).first.click()


def indicator(page: Page) -> Locator:
    return page.locator(".indicator")


def problems_for_some(page: Page) -> list[tuple[str, str]]:
    """What axe finds on this page."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found]


def ready(page: Page, address: str) -> None:
    """The card, once another sync can start."""
    page.goto(address)
    expect(page.get_by_role("button", name="Sync now")).to_be_visible()


def test_the_journey_with_all_that_goes_wrong(
    make_settings: MakeSettings, store: Store, server: SandboxServer, browser: Browser, tmp_path: Path
) -> None:
    """Planted: a progress that ends at the first lost answer, and one that is read out each second."""
    settings = make_settings(bl_request_timeout=600)

    def look(page: Page, name: str) -> None:
        page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
        assert problems_for_some(page) == [], name
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), name

    with serving(settings) as address:
        page, wrong = open_page(browser, address, **DESKTOP)
        other, wrong_there = open_page(browser, address, **PHONE)
        page.clock.install()
        expect(indicator(page)).to_have_text("Stale")
        look(page, "01-stale")

        # A sync, which two browsers look at, and whose network goes away for a while.
        with paused(server, 8):
            press(page, "Sync now")
            expect(heading(page, "Syncing")).to_be_visible()
            expect(page.get_by_text(re.compile("[1-9] of 24 orders fetched"))).to_be_visible()
            look(page, "02-progress")
            press(other, "Sync now")
            expect(heading(other, "A sync is running")).to_be_visible()
            look(other, "03-second-sync")
            other.goto(address)
            expect(indicator(other)).to_have_text("Syncing")
            look(other, "04-syncing-on-a-phone")

            live = page.locator("#progress").locator("xpath=descendant-or-self::*[@aria-live or @role='status']")
            expect(live).to_have_count(0)
            page.clock.fast_forward(25_000)
            expect(page.locator("#progress-said")).to_have_text(re.compile("^[0-9]+ % of the sync is done.$"))

            page.context.set_offline(True)
            expect(page.get_by_text("The desk cannot be reached. This page tries again every second.")).to_be_visible()
            look(page, "05-offline")
            page.context.set_offline(False)
            expect(page.locator("#progress-away")).to_be_empty()
        expect(heading(page, "Sync complete")).to_be_visible()
        expect(heading(other, "Sync complete")).to_be_visible()
        expect(page.get_by_text(f"{len(store.sales)} new, 0 changed, 0 unchanged")).to_be_visible()
        look(page, "06-result")
        page.get_by_role("link", name="Done").click()
        expect(indicator(page)).to_have_text("Synced")
        expect(page.get_by_role("button", name="Sync now")).to_be_visible()
        look(page, "07-synced")

        # Some orders fail, and are tried again: one of them, then all that are left.
        bad, unreadable = [order for order, sale in store.sales.items() if not sale.is_filed][:2]
        for order in (bad, unreadable):
            store.set_payment_status(order, "Bounced")
        server.faults.on(f"/orders/{bad}$", Fault.HTTP500)
        server.faults.on(f"/orders/{unreadable}$", Fault.WRONG_TYPE_DATA)
        press(page, "Sync now")
        expect(heading(page, "Sync completed with errors")).to_be_visible()
        look(page, "08-errors")
        page.get_by_role("link", name="View errors").click()
        expect(heading(page, "Errors")).to_be_in_viewport()
        ready(other, address)
        expect(indicator(other)).to_have_text("Error")
        look(other, "09-error-on-a-phone")
        server.faults.clear()
        press(page, "Retry this one")
        expect(page.get_by_text("Refreshed from BrickLink. What has changed:")).to_be_visible()
        ready(page, address)
        press(page, "Retry failed (1)")
        expect(heading(page, "Sync complete")).to_be_visible()
        expect(page.get_by_text("0 new, 1 changed, 0 unchanged")).to_be_visible()

        # The list, an order, and what a refresh has changed.
        page.get_by_role("navigation", name="Pages", exact=True).get_by_role("link", name="Orders").click()
        page.get_by_role("searchbox").fill(str(bad))
        press(page, "Show")
        look(page, "10-list")
        page.get_by_role("link", name=f"BL-{bad}").click()
        expect(heading(page, f"Order BL-{bad}")).to_be_visible()
        look(page, "11-order")
        store.edit_remarks(bad, "Pack it well")
        ready(other, address)
        press(page, "Refresh")
        expect(page.get_by_role("status").get_by_text("Pack it well")).to_be_visible()
        look(page, "12-refreshed")

        # Three ways in which a sync ends early, each with its way out.
        server.faults.on("", Fault.UNAUTHORIZED)
        ready(page, address)
        press(page, "Sync now")
        expect(heading(page, "BrickLink refused the credentials")).to_be_visible()
        expect(heading(page, "Reconnect the store")).to_be_visible()
        look(page, "13-refused")
        press(page, "Test the connection")
        expect(heading(page, "The connection does not work")).to_be_visible()
        server.faults.clear()
        server.faults.on("", Fault.RESET)
        ready(page, address)
        expect(indicator(page)).to_have_text("Error")
        look(page, "14-error")
        press(page, "Sync now")
        expect(heading(page, "BrickLink cannot be reached")).to_be_visible()
        look(page, "15-no-network")
        ready(other, address)
        server.faults.clear()
        press(page, "Try again")
        expect(heading(page, "Sync complete")).to_be_visible()
        ready(page, address)
        used = requests.get(f"{address}/api/integrations/bricklink/status", timeout=60).json()["calls"]["used"]
    with serving(make_settings(bl_daily_call_limit=used + 5, bl_call_reserve=0)) as address:
        page.goto(address)
        page.get_by_text("Sync with options").click()
        page.get_by_role("checkbox", name="Fetch every order again").check()
        press(page, "Sync with these options")
        expect(heading(page, "Stopped at the call budget")).to_be_visible()
        expect(page.get_by_text("Sync again after that time")).to_be_visible()
        look(page, "16-budget")
        ready(page, address)
        expect(indicator(page)).to_have_text("Stale")
        look(page, "17-budget-on-the-card")
        press(page, "Sync now")
        expect(heading(page, "The call budget is used up")).to_be_visible()
        look(page, "18-no-calls-left")
    # What the browser itself says of refusals, and of the time without a network.
    assert [line for line in wrong + wrong_there if "Failed to load resource" not in line] == []


def test_an_external_postgres_goes_away_and_comes_back(
    make_settings: MakeSettings, server: SandboxServer, browser: Browser, tmp_path: Path
) -> None:
    """Planted: a progress that ends at the first answer 503."""
    with external_postgres() as postgres, serving(make_settings(bl_database_url=postgres.url)) as address:
        page, _ = open_page(browser, address, **DESKTOP)
        other, _ = open_page(browser, address, **DESKTOP)
        with paused(server, 8):
            press(page, "Sync now")
            expect(page.get_by_text(re.compile("[1-9] of 24 orders fetched"))).to_be_visible()
            postgres.stop()
            expect(page.get_by_text("The warehouse cannot be reached. This page tries again")).to_be_visible()
            page.screenshot(path=tmp_path / "1-away.png")
            other.get_by_role("link", name="Orders", exact=True).click()
            expect(heading(other, "The warehouse cannot be reached")).to_be_visible()
            other.screenshot(path=tmp_path / "2-page-while-away.png")
            assert problems_for_some(other) == []
            postgres.start()
        other.get_by_role("link", name="Try again").click()
        expect(heading(other, "Orders")).to_be_visible()
        # The run has lost its lock, so it has ended; what it says is shown without a click.
        expect(heading(page, "Sync stopped")).to_be_visible()
        page.screenshot(path=tmp_path / "3-back.png")
        ready(page, address)
        press(page, "Sync now")
        expect(heading(page, "Sync complete")).to_be_visible()

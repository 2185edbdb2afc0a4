"""The Dagster UI as a seller uses it: in a browser, from pressing Materialize to reading what came of it.

BL_SCREENSHOTS=docs/images takes the pictures of the documentation on the way.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, ViewportSize, expect, sync_playwright

from bl_pipeline.warehouse.database import open_warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline.warehouse.runs import Run, read_run
from bl_pipeline_tests.defs.conftest import ORDERS
from bl_pipeline_tests.support.other_sites import EVIL, LAUNCH, RULES, ask_over_a_websocket, attack, status
from bl_pipeline_tests.support.ui import BROWSER, ENDED, PATIENCE, Desk

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-proxy-server", RULES),
)
SIZE: ViewportSize = {"width": 1280, "height": 800}
LOW: ViewportSize = {"width": 1280, "height": 500}
PICTURES = os.environ.get("BL_SCREENSHOTS")
EXAMPLE = Path(__file__).parents[2] / "examples" / "graphql_sync.py"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def page(desk: Desk) -> Iterator[Page]:
    """A browser's page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)
        yield page
        browser.close()


def picture(page: Page, name: str, until: Locator) -> None:
    """Take a picture for the documentation, if pictures are asked for."""
    expect(until.first).to_be_visible()
    if PICTURES:
        page.wait_for_timeout(1500)  # charts and tables fade in
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def noted(desk: Desk, run_id: str) -> Run:
    """The run in sync.runs."""
    with open_warehouse(desk.settings) as warehouse, warehouse.engine.connect() as connection:
        run = read_run(connection, run_id)
    assert run is not None
    return run


def test_one_desk_end_to_end(desk: Desk, request: pytest.FixtureRequest) -> None:
    """Turn other sites away, materialize, read, backfill, terminate, and the example.

    Each needs what the one before left, and all a UI.
    """
    _refuse_what_no_program_sends(desk)
    if BROWSER is None:
        _run_the_graphql_example(desk)
        _terminate_a_waiting_sync(desk)
        pytest.skip("only GraphQL was tested: no browser is installed; on Debian: apt-get install chromium")
    page: Page = request.getfixturevalue("page")
    # A window that opens by itself may cover what is to be pressed.
    assert desk.ask("{shouldShowNux}") == {"shouldShowNux": False}
    _turn_other_sites_away(desk, page)
    _materialize(desk, page)
    _read_the_asset(desk, page)
    _backfill(desk, page)
    _terminate(desk, page)
    _run_the_graphql_example(desk)
    _terminate_a_waiting_sync(desk)


def _turn_other_sites_away(desk: Desk, page: Page) -> None:
    attack(desk, page)
    assert desk.runs() == []
    # The UI's own page asks as before, over HTTP and over a websocket.
    page.goto(f"{desk.url}/runs")
    came = page.evaluate(
        "async () => [(await fetch('/graphql', {method: 'POST', headers: {'Content-Type': 'application/json'},"
        " body: JSON.stringify({query: '{version}'})})).status,"
        " await new Promise(done => { const socket = new WebSocket(location.origin.replace('http', 'ws') + '/graphql',"
        " 'graphql-ws'); socket.onopen = () => done('open'); socket.onerror = () => done('error'); })]"
    )
    assert came == [200, "open"]


def _refuse_what_no_program_sends(desk: Desk) -> None:
    mutation = f"/graphql?query={quote(LAUNCH)}"
    report = "/report_asset_materialization/orders"
    for method in ("GET", "HEAD"):
        assert status(desk, method, mutation) == 403
        assert status(desk, method, "/", Host=EVIL) == 403
    for headers in ({"Host": EVIL}, {"Origin": f"http://{EVIL}"}, {"Origin": "null"}, {"Sec_Fetch_Site": "same-site"}):
        for path in (mutation, report):
            assert status(desk, "POST", path, "{}", Content_Type="text/plain", **headers) == 403
        assert "403" in ask_over_a_websocket(
            desk, LAUNCH, **{name.replace("_", "-"): headers[name] for name in headers}
        )
    # A program is let through; over a websocket it gets no mutation done.
    assert status(desk, path="/server_info") == 200
    assert status(desk, "POST", f"/graphql?query={quote('{version}')}") == 200
    assert "launchRun" in ask_over_a_websocket(desk, LAUNCH)
    assert "launchRun" in ask_over_a_websocket(desk, LAUNCH, Origin=desk.url)
    assert desk.runs() == []


def _press_materialize(page: Page) -> None:
    page.get_by_role("button").filter(has_text=re.compile("^Materialize$")).click()
    # The four assets are of one sync: asked for one, Dagster says that it makes the others too.
    expect(page.get_by_role("dialog")).to_contain_text("order_summaries")
    page.get_by_role("button", name="Confirm").click()


def _materialize(desk: Desk, page: Page) -> None:
    page.goto(f"{desk.url}/assets/orders")
    _press_materialize(page)
    run_id = str(desk.wait_for("The run", lambda: [run["runId"] for run in desk.runs()])[0])

    page.goto(f"{desk.url}/runs/{run_id}")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    assert desk.end_of(run_id) == "SUCCESS"
    picture(page, "run", page.get_by_text("RUN_SUCCESS"))
    assert noted(desk, run_id).orders_created == ORDERS


def _read_the_asset(desk: Desk, page: Page) -> None:
    page.goto(f"{desk.url}/assets/orders?view=events")
    for label, value in {"orders_created": ORDERS, "orders_failed": 0, "indicator": "synced"}.items():
        row = page.get_by_role("row").filter(has=page.get_by_text(label, exact=True)).last
        expect(row).to_contain_text(str(value))
    # A chart is a picture in the page, of a size that shows that it was drawn.
    chart = page.get_by_role("img", name="API calls by hour").first
    expect(chart).to_be_visible()
    assert chart.evaluate("image => image.naturalWidth") == 480
    links = page.locator('a[href^="https://www.bricklink.com/orderDetail.asp?ID="]')
    expect(links.first).to_be_visible()
    assert {int(link) for link in links.all_inner_texts()} <= set(desk.server.store.sales)
    if PICTURES:
        page.set_viewport_size({"width": 1480, "height": 1500})
        picture(page, "report", chart)
        page.set_viewport_size(SIZE)
        page.goto(f"{desk.url}/assets/orders?view=checks")
        picture(page, "checks", page.get_by_text("store_is_in_step"))


def _backfill(desk: Desk, page: Page) -> None:
    counts = Counter(f"{order.date_ordered:%Y-%m}-01" for order in desk.server.store.sales.values())
    months = sorted(month for month, _ in counts.most_common(2))
    desk.server.clear_requests()

    page.goto(f"{desk.url}/locations/bl_pipeline/jobs/full_sync/partitions")
    page.get_by_role("button", name="Launch backfill").click()
    chosen = page.get_by_placeholder("ex: 2000-01-01")
    chosen.fill(", ".join(months))
    chosen.press("Enter")
    picture(page, "backfill", page.get_by_role("button", name="Submit 2 runs"))
    page.get_by_role("button", name="Submit 2 runs").click()

    def launched() -> list[str] | None:
        runs = [run["runId"] for run in desk.runs() if run["jobName"] == "full_sync"]
        return runs if len(runs) == 2 else None

    runs = desk.wait_for("The backfill", launched)
    assert [desk.end_of(run_id) for run_id in runs] == ["SUCCESS", "SUCCESS"]
    # Just these orders were fetched again, and the lists of the sync before served both months.
    asked = [request.path for request in desk.server.requests]
    orders = {
        order.order_id for order in desk.server.store.sales.values() if f"{order.date_ordered:%Y-%m}-01" in months
    }
    assert {path.split("/")[2] for path in asked if path != "/orders"} == {str(order_id) for order_id in orders}
    assert "/orders" not in asked

    backfill = next(tag["value"] for run in desk.runs() for tag in run["tags"] if tag["key"] == "dagster/backfill")
    page.goto(f"{desk.url}/runs/b/{backfill}?tab=runs")
    expect(page.get_by_text("Success", exact=True).nth(1)).to_be_visible()
    page.set_viewport_size(LOW)
    if PICTURES:
        # The backfill itself is done some half a minute after its runs.
        expect(page.get_by_text("Succeeded", exact=True).first).to_be_visible()
    picture(page, "backfill-done", page.get_by_text(months[0]))
    page.set_viewport_size(SIZE)
    page.goto(f"{desk.url}/assets/orders")
    picture(page, "asset", page.get_by_text("Row count"))


def _terminate(desk: Desk, page: Page) -> None:
    desk.server.latency = 30.0
    page.goto(f"{desk.url}/assets/orders")
    desk.wait_for("The end of all", lambda: all(run["status"] in ENDED for run in desk.runs()))
    before = [run["runId"] for run in desk.runs()]
    desk.server.clear_requests()
    _press_materialize(page)

    def started() -> str | None:
        # Not the run of checks that follows a backfill.
        ran = [run for run in desk.runs() if run["runId"] not in before and run["status"] == "STARTED"]
        return ran[0]["runId"] if ran and desk.server.requests else None

    run_id = desk.wait_for("The slow sync", started)
    page.goto(f"{desk.url}/runs/{run_id}")
    page.get_by_role("button").filter(has_text=re.compile("^Terminate$")).click()
    page.get_by_role("button", name="Terminate 1 run").click()
    assert desk.end_of(run_id) == "CANCELED"
    page.goto(f"{desk.url}/runs")
    expect(page.get_by_text("Canceled", exact=True).first).to_be_visible()
    page.set_viewport_size(LOW)
    picture(page, "canceled", page.get_by_text("Canceled", exact=True))
    page.set_viewport_size(SIZE)
    desk.server.latency = 0.0
    assert noted(desk, run_id).status == "canceled"


def _run_the_graphql_example(desk: Desk) -> None:
    """As somebody would run it."""
    order_id = desk.server.store.place_order()
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "--url", desk.url],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["success"] is True
    assert report["orders_created"] in (1, ORDERS + 1)
    assert report["errors"] == []
    assert report["last_synced_at"].endswith("+00:00")
    assert "success" in done.stderr
    one_wrong = subprocess.run(
        [sys.executable, str(EXAMPLE), "--url", desk.url, "12", str(order_id)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert one_wrong.returncode == 3, one_wrong.stderr
    assert [error["order_id"] for error in json.loads(one_wrong.stdout)["errors"]] == ["12"]


def _terminate_a_waiting_sync(desk: Desk) -> None:
    """One that waits for a sync outside of Dagster delays nothing, and leaves nothing behind."""
    with open_warehouse(desk.settings) as warehouse:
        lock = SyncLock(warehouse)
        assert lock.try_acquire()
        desk.server.clear_requests()
        run_id = desk.launch("sync_orders")
        desk.wait_for("Waiting", lambda: any("waiting for it to end" in message for message in desk.messages(run_id)))
        desk.ask("mutation ($id: String!) {terminateRun(runId: $id) {__typename}}", id=run_id)
        assert desk.end_of(run_id) == "CANCELED"
        lock.release()
        assert desk.server.requests == []
        with warehouse.engine.connect() as connection:
            assert read_run(connection, run_id) is None

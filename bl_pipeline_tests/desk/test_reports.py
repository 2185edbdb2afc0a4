"""The reports on the desk: the list, a report with its picture, period and totals, and its CSV."""

from __future__ import annotations

import csv
import html
import io
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
from matplotlib.figure import Figure
from PIL import Image
from sqlalchemy import text
from starlette.testclient import TestClient

from bl_pipeline.desk import reports
from bl_pipeline.desk.reports import named_periods
from bl_pipeline.reports import pictures
from bl_pipeline.reports.files import GROUPS, read_reports
from bl_pipeline.sandbox import Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.wording import amount, number
from bl_pipeline_tests.conftest import Clock, MakeSettings, Sync
from bl_pipeline_tests.desk.conftest import OpenDesk
from bl_pipeline_tests.desk.test_overview import words

MONTH = "/reports/revenue_by_month"


def rows_of(warehouse: Warehouse, name: str, where: str = "true") -> list[dict[str, Any]]:
    """Rows of a report by SQL."""
    with warehouse.engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(f"SELECT * FROM reports.{name} WHERE {where}")).mappings()]


def tables(page: str) -> dict[str, tuple[list[list[str]], list[str]]]:
    """The rows and the total of each table of a page, by its heading."""
    found = {}
    for section in re.findall(r'<section class="card">\s*<h2>.*?</section>', page, re.DOTALL):
        if "<table>" in section:
            rows = [
                [words(html.unescape(cell)) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)]
                for row in re.findall(r"<tr>(.*?)</tr>", section, re.DOTALL)
            ][1:]
            total = rows.pop() if "<tfoot>" in section else []
            found[words(re.findall(r"<h2>(.*?)</h2>", section)[0])] = (rows, total)
    return found


def links(page: str) -> dict[str, str]:
    """The addresses of a page by the words of their links."""
    return {
        words(name): html.unescape(address)
        for address, name in re.findall(r'<a [^>]*href="([^"]*)"[^>]*>(.*?)</a>', page)
    }


def test_the_list_has_every_report_under_its_heading(client: TestClient) -> None:
    page = client.get("/reports").text
    assert re.findall(r"<h2>(.*?)</h2>", page) == list(GROUPS)
    addresses = links(page)
    assert addresses["Revenue by month"] == MONTH
    assert words(page).index(
        "Revenue by month What did the seller get each month, and what of it is turnover?"
    ) < words(page).index("Items sold")
    assert {f"/reports/{report.name}" for report in read_reports()} <= set(addresses.values())


def test_months_have_a_table_for_each_currency_with_its_total(
    synced: Sync, client: TestClient, warehouse: Warehouse
) -> None:
    rows = rows_of(warehouse, "revenue_by_month", "basis = 'order_date'")
    currencies = {row["currency"] for row in rows}
    assert len(currencies) > 1
    page = client.get(MONTH)
    assert page.status_code == 200
    shown = tables(page.text)
    assert shown.keys() == currencies
    for currency, (lines, total) in shown.items():
        members = sorted((row for row in rows if row["currency"] == currency), key=lambda row: row["month"])
        assert [line[0] for line in lines] == [f"{row['month']:%Y-%m}" for row in members]
        assert [line[-1] for line in lines] == [amount(row["turnover"]) for row in members]
        assert total[0] == "Total"
        assert total[1] == number(sum(row["orders"] for row in members))
        assert total[-1] == amount(sum((row["turnover"] for row in members), Decimal(0)))
    first = rows[0]
    assert f'title="{first["revenue"]:f} {first["currency"]}"' in page.text, "exact on hover"
    assert ">turnover <small>" in page.text
    assert f"revenue <small>{first['currency']}</small>" in page.text
    assert "what the seller gets: items_total + shipping" in words(page.text)
    assert ">fees <small>" not in page.text, "an old name, for those who read it in SQL and CSV"
    assert "filter on one basis before adding anything up" in words(page.text)


def test_a_tax_return_is_by_tax_point_until_another_basis_is_chosen(synced: Sync, client: TestClient) -> None:
    """On its page, in its CSV and in the form. Planted: order date chosen in the form."""
    for name, basis in (("tax_return", "tax_point"), ("tax_by_rate_and_country", "order_date")):
        address = f"/reports/{name}"
        page = client.get(address).text
        assert re.findall(r'<option value="(\w+)" selected>', page) == [basis]
        assert tables(page) == tables(client.get(address, params={"basis": basis}).text)
        lines = list(csv.DictReader(io.StringIO(client.get(f"{address}.csv").text)))
        assert {line["basis"] for line in lines} == {basis}


def test_every_report_has_a_page_and_a_csv_of_the_same_rows(
    synced: Sync, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "ROWS", 1000)
    for name in (report.name for report in read_reports()):
        page = client.get(f"/reports/{name}")
        assert page.status_code == 200
        found = client.get(f"/reports/{name}.csv")
        assert found.headers["content-type"] == "text/csv; charset=utf-8"
        assert found.headers["content-disposition"] == f'attachment; filename="{name}.csv"'
        lines = list(csv.DictReader(io.StringIO(found.text)))
        assert len(lines) == sum(len(rows) for rows, _ in tables(page.text).values()), name
        assert ("No rows" in page.text) is (not lines)


def test_csv_has_exact_values(synced: Sync, client: TestClient, warehouse: Warehouse) -> None:
    lines = list(csv.DictReader(io.StringIO(client.get(f"{MONTH}.csv?basis=paid_date").text)))
    rows = rows_of(warehouse, "revenue_by_month", "basis = 'paid_date'")
    assert {(line["month"], line["currency"]): line["revenue"] for line in lines} == {
        (row["month"].isoformat(), row["currency"]): str(row["revenue"]) for row in rows
    }


def test_periods_are_links_that_keep_the_rest(synced: Sync, client: TestClient, clock: Clock) -> None:
    page = client.get(f"{MONTH}?basis=paid_date&currency=eur").text
    addresses = links(page)
    assert addresses["All"] == f"{MONTH}?currency=eur&basis=paid_date"
    assert addresses["Last month"] == f"{MONTH}?from=2026-05-01&to=2026-05-31&currency=eur&basis=paid_date"
    assert re.search(r'aria-current="true">All<', page)
    assert "<option selected>EUR</option>" in page
    assert '<option value="paid_date" selected>' in page
    assert addresses["CSV"] == f"{MONTH}.csv?currency=eur&basis=paid_date"
    last = client.get(addresses["Last month"]).text
    assert re.search(r'aria-current="true">Last month<', last)
    assert 'name="from" value="2026-05-01" type="date"' in last
    assert set(tables(last)) <= {"EUR"}
    days = {row[0] for rows, _ in tables(client.get(f"{MONTH}?from=2026-05&to=2026-05").text).values() for row in rows}
    assert days == {"2026-05"}


@pytest.mark.parametrize(
    ("today", "this_month", "last_month"),
    [
        (date(2026, 1, 31), ("2026-01-01", "2026-01-31"), ("2025-12-01", "2025-12-31")),
        (date(2028, 3, 1), ("2028-03-01", "2028-03-31"), ("2028-02-01", "2028-02-29")),
        (date(2026, 12, 5), ("2026-12-01", "2026-12-31"), ("2026-11-01", "2026-11-30")),
    ],
)
def test_named_periods(today: date, this_month: tuple[str, str], last_month: tuple[str, str]) -> None:
    found = {name: (first, last) for name, first, last in named_periods(today)}
    assert (found["This month"], found["Last month"]) == (this_month, last_month)
    assert found["This year"] == (f"{today.year}-01-01", f"{today.year}-12-31")
    assert found["Last year"] == (f"{today.year - 1}-01-01", f"{today.year - 1}-12-31")


def test_today_is_that_of_the_store(make_settings: MakeSettings, open_desk: OpenDesk, clock: Clock) -> None:
    clock.now = datetime(2026, 6, 30, 23, tzinfo=UTC)
    berlin = open_desk(make_settings(bl_timezone="Europe/Berlin"))
    assert links(berlin.get(MONTH).text)["This month"].startswith(f"{MONTH}?from=2026-07-01")


def test_a_picture_says_what_it_shows(synced: Sync, client: TestClient, warehouse: Warehouse) -> None:
    rows = rows_of(warehouse, "revenue_by_month", "basis = 'order_date' AND currency = 'EUR'")
    months = sorted(row["month"] for row in rows)
    page = client.get(f"{MONTH}?currency=EUR").text
    address, says = re.findall(r'<img src="([^"]*)" alt="([^"]*)"', page)[0]
    assert html.unescape(address) == f"{MONTH}.png?currency=EUR"
    assert says.startswith("Chart: Revenue by month, store ")
    assert f", {months[0]:%Y-%m} to {months[-1]:%Y-%m}" in says
    image = Image.open(io.BytesIO(client.get(html.unescape(address)).content))
    assert image.width > 1000
    assert "<img" not in client.get("/reports/revenue_orders").text
    assert client.get("/reports/revenue_orders.png").status_code == 404
    assert client.get(f"{MONTH}.png?from=2099").status_code == 404


def test_matplotlib_is_imported_only_for_a_picture(
    synced: Sync, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    for address in ("/reports", MONTH, f"{MONTH}.csv"):
        assert client.get(address).status_code == 200
    assert "matplotlib" not in sys.modules


@pytest.mark.slow
def test_a_desk_starts_without_matplotlib() -> None:
    code = "import sys, bl_pipeline.desk.app; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_picture_is_drawn_at_a_time(synced: Sync, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, locked = Figure.savefig, []

    def watch(*arguments: Any, **options: Any) -> None:
        locked.append(pictures.DRAWING.locked())
        draw(*arguments, **options)

    monkeypatch.setattr(Figure, "savefig", watch)
    assert client.get(f"{MONTH}.png").status_code == 200
    assert locked == [True]
    assert not pictures.DRAWING.locked()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (f"{MONTH}?from=2026&to=2025", "The period begins on 2026-01-01, after its end on 2025-12-31."),
        (f"{MONTH}?from=soon&currency=EUR", "'soon' is no year, month or day"),
        (f"{MONTH}?currency=EURO", "There is no currency EURO. Did you mean EUR?"),
        (f"{MONTH}?basis=payed_date", "Did you mean paid_date?"),
        ("/reports/revenue_by_item?basis=paid_date", "revenue_by_item has no basis: leave the basis out."),
        ("/reports/missing?from=2026", "missing is not about a period: leave the days out."),
    ],
)
def test_what_cannot_be_answered_is_said_above_the_form(
    synced: Sync, client: TestClient, address: str, says: str
) -> None:
    page = client.get(address)
    assert page.status_code == 422
    assert says in words(html.unescape(page.text))
    assert "--" not in words(re.sub(r"<!--|-->|<!doctype", "", page.text)), "no options of the command bl"
    assert '<form method="get"' in page.text
    assert not tables(page.text)
    if "soon" in address:
        assert 'name="from" value="soon" type="text"' in page.text
        assert "<option selected>EUR</option>" in page.text
    csv_of_it = client.get(address.replace("?", ".csv?", 1))
    assert (csv_of_it.status_code, csv_of_it.headers["content-type"][:9]) == (422, "text/html")


def test_there_is_no_such_report(client: TestClient) -> None:
    for address in ("/reports/revenue_by_mnth", "/reports/revenue_by_mnth.csv", "/reports/revenue_by_mnth.png"):
        page = client.get(address)
        assert page.status_code == 404
        assert "Did you mean revenue_by_month?" in page.text


def test_what_was_asked_for_is_never_markup(synced: Sync, client: TestClient) -> None:
    hostile = '"><script>alert(1)</script>'
    page = client.get(MONTH, params={"from": hostile, "to": hostile, "currency": hostile, "basis": hostile})
    assert page.status_code == 422
    assert "<script>" not in page.text


def test_without_rows_the_page_says_what_to_do(synced: Sync, client: TestClient) -> None:
    page = client.get(f"{MONTH}?from=2099").text
    assert "Nothing matches this period" in page
    assert links(page)["show all there is"] == MONTH
    assert "<img" not in page
    assert "What it counts is written below" in client.get("/reports/feedback_by_month").text


def test_without_orders_the_page_says_to_sync(client: TestClient) -> None:
    assert "No orders of this store are stored yet" in client.get(MONTH).text


def test_days_that_cut_a_month_show_it_whole_and_say_so(synced: Sync, client: TestClient) -> None:
    assert "revenue_by_month has whole months" in client.get(f"{MONTH}?from=2026-05-15").text


def test_a_long_report_shows_some_rows_and_the_total_of_all(
    synced: Sync, client: TestClient, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "ROWS", 2)
    page = client.get("/reports/revenue_by_item?currency=EUR").text
    sold = rows_of(warehouse, "revenue_by_item", "currency = 'EUR'")
    different = {(row["item_type"], row["item_number"]) for row in sold}
    rows, total = tables(page)["EUR"]
    assert len(rows) == 2
    assert f"The 2 largest of {len(different)} rows are shown. The CSV has all." in words(page)
    assert total[0] == f"Total of all {len(different)} rows"
    assert total[-2] == amount(sum((row["items_total"] for row in sold), Decimal(0)))
    assert total[-1] == amount(sum((row["items_net"] for row in sold), Decimal(0)))
    assert "orders" in page
    assert total[-5] == "", "an order with two items is in two rows"
    assert len(client.get("/reports/revenue_by_item.csv?currency=EUR").text.splitlines()) == len(different) + 1

    orders = rows_of(warehouse, "revenue_dates", "basis = 'order_date'")
    page = client.get("/reports/revenue_dates").text
    rows, total = tables(page)["Revenue dates"]
    assert (len(rows), total) == (2, [])
    assert f"The latest 2 of {len(orders)} rows are shown. The CSV has all; a shorter period has fewer." in words(page)
    last = max(orders, key=lambda row: (row["day"], row["platform_order_id"]))["platform_order_id"]
    assert f'<a href="/orders/{last}">{last}</a>' in page


def test_what_is_missing_from_the_figures_is_said(synced: Sync, client: TestClient, warehouse: Warehouse) -> None:
    page = words(client.get(MONTH).text)
    assert "BrickLink's lists were read on " in page
    assert "every order in them is stored" in page
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sync.order_state SET order_document_id = NULL WHERE listed_filed"))
    (missing,) = rows_of(warehouse, "completeness")
    assert missing["missing_orders"] > 1
    page = words(client.get(MONTH).text)
    assert f"Not complete: {missing['missing_orders']} orders not stored and in no figure here, the oldest of " in page
    past = words(client.get(f"{MONTH}?as_of=2026-01-01").text)
    assert ("Not complete" in past, "lists had not been read by then: nothing was known" in past) == (False, True)


def test_addresses_are_of_the_desk(synced: Sync, client: TestClient) -> None:
    for name in ("revenue_by_month", "revenue_items"):
        for address in links(client.get(f"/reports/{name}").text).values():
            assert urlsplit(address).netloc == ""


def test_a_report_is_shown_as_of_a_moment(synced: Sync, client: TestClient, store: Store) -> None:
    """Caught: a page as of a moment with a picture or a CSV of now."""
    before = tables(client.get(MONTH).text)
    then = synced.clock()
    order = next(order for order in store.sales.values() if order.status == "COMPLETED" and not order.is_purged)
    store.advance(timedelta(days=2))
    synced.clock.advance(days=2)
    store.set_status(order.order_id, "CANCELLED")
    assert synced().success
    assert tables(client.get(MONTH).text) != before
    page = client.get(MONTH, params={"as_of": f"{then:%Y-%m-%dT%H:%MZ}"})
    assert tables(page.text) == before
    assert "As the warehouse knew it at" in words(page.text)
    for address in (links(page.text)["CSV"], re.findall(r'src="(/reports/[^"]+)"', page.text)[0]):
        assert "as_of=" in address
    shown = client.get(links(page.text)["CSV"])
    assert shown.text != client.get(f"{MONTH}.csv").text
    file = f"revenue_by_month_as_of_{then:%Y%m%dT%H%M00Z}.csv"
    assert shown.headers["content-disposition"] == f'attachment; filename="{file}"'
    refused = client.get(MONTH, params={"as_of": "2099"})
    assert (refused.status_code, "in the future" in refused.text) == (422, True)
    assert 'name="as_of"' not in client.get("/reports/missing").text

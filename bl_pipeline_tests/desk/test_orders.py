"""The list of orders on the desk: its filter in the address, its pages, its order, and the same as CSV."""

from __future__ import annotations

import csv
import html
import io
import re
from collections import Counter, defaultdict
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import text
from starlette.testclient import TestClient

from bl_pipeline.desk import orders
from bl_pipeline.sandbox import Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import MakeSettings, Sync
from bl_pipeline_tests.desk.conftest import OpenDesk
from bl_pipeline_tests.desk.test_overview import words
from bl_pipeline_tests.support.sales_rows import order_row


def listed(page: str) -> list[str]:
    """The orders of a page, in its order."""
    return re.findall(r'<th scope="row"><a href="/orders/(\d+)">BL-\1</a>', page)


def change(warehouse: Warehouse, order_id: str, **values: object) -> None:
    with warehouse.engine.begin() as connection:
        connection.execute(
            text(f"UPDATE sales.orders SET {', '.join(f'{n} = :{n}' for n in values)} WHERE platform_order_id = :id"),
            {**values, "id": order_id},
        )


def test_the_list_with_its_count_and_sums(synced: Sync, client: TestClient, store: Store) -> None:
    page = client.get("/orders").text
    latest_first = sorted(store.sales.values(), key=lambda order: order.date_ordered, reverse=True)
    assert listed(page) == [str(order.order_id) for order in latest_first]
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for order in store.sales.values():
        totals[order.currency] += order.grand_total
    shown = words(page)
    assert "24 orders" in shown
    for currency, total in totals.items():
        assert f"{total.quantize(Decimal('0.01')):,f} {currency}" in shown
        assert f'title="{total.normalize():f} {currency}"' in page
    first = latest_first[0]
    row = f"BL-{first.order_id} BrickLink {first.date_ordered:%Y-%m-%d} {order_row(first)['buyer_name']} {first.status}"
    assert row in html.unescape(shown)


def test_each_filter_is_in_the_address_and_stays_in_the_form(synced: Sync, client: TestClient, store: Store) -> None:
    rows = {str(order.order_id): order_row(order) for order in store.sales.values()}
    some = next(row for row in rows.values() if row["platform_status"] == "SHIPPED")
    number = some["platform_order_id"]
    for query, expected in (
        ({"search": f"bl-{number}"}, {number}),
        ({"search": some["tracking_number"]}, {number}),
        ({"status": "shipped"}, {key for key, row in rows.items() if row["platform_status"] == "SHIPPED"}),
        ({"group": "completed"}, {key for key, row in rows.items() if row["status"] == "completed"}),
        ({"platform": "bricklink"}, set(rows)),
        ({"country": some["country_code"]}, {k for k, r in rows.items() if r["country_code"] == some["country_code"]}),
        ({"since": "2026-05", "until": "2026-05"}, {
            key for key, row in rows.items() if f"{row['order_date']:%Y-%m}" == "2026-05"
        }),
        ({"not_shipped": "true", "group": "processing"}, {
            key for key, row in rows.items() if row["status"] == "processing" and row["shipped_at"] is None
        }),
    ):  # fmt: skip
        page = client.get("/orders", params=query).text
        assert set(listed(page)) == expected, query
        for name, value in query.items():
            kept = {
                "unpaid": r'name="unpaid" value="true" checked',
                "not_shipped": r'name="not_shipped" value="true" checked',
                "status": rf'value="{value.upper()}" selected',
                "group": rf'value="{value}" selected',
                "platform": rf'value="{value}" selected',
            }.get(name, rf'name="{name}" value="{value}"')
            assert re.search(kept, page), (name, value)
    blank = dict.fromkeys(("search", "status", "group", "platform", "country", "since", "until"), "")
    assert set(listed(client.get("/orders", params=blank).text)) == set(rows), "a form that was sent as it is"
    nothing = client.get("/orders", params={"search": "nobody of this name"})
    assert (nothing.status_code, "No orders match these filters." in nothing.text) == (200, True)


def test_a_wrong_word_is_explained_and_kept(synced: Sync, client: TestClient) -> None:
    for query, said in (
        ({"status": "shiped"}, "Did you mean SHIPPED?"),
        ({"group": "complted"}, "Did you mean completed?"),
        ({"country": "Germny"}, "There is no country GERMNY."),
        ({"since": "yesterday"}, "is no year, month, day or time such as 2026"),
        ({"since": "2026-04", "until": "2026-03"}, "The list would end before it begins"),
        ({"sort": "price"}, "There is no sort order price"),
        ({"platform": "ebay"}, "There is no platform ebay"),
    ):
        answer = client.get("/orders", params={**query, "search": '"><script>x'})
        assert answer.status_code == 422, query
        assert said in words(answer.text), query
        assert all(f'value="{value}"' in answer.text for value in query.values()), query
        assert "<script>x" not in answer.text
        assert 'name="search" value="&#34;&gt;&lt;script&gt;x"' in answer.text
        assert client.get("/orders.csv", params=query).status_code == 422, query
    for odd in ("\0", "%", "\\", "a" * 5000, "\ud7ff\U0001f600"):
        assert client.get("/orders", params={"search": odd}).status_code in (200, 400), odd


def test_headings_sort_and_pages_turn(synced: Sync, client: TestClient, store: Store, warehouse: Warehouse) -> None:
    page = client.get("/orders", params={"status": "completed", "sort": "-total"}).text
    links = dict(re.findall(r'<th scope="col"[^>]*><a href="([^"]+)">(\w+)', page))
    by_name = {name: parse_qs(urlsplit(link.replace("&amp;", "&")).query) for link, name in links.items()}
    assert by_name["Date"] == {"status": ["completed"], "sort": ["-date"]}
    assert by_name["Total"] == {"status": ["completed"], "sort": ["total"]}
    assert by_name["Buyer"] == {"status": ["completed"], "sort": ["buyer"]}
    assert page.count("aria-sort") == 1
    assert 'aria-sort="descending" class="number"' in page

    seen: list[str] = []
    address: str | None = "/orders?sort=id"
    while address:
        answer = client.get(address).text
        seen += listed(answer)
        found = re.search(r'rel="next" href="([^"]+)"', answer)
        address = found[1].replace("&amp;", "&") if found else None
        if len(seen) == 24:
            break
    assert seen == sorted(map(str, store.sales), key=int)
    with warehouse.engine.begin() as connection:
        connection.execute(
            text(
                """
                INSERT INTO sales.orders (store, platform, platform_order_id, display_id, order_date, first_order_date,
                    status, platform_status, currency, order_document_id, fetched_at)
                SELECT 'main', 'bricklink', n::text, 'BL-' || n, now(), now(), 'pending', 'PENDING', 'EUR', 1, now()
                FROM generate_series(1, :more) AS n
                """
            ),
            {"more": orders.PAGE},
        )
    first = client.get("/orders", params={"sort": "id"}).text
    assert listed(first) == [str(n) for n in range(1, orders.PAGE + 1)]
    assert f"1 to {orders.PAGE} of {orders.PAGE + 24}" in words(first)
    assert 'rel="prev"' not in first
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    second = client.get(following[1].replace("&amp;", "&")).text
    assert listed(second) == sorted(map(str, store.sales), key=int)
    assert 'rel="prev" href="/orders?sort=id"' in second
    assert 'rel="next"' not in second
    assert "on the pages before it" in client.get("/orders", params={"offset": 1000}).text


def test_csv_is_what_is_shown_on_all_pages(synced: Sync, client: TestClient, warehouse: Warehouse) -> None:
    (first, second, third, *_) = listed(client.get("/orders").text)
    change(warehouse, first, buyer_name='=HYPERLINK("http://evil.example")', total=Decimal("12.3456"))
    change(warehouse, second, buyer_name="@SUM(A1)", total=Decimal("-5.5"))
    change(warehouse, third, buyer_name="-1+1", platform_status="+49")
    answer = client.get("/orders.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="orders.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert list(rows[0]) == ["id", "platform", "date", "buyer", "status", "group", "total", "currency"]
    assert [row["id"] for row in rows] == [f"BL-{each}" for each in listed(client.get("/orders").text)]
    assert rows[0]["buyer"] == '\'=HYPERLINK("http://evil.example")'
    assert (rows[0]["total"], rows[1]["total"]) == ("12.3456", "-5.5000"), "amounts stay amounts"
    assert (rows[1]["buyer"], rows[2]["buyer"], rows[2]["status"]) == ("'@SUM(A1)", "'-1+1", "'+49")
    assert rows[0]["date"].endswith("+00:00")
    query = {"status": "completed", "sort": "total"}
    shown = client.get("/orders", params=query).text
    link = re.search(r'href="(/orders\.csv[^"]*)"', shown)
    assert link
    linked = csv.DictReader(io.StringIO(client.get(link[1].replace("&amp;", "&")).text))
    assert [row["id"][3:] for row in linked] == listed(shown)


def test_a_buyers_name_is_text(synced: Sync, client: TestClient, warehouse: Warehouse) -> None:
    (first, *_) = listed(client.get("/orders").text)
    change(warehouse, first, buyer_name="<img src=x onerror=alert(1)>", platform_status="<b>X</b>")
    page = client.get("/orders").text
    assert "<img" not in page
    assert "<b>X" not in page
    assert "&lt;img src=x" in page


def test_an_empty_warehouse_says_what_to_do(client: TestClient) -> None:
    assert "No orders are stored yet. Sync the store" in words(client.get("/orders").text)
    assert "No orders match these filters." in words(client.get("/orders", params={"search": "x"}).text)
    assert client.get("/orders.csv").text == "id,platform,date,buyer,status,group,total,currency\n"


def test_days_are_those_that_the_page_shows(synced: Sync, make_settings: MakeSettings, open_desk: OpenDesk) -> None:
    """Planted: days of the stored time zone, which is UTC before the first sync, while the page shows another's."""
    desk = open_desk(make_settings(bl_timezone="Pacific/Kiritimati"))
    days = re.findall(r'<td class="date">([0-9-]+)</td>', desk.get("/orders").text)
    for day, orders_of_day in Counter(days).items():
        page = desk.get(f"/orders?since={day}&until={day}").text
        assert re.findall(r'<td class="date">([0-9-]+)</td>', page) == [day] * orders_of_day
        assert desk.get(f"/api/orders?since={day}&until={day}").json()["count"] == orders_of_day

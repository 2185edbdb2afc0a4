"""The page of one order: all that is stored of it, and what a refresh has changed."""

from __future__ import annotations

import html
import re
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from bl_pipeline.reports import order_facts
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.sales import last_fetched_at
from bl_pipeline_tests.conftest import Clock, MakeSettings, Sync
from bl_pipeline_tests.desk.conftest import OpenDesk
from bl_pipeline_tests.desk.test_orders import change
from bl_pipeline_tests.desk.test_overview import result_of, words
from bl_pipeline_tests.support.sales_rows import order_row
from bl_pipeline_tests.support.waiting import wait_until


def shown(client: TestClient, order_id: int | str) -> str:
    """What the page of an order says."""
    return html.unescape(words(client.get(f"/orders/{order_id}").text))


def test_an_order_in_full(synced: Sync, client: TestClient, store: Store) -> None:
    order = max((each for each in store.sales.values() if not each.is_purged), key=lambda each: len(each.lots))
    row = order_row(order)
    page = client.get(f"/orders/BL-{order.order_id}").text
    assert page == client.get(f"/orders/{order.order_id}").text, "with or without BL-"
    said = html.unescape(words(page))
    for fact in (
        row["platform_status"], row["buyer_name"], row["buyer_username"], row["buyer_email"], row["shipping_method"],
        row["payment_method"], f"{row['order_date']:%Y-%m-%d %H:%M}", row["shipping_address"]["address1"],
    ):  # fmt: skip
        assert fact in said, fact
    assert f'href="https://www.bricklink.com/orderDetail.asp?ID={order.order_id}"' in page
    assert f'action="/orders/{order.order_id}/refresh"' in page
    for lot in order.lots:
        assert f"{lot.quantity:,}" in said
        if lot.item.no and lot.item.type == "PART":
            color = f"&amp;idColor={lot.color.color_id}" if lot.color.color_id else ""
            assert f'"https://www.bricklink.com/v2/catalog/catalogitem.page?P={lot.item.no}{color}"' in page
            assert f'"https://img.bricklink.com/ItemImage/PN/{lot.color.color_id}/{lot.item.no}.png"' in page
    assert not re.search(r'<(img|script|iframe)\b|src="(?!/)', page), "nothing is loaded from the network"
    assert not re.search(r'rel="external noreferrer"[^>]*href="(?!https?:)', page)


ALWAYS: dict[str, Any] = {
    "bl_messages": "all", "bl_feedback": "all", "bl_messages_days": 36500, "bl_feedback_days": 36500,
}  # fmt: skip
AMOUNTS = {
    "subtotal": "100.1234", "shipping": "10", "fees": "7.5", "insurance": "1", "etc1": "2", "etc2": "3", "tax": "4",
    "credit": "1.5", "coupon": "1", "total": "117.6234", "final_total": "113.6234", "vat_rate": "19",
    "vat_amount": "18.7801",
}  # fmt: skip


def test_the_summary_has_each_part_and_the_exact_amount(
    synced: Sync, client: TestClient, store: Store, warehouse: Warehouse
) -> None:
    order_id = str(next(iter(store.sales)))
    change(warehouse, order_id, currency="EUR", **{name: Decimal(value) for name, value in AMOUNTS.items()})
    page = client.get(f"/orders/{order_id}").text
    summary = words(page[page.index('id="summary-title"') : page.index('id="history-title"')])
    assert (
        "Subtotal 100.12 EUR Shipping 10.00 EUR Other charges 7.50 EUR insurance 1.00 EUR additional charge 1 2.00 EUR "
        "additional charge 2 3.00 EUR sales tax 4.00 EUR credit -1.50 EUR coupon -1.00 EUR Total 117.62 EUR "
        "Final total 113.62 EUR VAT contained (19 %) 18.78 EUR"
    ) in summary
    assert 'title="100.1234 EUR"' in page
    change(warehouse, order_id, **dict.fromkeys(AMOUNTS))
    page = client.get(f"/orders/{order_id}").text
    assert "Subtotal" not in page[page.index('id="summary-title"') :], "what BrickLink did not send is not 0"


HOSTILE = "</textarea><script>alert(1)</script>\n\"'><b>&amp;"


def test_what_others_wrote_is_text_and_only_the_web_is_a_link(
    synced: Sync, client: TestClient, store: Store, warehouse: Warehouse
) -> None:
    order_id = str(next(each.order_id for each in store.sales.values() if each.lots and not each.is_purged))
    texts = ("buyer_name", "buyer_username", "buyer_email", "remarks", "tracking_number", "platform_status",
             "payment_status", "payment_method", "shipping_method")  # fmt: skip
    change(warehouse, order_id, **dict.fromkeys(texts, HOSTILE), tracking_url="javascript:alert(1)")
    with warehouse.engine.begin() as connection:
        connection.execute(
            text("UPDATE sales.order_items SET item_number = '1/\"><b>', description = :h"), {"h": HOSTILE}
        )
        connection.execute(text("UPDATE sales.order_status_history SET platform_status = :h"), {"h": HOSTILE})
    page = client.get(f"/orders/{order_id}").text
    assert "<script>alert" not in page
    assert "<b>" not in page
    assert 'href="javascript' not in page
    assert "javascript:alert(1)" in page, "shown as text"
    assert "P=1%2F%22%3E%3Cb%3E" in page
    assert HOSTILE.splitlines()[0] not in page
    for link, taken in (
        ("https://post.example/T?a=1&b=2", True), ("http://post.example", True), ("HTTPS://post.example", True),
        ("//post.example", False), ("data:text/html,x", False), ("java\nscript:alert(1)", False), ("http:", False),
        ("http://[", False), ("", False),
    ):  # fmt: skip
        assert (order_facts.web_link(link) is not None) == taken, link
    change(warehouse, order_id, tracking_url="https://post.example/T?a=1&b=2", tracking_number="TR1")
    assert '<a href="https://post.example/T?a=1&amp;b=2" rel="external noreferrer">TR1</a>' in client.get(
        f"/orders/{order_id}"
    ).text  # fmt: skip


def test_a_text_does_not_turn_the_words_beside_it_round(
    synced: Sync, client: TestClient, store: Store, warehouse: Warehouse
) -> None:
    """Caught: with the sign that turns text round in a buyer's name the page read SU for the country US."""
    sign = "\u202e"
    order_id = str(store.place_order(paid=True))
    assert synced().success
    texts = ("buyer_name", "buyer_username", "shipping_method", "payment_method")
    change(warehouse, order_id, **dict.fromkeys(texts, f"turned{sign}"))
    with warehouse.engine.begin() as connection:
        connection.execute(
            text("UPDATE sales.order_items SET item_number = :h, item_name = :h, item_type = 'MINIFIG'"),
            {"h": f"turned{sign}"},
        )
    preview = client.post("/writes/preview", data={"order": order_id, f"{order_id}.remarks": "new"}).headers["location"]
    assert "Preview" in result_of(client, preview)
    for address in (
        f"/orders/{order_id}", "/orders", "/todo", f"/picklist?order={order_id}", f"/orders/{order_id}/slip", preview
    ):  # fmt: skip
        page = client.get(address).text
        assert sign in page, address
        loose = re.sub(r"<bdi>.*?</bdi>", "", re.sub(r'="[^"]*"', "", page), flags=re.DOTALL)
        assert re.findall(rf".*{sign}(?!</(?:td|th|dd|address|p|li|h2)>|<br>).*", loose) == [], address


def test_fields_that_cannot_be_read_are_named(
    synced: Sync, client: TestClient, store: Store, warehouse: Warehouse
) -> None:
    order_id = str(next(each.order_id for each in store.sales.values() if each.lots and not each.is_purged))
    assert "in a form that is not known" not in shown(client, order_id)
    change(warehouse, order_id, unreadable_fields=["cost.vat_rate"])
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sales.order_items SET unreadable_fields = '{weight}'"))
    assert "in a form that is not known, so they are empty here, or only text: cost.vat_rate, items.weight." in shown(
        client, order_id
    )


def test_every_order_has_a_page(synced: Sync, client: TestClient, store: Store, warehouse: Warehouse) -> None:
    """Purged ones, those with an unknown status, and one of which almost nothing was sent."""
    for order_id, order in store.sales.items():
        answer = client.get(f"/orders/{order_id}")
        assert answer.status_code == 200
        assert f"Order BL-{order_id}" in words(answer.text)
        assert ("BrickLink has deleted them" in answer.text) == (order.is_purged)
    order_id = next(iter(store.sales))
    with warehouse.engine.begin() as connection:
        names = connection.scalars(
            text(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'sales.orders'::regclass AND attnum > 0 "
                "AND NOT attnotnull"
            )
        ).all()
        nulls = connection.scalars(
            text(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'sales.order_items'::regclass AND attnum > 0 "
                "AND NOT attnotnull"
            )
        ).all()
        connection.execute(text(f"UPDATE sales.order_items SET {', '.join(f'{name} = NULL' for name in nulls)}"))
    change(warehouse, str(order_id), **dict.fromkeys(names))
    assert "Size pieces not known Filed" in shown(client, order_id), "what is absent is not 0"
    assert client.get("/orders").status_code == 200


def test_an_order_that_is_not_stored(
    synced: Sync, client: TestClient, make_settings: MakeSettings, open_desk: OpenDesk, store: Store,
    server: SandboxServer,
) -> None:  # fmt: skip
    answer = client.get("/orders/BL-999")
    assert answer.status_code == 404
    assert "Order BL-999 is not in the warehouse" in words(answer.text)
    assert 'action="/orders/999/refresh"' in answer.text
    assert "bl refresh 999" in words(open_desk(make_settings(bl_desk_read_only=True)).get("/orders/999").text)
    assert client.get("/orders/BL-12x").status_code == 422
    assert client.get("/orders/%00").status_code == 400
    new = store.place_order()
    server.faults.on(f"/orders/{new}", Fault.HTTP500)
    synced()
    page = client.get(f"/orders/{new}")
    assert (page.status_code, "It could not be stored" in words(page.text)) == (404, True)
    old = next(iter(store.sales))
    store.set_payment_status(old, "Bounced")
    server.faults.on(f"/orders/{old}", Fault.HTTP500)
    synced()
    assert "What is shown here may be old." in shown(client, old)


def test_the_history_says_which_changes_were_ours(order_id: int, client: TestClient, warehouse: Warehouse) -> None:
    assert "changed by you" not in shown(client, order_id)
    with warehouse.engine.begin() as connection:
        connection.execute(
            text(
                """
                INSERT INTO sync.writes (store, platform, platform_order_id, run_id, requested_by, kind, asked, before,
                    noted_at, outcome, document_id)
                SELECT store, platform, platform_order_id, 'r', 'seller', 'status', '{"status": "PAID"}', '{}', now(),
                    'done', document_id
                FROM sales.order_status_history WHERE platform_order_id = :id
                """
            ),
            {"id": str(order_id)},
        )
    page = client.get(f"/orders/{order_id}").text
    assert '<li class="ours"><strong>PENDING</strong>' in page
    assert "changed by you, from here" in words(page)


def test_messages_and_feedback_are_shown_if_stored(
    synced: Sync, client: TestClient, make_settings: MakeSettings, store: Store
) -> None:
    with_message = next(each.order_id for each in store.sales.values() if not each.is_purged)
    store.write_message(with_message, "Is it <b>sent</b>?\nThank you", "A question")
    assert synced(settings=make_settings(**ALWAYS)).success
    pages = [client.get(f"/orders/{order_id}").text for order_id in store.sales]
    page = client.get(f"/orders/{with_message}").text
    assert "A question" in page
    assert "Is it &lt;b&gt;sent&lt;/b&gt;?<br>Thank you" in page
    rated = next(page for page in pages if 'id="feedback-title"' in page)
    assert re.search(r"(praise|neutral|complaint) of the (seller|buyer)", words(rated))
    assert any('id="messages-title"' not in page for page in pages), "an order without any"


@pytest.mark.slow
def test_a_refresh_comes_back_to_the_order_and_says_what_has_changed(
    order_id: int, client: TestClient, store: Store, server: SandboxServer, clock: Clock
) -> None:
    def refresh(number: int) -> str:
        wait_until(lambda: not client.app.state.desks.only.launches.running())  # type: ignore[attr-defined]
        address = client.post(f"/orders/BL-{number}/refresh").headers["location"]
        result_of(client, address)
        back = client.get(address)
        assert (back.status_code, back.headers["location"][: len(f"/orders/{number}?")]) == (303, f"/orders/{number}?")
        return html.unescape(words(client.get(back.headers["location"]).text))

    assert "nothing has changed" in (said := refresh(order_id))
    with client.app.state.desks.only.source.reading() as (connection, warehouse):  # type: ignore[attr-defined]
        fetched_at = last_fetched_at(connection, warehouse, str(order_id))
    assert fetched_at
    # Planted: the time of the answer that changed it last.
    assert re.search(rf"Fetched\s+{fetched_at:%Y-%m-%d %H:%M}", said), said
    store.set_payment_status(order_id, "Received")
    store.ship(order_id)
    said = refresh(order_id)
    assert "What has changed:" in said
    assert "BrickLink's status: PENDING → SHIPPED" in said
    assert "Payment status: None → Received" in said
    assert "nothing has changed" in refresh(order_id)
    lots = len(store.order(order_id).lots)
    store.add_batch(order_id)
    assert f"Items: {lots} lot" in (said := refresh(order_id))
    assert f"→ {len(store.order(order_id).lots)} lots" in said
    assert re.search(r"Subtotal: [\d.,]+ [A-Z]{3} → [\d.,]+ [A-Z]{3} ", said), "an amount has its currency"
    new = store.place_order()
    assert "fetched for the first time" in refresh(new)
    server.faults.on(f"/orders/{new}", Fault.HTTP500)
    wait_until(lambda: not client.app.state.desks.only.launches.running())  # type: ignore[attr-defined]
    failed = result_of(client, client.post(f"/orders/{new}/refresh").headers["location"])
    assert f"BL-{new}" in failed, "a failure is explained on the page of the run"
    assert "Refreshed from" not in shown(client, order_id), "without the run in the address"

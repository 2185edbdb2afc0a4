"""What is to be done, the pick list and the packing slips, and several orders at once."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from starlette.testclient import TestClient

from bl_pipeline.countries import country, country_code
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline_tests.conftest import MakeSettings, Sync
from bl_pipeline_tests.desk.conftest import OpenDesk
from bl_pipeline_tests.desk.test_overview import words
from bl_pipeline_tests.desk.test_writes import confirm, ended

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def orders(synced: Sync, store: Store, server: SandboxServer) -> list[int]:
    """Three orders: one to be paid, one to pack, one to send. The lots of the first two have hostile texts."""
    like = next(iter(store.sales.values())).batches[0][0]
    lots = [like._replace(inventory_id=1, remarks="A10", quantity=3, description=f"as new {HOSTILE}"),
            like._replace(inventory_id=2, remarks=f"A2 {HOSTILE}", quantity=1234)]  # fmt: skip
    first, second, third = store.place_order(lots=lots), store.place_order(lots=lots), store.place_order()
    store.edit_costs(first, credit=Decimal("1.5"), insurance=Decimal("0.25"))
    store.pay(second)
    store.pay(third)
    store.pack(third)
    assert synced().success
    server.clear_requests()
    return [first, second, third]


def ticked(page: str) -> list[str]:
    return re.findall(r'name="order" value="(\d+)"[^>]* checked', page)


def test_what_is_to_be_done(orders: list[int], client: TestClient, server: SandboxServer) -> None:
    page = client.get("/todo").text
    text = words(page)
    places = [page.index(f"/orders/{order}") for order in orders]
    titles = [page.index(f'<h2 id="{step}">') for step in ("to_be_paid", "to_pack", "to_send")]
    assert sorted([*places, *titles]) == [titles[0], places[0], titles[1], places[1], titles[2], places[2]]
    assert re.search(rf"BL-{orders[1]} \d+ (hour|minute|day)s? ago .* PAID Payment: Received 2 1237 [\d.,]+ \w+ ", text)
    assert ticked(page) == []
    chosen = ticked(client.get("/todo?choose=to_send").text)
    assert str(orders[2]) in chosen
    assert str(orders[0]) not in chosen
    assert server.requests == []


def test_the_pick_list_of_the_orders_that_were_ticked(orders: list[int], client: TestClient) -> None:
    """Planted: sorted as text; `| safe`. Its address has ids and nothing else."""
    ids = [str(order) for order in orders[:2]]
    sent = client.post("/picklist", data={"order": ids, f"{ids[0]}.tracking_no": "TR1"})
    address = sent.headers["location"]
    assert (sent.status_code, address) == (303, f"/picklist?order={ids[0]}&order={ids[1]}")
    page = client.get(address).text
    assert "<script>alert" not in page
    text = words(page)
    assert "2 lots, 2,474 pieces, 2 orders." in text
    assert text.index("A2 ") < text.index("A10 ")
    assert f"1,234 x BL-{ids[0]} 1,234 x BL-{ids[1]}" in text
    assert page.count('class="box"') == 6


def test_a_packing_slip(orders: list[int], client: TestClient, store: Store) -> None:
    """Planted: the seller's own remarks on it; the parts of the total without their signs."""
    order = store.order(orders[0])
    page = client.get(f"/orders/BL-{orders[0]}/slip").text
    text = words(page)
    assert "A10" not in text
    assert "<script>alert" not in page
    assert "as new <script>" in text
    assert "Thank you for your order!" in text
    assert "2 lots, 1,237 pieces." in text
    assert order.shipping.address.full_name in text
    land = country(country_code(order.shipping.address.country_code))
    # By its name: a parcel to another country needs it.
    assert f"{land} Pieces Item" in text
    assert land not in ("", order.shipping.address.country_code)
    assert (order.shipping.address.phone_number or "no phone") not in text
    assert "Insurance 0.25 " in text
    assert "Credit -1.50 " in text
    assert "Other" not in text
    both = client.post("/slips", data={"order": [str(one) for one in orders[:2]]}).headers["location"]
    assert client.get(both).text.count('class="card paper slip"') == 2


@pytest.mark.slow
def test_papers_of_an_order_whose_lots_are_not_stored(
    orders: list[int], synced: Sync, client: TestClient, store: Store
) -> None:
    """Planted: nothing said of it."""
    bare = store.place_order()
    assert synced(include_items=False).success
    for address in (f"/picklist?order={bare}&order={orders[0]}", f"/orders/{bare}/slip"):
        assert f"BL-{bare} is not complete here: the warehouse has 0 of its" in words(client.get(address).text)
    assert "is not complete" not in client.get(f"/picklist?order={orders[0]}").text


@pytest.mark.slow
def test_several_are_marked_as_shipped_each_with_its_tracking_number(
    orders: list[int], client: TestClient, store: Store, server: SandboxServer
) -> None:
    chosen = orders[1:]
    fields: dict[str, str | list[str]] = {"order": [str(order) for order in chosen], "status": "SHIPPED"}
    fields |= {f"{order}.tracking_no": "" for order in orders} | {f"{chosen[1]}.tracking_no": "TR9"}
    page = ended(client, client.post("/writes/preview", data=fields).headers["location"])
    assert "2 orders would be changed at BrickLink. It takes 7 API calls" in words(page)
    assert "TR9" in page
    assert "Done 2 orders done." in words(confirm(client, page))
    assert [store.order(order).status for order in orders] == ["PENDING", "SHIPPED", "SHIPPED"]
    assert [store.order(order).shipping.tracking_no for order in chosen] == [None, "TR9"]
    assert [request.path.split("/")[-1] for request in server.requests if request.had_effect] == [
        "status", str(chosen[1]), "status",
    ]  # fmt: skip
    assert str(orders[1]) not in client.get("/todo").text


def test_a_desk_that_only_shows_still_prints(
    orders: list[int], open_desk: OpenDesk, make_settings: MakeSettings
) -> None:
    client = open_desk(make_settings(bl_desk_read_only=True))
    page = client.get("/todo").text
    assert "Mark " not in page
    assert "tracking_no" not in page
    assert client.post("/picklist", data={"order": str(orders[0])}).status_code == 303


def test_papers_of_nothing_and_of_what_is_not_there(orders: list[int], client: TestClient) -> None:
    many = "&".join(f"order={number}" for number in range(51))
    for address, status in (
        ("/picklist", 422), ("/slips", 422), ("/picklist?order=x", 422), ("/picklist?order=99", 404),
        ("/orders/99/slip", 404), (f"/slips?{many}", 422), ("/picklist?order=-1", 422), ("/todo?choose=x", 200),
    ):  # fmt: skip
        assert client.get(address).status_code == status, address
    assert "No order is chosen" in client.get("/picklist").text
    assert client.post("/picklist").status_code == 422

import html
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from bl_pipeline.sandbox import Costs, Payment, SandboxOrder, Store, Wire
from bl_pipeline.sandbox.api import Envelope, answer
from bl_pipeline_tests.sandbox.conftest import NOW

ROW = {
    "order_id",
    "date_ordered",
    "date_status_changed",
    "seller_name",
    "store_name",
    "buyer_name",
    "status",
    "total_count",
    "unique_count",
    "is_filed",
    "salesTax_collected_by_bl",
    "payment",
    "cost",
    "disp_cost",
}
ROW_COST = {"currency_code", "subtotal", "grand_total", "final_total"}
DETAIL = ROW | {
    "buyer_email",
    "require_insurance",
    "is_invoiced",
    "total_weight",
    "buyer_order_count",
    "drive_thru_sent",
    "shipping",
}
DISP_COST = ROW_COST | {
    "etc1",
    "etc2",
    "insurance",
    "shipping",
    "credit",
    "coupon",
    "vat_rate",
    "vat_amount",
}
LOT = {
    "inventory_id",
    "item",
    "color_id",
    "color_name",
    "quantity",
    "new_or_used",
    "unit_price",
    "unit_price_final",
    "disp_unit_price",
    "disp_unit_price_final",
    "currency_code",
    "disp_currency_code",
    "weight",
    "order_cost",
}
ADDRESS = {"name", "full", "address1", "country_code", "city", "postal_code"}


@pytest.fixture(scope="module")
def many() -> Store:
    return Store.grow(400, now=NOW, currencies=("EUR", "USD"))


def asked(store: Store, path: str, query: str = "", wire: Wire | None = None) -> Envelope:
    return answer(store, wire or Wire(), "GET", path, query)


def ids(store: Store, query: str) -> list[int]:
    return sorted(asked(store, "/orders", query).order_ids)


def test_a_row_has_exactly_the_keys_of_a_row(many: Store) -> None:
    for row in asked(many, "/orders").data:
        assert set(row) - {"vat_collected_by_bl"} == ROW
        assert set(row["cost"]) == set(row["disp_cost"]) == ROW_COST
        assert set(row["payment"]) - {"date_paid"} == {"method", "currency_code", "status"}


def test_a_detail_has_the_row_and_exactly_what_it_adds(many: Store) -> None:
    for row in asked(many, "/orders").data:
        detail = asked(many, f"/orders/{row['order_id']}").data
        assert set(detail) - {"vat_collected_by_bl", "remarks"} == DETAIL
        assert set(detail["disp_cost"]) == DISP_COST
        assert set(detail["cost"]) == DISP_COST | {"salesTax"}
        optional = {"tracking_no", "tracking_link", "date_shipped"}
        assert set(detail["shipping"]) - optional == {"method_id", "method", "address"}
        address = detail["shipping"]["address"]
        assert set(address) - {"address2", "state", "phone_number"} == ADDRESS
        assert set(address["name"]) - {"first", "last"} == {"full"}
        costs = {name: {key: detail[name][key] for key in ROW_COST} for name in ("cost", "disp_cost")}
        assert row == {key: detail[key] for key in row} | costs


def test_items_are_batches_of_lots_with_exactly_their_keys(many: Store) -> None:
    for order in many.sales.values():
        batches = asked(many, f"/orders/{order.order_id}/items").data
        if order.is_purged:
            assert batches == []
            continue
        assert [len(batch) for batch in batches] == [len(batch) for batch in order.batches]
        for lot in (lot for batch in batches for lot in batch):
            is_set = lot["item"]["type"] == "SET"
            assert set(lot) - {"description", "remarks"} == LOT | ({"completeness"} if is_set else set())
            assert set(lot["item"]) == {"no", "name", "type", "category_id"}
            assert (lot["color_id"] == 0) == (lot["color_name"] == "(Not Applicable)")


def special(store: Store) -> SandboxOrder:
    order = next(order for order in store.sales.values() if order.lots[0].item.type == "PART")
    lot = order.lots[0]._replace(
        inventory_id=None,
        quantity=3,
        unit_price=Decimal("0.0600"),
        unit_price_final=Decimal("0.0530"),
        weight=Decimal("0.37"),
        description="Don&amp;#39;t",
        remarks=None,
    )
    return replace(
        order,
        batches=((lot,),),
        date_ordered=datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
        currency="USD",
        disp_currency="CAD",
        disp_rate=Decimal("1.4"),
        costs=Costs(
            shipping=Decimal("2.00"),
            insurance=Decimal("1.50"),
            etc1=Decimal("0.25"),
            etc2=Decimal("0.10"),
            credit=Decimal("0.05"),
            coupon=Decimal("0.02"),
            sales_tax_rate=Decimal("10"),
            vat_rate=Decimal("25.00"),
        ),
        payment=Payment("PayPal (Onsite)", "CAD", None, "None"),
        sales_tax_collected_by_bl=True,
        vat_collected_by_bl=None,
        remarks=None,
    )


def test_costs_are_exact_and_totals_on_display_are_rounded_to_cents(store: Store) -> None:
    order = special(store)
    store.put(order)
    detail = asked(store, f"/orders/{order.order_id}").data
    assert detail["cost"] == {
        "currency_code": "USD",
        "subtotal": "0.1590",
        "grand_total": "4.1590",
        "etc1": "0.2500",
        "etc2": "0.1000",
        "insurance": "1.5000",
        "shipping": "2.0000",
        "credit": "0.0500",
        "coupon": "0.0200",
        "salesTax": "0.2200",
        "final_total": "3.9390",
        "vat_rate": "25.00",
        "vat_amount": "0.7878",
    }
    assert detail["disp_cost"] == {
        "currency_code": "CAD",
        "subtotal": "0.2226",
        "grand_total": "5.8200",
        "etc1": "0.3500",
        "etc2": "0.1400",
        "insurance": "2.1000",
        "shipping": "2.8000",
        "credit": "0.0700",
        "coupon": "0.0280",
        "final_total": "5.5100",
        "vat_rate": "25.00",
        "vat_amount": "1.1029",
    }
    assert detail["payment"] == {"method": "PayPal (Onsite)", "currency_code": "CAD", "status": "None"}
    assert (detail["date_ordered"], detail["total_weight"]) == ("2026-01-02T03:04:05.678Z", "1.11")


def test_vat_that_bricklink_collects_is_not_in_the_final_total(store: Store) -> None:
    order = replace(special(store), vat_collected_by_bl=True, sales_tax_collected_by_bl=False)
    assert (order.grand_total, order.final_total) == (Decimal("4.1590"), Decimal("3.3712"))


def test_a_lot_keeps_sub_cents_entities_and_a_null_inventory_id(store: Store) -> None:
    order = special(store)
    store.put(order)
    lot = order.lots[0]
    assert asked(store, f"/orders/{order.order_id}/items").data == [
        [
            {
                "inventory_id": None,
                "item": {
                    "no": lot.item.no,
                    "name": lot.item.wire_name,
                    "type": "PART",
                    "category_id": lot.item.category_id,
                },
                "color_id": lot.color.color_id,
                "color_name": lot.color.name,
                "quantity": 3,
                "new_or_used": lot.condition,
                "description": "Don&amp;#39;t",
                "unit_price": "0.0600",
                "unit_price_final": "0.0530",
                "disp_unit_price": "0.0840",
                "disp_unit_price_final": "0.0742",
                "order_cost": "0.0000",
                "currency_code": "USD",
                "disp_currency_code": "CAD",
                "weight": "0.37",
            }
        ]
    ]


def test_names_carry_entities_once_or_twice(many: Store) -> None:
    names = {lot.item for order in many.sales.values() for lot in order.lots}
    assert any(item.wire_name == item.name for item in names)
    assert any(html.unescape(item.wire_name) == item.name != item.wire_name for item in names)
    twice = [item for item in names if html.unescape(item.wire_name) != item.name]
    assert twice
    assert all(html.unescape(html.unescape(item.wire_name)) == item.name for item in twice)


@pytest.mark.parametrize(
    ("query", "direction", "filed"),
    [
        ("", "in", False),
        ("direction=in&filed=false", "in", False),
        ("filed=True&filled=True&x=", "in", True),
        ("filed=False", "in", False),
        ("direction=OUT", "out", False),
        ("direction=out&filed=true", "out", True),
    ],
)
def test_filed_and_direction_are_exclusive_switches(store: Store, query: str, direction: str, filed: bool) -> None:
    store.file(min(store.purchases))
    expected = [o.order_id for o in store.orders.values() if (o.direction, o.is_filed) == (direction, filed)]
    assert expected
    assert ids(store, query) == sorted(expected)


def test_the_status_filter_includes_and_excludes(many: Store) -> None:
    statuses = {o.order_id: o.status for o in many.sales.values() if not o.is_filed}
    assert ids(many, "status=paid,SHIPPED") == sorted(
        key for key, status in statuses.items() if status in {"PAID", "SHIPPED"}
    )
    assert ids(many, "status=-purged,-completed") == sorted(
        key for key, status in statuses.items() if status not in {"PURGED", "COMPLETED"}
    )


def test_an_empty_list_is_a_list(store: Store) -> None:
    assert asked(store, "/orders", "status=nss").as_json() == {
        "meta": {"description": "OK", "message": "OK", "code": 200},
        "data": [],
    }


def test_the_list_is_in_no_order(many: Store) -> None:
    given = [row["order_id"] for row in asked(many, "/orders").data]
    assert given not in (sorted(given), sorted(given, reverse=True))


@pytest.mark.parametrize(
    ("method", "path", "query", "meta"),
    [
        ("GET", "/orders/1", "", (404, "RESOURCE_NOT_FOUND")),
        ("GET", "/orders/1/items", "", (404, "RESOURCE_NOT_FOUND")),
        ("GET", "/orders/x", "", (400, "PARAMETER_MISSING_OR_INVALID")),
        ("GET", "/orders", "direction=up", (400, "PARAMETER_MISSING_OR_INVALID")),
        ("GET", "/inventories", "", (400, "INVALID_URI")),
        ("POST", "/orders", "", (405, "METHOD_NOT_ALLOWED")),
    ],
)
def test_errors_have_a_code_and_no_data(
    store: Store, method: str, path: str, query: str, meta: tuple[int, str]
) -> None:
    answered = answer(store, Wire(), method, path, query).as_json()
    assert set(answered) == {"meta"}
    assert (answered["meta"]["code"], answered["meta"]["message"]) == meta


def test_messages_and_feedback_are_flat_lists(store: Store) -> None:
    """As documented, the names too; a lost subject is null, a reply that there is not is left out."""
    order_id = min(store.sales)
    before = {part: asked(store, f"/orders/{order_id}/{part}").data for part in ("messages", "feedback")}
    message = store.write_message(order_id, "Where is it&#63;")
    feedback = store.rate(order_id, 2, "Late")
    order = store.order(order_id)

    assert asked(store, f"/orders/{order_id}/messages").data == [
        *before["messages"],
        {
            "subject": None,
            "body": "Where is it&#63;",
            "from": order.buyer_name or "unknown",
            "to": order.seller_name,
            "dateSent": message.date_sent.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        },
    ]
    assert asked(store, f"/orders/{order_id}/feedback").data == [
        *before["feedback"],
        {
            "feedback_id": feedback.feedback_id,
            "order_id": order_id,
            "from": order.buyer_name or "unknown",
            "to": order.seller_name,
            "date_rated": feedback.date_rated.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "rating": 2,
            "rating_of_bs": "S",
            "comment": "Late",
        },
    ]


def test_a_grown_store_has_messages_and_feedback_of_every_kind(many: Store) -> None:
    """And the same ones each time."""
    messages = [message for order in many.sales.values() for message in many.conversations.messages(order)]
    feedback = [each for order in many.sales.values() for each in many.conversations.feedback(order)]

    assert len(messages) > 20
    assert {message.subject is None for message in messages} == {True, False}
    assert {each.rating for each in feedback} == {0, 1, 2}
    assert {each.rating_of_bs for each in feedback} == {"B", "S"}
    assert messages == [message for order in many.sales.values() for message in many.conversations.messages(order)]


@pytest.mark.parametrize(
    ("wire", "answered"),
    [
        (Wire(), {"meta": {"description": "OK", "message": "OK", "code": 200}, "data": []}),
        (
            Wire(purged_items="absent"),
            {"meta": {"description": "OK", "message": "OK", "code": 200}},
        ),
    ],
)
def test_items_of_a_purged_order_are_gone(store: Store, wire: Wire, answered: dict[str, Any]) -> None:
    purged = next(order.order_id for order in store.sales.values() if order.is_purged)
    assert asked(store, f"/orders/{purged}/items", wire=wire).as_json() == answered
    assert asked(store, f"/orders/{purged}/items", wire=Wire(purged_items="not_found")).code == 404
    assert asked(store, f"/orders/{purged}").data["total_count"] > 0


def test_other_known_forms_can_be_asked_for(store: Store) -> None:
    order = special(store)
    wire = Wire(
        date_status_changed=False,
        sales_tax_key="salesTax_collected_by_BL",
        timestamps="offset",
        numbers_as_text=True,
    )
    detail = wire.detail(order)
    assert "date_status_changed" not in detail
    assert detail["cost"]["salesTax_collected_by_BL"] == "0.2200"
    assert "salesTax" not in detail["cost"]
    assert (detail["date_ordered"], detail["total_count"]) == ("2026-01-02T03:04:05.678+00:00", "3")
    assert Wire(timestamps="seconds").detail(order)["date_ordered"] == "2026-01-02T03:04:05Z"

"""From answers as they were recorded in different years (their shape, not their values) to rows, exactly."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bl_pipeline.bricklink import (
    InvalidResource,
    read_items,
    read_order,
)
from bl_pipeline.columns import AnswerKind
from bl_pipeline.rules.frames import SCHEMAS, frame
from bl_pipeline.rules.kinds import KINDS
from bl_pipeline.rules.normalise import NotNormalisable, PartRows, order_fingerprint, order_row, part_rows

ANSWERS = Path(__file__).parent / "answers"
FETCHED = datetime(2026, 6, 15, 12, tzinfo=UTC)


def answer(name: str) -> Any:
    return json.loads((ANSWERS / f"{name}.json").read_text())


def order_from(content: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The row of an order, as a dict."""
    row = order_row(
        read_order(json.dumps(content)),
        **{"status": "pending", "order_document_id": 7, "items_document_id": 8, "fetched_at": FETCHED, **more},
    )
    return dict(zip(SCHEMAS[AnswerKind.ORDER].names, row, strict=True))


def items_from(content: Any, **more: Any) -> list[dict[str, Any]]:
    lots = read_items(json.dumps(content))
    more = {"pieces": 5, **more}
    computed = KINDS[AnswerKind.ITEMS].computed
    rows = part_rows(AnswerKind.ITEMS, "15700700", lots, lines="lots", computed=computed, **more).rows
    return [dict(zip(SCHEMAS[AnswerKind.ITEMS].names, row, strict=True)) for row in rows]


def test_order() -> None:
    row = order_from(answer("order"))

    assert json.loads(row.pop("shipping_address")) == {
        "name": "Jo O'Lake", "first_name": "Jo", "last_name": "O'Lake", "full": "Mill & Lake 3 4711Town",
        "address1": "Mill & Lake 3", "address2": "", "city": "Town", "state": "Shire", "postal_code": "AB1 2CD",
        "country_code": "UK",
    }  # fmt: skip
    ordered = datetime(2021, 3, 14, 15, 9, 26, 535000, tzinfo=UTC)
    assert row == {
        "platform_order_id": "15700700", "display_id": "BL-15700700",
        "order_date": ordered, "first_order_date": ordered, "status_changed_at": ordered,
        "buyer_name": "Jo O'Lake", "buyer_username": "lakeside", "buyer_email": "lakeside@example.org",
        "buyer_order_count": 4, "status": "pending", "platform_status": "READY",
        "payment_status": "None", "payment_method": "IBAN", "payment_currency": "EUR", "paid_at": None,
        "subtotal": Decimal("4.2670"), "shipping": Decimal("3.1000"), "fees": Decimal("1.5300"),
        "total": Decimal("8.8970"), "final_total": Decimal("8.8970"), "currency": "EUR",
        "insurance": Decimal("1.2000"), "etc1": Decimal("0.5000"), "etc2": Decimal("0.0300"),
        "tax": Decimal("0.1000"), "credit": Decimal("0.2000"), "coupon": Decimal("0.1000"),
        "vat_rate": Decimal("20.00"), "vat_amount": Decimal("1.4828"),
        "sales_tax_collected_by_bricklink": False, "vat_collected_by_bricklink": None,
        "disp_currency": "GBP", "disp_subtotal": Decimal("3.6270"), "disp_shipping": Decimal("2.6350"),
        "disp_total": Decimal("7.5600"), "disp_final_total": Decimal("7.5600"),
        "disp_insurance": Decimal("1.0200"), "disp_etc1": Decimal("0.4250"), "disp_etc2": Decimal("0.0255"),
        "disp_credit": Decimal("0.1700"), "disp_coupon": Decimal("0.0850"), "disp_vat_amount": Decimal("1.2604"),
        "disp_vat_rate": Decimal("20.00"),
        "shipping_method_id": 116999, "shipping_method": "Letter (tracked)",
        "tracking_number": None, "tracking_url": None, "shipped_at": None, "country_code": "GB",
        "address_state": "Shire", "postal_code": "AB1 2CD",
        "total_count": 5, "unique_count": 3, "total_weight": Decimal("7.31"),
        "is_filed": False, "is_invoiced": True, "require_insurance": True, "drive_thru_sent": False,
        "remarks": None, "seller_username": "brickmill", "store_name": "Brick & Mill", "unreadable_fields": None,
        "order_document_id": 7, "items_document_id": 8, "fetched_at": FETCHED,
    }  # fmt: skip


def test_items() -> None:
    common = {
        "platform_order_id": "15700700", "currency": "EUR", "disp_currency": "EUR", "order_cost": Decimal(0),
        "unreadable_fields": None,
    }  # fmt: skip
    assert items_from(answer("items")) == [
        common | {
            "batch_number": 1, "line_number": 1, "inventory_id": 301, "item_number": "3001",
            "item_name": "Brick 2 x 4 (old)", "item_type": "PART", "category_id": 5, "color_id": 11,
            "color_name": "Black", "quantity": 3, "condition": "N", "completeness": None,
            "unit_price": Decimal("0.1440"), "list_unit_price": Decimal("0.1600"), "total_price": Decimal("0.4320"),
            "disp_unit_price": Decimal("0.1440"), "disp_list_unit_price": Decimal("0.1600"),
            "weight": Decimal("0.28"), "description": "Don't wash (really)", "remarks": "nbox&09",
        },
        common | {
            "batch_number": 1, "line_number": 2, "inventory_id": None, "item_number": "cas999",
            "item_name": "Knight", "item_type": "MINIFIG", "category_id": 9, "color_id": 0,
            "color_name": "(Not Applicable)", "quantity": 1, "condition": "U", "completeness": None,
            "unit_price": Decimal("2.8350"), "list_unit_price": Decimal("3.0000"), "total_price": Decimal("2.8350"),
            "disp_unit_price": Decimal("2.8350"), "disp_list_unit_price": Decimal("3.0000"),
            "weight": Decimal("4.77"), "description": '<a href="https://example.org/x">photo</a>', "remarks": "",
        },
        common | {
            "batch_number": 2, "line_number": 1, "inventory_id": 301, "item_number": "7657-1",
            "item_name": "AT-ST", "item_type": "SET", "category_id": 65, "color_id": 0,
            "color_name": "(Not Applicable)", "quantity": 1, "condition": "U", "completeness": "C",
            "unit_price": Decimal("1.0000"), "list_unit_price": Decimal("1.1111"), "total_price": Decimal("1.0000"),
            "disp_unit_price": Decimal("1.0000"), "disp_list_unit_price": Decimal("1.1111"),
            "weight": Decimal("1.70"), "description": "", "remarks": "",
        },
    ]  # fmt: skip


def test_the_fixture_adds_up() -> None:
    order, items = order_from(answer("order")), items_from(answer("items"))
    assert sum(item["total_price"] for item in items) == order["subtotal"]
    assert sum(item["quantity"] for item in items) == order["total_count"]
    assert len(items) == order["unique_count"]
    assert sum(item["weight"] * item["quantity"] for item in items) == order["total_weight"]
    assert (
        order["insurance"] + order["etc1"] + order["etc2"] + order["tax"] - order["credit"] - order["coupon"]
        == order["fees"]
    )


@pytest.mark.parametrize("name", ["list_2014", "list_two_currencies", "list_purged", "list_vat_flag", "order"])
def test_a_row_of_any_year_becomes_an_order_with_nulls(name: str) -> None:
    """Even a list row is an order of which much is absent: absent is NULL and never zero."""
    content = answer(name)
    for row in content if isinstance(content, list) else [content]:
        stored = order_from(row)
        cost, shown = row["cost"], row.get("disp_cost", {})
        assert stored["total"] == Decimal(cost["grand_total"])
        for column, field in [("shipping", "shipping"), ("insurance", "insurance"), ("tax", "salesTax"),
                              ("credit", "credit"), ("final_total", "final_total")]:  # fmt: skip
            assert stored[column] == (Decimal(cost[field]) if field in cost else None)
        assert (stored["fees"] is None) is ("shipping" not in cost)
        assert stored["currency"] == cost["currency_code"]
        assert stored["disp_currency"] == (shown.get("currency_code") or cost.get("disp_currency_code"))
        assert stored["disp_total"] == Decimal(shown.get("grand_total") or cost["disp_grand_total"])
        assert stored["payment_currency"] == row["payment"]["currency_code"]
        assert stored["vat_collected_by_bricklink"] is row.get("vat_collected_by_bl")
        assert stored["total_weight"] == (Decimal(row["total_weight"]) if "total_weight" in row else None)


def minimal() -> dict[str, Any]:
    """The least that is an order."""
    return {
        "order_id": "9", "date_ordered": "2021-03-28T03:30:00+02:00", "status": "PAID",
        "cost": {"currency_code": "EUR"},
    }  # fmt: skip


def test_what_is_absent_is_null() -> None:
    row = order_from(minimal(), items_document_id=None)

    ordered = datetime(2021, 3, 28, 1, 30, tzinfo=UTC)
    assert {name: value for name, value in row.items() if value is not None} == {
        "platform_order_id": "9", "display_id": "BL-9", "order_date": ordered, "first_order_date": ordered,
        "status": "pending", "platform_status": "PAID", "currency": "EUR", "order_document_id": 7,
        "fetched_at": FETCHED,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wire", "plain"),
    [
        ("Brick &amp; Mill", "Brick & Mill"),
        ("Don&#39;t &#40;wash&#41;", "Don't (wash)"),
        ("Don&amp;#39;t", "Don't"),
        ("&amp;amp;#39;", "&#39;"),  # a third level is what somebody has typed
        ("<b>raw</b> & plain", "<b>raw</b> & plain"),
        ("AT&T &unknown;", "AT&T &unknown;"),
        ("https://shop.example/?a=1&region=eu&copy=2&lt=3", "https://shop.example/?a=1&region=eu&copy=2&lt=3"),
        ("7&section Road &notit; &sectione;", "7&section Road &notit; &sectione;"),
        ("&copy; &eacute; &#233; &#xE9; &#0233;", "© é é é é"),
        ("&#55357;&#56832; &#xD83D;&#xDE00; &amp;#55357;&amp;#56832;", "😀 😀 😀"),
        ("&#56832;&#55357; &#55357;", "\ufffd\ufffd \ufffd"),
        ("nul \x00 here", "nul \ufffd here"),
        ("half \ud83d here", "half \ufffd here"),
        ("&#0; &#xD800;", "\ufffd \ufffd"),
        ("🧱 whole", "🧱 whole"),
        ("", ""),
    ],
)
def test_text_is_plain_and_fit_for_postgres(wire: str, plain: str) -> None:
    order = msgspec.structs.replace(read_order(json.dumps(minimal())), remarks=wire, buyer_name=wire)
    row = order_row(order, status="x", order_document_id=1, items_document_id=None, fetched_at=FETCHED)
    stored = dict(zip(SCHEMAS[AnswerKind.ORDER].names, row, strict=True))

    assert stored["remarks"] == plain
    stored["buyer_name"].encode() if stored["buyer_name"] else None
    assert "\x00" not in stored["buyer_username"]
    stored["buyer_username"].encode()


@pytest.mark.parametrize(("code", "stored"), [("UK", "GB"), ("DE", "DE"), ("", None), (None, None)])
def test_country(code: str | None, stored: str | None) -> None:
    content = minimal() | {"shipping": {"address": {"country_code": code}}}
    assert (order_from(content)["country_code"] or None) == stored


MONEY = st.decimals(
    min_value=Decimal("-999999999999999.9999"), max_value=Decimal("999999999999999.9999"), places=4, allow_nan=False
)


@given(MONEY, st.integers(0, 8))
def test_any_amount_comes_through_exactly(amount: Decimal, zeros: int) -> None:
    """From the wire to Arrow, to the last decimal: catches a float on the way, and rounding."""
    content = minimal()
    content["cost"]["grand_total"] = f"{amount:.4f}" + "0" * zeros

    total = frame(AnswerKind.ORDER, [tuple(order_from(content).values())])["total"]

    (stored,) = total.array.__arrow_array__().to_pylist()
    assert (type(stored), stored) == (Decimal, amount)
    assert str(total.dtype) == "decimal128(19, 4)[pyarrow]"


@given(price=MONEY, quantity=st.integers(-(2**63), 2**63 - 1))
def test_price_times_quantity_is_exact_or_refused(price: Decimal, quantity: int) -> None:
    content = [[{"item": {"no": "3001"}, "quantity": quantity, "unit_price_final": f"{price:.4f}"}]]
    exact = int(price.scaleb(4)) * quantity

    if abs(exact) >= 10**19:
        with pytest.raises(NotNormalisable, match="price x quantity"):
            items_from(content)
    else:
        (row,) = items_from(content)
        assert int(row["total_price"].scaleb(4)) == exact
        frame(AnswerKind.ITEMS, [tuple(row.values())])


def test_fees_beyond_numeric_are_refused() -> None:
    content = minimal()
    content["cost"] |= {
        "grand_total": "999999999999999.0000",
        "subtotal": "-999999999999999.0000",
        "shipping": "0.0000",
    }

    with pytest.raises(NotNormalisable, match="beyond 15 digits") as refused:
        order_from(content)
    assert "999" not in str(refused.value)


@pytest.mark.parametrize("amount", ["1.23456", "1e3", "NaN", "1000000000000000", "1,00", 1.23456, "", " "])
def test_an_amount_that_is_none_is_no_zero(amount: Any) -> None:
    content = minimal()
    content["cost"]["grand_total"] = amount

    try:
        stored = order_from(content)["total"]
    except InvalidResource as error:
        assert str(amount) not in str(error).replace("$.cost", "") or not str(amount).strip()
    else:
        assert amount == ""
        assert stored is None


def test_no_items_though_the_order_counts_some_is_refused() -> None:
    with pytest.raises(NotNormalisable, match="the order counts 5 pieces"):
        items_from([])
    nothing: list[Any] = [[], [[]]]
    for empty in nothing:
        assert items_from(empty, pieces=0) == []
        assert items_from(empty, pieces=None) == []


def test_a_lot_that_cannot_be_read_is_left_out_and_said() -> None:
    """Planted: a lot that is left out in silence; the faults of reading and of computing not counted together."""
    ((first, *_), *_) = answer("items")
    unreadable, too_large = {**first, "quantity": "many"}, {**first, "quantity": 99, "unit_price_final": "9" * 15}

    def read(content: Any) -> PartRows:
        lots = read_items(json.dumps(content))
        computed = KINDS[AnswerKind.ITEMS].computed
        return part_rows(AnswerKind.ITEMS, "1", lots, lines="lots", computed=computed, pieces=5)

    some = read([[first, unreadable], [too_large, first]])
    assert len(some.rows) == 2
    assert some.fault is not None
    assert some.fault.startswith("items: 2 of 4 lots cannot be read.\nWhat can be read is stored")
    one = read([[first], [first, too_large]])
    assert one.fault == (
        "items: 1 of 3 lots cannot be read.\nWhat can be read is stored, and later runs ask again. "
        "If it stays so, please report this: price x quantity is beyond 15 digits - at `$[1][1]`"
    )
    with pytest.raises(NotNormalisable, match="1 of 1 lots"):
        read([[unreadable]])


def test_frames_without_rows_have_their_columns() -> None:
    for kind, schema in SCHEMAS.items():
        empty = frame(kind, [])
        assert len(empty) == 0
        assert pa.Schema.from_pandas(empty).remove_metadata() == schema


@pytest.mark.parametrize("field", ["subtotal", "total_count", "unique_count", "total_weight"])
def test_the_order_fingerprint_moves_with_all_that_items_can_move(field: str) -> None:
    content = answer("order")
    before = order_fingerprint(read_order(json.dumps(content)))
    content["remarks"], content["status"], content["cost"]["shipping"] = "new", "SHIPPED", "9.0000"
    assert order_fingerprint(read_order(json.dumps(content))) == before

    holder = content["cost"] if field == "subtotal" else content
    holder[field] = 77 if isinstance(holder[field], int) else "77.0000"

    assert order_fingerprint(read_order(json.dumps(content))) != before

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bl_pipeline.bricklink import (
    Address,
    CatalogItem,
    Cost,
    DisplayCost,
    InvalidAnswer,
    InvalidResource,
    Order,
    OrderItem,
    OrderSummary,
    Payment,
    PersonName,
    Shipping,
    UnreadableLot,
    UnreadableSummary,
    read_items,
    read_order,
    read_summaries,
)

LEAST: dict[str, Any] = {
    "order_id": 31,
    "date_ordered": "2024-03-01T08:00:00.000Z",
    "status": "PAID",
    "cost": {"currency_code": "EUR"},
}
ORDERED = datetime(2024, 3, 1, 8, tzinfo=UTC)
LEAST_ITEM: dict[str, Any] = {"item": {"no": "3001"}, "quantity": 2}


def order(**changes: Any) -> Order:
    return read_order(msgspec.json.encode({**LEAST, **changes}))


def cost(**changes: Any) -> Cost:
    return order(cost={"currency_code": "EUR", **changes}).cost


def item(**changes: Any) -> OrderItem:
    found = read_items(msgspec.json.encode([[{**LEAST_ITEM, **changes}]]))[0][0]
    assert isinstance(found, OrderItem)
    return found


def lost_lot(**changes: Any) -> str:
    found = read_items(msgspec.json.encode([[{**LEAST_ITEM, **changes}]]))[0][0]
    assert isinstance(found, UnreadableLot)
    return found.error


def test_a_whole_order_is_read_field_by_field() -> None:
    raw = b"""{"order_id":31,"date_ordered":"2024-03-01T08:00:00.000Z","seller_name":"s","buyer_name":"b",
    "date_status_changed":"2024-03-02T09:30:00.250Z","store_name":"Bricks &amp; more","status":"PAID-PENDING",
    "buyer_email":"b@example.org","require_insurance":true,"is_invoiced":false,"remarks":"Don&#39;t bend",
    "total_count":12,"unique_count":3,"total_weight":"8.50","buyer_order_count":4,"is_filed":false,
    "drive_thru_sent":true,"salesTax_collected_by_bl":false,"vat_collected_by_bl":true,"new":[1.5],
    "payment":{"method":"IBAN","currency_code":"CHF","date_paid":"2024-03-01T08:00:01Z","status":"Clearing"},
    "shipping":{"method_id":7,"method":"Letter","tracking_no":"T1","tracking_link":"https://t.example/1",
      "date_shipped":"2024-03-03T00:00:00Z","address":{"name":{"full":"A B","first":"B","last":"A"},
      "full":"x","address1":"Street 1","address2":"","country_code":"UK","city":"C","state":"S",
      "postal_code":"01","phone_number":"5"}},
    "cost":{"currency_code":"EUR","subtotal":"1.2345","grand_total":"9.0001","final_total":"9.0002",
      "etc1":"0.1000","etc2":"-0.2000","insurance":"0.3000","shipping":"2.0000","credit":"0.4000",
      "coupon":"0.5000","salesTax":"0.6000","vat_rate":"19.00","vat_amount":"0.7000"},
    "disp_cost":{"currency_code":"CHF","subtotal":"1.2300","grand_total":"9.0000"}}"""
    assert read_order(raw) == Order(
        order_id=31,
        date_ordered=ORDERED,
        date_status_changed=datetime(2024, 3, 2, 9, 30, 0, 250_000, tzinfo=UTC),
        seller_name="s",
        store_name="Bricks &amp; more",
        buyer_name="b",
        buyer_email="b@example.org",
        require_insurance=True,
        status="PAID-PENDING",
        is_invoiced=False,
        remarks="Don&#39;t bend",
        total_count=12,
        unique_count=3,
        total_weight="8.50",
        buyer_order_count=4,
        is_filed=False,
        drive_thru_sent=True,
        sales_tax_collected_by_bl=False,
        vat_collected_by_bl=True,
        payment=Payment(
            method="IBAN",
            currency_code="CHF",
            date_paid=datetime(2024, 3, 1, 8, 0, 1, tzinfo=UTC),
            status="Clearing",
        ),
        shipping=Shipping(
            method_id=7,
            method="Letter",
            tracking_no="T1",
            tracking_link="https://t.example/1",
            date_shipped=datetime(2024, 3, 3, tzinfo=UTC),
            address=Address(
                name=PersonName(full="A B", first="B", last="A"),
                full="x",
                address1="Street 1",
                address2="",
                country_code="UK",
                city="C",
                state="S",
                postal_code="01",
                phone_number="5",
            ),
        ),
        cost=Cost(
            currency_code="EUR",
            subtotal="1.2345",
            grand_total="9.0001",
            final_total="9.0002",
            etc1="0.1000",
            etc2="-0.2000",
            insurance="0.3000",
            shipping="2.0000",
            credit="0.4000",
            coupon="0.5000",
            sales_tax="0.6000",
            vat_rate="19.00",
            vat_amount="0.7000",
        ),
        disp_cost=DisplayCost(currency_code="CHF", subtotal="1.2300", grand_total="9.0000"),
    )


def test_a_whole_item_is_read_field_by_field() -> None:
    raw = b"""[[],[{"inventory_id":9,"color_id":0,"color_name":"(Not Applicable)","quantity":2,
    "new_or_used":"N","item":{"no":"3001","name":"Brick 2 x 4 &#40;x&#41;","type":"PART","category_id":5},
    "completeness":"S","unit_price":"0.2000","unit_price_final":"0.1801","disp_unit_price":"0.2100","currency_code":"EUR",
    "disp_unit_price_final":"0.1900","disp_currency_code":"CHF","description":"d","remarks":"r",
    "weight":"2.32","order_cost":"0.0100"}]]"""
    assert read_items(raw) == [
        [],
        [
            OrderItem(
                inventory_id=9,
                item=CatalogItem(no="3001", name="Brick 2 x 4 &#40;x&#41;", type="PART", category_id=5),
                color_id=0,
                color_name="(Not Applicable)",
                quantity=2,
                new_or_used="N",
                completeness="S",
                unit_price="0.2000",
                unit_price_final="0.1801",
                disp_unit_price="0.2100",
                disp_unit_price_final="0.1900",
                currency_code="EUR",
                disp_currency_code="CHF",
                description="d",
                remarks="r",
                weight="2.32",
                order_cost="0.0100",
            )
        ],
    ]


def test_what_is_absent_or_null_is_none() -> None:
    absent = Order(order_id=31, date_ordered=ORDERED, status="PAID", cost=Cost(currency_code="EUR"))
    assert order() == absent
    nulls = {name: None for name in msgspec.structs.asdict(absent) if name not in LEAST}
    assert order(**nulls) == absent
    assert order(shipping={"address": {"name": None}}).shipping == Shipping(address=Address())
    assert item(inventory_id=None).inventory_id is None


@pytest.mark.parametrize("name", ["order_id", "date_ordered", "cost"])
def test_what_must_be_there_may_be_neither_absent_nor_null(name: str) -> None:
    rest = {key: value for key, value in LEAST.items() if key != name}
    for wrong in (rest, {**LEAST, name: None}):
        with pytest.raises(InvalidResource, match=name):
            read_order(msgspec.json.encode(wrong))


def test_blanks_are_none_except_in_text() -> None:
    blank = order(date_status_changed="", total_weight="", total_count="", payment={"date_paid": "", "method": ""})
    assert blank == order(payment={"method": ""})
    assert cost(etc1="", salesTax="") == cost()
    assert order(remarks="").remarks == ""
    with pytest.raises(InvalidResource, match="currency_code"):
        cost(currency_code="")


@pytest.mark.parametrize("amount", ["0", "5", "-3.5", "0.0001", "999999999999999.9999", "1.2345000000"])
def test_amounts_stay_as_they_are_to_the_last_digit(amount: str) -> None:
    assert cost(grand_total=amount).grand_total == amount
    assert item(unit_price=amount, weight=amount).unit_price == amount


@pytest.mark.parametrize(
    "amount",
    [
        True,
        "1e3",
        "NaN",
        "Infinity",
        "1,5",
        "1.23456",
        "1000000000000000",
        " 1",
        "1\n",
        "+1",
        ".5",
        "5.",
        "\u0663",
        {},
    ],
)
def test_what_is_no_exact_amount_is_refused(amount: object) -> None:
    for field in ("grand_total", "salesTax", "vat_amount"):
        with pytest.raises(InvalidResource, match=rf"at `\$\.cost\.{field}`"):
            cost(**{field: amount})
    assert lost_lot(unit_price_final=amount).endswith("at `$[0][0].unit_price_final`")


@pytest.mark.parametrize("value", [7, "7", 7.0, "7.0", "007"])
def test_ids_and_counts_may_be_text(value: object) -> None:
    read = order(order_id=value, total_count=value, shipping={"method_id": value})
    assert (read.order_id, read.total_count, read.shipping) == (7, 7, Shipping(method_id=7))
    assert item(quantity=value, item={"no": "1", "category_id": value}).item.category_id == 7


@pytest.mark.parametrize(
    "value",
    [2**63, str(2**63), 10**30, str(10**30), 1.5, "1.5", "1e3", 1e300, "999999999999999.9999", "x", True, []],
)
def test_ids_and_counts_beyond_64_bits_or_no_integers_are_not_read(value: object) -> None:
    with pytest.raises(InvalidResource, match=r"at `\$\.order_id`"):
        order(order_id=value)
    read = order(total_count=value)
    assert (read.total_count, read.unreadable_fields) == (None, ("total_count",))
    assert lost_lot(quantity=value).endswith("at `$[0][0].quantity`")
    assert order(total_count=2**63 - 1).total_count == 2**63 - 1


@pytest.mark.parametrize(("value", "flag"), [(True, True), ("true", True), ("False", False), ("1", True), (0, False)])
def test_flags_may_be_text_or_digits(value: object, flag: bool) -> None:
    assert order(is_filed=value).is_filed is flag


@pytest.mark.parametrize("value", ["-0", "0.0", "Y", "yes", 2, 1.0, [True]])
def test_what_is_no_flag_is_none_and_named(value: object) -> None:
    read = order(is_filed=value)
    assert (read.is_filed, read.unreadable_fields) == (None, ("is_filed",))


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-01T08:00:00Z",
        "2024-03-01T08:00:00.0Z",
        "2024-03-01T08:00:00",
        "2024-03-01T10:00:00+02:00",
        "2024-03-01T10:00:00.000+0200",
        "2024-03-01T03:00:00.000000999-05:00",
    ],
)
def test_times_come_out_in_utc(text: str) -> None:
    for read in (order(date_ordered=text).date_ordered, order(payment={"date_paid": text}).payment.date_paid):  # type: ignore[union-attr]
        assert (read, read and read.tzinfo) == (ORDERED, UTC)


@pytest.mark.parametrize(
    "value",
    [
        1709280000,
        1709280000.5,
        "yesterday",
        "2024-02-30T00:00:00Z",
        "9999-12-31T23:00:00-05:00",
        "0001-01-01T00:00:00+01:00",
        "0001-01-01T00:00:00.000Z",
        "9999-12-31T00:00:00Z",
        "1994-12-31T23:59:59Z",
        "2100-01-01T00:00:00Z",
        True,
    ],
)
def test_what_is_no_plausible_time_is_none_and_named(value: object) -> None:
    """Not so the order date: without it the money would belong to no day."""
    read = order(shipping={"date_shipped": value}, date_status_changed=value)
    assert read.shipping == Shipping()
    assert read.unreadable_fields == ("date_status_changed", "shipping.date_shipped")
    with pytest.raises(InvalidResource, match=r"Expected `datetime` - at `\$\.date_ordered`"):
        order(date_ordered=value)


@given(st.datetimes(datetime(1995, 1, 2), datetime(2099, 12, 30)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_any_time_is_the_same_moment_after_reading(naive: datetime, minutes: int) -> None:
    time = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    read = order(date_ordered=time.isoformat()).date_ordered
    assert (read, read.tzinfo) == (time.astimezone(UTC), UTC)


def test_other_spellings_are_understood() -> None:
    assert cost(salesTax_collected_by_BL="0.6000").sales_tax == "0.6000"
    assert cost(salesTax_collected_by_BL="0.6000", salesTax="0.7000").sales_tax == "0.7000"
    flags = order(salesTax_collected_by_BL=True, vat_collected_by_BL=False)
    assert (flags.sales_tax_collected_by_bl, flags.vat_collected_by_bl) == (True, False)
    assert item(item={"no": "1", "categoryID": 5}).item.category_id == 5
    assert order(is_filed="true").is_filed is True


def test_the_old_shape_of_displayed_cost_is_understood() -> None:
    old = {"disp_currency_code": "USD", "disp_subtotal": "2.0000", "disp_grand_total": "3.0000"}
    shown = DisplayCost(currency_code="USD", subtotal="2.0000", grand_total="3.0000")
    raw = msgspec.json.encode([{**LEAST, "cost": {"currency_code": "EUR", **old}}])
    assert read_summaries(raw)[0][0].disp_cost == shown
    assert order(cost={"currency_code": "EUR", **old}, disp_cost={"etc1": "1"}).disp_cost == DisplayCost(etc1="1")
    read = order(cost={"currency_code": "EUR", **old, "disp_subtotal": "2,0"})
    assert (read.disp_cost, read.unreadable_fields) == (
        DisplayCost(currency_code="USD", grand_total="3.0000"),
        ("disp_cost.subtotal",),
    )


def test_a_flat_list_of_items_is_one_batch() -> None:
    assert read_items(msgspec.json.encode([LEAST_ITEM, LEAST_ITEM])) == [[item(), item()]]
    assert read_items(b"[]") == []


@pytest.mark.parametrize("raw", [b"{}", b"[[", b'[["\xff"]]', b"null", b"7"])
def test_items_that_are_no_list_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidResource, match=r"at `\$`"):
        read_items(raw)


def test_stored_text_reads_like_received_bytes() -> None:
    raw = msgspec.json.encode(LEAST)
    assert read_order(raw.decode()) == read_order(raw)


def test_a_row_that_cannot_be_read_does_not_lose_the_others() -> None:
    no_currency = {**LEAST, "order_id": "32", "cost": {"currency_code": 5}}
    rows = [LEAST, no_currency, {"order_id": 33}, {**LEAST, "order_id": 34}]
    summaries, unreadable = read_summaries(msgspec.json.encode(rows))
    assert [type(row) for row in summaries] == [OrderSummary] * 2
    assert [row.order_id for row in summaries] == [31, 34]
    assert unreadable == [
        UnreadableSummary(order_id="32", error="Expected `text` - at `$[1].cost.currency_code`"),
        UnreadableSummary(order_id="33", error="Object missing required field `date_ordered` - at `$[2]`"),
    ]


@pytest.mark.parametrize(
    "row",
    [1, None, [], {}, {**LEAST, "order_id": None}, {**LEAST, "order_id": True}, {**LEAST, "order_id": "x"}],
)
def test_a_row_without_an_id_makes_the_whole_list_invalid(row: object) -> None:
    with pytest.raises(InvalidAnswer, match=r"no order id - at `\$\[1\]`"):
        read_summaries(msgspec.json.encode([LEAST, row]))


@pytest.mark.parametrize("raw", [b"{}", b"[", b"null", b""])
def test_a_list_that_is_none_is_invalid(raw: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        read_summaries(raw)

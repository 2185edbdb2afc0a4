"""What a field costs that cannot be read: the table, and that reading obeys it, field by field and fault by fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

from bl_pipeline.bricklink import (
    ITEM_FIELDS,
    NEEDED,
    ORDER_FIELDS,
    CatalogItem,
    InvalidResource,
    Loss,
    Order,
    OrderItem,
    UnreadableLot,
    read_items,
    read_order,
)

LEAST: dict[str, Any] = {
    "order_id": 31,
    "date_ordered": "2024-03-01T08:00:00.000Z",
    "status": "PAID",
    "cost": {"currency_code": "EUR"},
}


def paths(kind: type[msgspec.Struct], above: str = "") -> Iterator[tuple[str, bool]]:
    """The path of every field of a resource, and whether it must be there."""
    for field in msgspec.structs.fields(kind):
        if field.name == "unreadable_fields":
            continue
        path = above + field.encode_name
        yield path, field.required
        for part in (field.type, *getattr(field.type, "__args__", ())):
            if isinstance(part, type) and issubclass(part, msgspec.Struct):
                yield from paths(part, f"{path}.")


@pytest.mark.parametrize(("kind", "table"), [(Order, ORDER_FIELDS), (OrderItem, ITEM_FIELDS)])
def test_the_table_has_every_field_and_no_other(kind: type[msgspec.Struct], table: Mapping[str, Loss]) -> None:
    found = dict(paths(kind))
    assert found.keys() - table.keys() == set(), "fields of resources.py that bricklink/tolerance.py lacks"
    assert table.keys() - found.keys() == set(), "fields of bricklink/tolerance.py that resources.py lacks"
    assert {path for path, needed in found.items() if needed} == {path for path in NEEDED if path in found}


def test_only_identity_date_and_money_cost_more_than_their_value() -> None:
    """Written down again, so that the table is not loosened or tightened by accident."""
    amounts = {path for path in ORDER_FIELDS if path.startswith("cost.")} - {"cost.vat_rate"}
    assert {path for path, loss in ORDER_FIELDS.items() if loss is Loss.ORDER} == {
        "order_id", "date_ordered", "cost", *amounts,
    }  # fmt: skip
    assert {path for path, loss in ITEM_FIELDS.items() if loss is Loss.LOT} == {"quantity", "unit_price_final"}
    assert Loss.LOT not in ORDER_FIELDS.values()
    assert Loss.ORDER not in ITEM_FIELDS.values()


TEXTS = {
    *("cost.currency_code", "seller_name", "store_name", "buyer_name", "buyer_email", "status", "remarks"),
    *("payment.method", "payment.currency_code", "payment.status", "disp_cost.currency_code", "shipping.method"),
    *("shipping.tracking_no", "shipping.tracking_link"),
    *(path for path in ORDER_FIELDS if path.startswith("shipping.address.") and path != "shipping.address.name"),
    *("item.no", "item.name", "item.type", "color_name", "new_or_used", "completeness", "currency_code"),
    *("disp_currency_code", "description"),
}
FAULTS: dict[str, Any] = {
    "a list": ["a", 1, None],
    "an object": {"a": "b"},
    "a fraction": 1.23456789,
    "true": True,
    "a word": "soon",
    "a number too large": 2**63,
    "a time long ago": "0001-01-01T00:00:00.000Z",
    "a time far away": "9999-12-31T23:00:00-05:00",
    "an amount with a currency": "$25.00",
    "an amount with a comma": "25,00",
    "six decimals": "2.123456",
}


PARTS = {"payment", "cost", "disp_cost", "shipping", "shipping.address", "shipping.address.name", "item"}
FLAGS = {
    *("is_filed", "is_invoiced", "require_insurance", "drive_thru_sent"),
    *("salesTax_collected_by_bl", "vat_collected_by_bl"),
}


def is_fault(path: str, fault: str) -> bool:
    """Whether this value is one of this field; a word is a text, and true is a flag."""
    if path in TEXTS:
        return not isinstance(FAULTS[fault], str)
    return not (path in FLAGS and fault == "true") and not (path in PARTS and fault == "an object")


def with_fault(path: str, value: Any, least: dict[str, Any]) -> bytes:
    """An answer with this value in a field."""
    answer: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(least))
    *above, last = path.split(".")
    part = answer
    for name in above:
        part = part.setdefault(name, {})
    part[last] = value
    return msgspec.json.encode(answer)


def value_at(resource: Any, path: str) -> Any:
    """What was read of a field; None if the part that it is in is absent."""
    for name in path.split("."):
        if resource is None:
            return None
        names = {field.encode_name: field.name for field in msgspec.structs.fields(resource)}
        resource = getattr(resource, names[name])
    return resource


@pytest.mark.parametrize("fault", FAULTS)
def test_every_field_with_every_fault_costs_what_the_table_says(fault: str) -> None:
    """Caught: a whole order lost to a phone number that was a number, and to `$25.00` as the buyer saw it."""
    value = FAULTS[fault]
    for path, loss in ORDER_FIELDS.items():
        if not is_fault(path, fault):
            continue
        raw = with_fault(path, value, LEAST)
        if loss is Loss.ORDER:
            with pytest.raises(InvalidResource, match=rf"Expected `\w+` - at `\$\.{path}`"):
                read_order(raw)
            continue
        read = read_order(raw)
        assert read.unreadable_fields == (path,)
        assert value_at(read, path) == (as_text(value) if path in TEXTS else None), path
    for path, loss in ITEM_FIELDS.items():
        if not is_fault(path, fault):
            continue
        (lot,) = read_items(b"[[" + with_fault(path, value, {"quantity": 1}) + b"]]")[0]
        if loss is Loss.LOT:
            assert isinstance(lot, UnreadableLot)
            assert f"at `$[0][0].{path}`" in lot.error
            continue
        assert isinstance(lot, OrderItem)
        assert lot.unreadable_fields == (path,)
        found = value_at(lot, path)
        assert found == (as_text(value) if path in TEXTS else CatalogItem() if path == "item" else None), path


def as_text(value: Any) -> str:
    """A value as JSON has it, numbers in a list as text."""
    return {"a list": '["a", 1, null]', "an object": '{"a": "b"}'}.get(
        next(name for name, each in FAULTS.items() if each is value), str(value).lower()
    )


@pytest.mark.parametrize("value", [None, ...], ids=["null", "absent"])
def test_what_is_absent_or_null_is_no_fault_unless_it_is_needed(value: object) -> None:
    for path, loss in ORDER_FIELDS.items():
        raw = without(path, LEAST, value)
        if path in NEEDED:
            assert loss is Loss.ORDER
            with pytest.raises(InvalidResource):
                read_order(raw)
        else:
            read = read_order(raw)
            assert (read.unreadable_fields, value_at(read, path) or None) == ((), None)
    for path in ITEM_FIELDS:
        (lot,) = read_items(b"[[" + without(path, {"quantity": 1, "item": {"no": "1"}}, value) + b"]]")[0]
        assert isinstance(lot, UnreadableLot if path in NEEDED else OrderItem)
        assert getattr(lot, "unreadable_fields", ()) == ()


def without(path: str, least: dict[str, Any], value: object) -> bytes:
    """An answer without a field, or with null in it."""
    answer: dict[str, Any] = msgspec.json.decode(with_fault(path, None, least))
    if value is ...:
        part = answer
        for name in path.split(".")[:-1]:
            part = part[name]
        del part[path.rpartition(".")[2]]
    return msgspec.json.encode(answer)


def test_faults_of_several_fields_are_all_named_and_nothing_else_is_lost() -> None:
    """As an API that has changed would send an order."""
    read = read_order(
        msgspec.json.encode(
            {
                **LEAST,
                "remarks": ["a", 5],
                "total_count": 12.0,
                "unique_count": "twelve",
                "total_weight": "2.123456",
                "is_filed": "Y",
                "something_new": {"a": [1e300]},
                "shipping": {"method_id": "A1", "date_shipped": "soon", "address": {"phone_number": 49, "city": "X"}},
                "cost": {"currency_code": "EUR", "grand_total": 25.1, "vat_rate": "19.123456"},
                "disp_cost": {"grand_total": "$25.00", "subtotal": "20.00"},
                "unreadable_fields": ["not", "ours"],
            }
        )
    )
    assert (read.total_count, read.cost.grand_total, read.remarks) == (12, "25.1", '["a", 5]')
    assert read.shipping
    assert read.shipping.address
    assert (read.shipping.address.phone_number, read.shipping.address.city) == ("49", "X")
    assert read.disp_cost
    assert (read.disp_cost.grand_total, read.disp_cost.subtotal) == (None, "20.00")
    assert set(read.unreadable_fields) == {
        "remarks", "unique_count", "total_weight", "is_filed", "shipping.method_id", "shipping.date_shipped",
        "shipping.address.phone_number", "cost.vat_rate", "disp_cost.grand_total",
    }  # fmt: skip


@pytest.mark.parametrize("depth", [600, 985, 993, 996, 999])
def test_a_field_nested_deep_ends_nothing(depth: int) -> None:
    """Caught: RecursionError from making its text."""
    try:
        read = read_order(with_fault("remarks", "HERE", LEAST).replace(b'"HERE"', b"[" * depth + b"]" * depth))
    except InvalidResource as error:
        assert str(error) == "Expected valid JSON - at `$`"
    else:
        assert read.unreadable_fields == ("remarks",)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("5", "5"), ("-5", "-5"), ("25.10", "25.10"), ("0.1", "0.1"), ("999999999999999.9999", "999999999999999.9999"),
        ("1.50000000", "1.50000000"), ("1.5e3", "1500"), ("125E-2", "1.25"), ("-0.0", "-0.0"),
    ],
)  # fmt: skip
def test_amounts_as_json_numbers_are_exact(number: str, text: str) -> None:
    """Read without a float: 999999999999999.9999 would come out as 1000000000000000."""
    raw = msgspec.json.encode(order_with_total("HERE")).replace(b'"HERE"', number.encode())
    read = read_order(raw)
    assert (read.cost.grand_total, read.unreadable_fields) == (text, ())


@pytest.mark.parametrize("number", ["1.23456", "1e15", "1e-5", "1e400", "1e99999999999999999999", "1" + "0" * 400])
def test_amounts_as_json_numbers_that_do_not_fit_are_refused(number: str) -> None:
    raw = msgspec.json.encode(order_with_total("HERE")).replace(b'"HERE"', number.encode())
    with pytest.raises(InvalidResource, match=r"at `\$\.cost\.grand_total`"):
        read_order(raw)


def order_with_total(total: object) -> dict[str, Any]:
    return {**LEAST, "cost": {"currency_code": "EUR", "grand_total": total}}


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b'[[{"quantity":1}],7]', "$[1]`"),
        (b'[[{"quantity":1}],[7]]', "$[1][0]`"),
        (b'[[{"quantity":1},null]]', "$[0][1]`"),
        (b'[{"quantity":1},[]]', "$[1]`"),
        (b'[[{"quantity":1}],[{"item":{}}]]', "Object missing required field `quantity` - at `$[1][0]`"),
        (b'[[{"quantity":1,"unit_price_final":"1,5"},{"quantity":1}]]', "$[0][0].unit_price_final`"),
    ],
)
def test_a_lot_that_cannot_be_read_costs_itself_only(raw: bytes, where: str) -> None:
    lots = [lot for batch in read_items(raw) for lot in batch]
    assert [lot for lot in lots if isinstance(lot, OrderItem)] == [OrderItem(quantity=1)]
    (lost,) = [lot.error for lot in lots if isinstance(lot, UnreadableLot)]
    assert lost.endswith(where)


@pytest.mark.parametrize("answer", [{}, {"item": None}, {"item": {}}, {"item": {"no": None}}])
def test_a_lot_needs_no_catalogue_number(answer: dict[str, Any]) -> None:
    """BrickLink's custom items have none."""
    (lot,) = read_items(msgspec.json.encode([{"quantity": 1, **answer}]))[0]
    assert lot == OrderItem(quantity=1, item=CatalogItem())

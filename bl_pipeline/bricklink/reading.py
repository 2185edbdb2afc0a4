"""From JSON as received to resources; the same for an answer that just came and for one stored years ago.

Each function takes the `data` of an answer. What the API spells or shapes in more than one way is brought
to one way first (`_tidy`), then msgspec checks every field. Messages name the field and what was
expected, never the value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from bl_pipeline.bricklink.errors import InvalidAnswer, InvalidResource
from bl_pipeline.bricklink.resources import (
    Amounts,
    Order,
    OrderItem,
    OrderSummary,
    Resource,
    UnreadableSummary,
    utc,
)

R = TypeVar("R", bound=Resource)

_INTEGER = re.compile(r"-?[0-9]{1,19}\Z")
_FLAGS = {"true": True, "false": False, "1": True, "0": False}

Summaries = tuple[list[OrderSummary], list[UnreadableSummary]]

_ALIASES = {
    "salesTax_collected_by_BL": "salesTax_collected_by_bl",
    "vat_collected_by_BL": "vat_collected_by_bl",
    "categoryID": "category_id",
}
_COST_ALIASES = {"salesTax_collected_by_BL": "salesTax", "salesTax_collected_by_bl": "salesTax"}
_OLD_DISPLAY_COST = {
    "disp_currency_code": "currency_code",
    "disp_subtotal": "subtotal",
    "disp_grand_total": "grand_total",
}


def read_order(raw: bytes | str) -> Order:
    """The order in the data of an order answer. Raises InvalidResource."""
    return _resource(_parse(raw), Order)


def read_items(raw: bytes | str) -> list[list[OrderItem]]:
    """The items in the data of an items answer, by batch; a flat list is one. Raises InvalidResource."""
    batches = _parse(raw)
    if not isinstance(batches, list):
        raise InvalidResource("Expected `array` - at `$`")
    if batches and isinstance(batches[0], dict):
        return [[_resource(item, OrderItem, f"[{line}]") for line, item in enumerate(batches)]]
    result = []
    for number, batch in enumerate(batches):
        if not isinstance(batch, list):
            raise InvalidResource(f"Expected `array` - at `$[{number}]`")
        result.append([_resource(item, OrderItem, f"[{number}][{line}]") for line, item in enumerate(batch)])
    return result


def read_summaries(raw: bytes | str) -> Summaries:
    """The rows of a list of orders, and those rows of which no more than the order's id can be read.

    Raises InvalidAnswer where the list itself cannot be read or a row has not even an id: going on without it
    could lose an order.
    """
    try:
        rows = _parse(raw)
    except InvalidResource as error:
        raise InvalidAnswer(f"The list of orders cannot be read: {error.message}") from None
    if not isinstance(rows, list):
        raise InvalidAnswer("The list of orders cannot be read: Expected `array` - at `$`")
    summaries: list[OrderSummary] = []
    unreadable: list[UnreadableSummary] = []
    for number, row in enumerate(rows):
        try:
            summaries.append(_resource(row, OrderSummary, f"[{number}]"))
        except InvalidResource as error:
            unreadable.append(UnreadableSummary(order_id=_order_id(row, number), error=error.message))
    return summaries, unreadable


def _order_id(row: object, number: int) -> str:
    order_id = row.get("order_id") if isinstance(row, dict) else None
    text = str(order_id) if isinstance(order_id, int | str) else ""
    if text.isascii() and text.isdigit() and len(text) < 20:
        return str(int(text))
    raise InvalidAnswer(f"The list of orders cannot be read: no order id - at `$[{number}]`")


# A fraction is read as Decimal: it is refused where an amount belongs, and no float exists even in passing.
_json = msgspec.json.Decoder(float_hook=Decimal)


def _parse(raw: bytes | str) -> Any:
    try:
        return _json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
        raise InvalidResource("Expected valid JSON - at `$`") from None


def _resource(value: Any, kind: type[R], where: str = "") -> R:
    _tidy(value, _SHAPES[kind], where)
    try:
        # Strictly: otherwise msgspec takes text for a number by way of a float, and rounds it.
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        message = str(error)
    if "- at `$" not in message:
        message += " - at `$`"
    raise InvalidResource(message.replace("- at `$", f"- at `${where}", 1))


@dataclass(frozen=True)
class _Shape:
    """The fields of a resource that need more than msgspec's own checks, by their names in the JSON."""

    times: tuple[str, ...]
    integers: tuple[str, ...]
    flags: tuple[str, ...]
    unfit_for_blank: tuple[str, ...]
    parts: tuple[tuple[str, _Shape], ...]
    aliases: tuple[tuple[str, str], ...]
    has_cost: bool


def _shape(kind: inspect.StructType) -> _Shape:
    times, integers, flags, blanks, parts = [], [], [], [], []
    for field in kind.fields:
        types = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
        names = {type(each) for each in types}
        texts = [each for each in types if isinstance(each, inspect.StrType)]
        if inspect.DateTimeType in names:
            times.append(field.encode_name)
        elif inspect.IntType in names:
            integers.append(field.encode_name)
        elif inspect.BoolType in names:
            flags.append(field.encode_name)
        if not field.required and (not texts or texts[0].pattern):
            blanks.append(field.encode_name)
        parts += [(field.encode_name, _shape(each)) for each in types if isinstance(each, inspect.StructType)]
    known = {field.encode_name for field in kind.fields}
    aliases = _COST_ALIASES if issubclass(kind.cls, Amounts) else _ALIASES
    return _Shape(
        times=tuple(times),
        integers=tuple(integers),
        flags=tuple(flags),
        unfit_for_blank=tuple(blanks),
        parts=tuple(parts),
        aliases=tuple((old, new) for old, new in aliases.items() if new in known),
        has_cost="disp_cost" in known,
    )


def _shape_of(kind: type[Resource]) -> _Shape:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return _shape(info)


_SHAPES: dict[type[Resource], _Shape] = {kind: _shape_of(kind) for kind in (OrderSummary, Order, OrderItem)}


def _tidy(value: Any, shape: _Shape, where: str) -> None:
    """Bring a JSON object to the one form that the resources know, in place."""
    if not isinstance(value, dict):
        return
    for old, new in shape.aliases:
        if old in value and value.get(new) is None:
            value[new] = value[old]
    if "" in value.values():
        for name in shape.unfit_for_blank:
            if value.get(name) == "":
                del value[name]
    if shape.has_cost and isinstance(value.get("cost"), dict) and "disp_currency_code" in value["cost"]:
        old_form = {new: value["cost"].get(old) for old, new in _OLD_DISPLAY_COST.items()}
        value["disp_cost"] = value.get("disp_cost") or old_form
    for name in shape.times:
        if (time := value.get(name)) is not None:
            value[name] = _time(time, f"{where}.{name}")
    for name in shape.integers:
        if isinstance(number := value.get(name), str) and _INTEGER.match(number):
            value[name] = int(number)
    for name in shape.flags:
        if isinstance(flag := value.get(name), str | int):
            value[name] = _FLAGS.get(str(flag).lower(), flag)
    for name, part in shape.parts:
        if name in value:
            _tidy(value[name], part, f"{where}.{name}")


def _time(value: Any, where: str) -> datetime:
    if isinstance(value, str):
        try:
            return utc(value)
        except (ValueError, OverflowError):
            pass
    raise InvalidResource(f"Expected `datetime` - at `${where}`")

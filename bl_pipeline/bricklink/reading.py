"""From JSON as received to resources; the same for an answer that just came and for one stored years ago.

Each function takes the `data` of an answer. What the API spells or shapes in more than one way is first brought to
one way, and each value to the type that its resource expects. `tolerance` says what a value
costs that cannot be read. Messages name the field and what was expected, never the value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from threading import Lock
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from bl_pipeline.bricklink.errors import InvalidAnswer, InvalidResource
from bl_pipeline.bricklink.resources import (
    DECIMAL4,
    Amounts,
    Order,
    OrderItem,
    OrderSummary,
    PartLine,
    Resource,
    UnreadableLot,
    UnreadableSummary,
    utc,
)
from bl_pipeline.bricklink.tolerance import EARLIEST, ITEM_FIELDS, LATEST, ORDER_FIELDS, Loss

R = TypeVar("R", bound=Resource)
L = TypeVar("L", bound=PartLine)

Summaries = tuple[list[OrderSummary], list[UnreadableSummary]]
Batches = list[list[L | UnreadableLot]]
"""The lines of a part of an order, by batch; only items come in several batches."""
Lots = Batches[OrderItem]
"""The lots of an order, by batch."""

_ALIASES = {
    "salesTax_collected_by_BL": "salesTax_collected_by_bl",
    "vat_collected_by_BL": "vat_collected_by_bl",
    "categoryID": "category_id",
}
_COST_ALIASES = {"salesTax_collected_by_BL": "salesTax", "salesTax_collected_by_bl": "salesTax"}
OLD_DISPLAY_COST = {
    "disp_currency_code": "currency_code",
    "disp_subtotal": "subtotal",
    "disp_grand_total": "grand_total",
}
"""Fields of the cost in which some answers say what the buyer was shown, and those of `disp_cost`."""


def aliases(resource: type[msgspec.Struct]) -> Mapping[str, str]:
    """Other names that the API has for fields of a resource or of a part of one, and the names of the fields."""
    return _COST_ALIASES if issubclass(resource, Amounts) else _ALIASES


def read_order(raw: bytes | str) -> Order:
    """The order in the data of an order answer. Raises InvalidResource if a fault in it costs the order."""
    return _resource(_parse(raw), Order)


def read_items(raw: bytes | str) -> Lots:
    """The items in the data of an items answer, by batch. As `read_part`."""
    return read_part(raw, OrderItem)


def read_part(raw: bytes | str, resource: type[L]) -> Batches[L]:
    """The lines in the data of an answer about a part of an order, by batch; a flat list is one batch.

    A line that cannot be read keeps its place. Raises InvalidResource if the answer is no list.
    """
    batches = _parse(raw)
    if not isinstance(batches, list):
        raise InvalidResource("Expected `array` - at `$`")
    if batches and isinstance(batches[0], dict):
        return [[_line(line, resource, f"[{number}]") for number, line in enumerate(batches)]]
    return [_batch(batch, resource, f"[{number}]") for number, batch in enumerate(batches)]


def _batch(batch: Any, resource: type[L], where: str) -> list[L | UnreadableLot]:
    if not isinstance(batch, list):
        return [UnreadableLot(error=f"Expected `array` - at `${where}`")]
    return [_line(line, resource, f"{where}[{number}]") for number, line in enumerate(batch)]


def _line(value: Any, resource: type[L], where: str) -> L | UnreadableLot:
    try:
        return _resource(value, resource, where)
    except InvalidResource as error:
        return UnreadableLot(error=error.message)


def read_summaries(raw: bytes | str, *, first: int = 0) -> Summaries:
    """The rows of a list of orders, and those rows of which no more than the order's id can be read.

    `first` is the number of the first row, in messages.

    Raises InvalidAnswer if the list itself cannot be read or a row has not even an id: without that row an
    order could be lost.
    """
    try:
        rows = _parse(raw)
    except InvalidResource as error:
        raise InvalidAnswer(f"The list of orders cannot be read: {error.message}") from None
    if not isinstance(rows, list):
        raise InvalidAnswer("The list of orders cannot be read: Expected `array` - at `$`")
    summaries: list[OrderSummary] = []
    unreadable: list[UnreadableSummary] = []
    for number, row in enumerate(rows, first):
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


class _Number(str):
    """A JSON number with a fraction or an exponent: its digits as received, never a float."""


_json = msgspec.json.Decoder(float_hook=_Number)


def _parse(raw: bytes | str) -> Any:
    try:
        return _json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidResource("Expected valid JSON - at `$`") from None


def _resource(value: Any, resource: type[R], where: str = "") -> R:
    shape = _shape_of(resource)
    unreadable: list[str] = []
    if isinstance(value, dict):
        _bring_to_form(value, shape, where, unreadable)
        value["unreadable_fields"] = unreadable
    try:
        # Strictly: otherwise msgspec converts text to a number through a float, and rounds it.
        return msgspec.convert(value, resource, strict=True)
    except msgspec.ValidationError as error:
        message = str(error)
    if "- at `$" not in message:
        message += " - at `$`"
    raise InvalidResource(message.replace("- at `$", f"- at `${where}", 1))


def _as_text(value: Any) -> str | None:
    """The text of a number, a flag or a list, as JSON writes it."""
    if isinstance(value, _Number):
        return str(value)
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return None


# How a value is read. Each raises ValueError if it cannot be.


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError
    return value


_DECIMAL = re.compile(DECIMAL4)


def _decimal(value: Any) -> str:
    """A JSON number is as exact as text: its digits count, not the float that most readers would make of it."""
    text = str(value) if type(value) in (int, str, _Number) else ""
    if isinstance(value, _Number) and "e" in text.lower():
        text = f"{_exact(value):f}"
    if not _DECIMAL.match(text):
        raise ValueError
    return text


_INTEGER = re.compile(r"(-?[0-9]{1,19})(\.0+)?\Z")


def _integer(value: Any) -> int:
    if isinstance(value, _Number):
        number = _exact(value)
        if number != number.to_integral_value():
            raise ValueError
        value = int(number)
    elif isinstance(value, str) and (found := _INTEGER.match(value)):
        value = int(found[1])
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _exact(number: _Number) -> Decimal:
    """The number itself, if it is of a size that any field may have."""
    try:
        exact = Decimal(number)
    except ArithmeticError:
        raise ValueError from None
    if not -30 < exact.adjusted() < 30:
        raise ValueError
    return exact


_FLAGS = {"true": True, "false": False, "1": True, "0": False}


def _flag(value: Any) -> bool:
    flag = _FLAGS.get(str(value).lower()) if isinstance(value, str | int) else None
    if flag is None:
        raise ValueError
    return flag


def read_time(value: Any) -> datetime:
    """A time as the API writes it, in UTC. Raises ValueError if it cannot be read, or is not plausible."""
    try:
        time = utc(_text(value))
    except OverflowError:
        raise ValueError from None
    if not EARLIEST <= time < LATEST:
        raise ValueError
    return time


def _part(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError
    return value


@dataclass(frozen=True)
class _FieldType:
    """What a field is: its name in messages, and how a value of it is read."""

    name: str
    read: Callable[[Any], Any]


_TEXT = _FieldType("text", _text)
_PART = _FieldType("object", _part)
_FIELD_TYPES = {
    inspect.DateTimeType: _FieldType("datetime", read_time),
    inspect.IntType: _FieldType("integer", _integer),
    inspect.BoolType: _FieldType("flag", _flag),
}


@dataclass(frozen=True)
class _Field:
    """A field of a resource: its name in the JSON, its path from the resource down, its own fields if it is a part."""

    name: str
    path: str
    type: _FieldType
    loss: Loss
    part: _Shape | None


@dataclass(frozen=True)
class _Shape:
    """What is known of a resource or a part of one."""

    fields: tuple[_Field, ...]
    aliases: tuple[tuple[str, str], ...]
    has_cost: bool


def _shape(struct: inspect.StructType, losses: Mapping[str, Loss] | None, above: str = "") -> _Shape:
    """The shape of a resource, or of a part of one whose fields are named `above` and their own name.

    Without `losses`, a field that must be there costs its line, any other its own value.
    """
    fields = []
    for field in struct.fields:
        if field.name == "unreadable_fields":
            continue
        types = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
        name, first = field.encode_name, next(each for each in types if not isinstance(each, inspect.NoneType))
        part = _shape(first, losses, f"{above}{name}.") if isinstance(first, inspect.StructType) else None
        if isinstance(first, inspect.StrType):
            read = _FieldType("decimal", _decimal) if first.pattern else _TEXT
        else:
            read = _PART if part else _FIELD_TYPES[type(first)]
        loss = losses[above + name] if losses else Loss.LOT if field.required else Loss.VALUE
        fields.append(_Field(name, above + name, read, loss, part))
    known = {field.name for field in fields}
    return _Shape(
        fields=tuple(fields),
        aliases=tuple((old, new) for old, new in aliases(struct.cls).items() if new in known),
        has_cost="disp_cost" in known,
    )


_LOSSES: dict[type[Resource], Mapping[str, Loss]] = {
    OrderSummary: ORDER_FIELDS,
    Order: ORDER_FIELDS,
    OrderItem: ITEM_FIELDS,
}


_preparing = Lock()


def _shape_of(resource: type[Resource]) -> _Shape:
    with _preparing:
        return _prepare(resource)


@cache
def _prepare(resource: type[Resource]) -> _Shape:
    """The shape of a resource; once it is there, msgspec knows the type, too.

    msgspec looks at a type when it is first used, and if two threads do that at the same time, the process crashes.
    """
    msgspec.json.Decoder(resource)  # for that first look, at the type and all that is in it
    info = inspect.type_info(resource)
    assert isinstance(info, inspect.StructType)
    return _shape(info, _LOSSES.get(resource))


def _bring_to_form(value: dict[str, Any], shape: _Shape, where: str, unreadable: list[str]) -> None:
    """Bring a JSON object to the one form that its resource expects, in place; `unreadable` gets the paths of faults.

    Raises InvalidResource at a fault that costs more than its value.
    """
    for old, new in shape.aliases:
        if old in value and value.get(new) is None:
            value[new] = value[old]
    cost = value.get("cost") if shape.has_cost else None
    if isinstance(cost, dict) and "disp_currency_code" in cost:
        value["disp_cost"] = value.get("disp_cost") or {new: cost.get(old) for old, new in OLD_DISPLAY_COST.items()}
    for field in shape.fields:
        found = value.pop(field.name, None)
        if found is None or (found == "" and field.type is not _TEXT):
            continue
        try:
            value[field.name] = field.type.read(found)
        except ValueError:
            if field.loss is not Loss.VALUE:
                raise InvalidResource(f"Expected `{field.type.name}` - at `${where}.{field.path}`") from None
            unreadable.append(field.path)
            if field.type is _TEXT and (text := _as_text(found)) is not None:
                value[field.name] = text
        else:
            if field.part:
                _bring_to_form(found, field.part, where, unreadable)

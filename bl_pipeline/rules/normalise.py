"""BrickLink's orders and their parts as rows of `sales`: exact decimals, UTC times, plain text, one name per thing."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from html.entities import html5
from typing import TYPE_CHECKING, Any

from bl_pipeline.bricklink import NO_TEXT, UnreadableLot
from bl_pipeline.columns import TABLES, AnswerKind, Column, ColumnType
from bl_pipeline.countries import BRICKLINK_CODES

if TYPE_CHECKING:
    from bl_pipeline.bricklink import Address, Batches, Order, OrderItem

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
# With its semicolon: `&copy=1` in a link is no entity.
_ENTITY = re.compile("&(?:#([0-9]{1,20}|[xX][0-9a-fA-F]{1,20})|[a-zA-Z][a-zA-Z0-9]{1,40});")
_LARGEST_MONEY = Decimal(10) ** 15

ADDRESS = {
    "name": "name.full",
    "first_name": "name.first",
    "last_name": "name.last",
    "full": "full",
    "address1": "address1",
    "address2": "address2",
    "city": "city",
    "state": "state",
    "postal_code": "postal_code",
    "country_code": "country_code",
    "phone_number": "phone_number",
}
"""Field of sales.orders.shipping_address → field of the address in BrickLink's answer."""


class NotNormalisable(ValueError):
    """An order that cannot become a correct row; the message says why, and shows no value of the order."""


def order_fingerprint(order: Order) -> str:
    """What an order says of its items as a whole, as JSON: the items can only have changed if this has.

    Besides the sums, in their currency, it is date_ordered in UTC: an added batch and an approved removal reset it,
    and equal sums can hide a lot that replaced another. Migrations write this text too.
    """
    ordered = order.date_ordered.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    sums = [order.cost.subtotal, order.total_count, order.unique_count, order.total_weight]
    return json.dumps([*sums, order.cost.currency_code, ordered])


def _money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def plain(text: str | None) -> str | None:
    """Text without HTML entities. BrickLink escapes some of it twice; a third level is what the author typed."""
    if text is None:
        return None
    return _storable(_unescaped(_unescaped(text)) if "&" in text else text)


def _unescaped(text: str) -> str:
    # Some programs write a character beyond the first 65,536 as the two halves of a surrogate pair.
    return _PAIR.sub(lambda pair: _surrogates(pair[0]).decode("utf-16-le"), _ENTITY.sub(_character, text))


def _surrogates(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


def _character(entity: re.Match[str]) -> str:
    if digits := entity[1]:
        code = int(digits[1:], 16) if digits[0] in "xX" else int(digits)
        return chr(code) if 0xD800 <= code <= 0xDFFF else html.unescape(entity[0])
    return html5.get(entity[0][1:], entity[0])


def _storable(text: str | None) -> str | None:
    # Postgres takes neither NUL nor half a surrogate pair; the landed JSON keeps them.
    return None if text is None else NO_TEXT.sub("\ufffd", text)


def _value(resource: Any, path: str) -> Any:
    """A field of a resource, such as `name.full`; None if a part that it is in is absent."""
    for name in path.split("."):
        resource = None if resource is None else getattr(resource, name)
    return resource


def _address(address: Address | None) -> str | None:
    if address is None:
        return None
    fields = {key: _value(address, path) for key, path in ADDRESS.items()}
    return json.dumps({key: plain(value) for key, value in fields.items() if value is not None})


_CONVERT: dict[ColumnType, Callable[[Any], Any]] = {
    ColumnType.TEXT: _storable,
    ColumnType.HTML: plain,
    ColumnType.MONEY: _money,
    ColumnType.WEIGHT: _money,
    ColumnType.RATE: _money,
}


def _row_reader(columns: Sequence[Column]) -> Callable[[Any, dict[str, Any]], tuple[Any, ...]]:
    """What makes a row of a resource: each column from its source, and those without one from the values given."""
    given = [(position, column.name) for position, column in enumerate(columns) if column.source is None]
    by_parent: dict[str, list[tuple[int, str, Callable[[Any], Any] | None]]] = {}
    for position, column in enumerate(columns):
        if column.source is not None:
            parent, _, field = column.source.rpartition(".")
            by_parent.setdefault(parent, []).append((position, field, _CONVERT.get(column.type)))
    groups = [(parent.split(".") if parent else [], members) for parent, members in by_parent.items()]

    def read(resource: Any, values: dict[str, Any]) -> tuple[Any, ...]:
        row: list[Any] = [None] * len(columns)
        for position, name in given:
            row[position] = values[name]
        for parents, members in groups:
            holder = resource
            for parent in parents:
                holder = getattr(holder, parent) if holder is not None else None
            if holder is not None:
                for position, field, convert in members:
                    value = getattr(holder, field)
                    row[position] = value if value is None or convert is None else convert(value)
        return tuple(row)

    return read


_READ_ROW = {kind: _row_reader(table.columns) for kind, table in TABLES.items()}


def order_row(order: Order, *, status: str, fetched_at: datetime, **document_ids: int | None) -> tuple[Any, ...]:
    """One row of sales.orders, its values in the order of `columns.ORDERS`.

    `status` is the normalised one; `document_ids` are the columns named `<kind>_document_id`.
    Raises NotNormalisable if an amount does not fit the warehouse.
    """
    cost = order.cost
    address = order.shipping.address if order.shipping else None
    country = address.country_code if address else None
    total, subtotal, shipping_cost = _money(cost.grand_total), _money(cost.subtotal), _money(cost.shipping)
    fees = None
    if total is not None and subtotal is not None and shipping_cost is not None:
        fees = total - subtotal - shipping_cost
        if abs(fees) >= _LARGEST_MONEY:
            raise NotNormalisable("cost: total - subtotal - shipping is beyond 15 digits")
    return _READ_ROW[AnswerKind.ORDER](
        order,
        {
            "platform_order_id": str(order.order_id),
            "display_id": f"BL-{order.order_id}",
            "status": status,
            "fees": fees,
            "country_code": BRICKLINK_CODES.get(country, _storable(country)) if country else None,
            "shipping_address": _address(address),
            "unreadable_fields": sorted(order.unreadable_fields) or None,
            "fetched_at": fetched_at,
            **document_ids,
        },
    )


def total_price(item: OrderItem) -> Decimal | None:
    """unit_price x quantity. Raises NotNormalisable if it does not fit the warehouse."""
    price = None if item.unit_price_final is None else Decimal(item.unit_price_final) * item.quantity
    if price is not None and abs(price) >= _LARGEST_MONEY:
        raise NotNormalisable("price x quantity is beyond 15 digits")
    return price


@dataclass(frozen=True, slots=True)
class PartRows:
    """The rows of one part of an order, their values in the order of the columns of its table.

    `fault` says which rows are not among them, and why; None if all are.
    """

    rows: list[tuple[Any, ...]]
    fault: str | None = None


def part_rows(
    kind: AnswerKind,
    order_id: str,
    batches: Batches[Any],
    *,
    lines: str,
    computed: Mapping[str, Callable[[Any], Any]],
    pieces: int | None,
) -> PartRows:
    """The rows of the lines that can be read; one that cannot be read is left out, and `fault` says so.

    `lines` is what messages call them, `computed` has the columns that are made of a whole line, by name. Raises
    NotNormalisable if no line can be read, or if there is none though the order counts some `pieces`.
    """
    read = _READ_ROW[kind]
    rows: list[tuple[Any, ...]] = []
    faults: list[str] = []
    for batch_number, batch in enumerate(batches, start=1):
        for line_number, line in enumerate(batch, start=1):
            if isinstance(line, UnreadableLot):
                faults.append(line.error)
                continue
            values = {
                "platform_order_id": order_id,
                "batch_number": batch_number,
                "line_number": line_number,
                "unreadable_fields": sorted(line.unreadable_fields) or None,
            }
            try:
                for name, compute in computed.items():
                    values[name] = compute(line)
            except NotNormalisable as error:
                faults.append(f"{error} - at `$[{batch_number - 1}][{line_number - 1}]`")
            else:
                rows.append(read(line, values))
    if faults:
        fault = (
            f"{kind}: {len(faults)} of {len(rows) + len(faults)} {lines} cannot be read.\n"
            f"What can be read is stored, and later runs ask again. If it stays so, please report this: {faults[0]}"
        )
        if not rows:
            raise NotNormalisable(fault)
        return PartRows(rows, fault)
    if not rows and pieces:
        raise NotNormalisable(f"{kind}: the answer has none, the order counts {pieces} pieces")
    return PartRows(rows)

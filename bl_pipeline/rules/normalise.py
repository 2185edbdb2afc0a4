"""BrickLink's orders and items as rows of `sales`: exact decimals, UTC times, plain text, one name per thing."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from html.entities import html5
from typing import TYPE_CHECKING, Any

import pandas as pd

from bl_pipeline.bricklink import UnreadableLot
from bl_pipeline.columns import ORDER_ITEMS, ORDERS, Column, Kind
from bl_pipeline.rules import frames

if TYPE_CHECKING:
    from bl_pipeline.bricklink import Address, Lots, Order, OrderItem

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
# With its semicolon: `&copy=1` in a link is no entity.
_ENTITY = re.compile("&(?:#([0-9]{1,20}|[xX][0-9a-fA-F]{1,20})|[a-zA-Z][a-zA-Z0-9]{1,40});")
_LARGEST_MONEY = Decimal(10) ** 15
_COUNTRY = {"UK": "GB"}


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


def _plain(text: str | None) -> str | None:
    """Text without HTML entities. BrickLink escapes some of it twice; a third level was written by the author."""
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
    return None if text is None else _UNSTORABLE.sub("\ufffd", text)


def _address(address: Address | None) -> str | None:
    if address is None:
        return None
    name = address.name
    fields = {
        "name": name.full if name else None,
        "first_name": name.first if name else None,
        "last_name": name.last if name else None,
        "full": address.full,
        "address1": address.address1,
        "address2": address.address2,
        "city": address.city,
        "state": address.state,
        "postal_code": address.postal_code,
        "country_code": address.country_code,
        "phone_number": address.phone_number,
    }
    return json.dumps({key: _plain(value) for key, value in fields.items() if value is not None})


_CONVERT: dict[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _storable,
    Kind.HTML: _plain,
    Kind.MONEY: _money,
    Kind.WEIGHT: _money,
    Kind.RATE: _money,
}


def _row_reader(columns: Sequence[Column]) -> Callable[[Any, dict[str, Any]], tuple[Any, ...]]:
    """What makes a row of a resource: each column from its source, and those without one from the values given."""
    given = [(position, column.name) for position, column in enumerate(columns) if column.source is None]
    by_parent: dict[str, list[tuple[int, str, Callable[[Any], Any] | None]]] = {}
    for position, column in enumerate(columns):
        if column.source is not None:
            parent, _, field = column.source.rpartition(".")
            by_parent.setdefault(parent, []).append((position, field, _CONVERT.get(column.kind)))
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


_read_order = _row_reader(ORDERS)
_read_item = _row_reader(ORDER_ITEMS)


def order_row(
    order: Order,
    *,
    status: str,
    order_document_id: int,
    items_document_id: int | None,
    fetched_at: datetime,
) -> tuple[Any, ...]:
    """One row of sales.orders, its values in the order of `columns.ORDERS`.

    `status` is the normalised one.
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
    return _read_order(
        order,
        {
            "platform_order_id": str(order.order_id),
            "display_id": f"BL-{order.order_id}",
            "status": status,
            "fees": fees,
            "country_code": _COUNTRY.get(country, _storable(country)) if country else None,
            "shipping_address": _address(address),
            "unreadable_fields": _named(order.unreadable_fields),
            "order_document_id": order_document_id,
            "items_document_id": items_document_id,
            "fetched_at": fetched_at,
        },
    )


@dataclass(frozen=True, slots=True)
class ItemRows:
    """The rows of sales.order_items of one order, their values in the order of `columns.ORDER_ITEMS`.

    `fault` says which lots are not among them, and why; None if all are.
    """

    rows: list[tuple[Any, ...]]
    fault: str | None = None


def item_rows(order_id: str, batches: Lots, *, total_count: int | None) -> ItemRows:
    """The rows of the lots that can be read; one that cannot be read is left out, and `fault` says so.

    Raises NotNormalisable if none can be read, or if there are none though the order counts some.
    """
    rows: list[tuple[Any, ...]] = []
    faults: list[str] = []
    for batch_number, batch in enumerate(batches, start=1):
        for line_number, lot in enumerate(batch, start=1):
            try:
                rows.append(_item_row(order_id, batch_number, line_number, lot))
            except NotNormalisable as error:
                faults.append(str(error))
    if faults:
        fault = f"{len(faults)} of {len(rows) + len(faults)} lots cannot be read. The first: {faults[0]}"
        if not rows:
            raise NotNormalisable(f"items: {fault}")
        return ItemRows(rows, f"items: {fault}")
    if not rows and total_count:
        raise NotNormalisable(f"items: the answer has none, the order counts {total_count} pieces")
    return ItemRows(rows)


def _item_row(order_id: str, batch_number: int, line_number: int, item: OrderItem | UnreadableLot) -> tuple[Any, ...]:
    if isinstance(item, UnreadableLot):
        raise NotNormalisable(item.error)
    unit_price = _money(item.unit_price_final)
    total_price = None if unit_price is None else unit_price * item.quantity
    if total_price is not None and abs(total_price) >= _LARGEST_MONEY:
        raise NotNormalisable(f"price x quantity is beyond 15 digits - at `$[{batch_number - 1}][{line_number - 1}]`")
    return _read_item(
        item,
        {
            "platform_order_id": order_id,
            "batch_number": batch_number,
            "line_number": line_number,
            "total_price": total_price,
            "unreadable_fields": _named(item.unreadable_fields),
        },
    )


def _named(fields: Sequence[str]) -> list[str] | None:
    return sorted(fields) or None


def orders_frame(rows: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    """Rows of `order_row` as a DataFrame, with the columns of `columns.ORDERS`."""
    return frames.frame(rows, frames.ORDERS)


def order_items_frame(rows: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    """Rows of `item_rows` as a DataFrame, with the columns of `columns.ORDER_ITEMS`."""
    return frames.frame(rows, frames.ORDER_ITEMS)

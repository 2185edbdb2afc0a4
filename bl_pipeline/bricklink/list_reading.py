"""The list of orders, read row by row: a store's whole history comes as one answer, and most of it has not changed.

A row in the form that BrickLink documents is decoded straight into what a sync uses of it; any other row is read by
`reading`, which knows the other forms. Both read the same from a row that both can read.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from bl_pipeline.bricklink.reading import read_summaries, read_time
from bl_pipeline.bricklink.resources import (
    Cost,
    Decimal4,
    Integer,
    OrderId,
    OrderSummary,
    Payment,
    Resource,
    UnreadableSummary,
)


class ListRow(Resource, frozen=True, kw_only=True):
    """What a sync uses of a row of the list; the fields are those of `OrderSummary`."""

    order_id: int
    date_ordered: datetime
    cost: Cost
    status: str
    date_status_changed: datetime | None
    buyer_name: str | None
    total_count: int | None
    unique_count: int | None
    is_filed: bool | None
    payment: Payment | None


class _Payment(msgspec.Struct, gc=False):
    method: str | None = None
    currency_code: str | None = None
    date_paid: str | None = None
    status: str | None = None


class _Cost(Cost, frozen=True, kw_only=True):
    """With the other names that `reading` takes for a field: what is there must be an amount."""

    sales_tax_1: Decimal4 | None = msgspec.field(default=None, name="salesTax_collected_by_BL")
    sales_tax_2: Decimal4 | None = msgspec.field(default=None, name="salesTax_collected_by_bl")


class _Row(msgspec.Struct, gc=False):
    order_id: OrderId
    # As text: msgspec rounds fractions of a microsecond, and keeps other offsets than that of UTC.
    date_ordered: str
    cost: _Cost
    status: str = ""
    date_status_changed: str | None = None
    buyer_name: str | None = None
    total_count: Integer | None = None
    unique_count: Integer | None = None
    is_filed: bool | None = None
    payment: _Payment | None = None


_rows = msgspec.json.Decoder(list[msgspec.Raw])
_row = msgspec.json.Decoder(_Row)


def each_summary(raw: bytes) -> Iterator[ListRow | OrderSummary | UnreadableSummary]:
    """The rows of a list, one at a time. Raises InvalidAnswer as `read_summaries`, perhaps after some rows."""
    try:
        rows = _rows.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        yield from _in_any_form(raw, 0)
        return
    for number, row in enumerate(rows):
        try:
            plain = _plain(row)
        except (ValueError, RecursionError):
            yield from _in_any_form(b"[%b]" % bytes(row), number)
        else:
            yield plain


def _plain(raw: msgspec.Raw) -> ListRow:
    """A row of the usual form; raises msgspec.ValidationError, or ValueError for a time, if it has another."""
    row = _row.decode(raw)
    paid = row.payment
    return ListRow(
        order_id=row.order_id,
        date_ordered=read_time(row.date_ordered),
        cost=row.cost,
        status=row.status,
        date_status_changed=read_time(row.date_status_changed) if row.date_status_changed else None,
        buyer_name=row.buyer_name,
        total_count=row.total_count,
        unique_count=row.unique_count,
        is_filed=row.is_filed,
        payment=None
        if paid is None
        else Payment(
            method=paid.method,
            currency_code=paid.currency_code,
            date_paid=read_time(paid.date_paid) if paid.date_paid else None,
            status=paid.status,
        ),
    )


def _in_any_form(raw: bytes, first: int) -> Iterator[OrderSummary | UnreadableSummary]:
    summaries, unreadable = read_summaries(raw, first=first)
    yield from summaries
    yield from unreadable

"""Rows of `sales` from many answers at once: what `normalise` makes of one after the other, ten times as fast.

It takes orders and items in the form in which BrickLink usually answers; any other answer is left to `normalise`,
which knows every form and every fault. For an answer that both take, the rows are equal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bl_pipeline.bricklink import Order, OrderItem
from bl_pipeline.bricklink.arrow_reading import Columns, UnusualAnswer, read_columns, read_lines
from bl_pipeline.columns import TABLES, AnswerKind, ColumnType, OrderGroup
from bl_pipeline.countries import BRICKLINK_CODES
from bl_pipeline.rules.frames import ARROW
from bl_pipeline.rules.normalise import ADDRESS, plain
from bl_pipeline.rules.statuses import GROUPS, PURGED

_PARTS = 8
"""Arrow does not say which of many answers is unusual: they are read again in so many parts, and a part in parts."""

_FEW = 50
"""So few answers are not read in parts, but left to `normalise`."""


@dataclass(frozen=True, slots=True)
class ManyRows:
    """The rows of many answers.

    `rows` has those columns of the table in `sales` that follow from the answer alone; `answer` is the place of the
    answer of each row, from 0 and ascending; `usual` says of each answer whether it was read.
    """

    rows: pa.Table
    answer: np.ndarray
    usual: np.ndarray


def rows_of_answers(kind: AnswerKind, order_ids: Sequence[str], bodies: Sequence[bytes]) -> ManyRows:
    """The rows of answers of one kind, orders or items, in the order of the answers; `order_ids` are theirs.

    Of a purged order the status is null: it depends on the order's state before.
    """
    try:
        return _READERS[kind](order_ids, bodies)
    except (UnusualAnswer, pa.ArrowInvalid):  # Arrow's error is of a computed amount that does not fit
        if len(bodies) <= _FEW:
            return replace(_READERS[kind]([], []), usual=np.zeros(len(bodies), bool))
    size = -(-len(bodies) // _PARTS)
    starts = range(0, len(bodies), size)
    parts = [rows_of_answers(kind, order_ids[start : start + size], bodies[start : start + size]) for start in starts]
    return ManyRows(
        pa.concat_tables(part.rows for part in parts),
        np.concatenate([start + part.answer for start, part in zip(starts, parts, strict=True)]),
        np.concatenate([part.usual for part in parts]),
    )


def _orders(order_ids: Sequence[str], bodies: Sequence[bytes]) -> ManyRows:
    """Rows of sales.orders of the answers of the usual form, by columns of Arrow."""
    columns = read_columns(bodies, Order)
    values: Mapping[str, Any] = columns.values
    order_id = values["order_id"].cast(pa.string())
    is_its_own = pc.fill_null(pc.equal(order_id, pa.array(order_ids, pa.string())), fill_value=False)
    usual = pc.and_(columns.usual, is_its_own)
    country = values["shipping.address.country_code"]
    rows = _table(
        AnswerKind.ORDER,
        columns,
        {
            "platform_order_id": order_id,
            "display_id": pc.binary_join_element_wise("BL-", order_id, ""),
            "status": _groups(values["status"]),
            "platform_status": pc.fill_null(values["status"], ""),
            "fees": pc.subtract(
                pc.subtract(values["cost.grand_total"], values["cost.subtotal"]), values["cost.shipping"]
            ),
            "country_code": _translated(pc.if_else(pc.equal(country, ""), None, country), BRICKLINK_CODES),
            "shipping_address": _addresses(columns),
            "unreadable_fields": pa.nulls(len(bodies)),
        },
    )
    mask = usual.to_numpy(zero_copy_only=False)
    return ManyRows(rows.filter(usual), np.flatnonzero(mask), mask)


def _items(order_ids: Sequence[str], bodies: Sequence[bytes]) -> ManyRows:
    """Rows of sales.order_items of the answers of the usual form. An answer is unusual as a whole if one lot is."""
    lines = read_lines(bodies, OrderItem)
    values: Mapping[str, Any] = lines.columns.values
    # With more digits the product would have more than Arrow's decimals can have.
    quantity = values["quantity"].cast(pa.int32()).cast(pa.decimal128(10, 0))
    usual = np.ones(len(bodies), bool)
    usual[lines.answer[~lines.columns.usual.to_numpy(zero_copy_only=False)]] = False
    rows = _table(
        AnswerKind.ITEMS,
        lines.columns,
        {
            "platform_order_id": pa.array(order_ids, pa.string()).take(pa.array(lines.answer)),
            "batch_number": pa.array(lines.batch + 1),
            "line_number": pa.array(lines.line + 1),
            "total_price": pc.multiply(values["unit_price_final"], quantity),
            "unreadable_fields": pa.nulls(len(lines.answer)),
        },
    )
    mask = usual[lines.answer]
    return ManyRows(rows.filter(pa.array(mask)), lines.answer[mask], usual)


_READERS: Mapping[AnswerKind, Callable[[Sequence[str], Sequence[bytes]], ManyRows]] = {
    AnswerKind.ORDER: _orders,
    AnswerKind.ITEMS: _items,
}


def _table(kind: AnswerKind, columns: Columns, computed: Mapping[str, pa.Array[Any]]) -> pa.Table:
    """The columns of the table of `sales` that are `computed` or come from the answer, in their order and types."""
    found: dict[str, pa.Array[Any]] = {}
    for column in TABLES[kind].columns:
        if column.name in computed:
            value = computed[column.name]
        elif column.source is not None:
            value = columns.values[column.source]
        else:
            continue
        if column.type is ColumnType.HTML:
            value = _changed(value, "&", plain)
        found[column.name] = value.cast(ARROW[column.type])
    return pa.table(found)


def _groups(platform_status: pa.StringArray) -> Any:
    """As `statuses.group_of`, but null of a purged order."""
    known = _translated(platform_status, GROUPS, otherwise=OrderGroup.UNKNOWN)
    return pc.if_else(pc.fill_null(pc.equal(platform_status, PURGED), fill_value=False), None, known)


def _translated(text: pa.StringArray, words: Mapping[str, str], otherwise: str | None = None) -> Any:
    """Each text by the `words`; one that is not among them is `otherwise`, or as it is."""
    place = pc.index_in(text, pa.array(list(words)))
    return pc.coalesce(pa.array(list(map(str, words.values()))).take(place), otherwise or text)


def _addresses(columns: Columns) -> Any:
    """The address as a JSON object, without the fields that are absent."""
    members = []
    for key, path in ADDRESS.items():
        value = _changed(columns.values[f"shipping.address.{path}"], "&", plain)
        value = _changed(value, r'["\\\x00-\x1f]', _escaped)
        members.append(pc.binary_join_element_wise(f'"{key}": "', value, '"', ""))
    # With a text before them, which is cut off again: Arrow drops a row that has no member at all.
    joined = pc.utf8_slice_codeunits(pc.binary_join_element_wise("", *members, ", ", null_handling="skip"), 2)
    return pc.if_else(columns.present["shipping.address"], pc.binary_join_element_wise("{", joined, "}", ""), None)


def _escaped(text: str) -> str:
    return json.dumps(text)[1:-1]


def _changed(text: Any, pattern: str, change: Callable[[str], str | None]) -> Any:
    """The text, changed wherever it has the pattern: each text once, however often it comes, as each takes long."""
    mask = pc.fill_null(pc.match_substring_regex(text, pattern), fill_value=False)
    found = text.filter(mask).dictionary_encode()
    changed = pa.array([change(each) for each in found.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(text, mask, changed.take(found.indices)) if len(found) else text

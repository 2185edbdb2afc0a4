"""Many answers of one kind at once, as Arrow columns: what `reading` makes of a single answer, ten times as fast.

Arrow reads the JSON by the types of the resource, and takes only the form in which BrickLink usually answers. Whoever
calls reads any other answer with `reading`, which knows every form. Of an answer that both read, the values are equal.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import inspect
from pyarrow import json

from bl_pipeline.bricklink.reading import OLD_DISPLAY_COST, aliases
from bl_pipeline.bricklink.resources import DECIMAL4, Cost, Resource
from bl_pipeline.bricklink.tolerance import EARLIEST, LATEST

AMOUNT = pa.decimal128(19, 4)
TIME = pa.timestamp("us", tz="UTC")

_DECIMAL = DECIMAL4.replace(r"\Z", r"\z")  # as RE2 writes it, whose regular expressions are Arrow's
_TIME = r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})\z"


class UnusualAnswer(ValueError):
    """Some of these answers are in another form than the usual one; it is not known which."""


@dataclass(slots=True)
class Columns:
    """Resources of one kind as columns, a row for each.

    `values` are by the path of the field, such as `cost.sales_tax`: text and numbers as received, amounts as
    decimal128(19, 4), times as timestamps in UTC. `present` says by the path of a part, such as `shipping.address`,
    if the resource has it. `usual` says of each row if it can be taken: a value may still be none that `reading` takes.
    """

    values: dict[str, pa.Array[Any]] = field(default_factory=dict)
    present: dict[str, pa.BooleanArray] = field(default_factory=dict)
    usual: pa.BooleanArray = field(default_factory=lambda: pa.array([], pa.bool_()))


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of many answers as columns, with the place of each from 0: its answer, its batch, its line in the batch."""

    columns: Columns
    answer: np.ndarray
    batch: np.ndarray
    line: np.ndarray


def read_columns(bodies: Sequence[bytes], resource: type[Resource]) -> Columns:
    """Answers that are one resource each. Raises UnusualAnswer."""
    if not all(body.startswith(b"{") for body in bodies):  # Arrow crashes at a line that is `null`
        raise UnusualAnswer
    rows: Any = _read(bodies, _struct(resource)).to_struct_array().combine_chunks()
    return _columns(rows, resource)


def read_lines(bodies: Sequence[bytes], resource: type[Resource]) -> Lines:
    """Answers that are lists of batches, each a list of lines. Raises UnusualAnswer."""
    wrapped = pa.struct([("batches", pa.list_(pa.list_(_struct(resource))))])
    answers: Any = _read([b'{"batches":%b}' % body for body in bodies], wrapped).column("batches").combine_chunks()
    batches = answers.flatten()
    lines = batches.flatten()
    if answers.null_count or batches.null_count or lines.null_count:
        raise UnusualAnswer
    answer_of_batch = pc.list_parent_indices(answers).to_numpy()
    batch_of_line = pc.list_parent_indices(batches).to_numpy()
    return Lines(
        columns=_columns(lines, resource),
        answer=answer_of_batch[batch_of_line],
        batch=_places(answer_of_batch)[batch_of_line],
        line=_places(batch_of_line),
    )


def _places(parents: np.ndarray) -> np.ndarray:
    """The place of each element among those of the same parent; `parents` ascend."""
    places: np.ndarray = np.arange(len(parents)) - np.searchsorted(parents, parents)
    return places


def _read(bodies: Sequence[bytes], row: pa.StructType) -> pa.Table:
    """Answers as rows of Arrow, one each, with every value as text; fields that `row` does not have are left out.

    Raises UnusualAnswer if one of them cannot be read so: then each is read by `reading`.
    """
    # A line break in JSON is blank space. NUL is stored as another character, by whoever reads the answer alone.
    lines = b"\n".join(body.replace(b"\n", b" ").replace(b"\r", b" ") for body in bodies)
    if rb"\u0000" in lines:
        raise UnusualAnswer
    schema = pa.schema(list(row))
    if not bodies:
        return schema.empty_table()
    options = json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        table = json.read_json(io.BytesIO(lines), json.ReadOptions(block_size=len(lines) + 1), options)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        raise UnusualAnswer from None
    if table.num_rows != len(bodies):
        raise UnusualAnswer
    return table


@cache
def _fields(resource: type[msgspec.Struct]) -> list[tuple[inspect.Field, inspect.Type]]:
    """The fields of a resource, or of a part of one, that an answer has, each with the type of its value."""
    info = inspect.type_info(resource)
    assert isinstance(info, inspect.StructType)
    found = []
    for each in info.fields:
        if each.name != "unreadable_fields":
            types = each.type.types if isinstance(each.type, inspect.UnionType) else (each.type,)
            found.append((each, next(type_ for type_ in types if not isinstance(type_, inspect.NoneType))))
    return found


@cache
def _struct(resource: type[msgspec.Struct]) -> pa.StructType:
    """The JSON of a resource, or of a part of one: amounts and times as the text that they come as."""
    fields: dict[str, pa.DataType] = {}
    for each, type_ in _fields(resource):
        match type_:
            case inspect.StructType():
                fields[each.encode_name] = _struct(type_.cls)
            case inspect.IntType():
                fields[each.encode_name] = pa.int64()
            case inspect.BoolType():
                fields[each.encode_name] = pa.bool_()
            case _:
                fields[each.encode_name] = pa.string()
    fields |= {old: fields[new] for old, new in aliases(resource).items() if new in fields}
    if "disp_cost" in fields:
        cost = _struct(Cost)
        fields["cost"] = pa.struct([*cost, *(pa.field(old, pa.string()) for old in OLD_DISPLAY_COST)])
    return pa.struct(list(fields.items()))


def _columns(rows: pa.StructArray, resource: type[Resource]) -> Columns:
    columns = Columns(usual=pa.array(np.ones(len(rows), bool)))
    try:
        _add_fields(columns, rows, resource, "")
    except pa.ArrowInvalid:  # such as the 30th of February
        raise UnusualAnswer from None
    return columns


def _add_fields(columns: Columns, rows: pa.StructArray, resource: type[msgspec.Struct], above: str) -> None:
    """Add the columns of `rows`, and of what is nested in them, to `columns`, by their path below `above`."""
    values: dict[str, Any] = dict(zip((each.name for each in rows.type), rows.flatten(), strict=True))
    for old, new in aliases(resource).items():
        if new in values:
            values[new] = pc.coalesce(values[new], values[old])
    if above == "cost.":
        for old in OLD_DISPLAY_COST:
            _require(columns, pc.is_null(values[old]))
    for each, type_ in _fields(resource):
        value, path = values[each.encode_name], above + each.name
        if isinstance(type_, inspect.StructType):
            columns.present[path] = pc.is_valid(value)
            _add_fields(columns, value, type_.cls, f"{path}.")
        else:
            value = columns.values[path] = _checked(columns, value, type_)
        if each.required:
            _require(columns, pc.or_(pc.is_valid(value), pc.is_null(rows)))


def _checked(columns: Columns, value: Any, type_: inspect.Type) -> Any:
    """A column in its own type. What a row says that `reading` would not take makes the row unusual."""
    match type_:
        case inspect.StrType(pattern=None):
            if type_.min_length:
                _require(columns, pc.not_equal(value, ""))
        case inspect.StrType():
            value = _matching(columns, value, _DECIMAL).cast(AMOUNT)
        case inspect.DateTimeType():
            value = _matching(columns, value, _TIME).cast(TIME)
            _require(columns, pc.and_(pc.greater_equal(value, EARLIEST), pc.less(value, LATEST)))
        case inspect.IntType():
            _require(columns, pc.greater_equal(value, type_.ge))
    return value


def _matching(columns: Columns, text: pa.StringArray, pattern: str) -> pa.StringArray:
    """The text where it has the form, else null; a blank is as good as none."""
    matches = pc.match_substring_regex(text, pattern)
    _require(columns, pc.or_(matches, pc.equal(text, "")))
    matching: pa.StringArray = pc.if_else(matches, text, None)
    return matching


def _require(columns: Columns, condition: pa.BooleanArray) -> None:
    """Take only rows for which this is true; of a value that is absent it is null, and that is no fault."""
    columns.usual = pc.and_(columns.usual, pc.fill_null(condition, fill_value=True))

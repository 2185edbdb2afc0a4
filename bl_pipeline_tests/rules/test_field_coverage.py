"""docs/field-coverage.md: each property of the API is in the columns that the page names, or has a reason."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from bl_pipeline.bricklink import OrderProblem, ProblemReason, ProblemType, read_order
from bl_pipeline.columns import TABLES, AnswerKind, ColumnType
from bl_pipeline.rules.field_coverage import COVERED, DOCUMENTED, FILE, columns_of, coverage, properties
from bl_pipeline.rules.kinds import read_rows
from bl_pipeline.rules.normalise import order_row
from bl_pipeline.rules.statuses import group_of

LEAST: dict[str, dict[str, Any]] = {
    "Order": {
        "order_id": 1, "date_ordered": "2026-03-01T10:00:00Z", "status": "PENDING",
        "cost": {"currency_code": "EUR", "subtotal": "1.0000", "grand_total": "3.0000", "shipping": "1.0000"},
    },
    "Order Item": {"quantity": 1, "unit_price_final": "1.0000"},
    "Order Message": {},
    "Feedback": {"rating": 0},
}  # fmt: skip
"""The least answer of each kind that is stored."""
OWN = {"platform_order_id", "batch_number", "line_number", "unreadable_fields", "order_document_id",
       "items_document_id", "fetched_at"}  # fmt: skip
"""Columns that say nothing of an answer but where it belongs."""
ANSWERED = [title for title in COVERED if COVERED[title].kind]


def row(title: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The row that an answer becomes, each value of an object by itself, by the names of the page."""
    kind = COVERED[title].kind
    order = read_order(json.dumps(answer if title == "Order" else LEAST["Order"]))
    assert kind is not None
    if kind is AnswerKind.ORDER:
        values = order_row(
            order,
            status=group_of(order.status, previous=None, paid=False),
            fetched_at=datetime(2026, 3, 1, tzinfo=UTC), order_document_id=1, items_document_id=None,
        )  # fmt: skip
    else:
        (values,) = read_rows(kind, json.dumps([answer]).encode(), order).rows
    found = {}
    for column, value in zip(TABLES[kind].columns, values, strict=True):
        if column.type is not ColumnType.JSON:
            found[column.name] = value
        elif value is not None:
            found |= {f"{column.name} ->> '{name}'": inner for name, inner in json.loads(value).items()}
    return found


def values_of(resource: type) -> dict[str, Any]:
    """A value for each property that is no object, by its path on the wire, as the resource expects it."""
    found: dict[str, Any] = {}

    def walk(info: Any, path: str) -> None:
        for field in info.fields:
            types = field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
            for each in types:
                match each:
                    case msgspec.inspect.StructType():
                        walk(each, f"{path}{field.encode_name}.")
                    case msgspec.inspect.StrType():
                        found[path + field.encode_name] = "7.2500" if each.pattern else "PAID"
                    case msgspec.inspect.IntType():
                        found[path + field.encode_name] = 7
                    case msgspec.inspect.BoolType():
                        found[path + field.encode_name] = True
                    case msgspec.inspect.DateTimeType():
                        found[path + field.encode_name] = "2026-03-02T10:00:00Z"

    walk(msgspec.inspect.type_info(resource), "")
    return found


def with_value(answer: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(answer)
    *parents, last = path.split(".")
    inside = changed
    for name in parents:
        inside = inside.setdefault(name, {})
    inside[last] = value
    return changed


@pytest.mark.parametrize("title", ANSWERED)
def test_each_property_arrives_in_the_columns_that_the_page_names_and_in_no_other(title: str) -> None:
    """One property at a time is set or changed, and what changes in the row is compared.

    Planted: first and last name swapped; fees that leave out the shipping; an old name that is not read; a column that
    nothing fills.
    """
    values = values_of(COVERED[title].resource)
    named = columns_of(title)
    assert len(named) >= len(values)
    for name, columns in named.items():
        value = values[COVERED[title].other_names.get(name, name)]
        least = LEAST[title]
        if name.startswith("cost.disp_"):
            # These old amounts count only with their currency.
            least = with_value(least, "cost.disp_currency_code", "USD")
        before, after = row(title, least), row(title, with_value(least, name, value))
        assert after["unreadable_fields"] is None
        assert {column for column in before | after if before.get(column) != after.get(column)} == set(columns), name


@pytest.mark.parametrize("title", COVERED)
def test_each_property_has_a_column_or_a_reason(title: str) -> None:
    """Planted: no column for disp_cost.vat_rate, or another source; a property of the manual that no resource has; a
    reason beside a column; a reason for no property.
    """
    covered = COVERED[title]
    objects = {wire for wire, _, is_object in properties(covered.resource) if is_object}
    stored = {name for name, columns in columns_of(title).items() if columns}
    everything = set(DOCUMENTED[title]) | set(columns_of(title)) | objects
    assert len(set(DOCUMENTED[title])) == len(DOCUMENTED[title])
    assert everything == stored | set(covered.unstored) | objects
    assert not stored & set(covered.unstored)
    assert not objects & (stored | set(covered.unstored))


def test_each_column_comes_from_a_property() -> None:
    """Planted: a column that nothing fills."""
    for title in ANSWERED:
        kind = COVERED[title].kind
        assert kind is not None
        filled = {column.partition(" ->> ")[0] for columns in columns_of(title).values() for column in columns}
        assert {column.name for column in TABLES[kind].columns} - OWN == filled - OWN


def test_a_problem_has_the_properties_of_the_manual() -> None:
    """It is stored nowhere, because no call has it."""
    problem = OrderProblem.of(ProblemType.FILE_NPB, ProblemReason.BUYER_DID_NOT_RESPOND, "no answer for ten days")
    assert set(msgspec.to_builtins(problem)) == set(DOCUMENTED["Order Problem"])


def test_the_page_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == coverage(), "python -m bl_pipeline.rules.field_coverage"

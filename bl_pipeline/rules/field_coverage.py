"""Which field of the order API is stored in which column: docs/field-coverage.md, written from the code.

    python -m bl_pipeline.rules.field_coverage

The names in `DOCUMENTED` are those of the official manual; what is stored comes from the resources and from columns.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bl_pipeline.bricklink import Order, OrderProblem
from bl_pipeline.columns import TABLES, AnswerKind
from bl_pipeline.rules.kinds import KINDS

FILE = Path(__file__).parents[2] / "docs" / "field-coverage.md"


def _of(part: str, names: str) -> tuple[str, ...]:
    return (part, *(f"{part}.{name}" for name in names.split()))


_AMOUNTS = "currency_code subtotal grand_total etc1 etc2 insurance shipping credit coupon vat_rate vat_amount"
_DEPRECATED = "disp_currency_code disp_subtotal disp_grand_total"

DOCUMENTED: Mapping[str, tuple[str, ...]] = {
    "Order": (
        "order_id", "date_ordered", "date_status_changed", "seller_name", "store_name", "buyer_name", "buyer_email",
        "buyer_order_count", "require_insurance", "status", "is_invoiced", "is_filed", "drive_thru_sent",
        "salesTax_collected_by_bl", "remarks", "total_count", "unique_count", "total_weight",
        *_of("payment", "method currency_code date_paid status"),
        *_of("shipping", "method method_id tracking_no tracking_link date_shipped"),
        *_of("shipping.address", "full address1 address2 country_code city state postal_code phone_number"),
        *_of("shipping.address.name", "full first last"),
        *_of("cost", f"{_AMOUNTS} salesTax_collected_by_BL final_total {_DEPRECATED}"),
        *_of("disp_cost", _AMOUNTS),
    ),
    "Order Item": (
        "inventory_id", *_of("item", "no name type category_id"), "color_id", "color_name", "quantity", "new_or_used",
        "completeness", "unit_price", "unit_price_final", "disp_unit_price", "disp_unit_price_final", "currency_code",
        "disp_currency_code", "remarks", "description", "weight",
    ),
    "Order Message": ("subject", "body", "from", "to", "dateSent"),
    "Feedback": (
        "feedback_id", "order_id", "from", "to", "date_rated", "rating", "rating_of_bs", "comment", "reply",
    ),
    "Order Problem": ("type", "message", "reason_id"),
}  # fmt: skip
"""Resource of the manual → its properties, those of an object after it."""


@dataclass(frozen=True, slots=True)
class Covered:
    """What becomes of one resource of the manual.

    `kind` is the answer that has it, None if no answer has. `other_names` are names of the same property. `computed`
    has the columns that are no copy of a property, and `unstored` says why a property has no column.
    """

    resource: type
    kind: AnswerKind | None = None
    other_names: Mapping[str, str] = field(default_factory=dict)
    computed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unstored: Mapping[str, str] = field(default_factory=dict)


_ADDRESS = {
    "name.full": "name", "name.first": "first_name", "name.last": "last_name",
    **{name: name for name in ("full", "address1", "address2", "city", "state", "postal_code", "country_code",
                               "phone_number")},
}  # fmt: skip
_NO_CALL = "no call of the API takes or returns a problem"

COVERED: Mapping[str, Covered] = {
    "Order": Covered(
        Order,
        AnswerKind.ORDER,
        other_names={
            "cost.salesTax_collected_by_BL": "cost.salesTax",
            "cost.disp_currency_code": "disp_cost.currency_code",
            "cost.disp_subtotal": "disp_cost.subtotal",
            "cost.disp_grand_total": "disp_cost.grand_total",
        },
        computed={
            "order_id": ("platform_order_id", "display_id"),
            "status": ("status",),
            "cost.subtotal": ("fees",),
            "cost.grand_total": ("fees",),
            "cost.shipping": ("fees",),
            **{f"shipping.address.{name}": (f"shipping_address ->> '{key}'",) for name, key in _ADDRESS.items()},
            "shipping.address.country_code": ("country_code", "shipping_address ->> 'country_code'"),
        },
        unstored={"disp_cost.salesTax": "no answer is known that has it; `tax` is in the currency of the order"},
    ),
    "Order Item": Covered(
        KINDS[AnswerKind.ITEMS].line,
        AnswerKind.ITEMS,
        computed={"quantity": ("total_price",), "unit_price_final": ("total_price",)},
    ),
    "Order Message": Covered(KINDS[AnswerKind.MESSAGES].line, AnswerKind.MESSAGES),
    "Feedback": Covered(
        KINDS[AnswerKind.FEEDBACK].line,
        AnswerKind.FEEDBACK,
        unstored={"order_id": "`platform_order_id` has the order that was asked for"},
    ),
    "Order Problem": Covered(OrderProblem, unstored=dict.fromkeys(DOCUMENTED["Order Problem"], _NO_CALL)),
}
"""Resource of the manual → what becomes of it."""


def properties(resource: type) -> Iterator[tuple[str, str, bool]]:
    """Each property that is read: its path on the wire, its path in the resource, and whether it is an object."""
    yield from _properties(msgspec.inspect.type_info(resource), "", "")


def _properties(info: Any, wire: str, path: str) -> Iterator[tuple[str, str, bool]]:
    for each in info.fields:
        if each.name == "unreadable_fields":
            continue  # ours, not BrickLink's
        types = each.type.types if isinstance(each.type, msgspec.inspect.UnionType) else (each.type,)
        objects = [inner for inner in types if isinstance(inner, msgspec.inspect.StructType)]
        yield wire + each.encode_name, path + each.name, bool(objects)
        for inner in objects:
            yield from _properties(inner, f"{wire}{each.encode_name}.", f"{path}{each.name}.")


def columns_of(title: str) -> dict[str, tuple[str, ...]]:
    """Property of a resource, by its path on the wire, documented or not → the columns it is stored in."""
    covered = COVERED[title]
    columns = TABLES[covered.kind].columns if covered.kind else ()
    stored = {
        wire: (*(column.name for column in columns if column.source == path), *covered.computed.get(wire, ()))
        for wire, path, is_object in properties(covered.resource)
        if not is_object
    }
    return stored | {name: stored[other] for name, other in covered.other_names.items()}


def coverage() -> str:
    """The page. Raises KeyError for a property that has neither a column nor a reason why not."""
    return "\n".join([_INTRODUCTION, *(line for title in COVERED for line in _section(title))])


_INTRODUCTION = """\
# Where each field of the API is stored

Every property of the resources in BrickLink's manual, and those that BrickLink sends though the manual does not have
them (*not documented*): the column of the warehouse, or why there is none. The rows of `GET /orders` have some of the
properties of an order; they are compared, and not stored as rows. Answers are stored whole in `landing.documents`, so
`bl rebuild` fills a new column without any call.

`python -m bl_pipeline.rules.field_coverage` writes this page. A test checks that it is current, and that the value of
each property arrives in the columns named here, and in no other.
"""


def _section(title: str) -> Iterator[str]:
    covered, stored = COVERED[title], columns_of(title)
    table = f"sales.{TABLES[covered.kind].name}" if covered.kind else ""
    documented = DOCUMENTED[title]
    objects = [wire for wire, _, is_object in properties(covered.resource) if is_object]
    unstored = dict.fromkeys(objects, "an object: its properties follow") | dict(covered.unstored)
    yield f"## {title}\n"
    yield "| property | stored in, or why not |"
    yield "|---|---|"
    for name in (*documented, *(name for name in stored if name not in documented)):
        places = ", ".join(f"`{table}.{column}`" for column in stored.get(name, ()))
        where = places or unstored[name]
        yield f"| `{name}` | {where}{'' if name in documented else ' (*not documented*)'} |"
    yield ""


if __name__ == "__main__":
    FILE.write_text(coverage(), encoding="utf-8")

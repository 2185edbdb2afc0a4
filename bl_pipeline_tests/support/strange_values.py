"""Fields of the answers, values nobody expects in them, and what may be stored for each.

What a value means is worked out here by rules that share no code with the pipeline.
"""

from __future__ import annotations

import html
import html.entities
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

Json = dict[str, Any]
ABSENT = object()
WRONG = object()
"""No meaning: what the field costs is lost."""


class Field(NamedTuple):
    """A field of an answer: its place, what it contains, and the columns it fills.

    `costs`: what is lost if it cannot be read: the "order", the "lot", or only its "value".
    """

    path: str
    kind: str
    columns: tuple[str, ...]
    required: bool = False
    costs: str = "value"


def fields(kind: str, *entries: str, required: bool = False, costs: str = "value") -> list[Field]:
    """Fields from "path>column column"."""
    found = []
    for entry in entries:
        path, _, columns = entry.partition(">")
        found.append(Field(path, kind, tuple(columns.split()), required, costs))
    return found


_COSTS = ("shipping", "insurance", "etc1", "etc2", "credit", "coupon", "vat_amount")
DETAIL = [
    *fields("time", "date_ordered>order_date first_order_date", required=True, costs="order"),
    *fields("time", "date_status_changed>status_changed_at", "payment.date_paid>paid_at"),
    *fields("time", "shipping.date_shipped>shipped_at"),
    *fields("raw", "status>platform_status"),
    *fields("raw", "buyer_name>buyer_username", "buyer_email>buyer_email", "seller_name>seller_username"),
    *fields("raw", "payment.status>payment_status", "payment.currency_code>payment_currency"),
    *fields("raw", "shipping.tracking_no>tracking_number", "shipping.tracking_link>tracking_url"),
    *fields("raw", "disp_cost.currency_code>disp_currency"),
    *fields("word", "cost.currency_code>currency", required=True, costs="order"),
    *fields("text", "store_name>store_name", "remarks>remarks", "payment.method>payment_method"),
    *fields("text", "shipping.method>shipping_method", "shipping.address.name.full>buyer_name"),
    *fields("address", *(f"shipping.address.{name}>" for name in ("full", "address1", "address2", "city"))),
    *fields("address", "shipping.address.state>address_state", "shipping.address.postal_code>postal_code"),
    *fields("address", *(f"shipping.address.{name}>" for name in ("phone_number", "name.first", "name.last"))),
    *fields("integer", "total_count>total_count", "unique_count>unique_count", "buyer_order_count>buyer_order_count"),
    *fields("integer", "shipping.method_id>shipping_method_id"),
    *fields("flag", "is_filed>is_filed", "is_invoiced>is_invoiced", "require_insurance>require_insurance"),
    *fields("flag", "drive_thru_sent>drive_thru_sent"),
    *fields("flag", "salesTax_collected_by_bl>sales_tax_collected_by_bricklink"),
    *fields("flag", "vat_collected_by_bl>vat_collected_by_bricklink"),
    *fields("money", "cost.subtotal>subtotal", "cost.grand_total>total", "cost.final_total>final_total", costs="order"),
    *fields("money", *(f"cost.{name}>{name}" for name in _COSTS), "cost.salesTax>tax", costs="order"),
    *fields("money", "cost.vat_rate>vat_rate"),
    *fields("money", *(f"disp_cost.{name}>disp_{name}" for name in ("subtotal", *_COSTS)), "disp_cost.salesTax>"),
    *fields("money", "disp_cost.vat_rate>disp_vat_rate"),
    *fields("money", "disp_cost.grand_total>disp_total", "disp_cost.final_total>disp_final_total"),
    *fields("money", "total_weight>total_weight"),
    *fields("part", "payment>paid_at payment_status payment_method payment_currency"),
    *fields(
        "part",
        "shipping>shipping_method tracking_number shipped_at shipping_address country_code buyer_name address_state "
        "postal_code",
    ),
    *fields(
        "part",
        "shipping.address>shipping_address country_code buyer_name address_state postal_code",
        "shipping.address.name>buyer_name",
    ),
    *fields("part", "disp_cost>disp_currency disp_subtotal disp_total"),
    *fields("part", "cost>", required=True, costs="order"),
    *fields("unknown", "something_new>", "cost.something_new>"),
]
LOT = [
    *fields("raw", "item.no>item_number"),
    *fields("integer", "quantity>quantity", required=True, costs="lot"),
    *fields("integer", "inventory_id>inventory_id", "color_id>color_id", "item.category_id>category_id"),
    *fields("raw", "item.type>item_type", "new_or_used>condition", "completeness>completeness"),
    *fields("raw", "currency_code>currency", "disp_currency_code>disp_currency"),
    *fields("text", "item.name>item_name", "color_name>color_name", "description>description", "remarks>remarks"),
    *fields("money", "unit_price_final>unit_price", costs="lot"),
    *fields("money", "unit_price>list_unit_price", "weight>weight"),
    *fields("money", "disp_unit_price_final>disp_unit_price", "disp_unit_price>disp_list_unit_price"),
    *fields("money", "order_cost>order_cost"),
    *fields("part", "item>item_number item_name item_type category_id"),
    *fields("unknown", "something_new>", "item.something_new>"),
]
LEFT_OUT = {"order_id", "shipping.address.country_code"}
"""Fields of an order that are not in DETAIL: what it is asked for by, and what is stored in another form."""

# What a field takes part in beside its own columns.
DERIVED = {
    "cost.subtotal": {"fees"}, "cost.grand_total": {"fees"}, "cost.shipping": {"fees"}, "status": {"status"},
    "unit_price_final": {"total_price"}, "quantity": {"total_price"},
    "cost": set(), "shipping.address.country_code": {"country_code"},
}  # fmt: skip
PARTS_COLUMNS = {
    "shipping": {"tracking_url", "shipping_method_id"},
    "disp_cost": {f"disp_{name}" for name in ("shipping", "final_total", "vat_rate", *_COSTS)},
}


# What a value means: what is stored, and whether the field is named as one that could not be read.

_MONEY = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,4}0*)?\Z")


def stored_text(value: str) -> str:
    """Text as it comes out of the JSON and goes into Postgres."""
    # Two halves of a pair beside each other are one character once they have been JSON.
    return re.sub("[\x00\ud800-\udfff]", "\ufffd", json.loads(json.dumps(value)))


def unescaped(text: str) -> str:
    """Text without the entities that end in a semicolon."""

    def character(entity: re.Match[str]) -> str:
        if entity[0][1] != "#":
            # `&notit;` begins like `&not`, and is another word.
            return html.unescape(entity[0]) if entity[0][1:] in html.entities.html5 else entity[0]
        number = int(entity[1].lower().lstrip("#x"), 16 if entity[1][1] in "xX" else 10)
        return chr(number) if 0xD800 <= number < 0xE000 else html.unescape(entity[0])

    replaced = re.sub("&(#[0-9]{1,20}|#[xX][0-9a-fA-F]{1,20}|[a-zA-Z][a-zA-Z0-9]*);", character, text)
    return replaced.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def meaning(kind: str, value: Any) -> Any:
    """What is stored for a value; WRONG if it cannot be read."""
    if value is ABSENT or value is None:
        return None
    if kind in ("raw", "text", "word", "address"):
        if not isinstance(value, str) or (kind == "word" and not value):
            return WRONG
        text = stored_text(value)
        if kind in ("raw", "word"):
            return text
        return re.sub("[\x00\ud800-\udfff]", "\ufffd", unescaped(unescaped(text)))
    if value == "" and isinstance(value, str):
        return None
    if kind == "money":
        return _money(value)
    if kind == "flag":
        known = {"true": True, "false": False, "1": True, "0": False}
        return known.get(str(value).lower(), WRONG) if isinstance(value, str | int) else WRONG
    if kind == "integer":
        return _integer(value)
    if kind == "time":
        return _time(value)
    raise AssertionError(kind)


def _money(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return WRONG
    if isinstance(value, str):
        return Decimal(value) if value.isascii() and _MONEY.match(value) else WRONG
    exact = Decimal(json.dumps(value))
    return exact if abs(exact) < 10**15 and exact == round(exact, 4) else WRONG


def _integer(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str | float):
        return WRONG
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]+(\.0+)?", value, re.ASCII):
        return WRONG
    number = Decimal(value) if isinstance(value, str) else Decimal(json.dumps(value))
    fits = -(2**63) <= number < 2**63 and number == number.to_integral_value()
    return int(number) if fits else WRONG


def _time(value: Any) -> Any:
    if not isinstance(value, str):
        return WRONG
    try:
        time = datetime.fromisoformat(value)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return WRONG
    return time if 1995 <= time.year < 2100 else WRONG


# Answers with a value in them.


@dataclass(frozen=True)
class Mutation:
    """One field of one answer is something else."""

    answer: str
    field: Field
    value: Any

    @property
    def meaning(self) -> Any:
        """What the value means: what is stored of it, or WRONG."""
        gone = self.value is ABSENT or self.value is None
        if self.field.kind == "unknown":
            return None
        if self.field.kind == "part":
            is_part = isinstance(self.value, dict) and not self.field.required
            return None if is_part or ((gone or self.value == "") and not self.field.required) else WRONG
        blank = self.value == "" and self.field.kind in ("time", "integer")
        if self.field.required and (gone or blank):
            return WRONG
        return meaning(self.field.kind, self.value)

    @property
    def lost(self) -> str:
        """What the value costs: the "order", the "lot", the "value" of the field alone, or "" if it can be read."""
        return self.field.costs if self.meaning is WRONG else ""

    @property
    def stored(self) -> Any:
        """What is stored in the columns of the field if no more than its value is lost."""
        if self.meaning is not WRONG:
            return "" if self.field.path == "status" and self.meaning is None else self.meaning
        if self.field.kind not in ("raw", "text", "address"):
            return None
        if isinstance(self.value, dict | list):
            # Numbers in it may be text.
            return json.dumps(self.value, ensure_ascii=False)
        return json.dumps(self.value)

    @property
    def touched(self) -> set[str]:
        """The columns that may differ."""
        return {
            *self.field.columns,
            *DERIVED.get(self.field.path, ()),
            *PARTS_COLUMNS.get(self.field.path, ()),
            *({"unreadable_fields"} if self.lost else ()),
            *({"shipping_address"} if self.field.path.startswith("shipping.address") else ()),
        }

    def apply(self, answer: Json) -> None:
        """Put the value in."""
        *above, last = self.field.path.split(".")
        for name in above:
            answer = answer.setdefault(name, {})
        if self.value is ABSENT:
            answer.pop(last, None)
        else:
            answer[last] = self.value


NASTY_TEXT = (
    "", " ", "\x00",
    "a\x00b", "\ud800", "x\udfffy", "\ud83d\ude00", "😀👩\u200d👧", "\u202eRTL\u200f", "שלום", "e\u0301",
    "\ufeff", "\uffff", "\\u0000", "\\ud800", "&#40;x&#41;", "&amp;#39;", "&amp;amp;amp;", "&#0;", "&#xD800;",
    "&#1114112;", "<b>x</b>", "\t", "\r\n", "\\N", "\\.",
    "null", "NULL", "None", "NaN", "Infinity", "-Infinity", "0", "-0",
    "1", "00", "007", "1e3", "1E400", "0x10", " 5", "5 ", "1,5", "1.5", "1.00000", "1.00001", "0.0000", "-0.0000",
    "-3.1400", ".5", "5.", "+5", "١٢", "\uff19", "1_000", "999999999999999.9999", "1000000000000000",
    "9223372036854775807", "9223372036854775808", "-9223372036854775809", "true", "false", "True", "yes",
    "2021-02-28T10:11:21.703Z", "2021-02-28T10:11:21", "2021-02-28T10:11:21+05:30", "2021-02-28",
    "2021-02-30T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-01:00", "2016-12-31T23:59:60Z", "2021-W01-1", "20210228T101121Z", "2021-03-28T02:30:00+01:00",
    "2021-02-28T10:11:21.1234567Z", "x" * 100_000, "&#40;" * 10_000,
)  # fmt: skip
NASTY_NUMBERS = (
    0, -0.0, 1, -1, 1.0, 1.5, 0.1, 1e300, 5e-324, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30,
    10**400,
)  # fmt: skip
NASTY: tuple[Any, ...] = (
    ABSENT, None, True, False, *NASTY_NUMBERS, *NASTY_TEXT, [], {}, [[]], [None], {"value": 1}, {"": {}}, [1] * 100,
)  # fmt: skip

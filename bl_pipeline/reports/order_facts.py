"""What a page, a terminal and a file say about one order alike: parts of the total, address, links, words for codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.parse import quote, urlsplit

from bl_pipeline.countries import country, country_code

RATINGS = {0: "praise", 1: "neutral", 2: "complaint"}
RATED = {"S": "the seller", "B": "the buyer"}

_SITE = "https://www.bricklink.com"
# By type: the parameter of the catalogue's page, and the folder of pictures.
_CATALOGUE = {
    "PART": ("P", "PN"),
    "SET": ("S", "SN"),
    "MINIFIG": ("M", "MN"),
    "BOOK": ("B", "BN"),
    "GEAR": ("G", "GN"),
    "CATALOG": ("C", "CN"),
    "INSTRUCTION": ("I", "IN"),
    "ORIGINAL_BOX": ("O", "ON"),
}


class Weight(Enum):
    """How an amount stands among the others: by itself, as a part of the fees, or as a sum."""

    ROW = "row"
    PART = "part"
    SUM = "sum"


@dataclass(frozen=True)
class TotalRow:
    """One amount of an order's summary, in the order's currency."""

    name: str
    value: Decimal
    weight: Weight = Weight.ROW


FEES = (
    ("insurance", "insurance", 1),
    ("additional charge 1", "etc1", 1),
    ("additional charge 2", "etc2", 1),
    ("sales tax", "tax", 1),
    ("credit", "credit", -1),
    ("coupon", "coupon", -1),
)
"""The parts of an order's fees: what people call each, its column, and whether it is added or taken off."""


def total_rows(order: Mapping[str, Any]) -> list[TotalRow]:
    """The parts of an order's total, then the total; amounts that BrickLink did not send are left out."""
    parts = [(name, sign * order[column]) for name, column, sign in FEES if order[column]]
    # What the buyer pays in the column fees: elsewhere fees are what the seller pays.
    names = (("Subtotal", "subtotal"), ("Shipping", "shipping"), ("Other charges", "fees"))
    rows = [(name, order[column], Weight.ROW) for name, column in names]
    rows += [(name, value, Weight.PART) for name, value in parts]
    rows += [("Total", order["total"], Weight.SUM)]
    if order["final_total"] != order["total"]:
        rows += [("Final total", order["final_total"], Weight.SUM)]
    if order["vat_amount"]:
        rate = f" ({order['vat_rate'].normalize():f} %)" if order["vat_rate"] else ""
        rows += [(f"VAT contained{rate}", order["vat_amount"], Weight.ROW)]
    return [TotalRow(name, value, weight) for name, value, weight in rows if value is not None]


def address_lines(address: Mapping[str, Any] | None) -> list[str]:
    """The lines of sales.orders.shipping_address without the name; the country is the last one, by its name."""
    if not address:
        return []
    lines = [address.get(key) for key in ("address1", "address2")]
    if not any(lines):
        return [line for line in (address.get("full") or "").splitlines() if line.strip()]
    place = " ".join(address[key] for key in ("postal_code", "city", "state") if address.get(key))
    code = address.get("country_code")
    return [line for line in (*lines, place, country(country_code(code)) if code else None) if line]


def unreadable_fields(order: Mapping[str, Any]) -> list[str]:
    """The fields of the order and its lots that are not as BrickLink documents them, and so null or only text."""
    of_lots = {f"items.{name}" for item in order["items"] for name in item["unreadable_fields"] or ()}
    return [*(order["unreadable_fields"] or ()), *sorted(of_lots)]


def order_page(order_id: str) -> str:
    """The address of an order's page at BrickLink, if the seller is logged in there."""
    return f"{_SITE}/orderDetail.asp?ID={quote(order_id, safe='')}"


def _catalogue(item: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """The item in _CATALOGUE, and its number as an address has it; None for what is not in the catalogue."""
    kind = _CATALOGUE.get(item["item_type"] or "")
    return (*kind, quote(item["item_number"], safe="")) if kind and item["item_number"] else None


def item_page(item: Mapping[str, Any]) -> str | None:
    """The address of an item's page in BrickLink's catalogue; None for what is not in it."""
    if (found := _catalogue(item)) is None:
        return None
    parameter, _, number = found
    color = f"&idColor={item['color_id']}" if item["color_id"] else ""
    return f"{_SITE}/v2/catalog/catalogitem.page?{parameter}={number}{color}"


def item_picture(item: Mapping[str, Any]) -> str | None:
    """The address of an item's picture at BrickLink; None for what is not in its catalogue."""
    if (found := _catalogue(item)) is None:
        return None
    _, folder, number = found
    color = item["color_id"] or 0 if item["item_type"] == "PART" else 0
    return f"https://img.bricklink.com/ItemImage/{folder}/{color}/{number}.png"


def web_link(written: str | None) -> str | None:
    """What was written, if it is an address of the web; a link of another kind could run a script."""
    try:
        parts = urlsplit((written or "").strip())
    except ValueError:
        return None
    return parts.geturl() if parts.scheme in ("http", "https") and parts.netloc else None

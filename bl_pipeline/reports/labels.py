"""Keys, codes and amounts of reports as people read them, in tables and pictures; CSV, JSON and SQL keep the codes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files

from bl_pipeline.reports.files import ReportColumn

NOT_KNOWN = "not known"
ITEMS = frozenset({"item_type", "item_number", "item_name", "category_id", "color_id", "color_name", "condition"})
"""Columns that say what was sold."""

IN_HEADING = frozenset({"store", "platform", "basis", "timezone"})
"""Columns that are in the heading of a table, or the same in all rows."""

WHY_ITEMS_ARE_NOT_KNOWN = (
    "not known: BrickLink purged these items before they were fetched, or they were not fetched yet: "
    "see the report missing"
)

_CONDITIONS = {"N": "new", "U": "used"}
_HEADINGS = {
    "tax_collected_by_bricklink": "tax by BrickLink",
    "platform_order_id": "order",
    "platform_status": "BrickLink's status",
    "country_code": "country",
    "category_id": "category",
    "vat_amount": "VAT amount",
    "vat_rate": "VAT rate",
    "vat_collected_by_bricklink": "VAT collected by BrickLink",
    "sales_tax_collected_by_bricklink": "sales tax collected by BrickLink",
}
_LABELLED = {"country_code", "item_type", "item_name", "color_name", "condition"}
"""Columns in which "not known" says more than a dash."""


def heading(column: str) -> str:
    """A column's name at the head of a table."""
    return _HEADINGS.get(column, column.replace("_", " "))


def amount(value: Decimal | None) -> str:
    """An amount in full: two decimals, or four if it has parts of a cent."""
    return "" if value is None else f"{value:,.4f}".removesuffix("00")


def number(value: Decimal | int) -> str:
    """An amount in full, or a count."""
    return f"{value:,}" if isinstance(value, int) else amount(value)


def plural(number: int, noun: str) -> str:
    """A number with its noun: 1 order, 1,204 orders."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def cell(column: ReportColumn, value: object) -> str:
    """A value of a table that is no time."""
    if value is None:
        return "" if column.unit else label(column.name, None) if column.name in _LABELLED else "-"
    if column.is_amount and isinstance(value, Decimal | int):
        return number(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, date):
        return f"{value:%Y-%m}" if column.name == "month" else value.isoformat()
    return label(column.name, value)


def label(column: str, value: object) -> str:
    """A value that is no amount, as people read it. BrickLink's orders have ids of categories without names."""
    if value is None:
        return "no address" if column == "country_code" else NOT_KNOWN
    if column == "country_code":
        return country(str(value))
    if column == "category_id":
        return f"category {value}"
    if column == "condition":
        return _CONDITIONS.get(str(value), str(value))
    if column in {"status", "reason", "missing"}:
        return str(value).replace("_", " ")
    return str(value)


def country(code: str) -> str:
    """The country's English name; the code itself if it has none."""
    return _countries().get(code, code)


def country_code(written: str) -> str:
    """The code of a country that was written as its code or its English name; BrickLink's UK is GB.

    What is neither stays as it is, in upper case.
    """
    code = written.strip().upper()
    by_name = {name.upper(): code for code, name in _countries().items()}
    return {"UK": "GB", **by_name}.get(code, code)


def countries() -> Mapping[str, str]:
    """All countries by their codes."""
    return _countries()


@cache
def _countries() -> dict[str, str]:
    """ISO 3166-1 alpha-2 codes with short names, as the time zone database has them."""
    lines = (files("tzdata") / "zoneinfo" / "iso3166.tab").read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines if line and not line.startswith("#"))

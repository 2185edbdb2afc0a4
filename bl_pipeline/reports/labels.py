"""Keys, codes and amounts of reports as people read them, in tables and pictures; CSV, JSON and SQL keep the codes."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from bl_pipeline.countries import country
from bl_pipeline.reports.files import ReportColumn
from bl_pipeline.wording import number

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
}
_NAMES = {"vat": "VAT", "bricklink": "BrickLink"}
"""Words of a column's name that are not written in small letters."""

_LABELLED = {"country_code", "item_type", "item_name", "color_name", "condition"}
"""Columns in which "not known" says more than a dash."""


def heading(column: str) -> str:
    """A column's name at the head of a table."""
    return _HEADINGS.get(column) or " ".join(_NAMES.get(word, word) for word in column.split("_"))


_MONTHS = {"month", "order_month", "period", "corrects_period", "tax_period"}
"""Columns of the first day of a month."""


def cell(column: ReportColumn, value: object) -> str:
    """A value of a table that is no time."""
    if value is None:
        return "" if column.unit else label(column.name, None) if column.name in _LABELLED else "-"
    if column.is_amount and isinstance(value, Decimal | int):
        return number(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, date):
        return f"{value:%Y-%m}" if column.name in _MONTHS else value.isoformat()
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

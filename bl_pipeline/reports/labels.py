"""Keys and codes of reports as people read them, in tables and pictures; CSV, JSON and SQL keep the codes."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

NOT_KNOWN = "not known"
ITEMS = frozenset({"item_type", "item_number", "item_name", "category_id", "color_id", "color_name", "condition"})
"""Columns that say what was sold."""

WHY_ITEMS_ARE_NOT_KNOWN = (
    "not known: BrickLink purged these items before they were fetched, or they were not fetched yet: "
    "see bl report missing"
)

_CONDITIONS = {"N": "new", "U": "used"}


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


@cache
def _countries() -> dict[str, str]:
    """ISO 3166-1 alpha-2 codes with short names, as the time zone database has them."""
    lines = (files("tzdata") / "zoneinfo" / "iso3166.tab").read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines if line and not line.startswith("#"))

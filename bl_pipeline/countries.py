"""The countries of the world, by their codes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

EU = frozenset(
    {
        "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU",
        "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
    }
)  # fmt: skip
"""The countries of the European Union."""

BRICKLINK_CODES = {"UK": "GB"}
"""BrickLink's codes of countries → those of ISO 3166-1, where they differ."""


@cache
def countries() -> Mapping[str, str]:
    """ISO 3166-1 alpha-2 codes with short names, as the time zone database has them."""
    lines = (files("tzdata") / "zoneinfo" / "iso3166.tab").read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines if line and not line.startswith("#"))


def country(code: str) -> str:
    """The country's English name; the code itself if it has none."""
    return countries().get(code, code)


def country_code(written: str) -> str:
    """The code of a country that was written as its code or its English name; BrickLink's UK is GB.

    What is neither stays as it is, in upper case.
    """
    code = written.strip().upper()
    by_name = {name.upper(): code for code, name in countries().items()}
    return {**BRICKLINK_CODES, **by_name}.get(code, code)

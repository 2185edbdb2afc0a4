"""The tax settings of a store: a TOML file, checked in full, with a line for each thing to correct."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from bl_pipeline.countries import BRICKLINK_CODES, EU, countries
from bl_pipeline.toml_file import no_such_key, read_toml, to_correct

SCHEMES = ("none", "small", "standard", "cash", "margin")
SOURCES = ("bricklink", "computed")
NORTHERN_IRELAND = "XI"
"""The code under which the VAT of the EU knows it; no country of ISO 3166-1."""

_KEYS = ("home_country", "scheme", "oss", "vat_source", "rates")
_RATE_KEYS = ("country", "rate", "from")
_USUAL = {**BRICKLINK_CODES, "EL": "GR"}
_NOT_HOME = {"MC": "FR", "IM": "GB"}
_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class TaxRate:
    """The standard VAT rate of a country in per cent, from a day on until the next rate of the country."""

    country: str
    rate: Decimal
    valid_from: date


@dataclass(frozen=True, slots=True)
class TaxSettings:
    """Where the seller is registered, under which VAT scheme, and where the VAT of a report comes from.

    `scheme` is one of SCHEMES, `vat_source` one of SOURCES. `oss`: VAT of consumers in other EU countries is declared
    in the One-Stop Shop. `rates` are sorted by country and day.
    """

    home_country: str
    scheme: str
    oss: bool
    vat_source: str
    rates: tuple[TaxRate, ...] = ()


@dataclass(frozen=True, slots=True)
class TaxFile:
    """The file that BL_TAX_FILE names, and what was in it when it was read."""

    path: Path
    settings: TaxSettings

    def __str__(self) -> str:
        return str(self.path)


def read_tax_settings(file: Path) -> TaxSettings:
    """The settings in a file. Raises ValueError, whose message has a line for each thing to correct."""
    values = read_toml(file, write='Write lines such as home_country = "DE"')
    if wrong := list(_wrong(values)):
        raise ValueError(to_correct(file, wrong))
    rates = (TaxRate(rate["country"], Decimal(rate["rate"]), rate["from"]) for rate in values.get("rates", []))
    return TaxSettings(
        values["home_country"],
        values["scheme"],
        values["oss"],
        values["vat_source"],
        tuple(sorted(rates, key=lambda rate: (rate.country, rate.valid_from))),
    )


def _wrong(values: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown(values, _KEYS)
    home, scheme, oss, source = (values.get(key) for key in _KEYS[:4])
    yield from _wrong_country("home_country", home)
    home = home if _is_country(home) else ""
    if home in _NOT_HOME:
        yield f"home_country: {home} has the VAT of {_NOT_HOME[home]}: write {_NOT_HOME[home]}"
        home = ""
    for key, value, choices in (("scheme", scheme, SCHEMES), ("vat_source", source, SOURCES)):
        if value not in choices:
            yield f"{key}: write one of {', '.join(choices)}, in quotes"
    if not isinstance(oss, bool):
        yield "oss: write true if you declare VAT in the One-Stop Shop of the EU, else false"
    elif oss and home and home not in EU | {NORTHERN_IRELAND}:
        yield f"oss: the One-Stop Shop is for sellers in the EU and in Northern Ireland; with {home} write false"
    elif oss and scheme in ("none", "small"):
        yield f"oss: under the scheme {scheme} no VAT is declared; write false, or another scheme"
    rates = values.get("rates", [])
    if not isinstance(rates, list) or not all(isinstance(rate, dict) for rate in rates):
        yield "rates: write a part [[rates]] for each rate, with lines country, rate and from"
        return
    yield from _wrong_rates(rates)
    is_computed = source == "computed" and scheme in ("standard", "cash")
    if home and is_computed and home not in [rate.get("country") for rate in rates]:
        yield (
            f'rates: vat_source = "computed" needs the rate of {home}. '
            f'Add [[rates]] with country = "{home}", a rate such as 19, and from = 2021-01-01'
        )


def _wrong_rates(rates: list[dict[str, Any]]) -> Iterator[str]:
    seen = set()
    for number, values in enumerate(rates, start=1):
        country, rate, since = (values.get(key) for key in _RATE_KEYS)
        place = f"[[rates]] no. {number}" + (f" ({country})" if isinstance(country, str) else "")
        yield from (f"{place}: {problem}" for problem in _unknown(values, _RATE_KEYS))
        yield from (f"{place}: {problem}" for problem in _wrong_country("country", country))
        if not _is_rate(rate):
            yield f"{place}: rate: write a number from 0 to 100 without quotes, such as 19 or 25.5"
        if not isinstance(since, date) or isinstance(since, datetime):
            yield f"{place}: from: write the first day of the rate without quotes, such as 2021-01-01"
        elif (str(country), since) in seen:
            yield f"{place}: from: there is a rate of {country} from {since} already; remove one of them"
        else:
            seen.add((str(country), since))


def _is_rate(rate: object) -> bool:
    if isinstance(rate, bool) or not isinstance(rate, int | Decimal):
        return False
    value = Decimal(rate)
    return value.is_finite() and 0 <= value <= 100 and value == round(value, _DECIMALS)


def _is_country(code: object) -> bool:
    return isinstance(code, str) and (code in countries() or code == NORTHERN_IRELAND)


def _wrong_country(key: str, code: object) -> Iterator[str]:
    if _is_country(code):
        return
    written = code.upper() if isinstance(code, str) else ""
    nearest = _USUAL.get(written, written)
    by_name = {name.upper(): code for code, name in countries().items()}
    meant = nearest if nearest in countries() else by_name.get(written)
    yield f"{key}: write the two capital letters of a country in quotes, such as " + (f'"{meant}"' if meant else '"DE"')


def _unknown(values: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[str]:
    return (no_such_key(key, known) for key in values if key not in known)

"""The tax of an order, worked out in plain Python: which kind, at which rate, how much, or why it is unclear."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import takewhile

ZERO = Decimal(0)
CENT = Decimal("0.01")
EU = {
    "Austria": "AT", "Belgium": "BE", "Bulgaria": "BG", "Croatia": "HR", "Cyprus": "CY", "Czechia": "CZ",
    "Denmark": "DK", "Estonia": "EE", "Finland": "FI", "France": "FR", "Germany": "DE", "Greece": "GR",
    "Hungary": "HU", "Ireland": "IE", "Italy": "IT", "Latvia": "LV", "Lithuania": "LT", "Luxembourg": "LU",
    "Malta": "MT", "Netherlands": "NL", "Poland": "PL", "Portugal": "PT", "Romania": "RO", "Slovakia": "SK",
    "Slovenia": "SI", "Spain": "ES", "Sweden": "SE",
}  # fmt: skip
OF_CODES = {
    "IC": "canary_islands", "EA": "ceuta_melilla", "AX": "aland", "FO": "faroe_islands", "GL": "greenland",
    "SM": "san_marino", "VA": "vatican_city", "GG": "channel_islands", "JE": "channel_islands", "IM": "isle_of_man",
    "XI": "northern_ireland", "MC": "monaco", "LI": "liechtenstein",
    **dict.fromkeys(["GP", "MQ", "GF", "RE", "YT", "BL", "MF", "PM", "WF", "PF", "NC", "TF"], "french_overseas"),
}  # fmt: skip
VILLAGES = {
    ("DE", "27498"): "heligoland", ("DE", "78266"): "busingen", ("IT", "23041"): "livigno", ("IT", "22061"): "campione",
    ("IT", "00120"): "vatican_city", ("GR", "63086"): "mount_athos", ("GR", "63087"): "mount_athos",
    **{("IT", f"4789{last}"): "san_marino" for last in range(10)},
}  # fmt: skip
PROVINCES = {
    ("ES", "35", 5): "canary_islands", ("ES", "38", 5): "canary_islands", ("ES", "51", 5): "ceuta_melilla",
    ("ES", "52", 5): "ceuta_melilla", ("FI", "22", 5): "aland", ("FR", "97", 5): "french_overseas",
    ("FR", "98", 5): "french_overseas", ("DK", "39", 4): "greenland",
}  # fmt: skip
BRITISH = {"BT": "northern_ireland", "IM": "isle_of_man", "GY": "channel_islands", "JE": "channel_islands"}


@dataclass(frozen=True)
class Taxes:
    """The tax settings of a store; `rates` are country, first day and rate."""

    home: str
    scheme: str = "standard"
    oss: bool = False
    source: str = "computed"
    rates: tuple[tuple[str, date, Decimal], ...] = ()

    def rate(self, country: str | None, day: date) -> Decimal | None:
        """The rate of a country on a day; None if the settings have none."""
        known = [(since, rate) for code, since, rate in self.rates if code == country and since <= day]
        return max(known)[1] if known else None


@dataclass(frozen=True)
class Facts:
    """What is known of an order."""

    country: str | None
    postal_code: str | None
    day: date
    total: Decimal | None
    final_total: Decimal | None
    vat_rate: Decimal | None
    vat_amount: Decimal | None
    vat_by_bricklink: bool | None
    sales_tax: Decimal | None
    sales_tax_by_bricklink: bool | None


@dataclass(frozen=True)
class Tax:
    """What it comes to."""

    territory: str | None
    region: str
    kind: str
    rate: Decimal | None = None
    source: str = "none"
    net: Decimal | None = None
    vat: Decimal | None = None
    bricklink_vat: str | None = None
    unclear: str | None = None


def territory_of(country: str | None, postal_code: str | None) -> str | None:
    """The territory whose VAT is not that of its country."""
    if country in OF_CODES:
        return OF_CODES[country]
    code = "".join(char for char in (postal_code or "").upper() if char.isascii() and char.isalnum())
    letters = "".join(takewhile(str.isalpha, code))
    digits = "".join(takewhile(str.isdigit, code[len(letters) :]))
    if country == "GB":
        area = letters[2:] if len(letters) > 2 and letters[:2] in {"GB", "UK"} else letters
        return BRITISH.get(area) if digits else None
    if country == "PT" and len(digits) in {4, 7} and digits[0] == "9":
        return "madeira" if digits[1] < "5" else "azores"
    if country == "FR" and digits[:3] == "980" and len(digits) == 5:
        return "monaco"
    return VILLAGES.get((str(country), digits)) or PROVINCES.get((str(country), digits[:2], len(digits)))


def vat_country(country: str | None, territory: str | None) -> str | None:
    """The country whose VAT is due on goods used there."""
    same = {"monaco": "FR", "isle_of_man": "GB", "northern_ireland": "XI", "liechtenstein": "CH"}
    if territory in same:
        return same[territory]
    is_outside = territory not in {None, "madeira", "azores"}
    return None if is_outside and country in {*EU.values(), "GB"} else country


def region_of(home: str | None, country: str | None, territory: str | None) -> str:
    """Where the goods go."""
    if home is None or country is None or not (len(country) == 2 and country.isascii() and country.isupper()):
        return "unclear"
    union, kingdom = {*EU.values(), "XI"}, {"GB", "XI"}
    due = vat_country(country, territory)
    if due == home or {due, home} == kingdom or (home, territory) == ("CH", "busingen"):
        return "home"
    return "eu" if {due, home} <= union else "third"


def tax_of(taxes: Taxes | None, facts: Facts) -> Tax:
    """The tax of an order."""
    territory = territory_of(facts.country, facts.postal_code)
    region = region_of(taxes.home if taxes else None, facts.country, territory)
    shown = _bricklink_vat(facts)
    found = _found(taxes, facts, territory, region, shown)
    if isinstance(found, str):
        return Tax(territory, region, "unclear", bricklink_vat=shown, unclear=found)
    kind, rate, source, vat = found
    assert facts.total is not None
    other = (facts.sales_tax or ZERO) + (facts.vat_amount or ZERO if kind == "marketplace" else ZERO)
    return Tax(territory, region, kind, rate, source, facts.total - other - vat, vat, shown)


Found = tuple[str, Decimal | None, str, Decimal]
"""Kind, rate, its source, and the VAT that the seller owes."""


def _found(taxes: Taxes | None, facts: Facts, territory: str | None, region: str, shown: str | None) -> Found | str:
    """What is found, or why it is unclear."""
    if taxes is None:
        return "no tax settings: set BL_TAX_FILE"
    if facts.total is None:
        return "the order has no total"
    if shown in {"unclear", "not_deducted"}:
        return "BrickLink collects the VAT, and its amounts do not show that it keeps it"
    if region == "unclear":
        return "the country of the address is not known"
    if shown:
        return "marketplace", facts.vat_rate, "bricklink", ZERO
    if taxes.scheme in {"none", "small"}:
        return "BrickLink has VAT in it, and the scheme is without VAT" if facts.vat_amount else WITHOUT_VAT
    if region == "third":
        if facts.vat_amount and taxes.source == "bricklink":
            return "BrickLink has VAT in it, and the goods leave the VAT area"
        return "export", ZERO, "none", ZERO
    return _owed(taxes, facts, facts.total, territory, region)


WITHOUT_VAT: Found = ("none", ZERO, "none", ZERO)


def _owed(taxes: Taxes, facts: Facts, total: Decimal, territory: str | None, region: str) -> Found | str:
    """The tax that the seller owes, at home or in the One-Stop Shop."""
    if taxes.scheme == "margin":
        return "margin scheme: VAT is on the margin, and the purchase price is not known"
    kind = "oss" if taxes.oss and region == "eu" else "standard"
    if territory in {"madeira", "azores"} and (kind == "oss" or region == "home"):
        return "Madeira and the Azores have rates of their own"
    rate = taxes.rate(vat_country(facts.country, territory) if kind == "oss" else taxes.home, facts.day)
    if taxes.source == "computed":
        if rate is None:
            return "BL_TAX_FILE has no rate of the country for this day"
        gross = Fraction(total - (facts.sales_tax or ZERO))
        vat = gross - gross / (1 + Fraction(rate) / 100)
        cents = math.floor(abs(vat) * 100 + Fraction(1, 2))
        return kind, rate, "computed", Decimal(cents if vat > 0 else -cents) / 100
    if facts.vat_amount is None or not facts.vat_rate:
        return "BrickLink has no VAT in it: its VAT setting is off, or the buyer is a business"
    if kind == "oss" and facts.vat_rate != rate:
        return "OSS needs the rate of the destination, and BrickLink has another one"
    return kind, facts.vat_rate, "bricklink", facts.vat_amount


def _bricklink_vat(facts: Facts) -> str | None:
    """What the amounts show of VAT that BrickLink collects."""
    if not facts.vat_by_bricklink:
        return None
    if not facts.vat_amount or facts.total is None:
        return "unclear"
    kept = facts.total - (facts.total if facts.final_total is None else facts.final_total)
    if facts.sales_tax_by_bricklink:
        kept -= facts.sales_tax or ZERO
    if abs(kept - facts.vat_amount) <= CENT:
        return "deducted"
    return "not_deducted" if abs(kept) <= CENT else "unclear"

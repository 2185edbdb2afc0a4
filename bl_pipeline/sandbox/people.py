"""The buyers: countries as BrickLink codes them, currencies, and invented people."""

from decimal import Decimal
from random import Random
from typing import NamedTuple


class Country(NamedTuple):
    """A country buyers live in. `code` is BrickLink's: UK for GB. `vat` is in percent."""

    code: str
    currency: str
    vat: Decimal
    weight: int
    towns: tuple[tuple[str, str | None, str], ...]


class Address(NamedTuple):
    """The address of an order. None is "not set": the API then leaves the field out."""

    full_name: str
    first: str | None
    last: str | None
    address1: str | None
    address2: str | None
    country_code: str
    city: str | None
    state: str | None
    postal_code: str | None
    phone_number: str | None

    @property
    def full(self) -> str:
        """All lines of the address in one text, as BrickLink shows it."""
        lines = (self.address1, self.address2, self.postal_code, self.city, self.state, self.country_code)
        return " ".join(line for line in lines if line)


class Buyer(NamedTuple):
    """A BrickLink member who buys. `name` is None once BrickLink has lost the account."""

    name: str | None
    email: str
    country: Country
    address: Address


_NONE = Decimal("0.00")

COUNTRIES = (
    Country(
        "DE",
        "EUR",
        Decimal("19.00"),
        26,
        (("Berlin", None, "10115"), ("Köln", None, "50667"), ("München", "Bayern", "80331")),
    ),
    Country(
        "NL",
        "EUR",
        Decimal("21.00"),
        14,
        (("Utrecht", None, "3511 AB"), ("Groningen", None, "9711 LM"), ("'s-Hertogenbosch", None, "5211 JX")),
    ),
    Country("UK", "GBP", Decimal("20.00"), 12, (("Leeds", "England", "LS1 4AP"), ("Cardiff", "Wales", "CF10 1EP"))),
    Country(
        "US",
        "USD",
        _NONE,
        14,
        (("Portland", "OR", "97201"), ("Austin", "TX", "78701"), ("St. Paul", "MN", "55102")),
    ),
    Country("FR", "EUR", Decimal("20.00"), 9, (("Lyon", None, "69001"), ("Besançon", None, "25000"))),
    Country("BE", "EUR", Decimal("21.00"), 5, (("Gent", None, "9000"), ("Liège", None, "4000"))),
    Country("AT", "EUR", Decimal("20.00"), 4, (("Wien", None, "1010"), ("Graz", "Steiermark", "8010"))),
    Country("IT", "EUR", Decimal("22.00"), 4, (("Bologna", "BO", "40121"),)),
    Country("ES", "EUR", Decimal("21.00"), 4, (("A Coruña", "Galicia", "15001"),)),
    Country("PL", "PLN", Decimal("23.00"), 4, (("Łódź", None, "90-001"), ("Gdańsk", None, "80-001"))),
    Country("SE", "SEK", Decimal("25.00"), 3, (("Malmö", None, "211 20"),)),
    Country("DK", "DKK", Decimal("25.00"), 2, (("Århus", None, "8000"),)),
    Country("CZ", "CZK", Decimal("21.00"), 2, (("Brno", None, "602 00"),)),
    Country("CH", "CHF", _NONE, 3, (("Zürich", "ZH", "8001"),)),
    Country("NO", "NOK", _NONE, 1, (("Tromsø", None, "9008"),)),
    Country("CA", "CAD", _NONE, 3, (("Québec", "QC", "G1R 4P5"), ("Calgary", "AB", "T2P 1J9"))),
    Country("AU", "AUD", _NONE, 2, (("Hobart", "TAS", "7000"),)),
    Country("JP", "JPY", _NONE, 1, (("大阪市", "大阪府", "530-0001"),)),
)

_PER_EURO = {
    "EUR": Decimal("1"),
    "USD": Decimal("1.0852"),
    "GBP": Decimal("0.8431"),
    "PLN": Decimal("4.2710"),
    "SEK": Decimal("11.3905"),
    "DKK": Decimal("7.4601"),
    "CZK": Decimal("25.1980"),
    "CHF": Decimal("0.9567"),
    "NOK": Decimal("11.6720"),
    "CAD": Decimal("1.4811"),
    "AUD": Decimal("1.6394"),
    "JPY": Decimal("162.4400"),
}

_FIRST = (
    "Anna",
    "Bram",
    "Chloé",
    "David",
    "Elif",
    "Femke",
    "Giulia",
    "Hans",
    "Ines",
    "Jürgen",
    "Katarzyna",
    "Lars",
    "Maeve",
    "Noah",
    "Olga",
    "Pieter",
    "Rosa",
    "Sören",
    "Tomáš",
    "Ursula",
    "Vincent",
    "Wilma",
    "Yuki",
    "Zoë",
)
_LAST = (
    "O'Brien",
    "Müller",
    "de Vries",
    "Smith",
    "Nowak",
    "Rossi",
    "García",
    "Dubois",
    "Jensen",
    "Svensson",
    "Novák",
    "Peeters",
    "Huber",
    "Tanaka",
    "Bøe",
    "Tremblay",
    "Keller",
    "McDonald",
    "Šimek",
)
_HANDLES = (
    "brick",
    "stud",
    "plate",
    "tile",
    "axle",
    "moc",
    "minifig",
    "castle",
    "space",
    "train",
    "pirate",
    "technic",
)
_STREETS = (
    "Long Street",
    "Hauptstr.",
    "Kerkstraat",
    "Rue de l'Église",
    "Via Roma",
    "Mill Lane",
    "Ulica Długa",
)


CURRENCIES = frozenset(_PER_EURO)
"""The currencies."""


def exchange_rate(source: str, target: str) -> Decimal:
    """How many units of `target` one unit of `source` buys, to six decimals; KeyError for an unknown currency."""
    return (_PER_EURO[target] / _PER_EURO[source]).quantize(Decimal("0.000001"))


def invent_buyers(rng: Random, count: int) -> tuple[Buyer, ...]:
    """`count` different buyers in many countries, with more or less complete addresses."""
    countries = rng.choices(COUNTRIES, [country.weight for country in COUNTRIES], k=count)
    return tuple(_invent_buyer(rng, number, country) for number, country in enumerate(countries, start=1))


def _invent_buyer(rng: Random, number: int, country: Country) -> Buyer:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    town, state, postal_code = rng.choice(country.towns)
    split_name = rng.random() < 0.8
    address = Address(
        full_name=f"{first} {last}",
        first=first if split_name else None,
        last=last if split_name else None,
        address1=f"{rng.choice(_STREETS)} {rng.randrange(1, 200)}",
        address2=rng.choice((None, None, "", "Apt. 4b", "c/o Brick Club")),
        country_code=country.code,
        city=town,
        state=state,
        postal_code=postal_code,
        phone_number=f"+00 555 {rng.randrange(10**6):06d}" if rng.random() < 0.3 else None,
    )
    handle = f"{rng.choice(_HANDLES)}_{rng.choice(_HANDLES)}{number}"
    name = handle if rng.random() < 0.995 else None
    return Buyer(name, f"{handle}@example.com", country, address)

"""Where an address is in the world of tax: books.special_territory, vat_country, region and us_state."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from bl_pipeline.settings import load_settings
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline_tests.support.servers import TEMPLATE, Postgres
from bl_pipeline_tests.support.us_states import NAMES, state_of


@pytest.fixture(scope="module")
def warehouse(postgres: Postgres) -> Iterator[Warehouse]:
    """One of all these tests, which only call its functions."""
    with (
        postgres.database(TEMPLATE) as url,
        open_warehouse(load_settings(env_file=None, bl_database_url=url)) as warehouse,
    ):
        yield warehouse


TERRITORIES = [
    # country, postal codes as buyers write them, territory
    ("ES", ["35001", "38700", " 38 001 ", "E-38001", "es38001", "ES-35500", "38001 Santa Cruz"], "canary_islands"),
    ("ES", ["51001", "e-51 080", "52006"], "ceuta_melilla"),
    ("ES", ["28013", "08035", "8038", "3800", "380011", "07001", ""], None),
    ("IC", [None, "35001", "x"], "canary_islands"),
    ("EA", [None], "ceuta_melilla"),
    ("FI", ["22100", "FIN-22100", "AX-22 270", "fi22910"], "aland"),
    ("FI", ["00220", "02200", "2210", "20100"], None),
    ("AX", [None, "22100"], "aland"),
    ("FR", ["97400", "F-97 110", "fr97200", "97500", "97133", "98800"], "french_overseas"),
    ("FR", ["98000", "F-98 000", "MC98015"], "monaco"),
    ("FR", ["75001", "09700", "9700", "20000"], None),
    ("GP", [None], "french_overseas"),
    ("RE", ["97400"], "french_overseas"),
    ("YT", [None], "french_overseas"),
    ("MC", [None, "98000"], "monaco"),
    ("DE", ["27498", "D-27498", "d 27 498"], "heligoland"),
    ("DE", ["78266", "D78266"], "busingen"),
    ("DE", ["27499", "78267", "10115", "2749", "127498"], None),
    ("IT", ["23041", "I-23041"], "livigno"),
    ("IT", ["22061"], "campione"),
    ("IT", ["47890", "47899"], "san_marino"),
    ("IT", ["00120"], "vatican_city"),
    # Codes that villages in the VAT area have too.
    ("IT", ["23030", "22060", "00121", "47900"], None),
    ("SM", [None], "san_marino"),
    ("VA", [None], "vatican_city"),
    ("GR", ["63086", "630 86", "GR-63087"], "mount_athos"),
    ("GR", ["63085", "10431"], None),
    ("DK", ["3900", "DK-3911", "GL 3992"], "greenland"),
    ("DK", ["2100", "4390", "390"], None),
    ("GL", [None], "greenland"),
    ("FO", [None, "100"], "faroe_islands"),
    ("PT", ["9000-123", "9400", "P-9370-001", "9000 123"], "madeira"),
    ("PT", ["9500", "9980-024"], "azores"),
    ("PT", ["1000-001", "4900-123", "900", "90001"], None),
    ("GB", ["BT1 1AA", "bt48 6hq", "BT11AA", "GB-BT1 1AA", "UK BT1 1AA"], "northern_ireland"),
    ("XI", [None], "northern_ireland"),
    ("GB", ["IM1 1AA", "im9 9zz"], "isle_of_man"),
    ("IM", [None], "isle_of_man"),
    ("GB", ["GY1 1AA", "JE2 3XX", "je23xx"], "channel_islands"),
    ("GG", [None], "channel_islands"),
    ("JE", ["JE2 3XX"], "channel_islands"),
    ("GB", ["SW1A 1AA", "B1 1BT", "BTX", "G1 1AA", None, ""], None),
    ("LI", ["9490"], "liechtenstein"),
    ("AT", ["6691", "6991"], None),  # their rate is for sellers who are there
    ("US", ["35001", "97200", None], None),
    ("NL", ["9000 AA"], None),
    (None, ["35001", None], None),
]  # fmt: skip


@pytest.mark.parametrize(("country", "postal_codes", "territory"), TERRITORIES)
def test_special_territories(
    country: str | None, postal_codes: list[str | None], territory: str | None, warehouse: Warehouse
) -> None:
    """Planted: case and blanks that count; prefixes kept; a code of another length; any of the codes left out."""
    with warehouse.engine.connect() as connection:
        for postal_code in postal_codes:
            found = connection.scalar(
                text("SELECT books.special_territory(CAST(:country AS text), CAST(:code AS text))"),
                {"country": country, "code": postal_code},
            )
            assert (postal_code, found) == (postal_code, territory)


REGIONS: dict[str | None, dict[str, list[tuple[str | None, str | None]]]] = {
    "DE": {
        "home": [("DE", "10115"), ("DE", None)],
        "eu": [("FR", "75001"), ("MC", None), ("FR", "98000"), ("GB", "BT1 1AA"), ("XI", None), ("PT", "9000-123"),
               ("AT", "6691"), ("GR", "10431"), ("HR", None), ("IE", "D02 AF30"), ("CY", None)],
        "third": [("GB", "SW1A 1AA"), ("IM", None), ("JE", None), ("GB", "JE2 3XX"), ("ES", "35001"), ("IC", None),
                  ("FI", "22100"), ("DE", "27498"), ("DE", "78266"), ("FR", "97400"), ("RE", None), ("IT", "23041"),
                  ("IT", "22061"), ("SM", None), ("GR", "63086"), ("CH", None), ("LI", None), ("US", None),
                  ("NO", None), ("GI", None)],
        "unclear": [(None, None), (None, "10115"), ("", None), ("GERMANY", None), ("de", None)],
    },
    "GB": {
        "home": [("GB", "SW1A 1AA"), ("GB", "BT1 1AA"), ("GB", None), ("IM", None), ("GB", "IM1 1AA")],
        "eu": [],
        "third": [("DE", "10115"), ("FR", None), ("IE", None), ("JE", None), ("GB", "GY1 1AA"), ("US", None)],
        "unclear": [(None, None)],
    },
    "XI": {
        "home": [("GB", "BT1 1AA"), ("GB", "SW1A 1AA"), ("IM", None)],
        "eu": [("DE", "10115"), ("IE", None), ("MC", None)],
        "third": [("DE", "27498"), ("US", None), ("JE", None)],
        "unclear": [(None, None)],
    },
    "FR": {
        "home": [("FR", "75001"), ("MC", None), ("FR", "98000")],
        "eu": [("DE", "10115"), ("GB", "BT1 1AA")],
        "third": [("FR", "97400"), ("GP", None), ("DE", "27498")],
        "unclear": [(None, None)],
    },
    "PT": {"home": [("PT", "9000-123"), ("PT", "9500"), ("PT", "1000")], "eu": [("ES", "28013")],
           "third": [("ES", "35001")], "unclear": []},
    "CH": {"home": [("CH", "8001"), ("LI", None), ("DE", "78266")], "eu": [], "third": [("DE", "10115"), ("GB", None)],
           "unclear": []},
    "US": {"home": [("US", None)], "eu": [], "third": [("DE", None), ("GB", "BT1 1AA"), ("CA", None)], "unclear": []},
    "JE": {"home": [("JE", None)], "eu": [], "third": [("GG", None), ("GB", "SW1A 1AA"), ("DE", None)], "unclear": []},
    None: {"home": [], "eu": [], "third": [], "unclear": [("DE", "10115"), ("US", None), (None, None)]},
}  # fmt: skip
"""Home country → region → country and postal code."""


@pytest.mark.parametrize("home", REGIONS)
def test_regions(home: str | None, warehouse: Warehouse) -> None:
    """Planted: the territory ignored; Monaco and the Isle of Man third countries; Northern Ireland one for the EU."""
    with warehouse.engine.connect() as connection:
        for region, places in REGIONS[home].items():
            for country, postal_code in places:
                found = connection.scalar(
                    text(
                        """
                        SELECT books.region(CAST(:home AS text), CAST(:country AS text),
                            books.special_territory(CAST(:country AS text), CAST(:code AS text)))
                        """
                    ),
                    {"home": home, "country": country, "code": postal_code},
                )
                assert (country, postal_code, found) == (country, postal_code, region)


def test_the_country_whose_vat_is_due(warehouse: Warehouse) -> None:
    expected = [
        ("FR", "98000", "FR"), ("MC", None, "FR"), ("GB", "BT1 1AA", "XI"), ("IM", None, "GB"), ("DE", "10115", "DE"),
        ("DE", "27498", None), ("ES", "35001", None), ("JE", None, "JE"), ("GB", "JE2 3XX", None), ("LI", None, "CH"),
        ("PT", "9000-123", "PT"), ("US", None, "US"), (None, None, None),
    ]  # fmt: skip
    with warehouse.engine.connect() as connection:
        for country, postal_code, due in expected:
            found = connection.scalar(
                text(
                    """
                    SELECT books.vat_country(CAST(:country AS text),
                        books.special_territory(CAST(:country AS text), CAST(:code AS text)))
                    """
                ),
                {"country": country, "code": postal_code},
            )
            assert (country, postal_code, found) == (country, postal_code, due)


US_STATES = [
    # country, state as buyers write it, ZIP code, state
    ("US", "NY", None, "NY"),
    ("US", " new york ", "90210", "NY"),
    ("US", "N.Y.", None, "NY"),
    ("US", "US-NY", None, "NY"),
    ("US", "north-carolina", None, "NC"),
    ("US", "Washington", None, "WA"),
    ("US", "Washington, D.C.", None, "DC"),
    ("US", "district of columbia", None, "DC"),
    ("US", "U.S. Virgin Islands", None, "VI"),
    ("US", "Armed Forces Europe", None, "AE"),
    ("US", "ap", None, "AP"),
    ("US", "", "10001", "NY"),
    ("US", None, " 02139-4307", "MA"),
    ("US", "Calif", "94103 1234", "CA"),
    ("US", None, "06390", "NY"),
    ("US", None, "06389", "CT"),
    ("US", None, "96799", "AS"),
    ("US", None, "96950", "MP"),
    ("US", None, "96960", "unclear"),
    ("US", None, "2139", "unclear"),
    ("US", None, "100010", "unclear"),
    ("US", "Bavaria", None, "unclear"),
    ("US", None, None, "unclear"),
    ("PR", "San Juan", None, "PR"),
    ("GU", None, None, "GU"),
    ("DE", "BE", "10115", None),
    ("CA", "ON", None, None),
    (None, "NY", "10001", None),
]


def us_state(connection: Connection, country: str | None, state: str | None, zip_code: str | None) -> str | None:
    """What Postgres makes of the address."""
    found: str | None = connection.scalar(
        text("SELECT books.us_state(CAST(:country AS text), CAST(:state AS text), CAST(:zip_code AS text))"),
        {"country": country, "state": state, "zip_code": zip_code},
    )
    return found


def test_states_of_the_united_states(warehouse: Warehouse) -> None:
    """Planted: case, dots and blanks that count; the ZIP code before the name; a ZIP code of four digits."""
    with warehouse.engine.connect() as connection:
        for country, state, zip_code, code in US_STATES:
            assert us_state(connection, country, state, zip_code) == code, (country, state, zip_code)
        for entry in NAMES:
            code, name = entry.split(" ", 1)
            for written in (code, code.lower(), name, name.upper()):
                assert us_state(connection, "US", written, None) == code, written


@pytest.mark.slow
def test_each_range_of_zip_codes_is_of_the_right_state(warehouse: Warehouse) -> None:
    """Planted: two states exchanged; a range that ends one prefix too early."""
    query = """
        SELECT zip_code, books.us_state('US', NULL, zip_code)
        FROM (SELECT lpad(n::text, 5, '0') AS zip_code FROM generate_series(0, 99999) AS n WHERE n % 10 IN (0, 9)) AS e
    """
    with warehouse.engine.connect() as connection:
        shown = {str(row[0]): row[1] for row in connection.execute(text(query))}
    assert shown == {zip_code: state_of("US", None, zip_code) for zip_code in shown}
    assert len(set(shown.values())) == 60

"""The schema books: tax settings of a store, and where in the world of VAT an address is."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_EU = (
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
)  # fmt: skip

# The sources of these lists are in docs/books.md, Tax.
_OF_CODE = {
    "canary_islands": ("IC",),
    "ceuta_melilla": ("EA",),
    "aland": ("AX",),
    "french_overseas": ("GP", "MQ", "GF", "RE", "YT", "BL", "MF", "PM", "WF", "PF", "NC", "TF"),
    "faroe_islands": ("FO",),
    "greenland": ("GL",),
    "san_marino": ("SM",),
    "vatican_city": ("VA",),
    "channel_islands": ("GG", "JE"),
    "isle_of_man": ("IM",),
    "northern_ireland": ("XI",),
    "monaco": ("MC",),
    "liechtenstein": ("LI",),
}
"""Territory → country codes of its own."""

_OF_POSTAL_CODE: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "GB": (
        "^(?:GB|UK)?(BT|IM|GY|JE)[0-9]",
        {"northern_ireland": ("BT",), "isle_of_man": ("IM",), "channel_islands": ("GY", "JE")},
    ),
    "ES": ("([0-9]{2})[0-9]{3}", {"canary_islands": ("35", "38"), "ceuta_melilla": ("51", "52")}),
    "FI": ("([0-9]{2})[0-9]{3}", {"aland": ("22",)}),
    "FR": (
        "([0-9]{3})[0-9]{2}",
        {
            "monaco": ("980",),
            "french_overseas": tuple(str(code) for code in range(970, 990) if code != 980),
        },
    ),
    "DE": ("([0-9]{5})", {"heligoland": ("27498",), "busingen": ("78266",)}),
    "IT": (
        "([0-9]{5})",
        {
            "livigno": ("23041",),
            "campione": ("22061",),
            "san_marino": tuple(str(code) for code in range(47890, 47900)),
            "vatican_city": ("00120",),
        },
    ),
    "GR": ("([0-9]{5})", {"mount_athos": ("63086", "63087")}),
    "DK": ("([0-9]{2})[0-9]{2}", {"greenland": ("39",)}),
    "PT": (
        "([0-9]{2})[0-9]{2}(?:[0-9]{3})?",
        {"madeira": ("90", "91", "92", "93", "94"), "azores": ("95", "96", "97", "98", "99")},
    ),
}
"""Country → what counts of its postal codes, in parentheses, and that of its territories.

Before the digits a buyer may have written letters, after them words, never more digits.
"""


def _texts(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _territory(pattern: str, territories: dict[str, tuple[str, ...]]) -> str:
    whole = pattern if pattern.startswith("^") else f"^[A-Z]*{pattern}(?![0-9])"
    found = " ".join(f"WHEN '{code}' THEN '{name}'" for name, codes in territories.items() for code in codes)
    return f"CASE substring(regexp_replace(upper(postal_code), '[^A-Z0-9]', '', 'g') from '{whole}') {found} END"


_SPECIAL_TERRITORY = f"""
    CREATE FUNCTION books.special_territory(country_code text, postal_code text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        {" ".join(f"WHEN country_code IN ({_texts(codes)}) THEN '{name}'" for name, codes in _OF_CODE.items())}
        WHEN postal_code IS NULL THEN NULL
        {
    " ".join(f"WHEN country_code = '{country}' THEN {_territory(*codes)}" for country, codes in _OF_POSTAL_CODE.items())
}
    END
"""

_VAT_COUNTRY = f"""
    CREATE FUNCTION books.vat_country(country_code text, special_territory text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN special_territory IS NULL OR special_territory IN ('madeira', 'azores') THEN country_code
        WHEN special_territory = 'monaco' THEN 'FR'
        WHEN special_territory = 'isle_of_man' THEN 'GB'
        WHEN special_territory = 'northern_ireland' THEN 'XI'
        WHEN special_territory = 'liechtenstein' THEN 'CH'
        WHEN country_code IN ({_texts((*_EU, "GB"))}) THEN NULL
        ELSE country_code
    END
"""

_REGION = f"""
    CREATE FUNCTION books.region(home_country text, country_code text, special_territory text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN home_country IS NULL OR country_code IS NULL OR country_code !~ '^[A-Z][A-Z]$' THEN 'unclear'
        WHEN books.vat_country(country_code, special_territory) = home_country THEN 'home'
        WHEN home_country IN ('GB', 'XI') AND books.vat_country(country_code, special_territory) IN ('GB', 'XI')
            THEN 'home'
        WHEN home_country = 'CH' AND special_territory = 'busingen' THEN 'home'
        WHEN home_country IN ({_texts((*_EU, "XI"))})
            AND books.vat_country(country_code, special_territory) IN ({_texts((*_EU, "XI"))}) THEN 'eu'
        ELSE 'third'
    END
"""

_TAX = """
    CREATE FUNCTION books.tax(
        vat_scheme text, oss boolean, vat_source text, region text, special_territory text,
        home_rate numeric, destination_rate numeric,
        total numeric, final_total numeric, vat_rate numeric, vat_amount numeric, vat_by_bricklink boolean,
        sales_tax numeric, sales_tax_by_bricklink boolean
    )
    RETURNS TABLE (
        tax_kind text, rate numeric, rate_source text, net numeric, vat numeric, bricklink_vat text, unclear text
    )
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT
            CASE WHEN why.unclear IS NULL THEN meant.kind ELSE 'unclear' END,
            CASE
                WHEN why.unclear IS NOT NULL THEN NULL
                WHEN meant.kind IN ('export', 'none') THEN 0
                WHEN meant.kind = 'marketplace' OR vat_source = 'bricklink' THEN trim_scale(vat_rate)
                ELSE trim_scale(meant.rate)
            END,
            CASE
                WHEN why.unclear IS NOT NULL OR meant.kind IN ('export', 'none') THEN 'none'
                WHEN meant.kind = 'marketplace' THEN 'bricklink'
                ELSE vat_source
            END,
            CASE
                WHEN why.unclear IS NOT NULL THEN NULL
                ELSE meant.untaxed - CASE WHEN meant.kind = 'marketplace' THEN vat_amount ELSE due.vat END
            END,
            CASE WHEN why.unclear IS NULL THEN due.vat END,
            meant.bricklink_vat,
            why.unclear
        FROM (
            SELECT
                CASE
                    WHEN vat_by_bricklink THEN 'marketplace'
                    WHEN vat_scheme IN ('none', 'small') THEN 'none'
                    WHEN region = 'third' THEN 'export'
                    WHEN region = 'eu' AND oss THEN 'oss'
                    ELSE 'standard'
                END AS kind,
                CASE WHEN region = 'eu' AND oss THEN destination_rate ELSE home_rate END AS rate,
                total - coalesce(sales_tax, 0) AS untaxed,
                CASE
                    WHEN vat_by_bricklink IS NOT TRUE THEN NULL
                    WHEN vat_amount IS NULL OR vat_amount = 0 THEN 'unclear'
                    WHEN abs(kept.tax - vat_amount) <= 0.01 THEN 'deducted'
                    WHEN abs(kept.tax) <= 0.01 THEN 'not_deducted'
                    ELSE 'unclear'
                END AS bricklink_vat
            FROM (
                SELECT
                    total - coalesce(final_total, total)
                        - CASE WHEN sales_tax_by_bricklink THEN coalesce(sales_tax, 0) ELSE 0 END AS tax
            ) AS kept
            OFFSET 0
        ) AS meant
        CROSS JOIN LATERAL (
            SELECT
                CASE
                    WHEN vat_scheme IS NULL THEN 'no tax settings: set BL_TAX_FILE'
                    WHEN total IS NULL THEN 'the order has no total'
                    WHEN meant.bricklink_vat <> 'deducted'
                        THEN 'BrickLink collects the VAT, and its amounts do not show that it keeps it'
                    WHEN region = 'unclear' THEN 'the country of the address is not known'
                    WHEN meant.kind = 'none' AND vat_amount <> 0
                        THEN 'BrickLink has VAT in it, and the scheme is without VAT'
                    WHEN meant.kind IN ('standard', 'oss') AND vat_scheme = 'margin'
                        THEN 'margin scheme: VAT is on the margin, and the purchase price is not known'
                    WHEN meant.kind = 'export' AND vat_source = 'bricklink' AND vat_amount <> 0
                        THEN 'BrickLink has VAT in it, and the goods leave the VAT area'
                    WHEN meant.kind = 'marketplace' OR meant.kind NOT IN ('standard', 'oss') THEN NULL
                    WHEN special_territory IN ('madeira', 'azores') AND (meant.kind = 'oss' OR region = 'home')
                        THEN 'Madeira and the Azores have rates of their own'
                    WHEN vat_source = 'computed' AND meant.rate IS NULL
                        THEN 'BL_TAX_FILE has no rate of the country for this day'
                    WHEN vat_source = 'computed' THEN NULL
                    WHEN vat_amount IS NULL OR vat_rate IS NULL OR vat_rate = 0
                        THEN 'BrickLink has no VAT in it: its VAT setting is off, or the buyer is a business'
                    WHEN meant.kind = 'oss' AND vat_rate IS DISTINCT FROM destination_rate
                        THEN 'OSS needs the rate of the destination, and BrickLink has another one'
                END AS unclear
            OFFSET 0
        ) AS why
        CROSS JOIN LATERAL (
            SELECT
                CASE
                    WHEN meant.kind NOT IN ('standard', 'oss') THEN 0
                    WHEN vat_source = 'bricklink' THEN vat_amount
                    ELSE round(meant.untaxed * meant.rate / (100 + meant.rate), 2)
                END AS vat
        ) AS due;
    END
"""

_STATES = {
    "AL": "Alabama", "AK": "Alaska", "AZ": "Arizona", "AR": "Arkansas", "CA": "California", "CO": "Colorado",
    "CT": "Connecticut", "DE": "Delaware", "FL": "Florida", "GA": "Georgia", "HI": "Hawaii", "ID": "Idaho",
    "IL": "Illinois", "IN": "Indiana", "IA": "Iowa", "KS": "Kansas", "KY": "Kentucky", "LA": "Louisiana", "ME": "Maine",
    "MD": "Maryland", "MA": "Massachusetts", "MI": "Michigan", "MN": "Minnesota", "MS": "Mississippi",
    "MO": "Missouri", "MT": "Montana", "NE": "Nebraska", "NV": "Nevada", "NH": "NewHampshire", "NJ": "NewJersey",
    "NM": "NewMexico", "NY": "NewYork", "NC": "NorthCarolina", "ND": "NorthDakota", "OH": "Ohio", "OK": "Oklahoma",
    "OR": "Oregon", "PA": "Pennsylvania", "RI": "RhodeIsland", "SC": "SouthCarolina", "SD": "SouthDakota",
    "TN": "Tennessee", "TX": "Texas", "UT": "Utah", "VT": "Vermont", "VA": "Virginia", "WA": "Washington",
    "WV": "WestVirginia", "WI": "Wisconsin", "WY": "Wyoming", "DC": "DistrictOfColumbia", "PR": "PuertoRico",
    "GU": "Guam", "VI": "VirginIslands", "AS": "AmericanSamoa", "MP": "NorthernMarianaIslands",
    "AA": "ArmedForcesAmericas", "AE": "ArmedForcesEurope", "AP": "ArmedForcesPacific",
}  # fmt: skip
_OTHER_NAMES = {
    "WASHINGTONDC": "DC", "USVIRGINISLANDS": "VI", "ARMEDFORCESTHEAMERICAS": "AA", "ARMEDFORCESAFRICA": "AE",
    "ARMEDFORCESCANADA": "AE", "ARMEDFORCESMIDDLEEAST": "AE",
}  # fmt: skip
_ISLANDS = ("PR", "GU", "VI", "AS", "MP")
"""Territories of the United States with a country code of their own, which is that of the USPS."""

_ZIP_CODES = (
    "00500 00599 NY", "00600 00799 PR", "00800 00899 VI", "00900 00999 PR", "01000 02799 MA", "02800 02999 RI",
    "03000 03899 NH", "03900 04999 ME", "05000 05499 VT", "05500 05599 MA", "05600 05999 VT", "06000 06389 CT",
    "06390 06390 NY", "06391 06999 CT", "07000 08999 NJ", "09000 09999 AE", "10000 14999 NY", "15000 19699 PA",
    "19700 19999 DE", "20000 20099 DC", "20100 20199 VA", "20200 20599 DC", "20600 21999 MD", "22000 24699 VA",
    "24700 26899 WV", "27000 28999 NC", "29000 29999 SC", "30000 31999 GA", "32000 33999 FL", "34000 34099 AA",
    "34100 34999 FL", "35000 36999 AL", "37000 38599 TN", "38600 39799 MS", "39800 39999 GA", "40000 42799 KY",
    "43000 45999 OH", "46000 47999 IN", "48000 49999 MI", "50000 52899 IA", "53000 54999 WI", "55000 56799 MN",
    "56900 56999 DC", "57000 57799 SD", "58000 58899 ND", "59000 59999 MT", "60000 62999 IL", "63000 65899 MO",
    "66000 67999 KS", "68000 69399 NE", "70000 71499 LA", "71600 72999 AR", "73000 73299 OK", "73300 73399 TX",
    "73400 74999 OK", "75000 79999 TX", "80000 81699 CO", "82000 83199 WY", "83200 83899 ID", "84000 84799 UT",
    "85000 86599 AZ", "87000 88499 NM", "88500 88599 TX", "88900 89899 NV", "90000 96199 CA", "96200 96699 AP",
    "96700 96798 HI", "96799 96799 AS", "96800 96899 HI", "96910 96932 GU", "96950 96952 MP", "97000 97999 OR",
    "98000 99499 WA", "99500 99999 AK",
)  # fmt: skip


def _us_state() -> str:
    names = {name.upper(): code for code, name in _STATES.items()} | _OTHER_NAMES | {code: code for code in _STATES}
    ranges = [entry.split() for entry in _ZIP_CODES]
    zip_code = "substring(postal_code from '^ *([0-9]{5})(?:[- ]?[0-9]{4})? *$')"
    by_zip_code = " ".join(
        f"WHEN zip_code BETWEEN '{first}' AND '{last}' THEN '{state}'" for first, last, state in ranges
    )
    return f"""
        CREATE FUNCTION books.us_state(country_code text, state text, postal_code text) RETURNS text
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        RETURN CASE
            WHEN country_code IN ({_texts(_ISLANDS)}) THEN country_code
            WHEN country_code = 'US' THEN coalesce(
                CAST('{json.dumps(names)}' AS jsonb)
                    ->> regexp_replace(regexp_replace(upper(state), '[^A-Z]', '', 'g'), '^US([A-Z]{{2}})$', '\\1'),
                (SELECT CASE {by_zip_code} END FROM (SELECT {zip_code} COLLATE "C" AS zip_code) AS written),
                'unclear'
            )
        END
    """


_COMMENTS = {
    "us_state(text, text, text)": (
        "Two letters of the USPS for a state or territory of the United States, from its name or code, else from the "
        "ZIP code; unclear if neither says it, null for other countries"
    ),
    "special_territory(text, text)": (
        "Territory whose VAT is not that of its country, such as canary_islands or northern_ireland; null if it is none"
    ),
    "vat_country(text, text)": (
        "Country whose VAT is due on goods used there: FR for Monaco, XI for Northern Ireland; null if the territory "
        "has no VAT of its country"
    ),
    "region(text, text, text)": (
        "Where the goods go, seen from the home country: home, eu (from one EU country to another), third, or unclear "
        "if a country is not known"
    ),
}


def upgrade() -> None:
    """Apply."""
    op.execute("CREATE SCHEMA IF NOT EXISTS books")
    for statement in (_SPECIAL_TERRITORY, _VAT_COUNTRY, _REGION, _TAX, _us_state()):
        op.get_bind().exec_driver_sql(statement)  # without parameters: a pattern may have a colon
    op.execute(
        "COMMENT ON FUNCTION books.tax IS 'What kind of tax an order has, at which rate, and how much VAT the seller "
        "owes; or why that is unclear. bricklink_vat says what the amounts show of VAT that BrickLink collects'"
    )
    for function, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON FUNCTION books.{function} IS '{comment}'")
    op.create_table(
        "tax_settings",
        sa.Column("store", sa.Text(), primary_key=True, comment="Key of the store, from BL_STORE"),
        sa.Column(
            "home_country",
            sa.Text(),
            nullable=False,
            comment="Country in which the seller is registered, ISO 3166-1 alpha-2",
        ),
        sa.Column(
            "vat_scheme",
            sa.Text(),
            nullable=False,
            comment="none (not registered for VAT), small (exempt small business), standard, cash (VAT is due when "
            "paid) or margin (VAT on the margin of used goods)",
        ),
        sa.Column(
            "oss",
            sa.Boolean(),
            nullable=False,
            comment="VAT of consumers in other EU countries is declared in the One-Stop Shop",
        ),
        sa.Column(
            "vat_source",
            sa.Text(),
            nullable=False,
            comment="bricklink: the VAT that BrickLink gives; computed: taken out of the gross by tax_rates",
        ),
        sa.Column("noted_at", sa.TIMESTAMP(timezone=True), nullable=False, comment="Since when they are so"),
        schema="books",
        comment="One row per store with tax settings: what reports have to know of its taxes; today's, not history",
    )
    op.create_table(
        "tax_rates",
        sa.Column("store", sa.Text(), primary_key=True, comment="Key of the store, from BL_STORE"),
        sa.Column("country_code", sa.Text(), primary_key=True, comment="Country whose rate it is, ISO 3166-1 alpha-2"),
        sa.Column("valid_from", sa.Date(), primary_key=True, comment="First day of the rate, in the store's time zone"),
        sa.Column("rate", sa.Numeric(19, 4), nullable=False, comment="Standard VAT rate in per cent"),
        schema="books",
        comment="The VAT rates of the tax settings; each is valid until the next one of its country",
    )

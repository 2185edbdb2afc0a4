"""The state of an address in the United States, worked out in plain Python."""

from __future__ import annotations

import re

NAMES = (
    """
AL Alabama;AK Alaska;AZ Arizona;AR Arkansas;CA California;CO Colorado;CT Connecticut;DE Delaware;DC District of Columbia
DC Washington DC;FL Florida;GA Georgia;HI Hawaii;ID Idaho;IL Illinois;IN Indiana;IA Iowa;KS Kansas;KY Kentucky
LA Louisiana;ME Maine;MD Maryland;MA Massachusetts;MI Michigan;MN Minnesota;MS Mississippi;MO Missouri;MT Montana
NE Nebraska;NV Nevada;NH New Hampshire;NJ New Jersey;NM New Mexico;NY New York;NC North Carolina;ND North Dakota;OH Ohio
OK Oklahoma;OR Oregon;PA Pennsylvania;RI Rhode Island;SC South Carolina;SD South Dakota;TN Tennessee;TX Texas;UT Utah
VT Vermont;VA Virginia;WA Washington;WV West Virginia;WI Wisconsin;WY Wyoming;PR Puerto Rico;GU Guam
VI Virgin Islands;VI US Virgin Islands;AS American Samoa;MP Northern Mariana Islands;AA Armed Forces Americas
AA Armed Forces the Americas;AE Armed Forces Europe;AE Armed Forces Africa;AE Armed Forces Canada
AE Armed Forces Middle East;AP Armed Forces Pacific
""".strip()
    .replace("\n", ";")
    .split(";")
)
"""Codes and names, from the USPS's Publication 28."""

PREFIXES = {
    "AL": [(350, 369)], "AK": [(995, 999)], "AZ": [(850, 865)], "AR": [(716, 729)], "CA": [(900, 961)],
    "CO": [(800, 816)], "CT": [(60, 69)], "DE": [(197, 199)], "DC": [(200, 200), (202, 205), (569, 569)],
    "FL": [(320, 339), (341, 349)], "GA": [(300, 319), (398, 399)], "HI": [(967, 968)], "ID": [(832, 838)],
    "IL": [(600, 629)], "IN": [(460, 479)], "IA": [(500, 528)], "KS": [(660, 679)], "KY": [(400, 427)],
    "LA": [(700, 714)], "ME": [(39, 49)], "MD": [(206, 219)], "MA": [(10, 27), (55, 55)], "MI": [(480, 499)],
    "MN": [(550, 567)], "MS": [(386, 397)], "MO": [(630, 658)], "MT": [(590, 599)], "NE": [(680, 693)],
    "NV": [(889, 898)], "NH": [(30, 38)], "NJ": [(70, 89)], "NM": [(870, 884)], "NY": [(5, 5), (100, 149)],
    "NC": [(270, 289)], "ND": [(580, 588)], "OH": [(430, 459)], "OK": [(730, 732), (734, 749)], "OR": [(970, 979)],
    "PA": [(150, 196)], "RI": [(28, 29)], "SC": [(290, 299)], "SD": [(570, 577)], "TN": [(370, 385)],
    "TX": [(733, 733), (750, 799), (885, 885)], "UT": [(840, 847)], "VT": [(50, 54), (56, 59)],
    "VA": [(201, 201), (220, 246)], "WA": [(980, 994)], "WV": [(247, 268)], "WI": [(530, 549)], "WY": [(820, 831)],
    "PR": [(6, 7), (9, 9)], "VI": [(8, 8)], "AA": [(340, 340)], "AE": [(90, 99)], "AP": [(962, 966)],
}  # fmt: skip
"""State → its three-digit prefixes of ZIP codes."""


def _letters(written: str) -> str:
    return "".join(char for char in written.upper() if "A" <= char <= "Z")


CODES = {_letters(name): code for code, name in (entry.split(" ", 1) for entry in NAMES)}
CODES |= {code: code for code in CODES.values()}


def state_of_sale(country: str | None, state: str | None, postal_code: str | None, sales_tax: object) -> str | None:
    """The state of an order: without a country it is one of the United States if it has sales tax."""
    return state_of("US" if country is None and sales_tax else country, state, postal_code)


def state_of(country: str | None, state: str | None, postal_code: str | None) -> str | None:
    """Two letters; unclear if nobody can say, None for another country."""
    if country in {"PR", "GU", "VI", "AS", "MP"}:
        return country
    if country != "US":
        return None
    letters = _letters(state or "")
    if len(letters) == 4 and letters.startswith("US"):
        letters = letters[2:]
    if letters in CODES:
        return CODES[letters]
    found = re.fullmatch(r" *(\d{5})([- ]?\d{4})? *", postal_code or "", re.ASCII)
    return _of_zip_code(int(found[1])) if found else "unclear"


def _of_zip_code(number: int) -> str:
    if number in {6390, 96799}:
        return "NY" if number == 6390 else "AS"
    if 96910 <= number <= 96932 or 96950 <= number <= 96952:
        return "GU" if number < 96950 else "MP"
    for code, ranges in PREFIXES.items():
        if any(first <= number // 100 <= last for first, last in ranges):
            return code
    return "unclear"

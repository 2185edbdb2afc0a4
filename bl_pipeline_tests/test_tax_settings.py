"""BL_TAX_FILE: a file with tax settings, of which every fault is named with what to write."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from bl_pipeline.countries import EU, countries
from bl_pipeline.settings import SettingsError, load_settings
from bl_pipeline.tax_settings import TaxRate, TaxSettings, read_tax_settings

EXAMPLE = Path(__file__).parents[1] / "examples" / "taxes.toml"
GOOD = {
    "home_country": '"DE"', "scheme": '"standard"', "oss": "true", "vat_source": '"computed"',
}  # fmt: skip
RATE = {"country": '"DE"', "rate": "19", "from": "2021-01-01"}


@pytest.fixture(autouse=True)
def _isolated(isolated: pytest.MonkeyPatch) -> None:
    """No variable is set, and the working directory is empty."""


def written(parts: list[dict[str, str]], **changes: str | None) -> Path:
    """A file with these settings; None leaves one out."""
    values = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    lines = [f"{key} = {value}" for key, value in values.items()]
    for rate in parts:
        lines += ["[[rates]]", *(f"{key} = {value}" for key, value in rate.items())]
    file = Path("taxes.toml")
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def test_the_example_is_right() -> None:
    taxes = read_tax_settings(EXAMPLE)
    assert (taxes.home_country, taxes.scheme, taxes.oss, taxes.vat_source) == ("DE", "standard", True, "computed")
    german = [(rate.valid_from.year, int(rate.rate)) for rate in taxes.rates if rate.country == "DE"]
    assert german == [(2007, 19), (2020, 16), (2021, 19)]


def test_settings_are_read_exactly() -> None:
    """Planted: a rate as a float; rates in the order of the file."""
    late, early = {**RATE, "rate": "25.5", "from": "2024-09-01"}, {**RATE, "country": '"AT"', "rate": "20.0001"}
    taxes = read_tax_settings(written([late, RATE, early], oss="false", scheme='"cash"'))
    assert taxes == TaxSettings(
        "DE", "cash", False, "computed",
        (
            TaxRate("AT", Decimal("20.0001"), date(2021, 1, 1)),
            TaxRate("DE", Decimal(19), date(2021, 1, 1)),
            TaxRate("DE", Decimal("25.5"), date(2024, 9, 1)),
        ),
    )  # fmt: skip


def test_the_file_is_read_once_and_known_by_its_whole_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes get it in another folder."""
    file = written([RATE])
    monkeypatch.setenv("BL_TAX_FILE", f" {file} ")
    settings = load_settings()
    file.unlink()
    assert settings.store.taxes
    assert settings.store.taxes.home_country == "DE"
    assert settings.as_environment()["BL_TAX_FILE"] == str(file.absolute())
    monkeypatch.setenv("BL_TAX_FILE", "")
    assert load_settings().store.taxes is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"home_country": '"UK"'}, 'home_country: write the two capital letters of a country in quotes, such as "GB"'),
        ({"home_country": '"de"'}, 'such as "DE"'),
        ({"home_country": '"France"'}, 'such as "FR"'),
        ({"home_country": '["DE"]'}, "home_country: write the two capital letters"),
        ({"home_country": "49"}, "home_country: write the two capital letters"),
        ({"home_country": '"IM"'}, "home_country: IM has the VAT of GB: write GB"),
        ({"home_country": None}, "home_country: write"),
        ({"scheme": '"normal"'}, "scheme: write one of none, small, standard, cash, margin, in quotes"),
        ({"scheme": '["standard"]'}, "scheme: write one of"),
        ({"scheme": None}, "scheme: write one of"),
        ({"vat_source": '"me"'}, "vat_source: write one of bricklink, computed, in quotes"),
        ({"oss": '"yes"'}, "oss: write true if"),
        ({"oss": None}, "oss: write true if"),
        ({"home_country": '"GB"', "vat_source": '"bricklink"'}, "with GB write false"),
        ({"scheme": '"small"'}, "oss: under the scheme small no VAT is declared; write false"),
        ({"home_county": '"DE"'}, "home_county: there is no such key; perhaps home_country"),
        ({"xyz": "1"}, "xyz: there is no such key; there are home_country, scheme, oss, vat_source, rates"),
        ({"home_country": '"AT"'}, 'vat_source = "computed" needs the rate of AT. Add [[rates]] with country = "AT"'),
        ({"rates": "19"}, "rates: write a part [[rates]] for each rate"),
    ],
)
def test_each_fault_is_named_with_what_to_write(changes: dict[str, str | None], said: str) -> None:
    """Planted: each check left out."""
    rates = [] if "rates" in changes else [RATE]
    with pytest.raises(ValueError, match="has to be corrected") as caught:
        read_tax_settings(written(rates, **changes))
    (_, *lines) = str(caught.value).splitlines()
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"country": '"EL"'}, '(EL): country: write the two capital letters of a country in quotes, such as "GR"'),
        ({"country": '["FR"]'}, "country: write the two capital letters"),
        ({"rate": "-1"}, "(FR): rate: write a number from 0 to 100 without quotes, such as 19 or 25.5"),
        ({"rate": "100.01"}, "rate: write a number"),
        ({"rate": '"20"'}, "rate: write a number"),
        ({"rate": "true"}, "rate: write a number"),
        ({"rate": "nan"}, "rate: write a number"),
        ({"rate": "20.00001"}, "rate: write a number"),
        ({"from": '"2021-01-01"'}, "from: write the first day of the rate without quotes, such as 2021-01-01"),
        ({"from": "2021-01-01T00:00:00Z"}, "from: write the first day"),
        ({"form": "2021-01-01"}, "form: there is no such key; perhaps from"),
        ({"country": '"DE"'}, "(DE): from: there is a rate of DE from 2021-01-01 already"),
    ],
)
def test_each_fault_of_a_rate_is_named(changes: dict[str, str], said: str) -> None:
    """Planted: each check left out; the wrong number of the rate."""
    french = {"country": '"FR"', "rate": "20", "from": "2021-01-01"}
    with pytest.raises(ValueError, match="has to be corrected") as caught:
        read_tax_settings(written([RATE, {**french, **changes}]))
    (_, *lines) = str(caught.value).splitlines()
    assert len(lines) == 1
    assert lines[0].strip().startswith("[[rates]] no. 2")
    assert said in lines[0]


def test_all_faults_are_named_at_once_under_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BL_TAX_FILE", str(written([{**RATE, "rate": "190"}], oss="1", scheme='"x"')))
    with pytest.raises(SettingsError) as caught:
        load_settings()
    lines = str(caught.value).splitlines()
    assert lines[0] == "Settings to correct:"
    assert lines[1].startswith("  BL_TAX_FILE: ")
    assert [line.split(":")[0].strip() for line in lines[2:]] == ["scheme", "oss", "[[rates]] no. 1 (DE)"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b'home_country = "\xff"', "is not text in UTF-8"),
        (b"home_country = DE", "is no TOML: "),
        (b'scheme = "none"\nhome_country = DE', "line 2"),
    ],
)
def test_what_is_no_such_file_is_named(content: bytes | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if content is not None:
        Path("taxes.toml").write_bytes(content)
    monkeypatch.setenv("BL_TAX_FILE", "taxes.toml")
    with pytest.raises(SettingsError, match="BL_TAX_FILE") as caught:
        load_settings()
    assert said in str(caught.value)


@pytest.mark.parametrize("scheme", ["none", "small", "margin"])
def test_without_vat_to_compute_no_rate_is_needed(scheme: str) -> None:
    assert read_tax_settings(written([], scheme=f'"{scheme}"', oss="false")).rates == ()


def test_northern_ireland_is_a_home_in_the_one_stop_shop() -> None:
    rate = {**RATE, "country": '"XI"', "rate": "20"}
    assert read_tax_settings(written([rate], home_country='"XI"')).home_country == "XI"


def test_the_countries_of_the_union_are_countries() -> None:
    assert len(EU) == 27
    assert countries().keys() >= EU

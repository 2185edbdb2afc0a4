"""BL_STORES_FILE: a table for each store, of which every fault is named with what to write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bl_pipeline.records import Budget, Credentials
from bl_pipeline.settings import SettingsError, load_installation, load_settings, load_stores
from bl_pipeline.stores_file import CREDENTIAL_VARIABLES, read_stores_file

EXAMPLE = Path(__file__).parents[1] / "examples" / "stores.toml"
TWO = """
[bricks_uk]
timezone = "Europe/London"
daily_call_limit = 4000
call_reserve = 100
credentials = "BRICKS_UK"

[bricks_de]
credentials = "BRICKS_DE"
"""


@pytest.fixture
def file(isolated: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file with two stores, and the credentials of the first one."""
    file = tmp_path / "stores.toml"
    file.write_text(TWO)
    isolated.setenv("BL_STORES_FILE", str(file))
    for name in CREDENTIAL_VARIABLES:
        isolated.setenv(name.replace("BRICKLINK", "BRICKS_UK"), name.lower())
    return file


def refused(text: str, file: Path) -> list[str]:
    """What is said of a file with this text."""
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_stores()
    first, named, *lines = str(caught.value).splitlines()
    assert first == "Settings to correct:"
    assert named == f"  BL_STORES_FILE: {file} has to be corrected:"
    return [line.strip() for line in lines]


def test_each_store_has_what_its_table_says(file: Path) -> None:
    uk, de = (settings.store for settings in load_stores())
    assert (uk.key, uk.timezone, uk.budget) == ("bricks_uk", "Europe/London", Budget(4000, 100))
    assert uk.credentials == Credentials(*(name.lower() for name in CREDENTIAL_VARIABLES))
    # What a table leaves out is as for one store.
    assert (de.key, de.timezone, de.budget) == ("bricks_de", "UTC", Budget(5000, 250))
    assert de.credentials is None


def test_what_is_not_in_a_table_comes_from_the_installation(file: Path, isolated: pytest.MonkeyPatch) -> None:
    isolated.setenv("BL_TIMEZONE", "Europe/Berlin")
    isolated.setenv("BL_DAILY_CALL_LIMIT", "3000")
    uk, de = load_stores()
    assert (uk.bl_timezone, uk.bl_daily_call_limit) == ("Europe/London", 4000)
    assert (de.bl_timezone, de.bl_daily_call_limit) == ("Europe/Berlin", 3000)


def test_one_is_chosen_by_its_key(file: Path, isolated: pytest.MonkeyPatch) -> None:
    assert load_settings(bl_store="bricks_de").bl_store == "bricks_de"
    isolated.setenv("BL_STORE", "bricks_uk")
    assert load_settings().bl_timezone == "Europe/London"
    assert [settings.bl_store for settings in load_stores()] == ["bricks_uk", "bricks_de"]


def test_without_a_choice_the_stores_are_named(file: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == (
        "This installation has several stores: bricks_uk, bricks_de.\n"
        "Say which one, such as: --store bricks_uk; or set BL_STORE."
    )
    assert load_installation().bl_stores_file is not None


def test_a_store_that_is_not_in_the_file_is_refused(file: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(bl_store="bricks_us")
    assert str(caught.value) == f"There is no store bricks_us in {file}. Its stores are: bricks_uk, bricks_de."


def test_a_file_with_one_store_needs_no_choice(file: Path) -> None:
    file.write_text('[only]\ncredentials = "BRICKS_UK"\n')
    assert load_settings().bl_store == "only"


def test_the_store_that_was_the_only_one_keeps_its_variables(file: Path, isolated: pytest.MonkeyPatch) -> None:
    for name in CREDENTIAL_VARIABLES:
        isolated.setenv(name, "old")
    file.write_text(f'[main]\ncredentials = "BRICKLINK"\n{TWO}')
    assert load_settings(bl_store="main").store.credentials == Credentials("old", "old", "old", "old")
    assert load_settings(bl_store="bricks_de").store.credentials is None


def test_credentials_may_stand_in_the_env_file(file: Path) -> None:
    env_file = Path(".env")
    env_file.write_text("\n".join(f"{name.replace('BRICKLINK', 'BRICKS_DE')}=of_de" for name in CREDENTIAL_VARIABLES))
    settings = load_settings(bl_store="bricks_de")
    assert settings.store.credentials == Credentials("of_de", "of_de", "of_de", "of_de")
    assert settings.secrets_in_env_file() == [name.replace("BRICKLINK", "BRICKS_DE") for name in CREDENTIAL_VARIABLES]
    # As with one store: in capitals or not.
    env_file.write_text(env_file.read_text().lower())
    assert load_settings(bl_store="bricks_de").store.credentials == settings.store.credentials


def test_a_process_in_another_folder_has_the_same_stores(
    file: Path, isolated: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Planted: the table of one store as the environment of all."""
    isolated.chdir(file.parent)
    isolated.setenv("BL_STORES_FILE", file.name)
    before = load_stores()
    for name, value in before[0].as_environment().items():
        isolated.setenv(name, value)
    isolated.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert [settings.store for settings in load_stores()] == [settings.store for settings in before]
    assert load_settings().store == before[0].store


def test_files_are_looked_for_beside_the_file(file: Path) -> None:
    taxes = 'home_country = "GB"\nscheme = "none"\noss = false\nvat_source = "bricklink"\n'
    (file.parent / "uk.toml").write_text(taxes)
    file.write_text(f'[uk]\ncredentials = "UK"\ntax_file = "uk.toml"\n{TWO}')
    uk, *others = load_stores()
    assert uk.store.taxes is not None
    assert uk.store.taxes.home_country == "GB"
    assert [settings.store.taxes for settings in others] == [None, None]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it names no store: write a part such as [bricks_uk] for each"),
        ("timezone = 'UTC'", "timezone: every setting is of a store: write it below a line such as [bricks_uk]"),
        ("[a]", 'credentials: missing. With credentials = "BRICKS_UK" they are read from BRICKS_UK_CONSUMER_KEY, ...'),
        ("[a]\ncredentials = 'A'\ntimezon = 'UTC'", "[a] timezon: there is no such key; perhaps timezone"),
        ("[a]\ncredentials = 'A'\ntimezone = 'Berlin'", "[a] timezone: must be a time zone such as Europe/Berlin, "
         "America/New_York or UTC"),
        ("[a]\ncredentials = 'A'\ndaily_call_limit = '5000'",
         "[a] daily_call_limit: write a whole number without quotes"),
        ("[a]\ncredentials = 'A'\ndaily_call_limit = true",
         "[a] daily_call_limit: write a whole number without quotes"),
        ("[a]\ncredentials = 'A'\ndaily_call_limit = -1",
         "[a] daily_call_limit: Input should be greater than or equal to 0"),
        ("[a]\ncredentials = 'A'\ncall_reserve = 6000", "[a] BL_CALL_RESERVE must not be larger than "
         "BL_DAILY_CALL_LIMIT"),
        ("[a]\ncredentials = 'a b'", "[a] credentials: write what the names of the variables begin with, in capitals, "
         "such as BRICKS_UK"),
        ("[a]\ncredentials = 'A'\n[b]\ncredentials = 'A'",
         "[b] credentials: those of [a]; every store has credentials of its own"),
        ("['my shop']\ncredentials = 'A'",
         "[my shop]: a store's key has letters of a to z, digits and _, and begins with a letter"),
        ("[a]\ncredentials = 'A'\n[A]\ncredentials = 'B'",
         "[A]: there is [a] already; two keys differ in more than capitals"),
        ("[a]\ncredentials = 'A'\nconsumer_secret = 'x'", "[a] consumer_secret: there is no such key; there are "
         "timezone, credentials, "),
        ("[a]\ncredentials = 'A'\ntax_file = 'none.toml'", "none.toml cannot be read: No such file or directory"),
    ],
)  # fmt: skip
def test_faults_are_named(file: Path, text: str, said: str) -> None:
    assert any(said in line for line in refused(text, file))


def test_all_faults_of_all_stores_are_named_at_once(file: Path) -> None:
    lines = refused(f"{TWO}\n[c]\ncredentials = 'C'\ntimezone = 'x'\n[d]\ncredentials = 'D'\ncall_reserve = -1", file)
    assert [line.split(":")[0] for line in lines] == ["[c] timezone", "[d] call_reserve"]


def test_a_store_with_some_of_its_credentials_is_refused(file: Path, isolated: pytest.MonkeyPatch) -> None:
    isolated.setenv("BRICKS_DE_CONSUMER_KEY", "secret-value")
    lines = refused(TWO, file)
    assert lines == [
        "[bricks_de] of the four BRICKS_DE_ credentials these are not set: BRICKS_DE_CONSUMER_SECRET, "
        "BRICKS_DE_TOKEN_VALUE, BRICKS_DE_TOKEN_SECRET"
    ]


def test_the_credentials_of_another_store_are_refused(file: Path, isolated: pytest.MonkeyPatch) -> None:
    """Copied, and not changed. Planted: each store looked at alone."""
    for name in CREDENTIAL_VARIABLES:
        isolated.setenv(name.replace("BRICKLINK", "BRICKS_DE"), name.lower())
    lines = refused(TWO, file)
    assert lines == [
        "[bricks_de] BRICKS_DE_CONSUMER_KEY: it is the key of [bricks_uk]; every store has credentials of its own"
    ]


def test_what_windows_editors_write_is_read(file: Path) -> None:
    """A byte order mark and CRLF, here and in `.env`."""
    mark = b"\xef\xbb\xbf"
    file.write_bytes(mark + TWO.strip().replace("\n", "\r\n").encode())
    variables = [f"{name.replace('BRICKLINK', 'BRICKS_DE')}=of_de" for name in CREDENTIAL_VARIABLES]
    Path(".env").write_bytes(mark + "\r\n".join(variables).encode())
    uk, de = (settings.store for settings in load_stores())
    assert uk.timezone == "Europe/London"
    assert de.credentials == Credentials("of_de", "of_de", "of_de", "of_de")


def test_a_file_that_cannot_be_read_is_named(file: Path) -> None:
    file.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"BL_STORES_FILE: .* is not text in UTF-8"):
        load_settings()
    file.write_text("[a")
    with pytest.raises(SettingsError, match=r"BL_STORES_FILE: .* is no TOML"):
        load_settings()
    file.unlink()
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load_settings()


def test_a_secret_in_the_file_is_not_shown(file: Path) -> None:
    """Caught: the same text at two stores was quoted."""
    lines = refused('[a]\ncredentials = "open sesame"\n[b]\ncredentials = "open sesame"\ntoken = "open sesame"\n', file)
    assert len(lines) == 4
    assert "sesame" not in "".join(lines)


def test_no_secret_is_shown(file: Path) -> None:
    settings = load_stores()[0]
    assert "bricklink_token_secret" not in repr(settings).replace("bricklink_token_secret=SecretStr('**********')", "")


def test_the_example_is_right_also_with_what_is_left_out_in_it(file: Path) -> None:
    text = re.sub(r"^# (\w+ = )", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
    file.write_text(text)
    (file.parent / "taxes_de.toml").write_text((EXAMPLE.parent / "taxes.toml").read_text())
    uk, de = load_stores()
    assert (uk.bl_store, uk.bl_timezone, uk.bl_daily_call_limit) == ("bricks_uk", "Europe/London", 5000)
    assert (de.bl_datev_client, de.bl_messages, de.bl_feedback_days) == (1, "pending processing", 180)
    assert len(read_stores_file(EXAMPLE).tables) == 2

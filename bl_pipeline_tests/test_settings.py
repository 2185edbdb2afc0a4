"""Settings: read from the environment and a .env file, checked at once, with a message that says what to set."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import traceback
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from bl_pipeline.settings import SettingsError, default_home, load_settings
from bl_pipeline.stores_file import CREDENTIAL_VARIABLES

SECRET = "hunter2-do-not-show"


@pytest.fixture(autouse=True)
def _isolated(isolated: pytest.MonkeyPatch) -> None:
    """No variable is set, and there is no .env file."""


def test_defaults() -> None:
    settings = load_settings()

    assert settings.model_dump(exclude={"bl_home"}) == {
        "bricklink_consumer_key": None, "bricklink_consumer_secret": None, "bricklink_token_value": None,
        "bricklink_token_secret": None, "bricklink_api_url": "https://api.bricklink.com/api/store/v1",
        "bl_stores_file": None, "bl_store": "main", "bl_timezone": "UTC",
        "bl_tax_file": None, "bl_database_url": None, "bl_postgres_bin": None,
        "bl_datev_consultant": None, "bl_datev_client": None, "bl_datev_year_start": "01-01",
        "bl_datev_account_length": 4, "bl_notify_urls": None, "bl_log_format": "text",
        "bl_daily_call_limit": 5000, "bl_call_reserve": 250, "bl_rechecks_per_day": 240,
        "bl_messages": "", "bl_messages_days": 60, "bl_feedback": "", "bl_feedback_days": 180,
        "bl_max_parallel_requests": 4, "bl_request_timeout": 90, "bl_ui_hosts": "",
        "bl_executor": "in_process", "bl_celery_broker": None, "bl_run_history_days": 30,
        "bl_desk_token": None, "bl_desk_read_only": False,
    }  # fmt: skip
    assert settings.postgres_url is None
    assert settings.store.credentials is None


def test_home() -> None:
    home = Path("/var/lib/bl_pipeline") if os.geteuid() == 0 else Path.home() / ".bl_pipeline"
    assert default_home() == load_settings().bl_home == home


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("BRICKLINK_API_URL", "api.bricklink.com", "http:// or https://"),
        ("BRICKLINK_API_URL", "ftp://api.bricklink.com", "http:// or https://"),
        ("BRICKLINK_API_URL", "http://api.bricklink.com:99999/api", "Port out of range"),
        ("BRICKLINK_API_URL", "http://api.bricklink.com:0", "Port out of range"),
        ("BRICKLINK_API_URL", "https://api.bricklink.com/api?key=1", "without a query"),
        ("BRICKLINK_API_URL", "https://br\u00fccklink.example/api", "ASCII"),
        ("BRICKLINK_API_URL", "https://api.bricklink.com/a b", "without spaces"),
        ("BL_STORE", " ", "at least 1 character"),
        ("BL_DESK_TOKEN", "fifteen letters", "at least 16 characters"),
        ("BL_STORE", "x" * 101, "at most 100 characters"),
        ("BL_STORE", "a\x1bb", "no control characters"),
        ("BL_DATABASE_URL", f"mysql://me:{SECRET}@host/db", "postgresql://user:password@host"),
        ("BL_DATABASE_URL", f"postgresql://me:{SECRET}@host", "postgresql://user:password@host"),
        ("BL_DATABASE_URL", f"postgresql://me:{SECRET}@[host/db", "postgresql://user:password@host"),
        ("BL_DATABASE_URL", f"postgresql://me:{SECRET}@host:port/db", "postgresql://user:password@host"),
        ("BL_DATABASE_URL", f"postgresql://me:{SECRET}@host:99999/db", "postgresql://user:password@host"),
        # Caught: what came after it was left out, the port with it.
        ("BL_DATABASE_URL", f"postgresql://me:%00{SECRET}@host:1/db", "write %2500"),
        ("BL_DATABASE_URL", f"postgresql://me:my@{SECRET}@host:5432/db", "write @ as %40"),
        ("BL_DATABASE_URL", f"postgresql://me:{SECRET}@{SECRET}/{SECRET}@host/db", "write @ as %40"),
        ("BL_DATABASE_URL", f"postgresql://me:my/{SECRET}@host:5432/db", "/ as %2F"),
        ("BL_DATABASE_URL", f"postgresql://me:12/{SECRET}@host:5432/db", "/ as %2F"),
        ("BL_DATABASE_URL", f"postgresql://me:my#{SECRET}@host:5432/db", "# as %23"),
        ("BL_DATABASE_URL", f"postgresql://me:{SECRET}#@host:5432/db", "# as %23"),
        ("BL_DATABASE_URL", f"postgresql://me:my?{SECRET}@host:5432/db", "? as %3F"),
        ("BL_DATABASE_URL", f"postgresql://me:12/x?{SECRET}@host:5432/db", "? as %3F"),
        ("BL_DATABASE_URL", f"postgresql://me:my%{SECRET}@host:5432/db", "% as %25"),
        ("BL_DATABASE_URL", f"postgresql://me:12/x?{SECRET}=@host/db", "& as %26"),
        ("BL_DATABASE_URL", f"postgresql://me@host/db?password=my&{SECRET}=x", "& as %26"),
        (
            "BL_DATABASE_URL",
            f"postgresql://me:{SECRET}@host/db?sslmod=require",
            "'sslmod', which Postgres does not know; ",
        ),
        ("BL_DATABASE_URL", f"postgresql://me:{SECRET}@host/db?ssl=true", "the parameter 'ssl', which"),
        # Of psycopg itself and of libpq 18, neither of which Dagster's driver takes.
        ("BL_DATABASE_URL", f"postgresql://me:{SECRET}@host/db?autocommit=1", "the parameter 'autocommit'"),
        ("BL_DATABASE_URL", f"postgresql://me:{SECRET}@host/db?min_protocol_version=3.2", "'min_protocol_version'"),
        ("BL_DATABASE_URL", f"postgresql://me:{SECRET}@host/db?port=a", "host and port do not fit each other"),
        ("BL_DATABASE_URL", f"postgresql://me:{SECRET}/db", "postgresql://user:password@host"),
        ("BL_HOME", "~nobody-of-this-name/data", "home folder"),
        ("BL_DAILY_CALL_LIMIT", "many", "valid integer"),
        ("BL_DAILY_CALL_LIMIT", "-1", "greater than or equal to 0"),
        ("BL_DAILY_CALL_LIMIT", "1000001", "less than or equal to 1000000"),
        ("BL_DAILY_CALL_LIMIT", "9" * 50, "less than or equal to 1000000"),
        ("BL_CALL_RESERVE", "-1", "greater than or equal to 0"),
        ("BL_CALL_RESERVE", "1000001", "less than or equal to 1000000"),
        ("BL_CALL_RESERVE", "5001", "must not be larger than BL_DAILY_CALL_LIMIT"),
        ("BL_RECHECKS_PER_DAY", "-1", "greater than or equal to 0"),
        ("BL_RECHECKS_PER_DAY", "1000001", "less than or equal to 1000000"),
        ("BL_EXECUTOR", "dask", "should be 'in_process', 'multiprocess', 'celery' or 'k8s'"),
        ("BL_EXECUTOR", "celery", "needs BL_CELERY_BROKER, such as redis://"),
        ("BL_MAX_PARALLEL_REQUESTS", "0", "greater than or equal to 1"),
        ("BL_MAX_PARALLEL_REQUESTS", "33", "less than or equal to 32"),
        ("BL_REQUEST_TIMEOUT", "0", "greater than 0"),
        ("BL_REQUEST_TIMEOUT", "3600.1", "less than or equal to 3600"),
        ("BL_REQUEST_TIMEOUT", "1e300", "less than or equal to 3600"),
        ("BL_REQUEST_TIMEOUT", "nan", "finite number"),
        ("BL_REQUEST_TIMEOUT", "inf", "finite number"),
        ("BL_REQUEST_TIMEOUT", "soon", "valid number"),
        ("BL_TIMEZONE", "Mars/Olympus", "time zone"),
        ("BL_DATEV_CONSULTANT", "1000", "greater than or equal to 1001"),
        ("BL_DATEV_CONSULTANT", "10000000", "less than or equal to 9999999"),
        ("BL_DATEV_CLIENT", "0", "greater than or equal to 1"),
        ("BL_DATEV_CLIENT", "100000", "less than or equal to 99999"),
        ("BL_DATEV_YEAR_START", "1.7.", "the month and the day"),
        ("BL_DATEV_YEAR_START", "02-29", "the month and the day"),
        ("BL_DATEV_ACCOUNT_LENGTH", "3", "greater than or equal to 4"),
        ("BL_DATEV_ACCOUNT_LENGTH", "9", "less than or equal to 8"),
    ],
)
def test_a_bad_value_names_its_variable(
    variable: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as caught:
        load_settings()

    (headline, *lines) = str(caught.value).splitlines()
    assert headline == "Settings to correct:"
    assert len(lines) == 1
    assert variable in lines[0]
    assert reason in lines[0]
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None  # whose text would show the values
    assert caught.value.__suppress_context__


def test_all_that_is_wrong_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BL_CALL_RESERVE", "x")
    monkeypatch.setenv("BL_DAILY_CALL_LIMIT", "y")
    with pytest.raises(SettingsError, match=r"(?s)BL_DAILY_CALL_LIMIT.*BL_CALL_RESERVE"):
        load_settings()


@pytest.mark.parametrize("left_out", CREDENTIAL_VARIABLES)
def test_some_of_the_credentials_are_none(left_out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIAL_VARIABLES:
        monkeypatch.setenv(name, "" if name == left_out else SECRET)

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert left_out in str(caught.value)
    assert SECRET not in str(caught.value)


def test_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="BRICKLINK_TOKEN_SECRET") as caught:
        load_settings().store.known_credentials()
    assert "bl demo" in str(caught.value)

    for number, name in enumerate(CREDENTIAL_VARIABLES):
        monkeypatch.setenv(name, f" {SECRET}-{number}\n")
    settings = load_settings()

    assert astuple(settings.store.known_credentials()) == tuple(f"{SECRET}-{number}" for number in range(4))
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert SECRET not in shown


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_settings()
    for name in (*CREDENTIAL_VARIABLES, "BL_DATABASE_URL", "BL_DAILY_CALL_LIMIT", "BL_STORE"):
        monkeypatch.setenv(name, "")
    Path(".env").write_text("BL_TIMEZONE=\n")
    assert load_settings() == before
    assert load_settings().bl_daily_call_limit == 5000


def test_a_env_file_is_read_and_the_environment_goes_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(
        "# a comment\nBL_STORE=from-file\nBL_DAILY_CALL_LIMIT='700'\nexport BL_CALL_RESERVE=7\nSOMETHING_ELSE=1\n"
    )
    monkeypatch.setenv("BL_CALL_RESERVE", "8")

    settings = load_settings()

    assert (settings.bl_store, settings.bl_daily_call_limit, settings.bl_call_reserve) == ("from-file", 700, 8)
    assert load_settings(bl_store="given").bl_store == "given"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("BL_STROE=ours", "BL_STROE: there is no such setting; perhaps BL_STORE"),
        (f"BRICKLINK_TOKEN_VALU={SECRET}", "BRICKLINK_TOKEN_VALU: there is no such setting; perhaps BRICKLINK_TOKEN_"),
        (f"bl_zzzzzzzzzzzz={SECRET}", "BL_ZZZZZZZZZZZZ: there is no such setting"),
    ],
)
def test_a_name_misspelt_in_the_env_file_is_not_passed_over(line: str, message: str) -> None:
    Path(".env").write_text(f"bl_call_reserve=7\n{line}\n")

    with pytest.raises(SettingsError) as caught:
        load_settings()

    (headline, problem) = str(caught.value).splitlines()
    assert headline == "Settings to correct in .env:"
    assert problem.strip().startswith(message)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"BRICKLINK_TOKEN_SECRET: {SECRET}\n", [1]),
        ('BL_STORE="ours\n', [1]),
        (f"# mine\n\nBL_STORE=ours\nBRICKLINK_TOKEN_VALUE {SECRET}\nBL_STORE\n", [4, 5]),
    ],
)
def test_a_line_of_the_env_file_that_sets_nothing_is_named(
    text: str, lines: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    Path(".env").write_text(text)

    with pytest.raises(SettingsError) as caught:
        load_settings()

    (headline, *problems) = str(caught.value).splitlines()
    assert headline == "Settings to correct in .env:"
    assert problems == [f"  line {line}: write NAME=value" for line in lines]
    assert caplog.text == ""
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_comments_quotes_and_blank_lines_are_no_faults_of_the_env_file() -> None:
    Path(".env").write_text("\n# BL_STORE: x\nexport BL_STORE='ours'\nBL_TIMEZONE=\nOTHER=\"two\nlines\"\n")
    assert load_settings().bl_store == "ours"


def test_in_the_environment_such_a_name_may_be_another_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BL_STROE", "theirs")
    assert load_settings().bl_store == "main"


@pytest.mark.parametrize("wrong", ["a folder", "a link to nowhere/it", "symbolic links", "Permission denied"])
def test_an_env_file_that_cannot_be_read_is_named(wrong: str, tmp_path: Path) -> None:
    """Caught: a folder and a link that leads nowhere counted as no file, so the store was not connected."""
    env_file = Path(".env")
    if wrong == "a folder":
        env_file.mkdir()
    elif wrong == "Permission denied":
        env_file.write_text("BL_STORE=ours")
        env_file.chmod(0)
        tmp_path.chmod(0o755)
    else:
        env_file.symlink_to("nowhere/it" if "nowhere" in wrong else ".env")
    account = os.geteuid()
    try:
        if account == 0 and wrong == "Permission denied":
            os.seteuid(65534)  # root may read everything
        with pytest.raises(SettingsError) as caught:
            load_settings(bl_home="/nowhere")
    finally:
        os.seteuid(account)
    assert str(caught.value).startswith("The file .env in this folder cannot be read: ")
    assert wrong in str(caught.value)


def test_a_pipe_may_be_the_env_file() -> None:
    """A manager of secrets may write one. It is read once, as what is in it is gone then."""
    os.mkfifo(".env")
    writer = threading.Thread(target=Path(".env").write_text, args=("BL_STORE=ours\n",), daemon=True)
    writer.start()
    assert load_settings().bl_store == "ours"
    writer.join()


def test_an_env_file_that_is_no_text_is_named() -> None:
    Path(".env").write_bytes(f"BL_STORE={SECRET}\xff".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"\.env in this folder cannot be read") as caught:
        load_settings()
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_an_account_without_a_home_is_asked_to_set_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user is a number and no more."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    monkeypatch.setattr("os.getuid", lambda: 54321)
    with pytest.raises(SettingsError, match="BL_HOME"):
        load_settings()
    monkeypatch.setenv("BL_HOME", "/data")
    assert load_settings().bl_home == Path("/data")


def test_urls_are_tidied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRICKLINK_API_URL", "http://127.0.0.1:8080/api/store/v1/")
    monkeypatch.setenv("BL_DATABASE_URL", "postgresql://me:pw@host:5432/db")
    settings = load_settings()
    assert settings.bricklink_api_url == "http://127.0.0.1:8080/api/store/v1"
    assert settings.postgres_url == make_url("postgresql://me:pw@host:5432/db")


@pytest.mark.parametrize(
    ("written", "password", "host", "query"),
    [
        ("postgresql://me:p%40s%2Fs%23%3F%25@host:5432/db", "p@s/s#?%", "host", {}),
        ("postgres://me@host/db?sslmode=require", None, "host", {"sslmode": "require"}),
        ("postgres://me@h/db?application_name=me@host", None, "h", {"application_name": "me@host"}),
        ("postgres://me@h/db?host=a:1&host=b:2", None, "h", {"host": ("a:1", "b:2")}),
        ("postgresql://me:a:b@[::1]:5432/db", "a:b", "::1", {}),
        ("postgresql:///db?host=/run&application_name=a@b", None, None, {"host": "/run", "application_name": "a@b"}),
        ("postgresql://me@%2Frun%2Fpostgresql/db", None, None, {"host": "/run/postgresql"}),
    ],
)  # fmt: skip
def test_a_postgres_url_is_taken_apart(
    written: str, password: str | None, host: str | None, query: dict[str, str]
) -> None:
    url = load_settings(bl_database_url=written).postgres_url
    assert url
    assert (url.password, url.host, dict(url.query), url.database) == (password, host, query, "db")


def test_the_home_may_begin_with_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BL_HOME", "~/warehouse")
    assert load_settings().bl_home == Path.home() / "warehouse"
    monkeypatch.setenv("BL_HOME", "here")
    assert load_settings().bl_home == Path.cwd() / "here"


def test_another_process_gets_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a field that as_environment forgets."""
    values: dict[str, Any] = {name.lower(): f"{SECRET}-{name}" for name in CREDENTIAL_VARIABLES}
    settings = load_settings(
        **values, bl_store="ours", bl_database_url="postgresql://a:b@c/d", bl_home="home", bl_daily_call_limit=9,
        bl_call_reserve=1, bl_request_timeout=1.5, bl_timezone="Europe/Berlin",
    )  # fmt: skip
    Path(".env").write_text("BL_STORE=of-the-other-folder\n")
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)

    assert load_settings().model_dump() == settings.model_dump()


def test_a_bad_setting_shows_no_secret_in_a_traceback() -> None:
    """Through a whole process, as a user meets it."""
    environment = {**os.environ, "BL_DATABASE_URL": f"mysql://me:{SECRET}@host/db", "BRICKLINK_CONSUMER_KEY": SECRET}
    failed = subprocess.run(
        [sys.executable, "-c", "from bl_pipeline.settings import load_settings; load_settings()"],
        env=environment, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert "BL_DATABASE_URL" in failed.stderr
    assert SECRET not in failed.stderr

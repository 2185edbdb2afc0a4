"""Every setting of bl_pipeline: read from the environment and a `.env` file, checked once, here only."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from bl_pipeline.columns import AnswerKind, OrderGroup
from bl_pipeline.guard import host_name
from bl_pipeline.postgres_url import parse_postgres_url
from bl_pipeline.records import Budget, Credentials, OptionalPart

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

BRICKLINK_API_URL = "https://api.bricklink.com/api/store/v1"
CONSUMER_PAGE = "BrickLink's API consumer page (bricklink.com/v2/api/register_consumer.page)"
"""The page with the credentials, by the name that every message uses."""

CREDENTIAL_VARIABLES = (
    "BRICKLINK_CONSUMER_KEY",
    "BRICKLINK_CONSUMER_SECRET",
    "BRICKLINK_TOKEN_VALUE",
    "BRICKLINK_TOKEN_SECRET",
)

MOST_CALLS = 1_000_000
"""More API calls a day than BrickLink could answer: a larger number is a typing error."""

MOST_DAYS = 36_500

SHORTEST_TOKEN = 16
"""Characters of a token that nobody guesses."""

ENV_FILE = Path(".env")
"""In the working directory."""


class SettingsError(Exception):
    """A setting is missing or wrong; the message names the variable and says what to set."""


def default_home() -> Path:
    """The folder of embedded data if BL_HOME is not set."""
    if os.geteuid() == 0:
        # The server never runs as root, and its account cannot look into /root.
        return Path("/var/lib/bl_pipeline")
    try:
        return Path.home() / ".bl_pipeline"
    except RuntimeError:
        raise SettingsError("BL_HOME: this account has no home folder; set it to a folder for the data") from None


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL")
    if parts.port == 0:  # one that is no number, or too large, raises the ValueError itself
        raise ValueError("Port out of range 1-65535")
    if not value.isascii() or set(value) & set(" ?#"):
        # It would be signed in another form than it is sent.
        raise ValueError("must be a URL of ASCII characters, without spaces and without a query")
    return value.rstrip("/")


def _postgres_url(value: SecretStr) -> SecretStr:
    parse_postgres_url(value.get_secret_value())
    return value


def _no_placeholder(value: SecretStr | None) -> SecretStr | None:
    # The placeholder that our own instructions show instead of a value.
    return None if value is None or set(value.get_secret_value()) <= set(".\u2026") else value


def _long_enough(value: SecretStr | None) -> SecretStr | None:
    if value is not None and len(value.get_secret_value()) < SHORTEST_TOKEN:
        raise ValueError(f"must have at least {SHORTEST_TOKEN} characters, such as: openssl rand -hex 20")
    return value


def _store_key(value: str) -> str:
    if any(char < " " or char == "\x7f" for char in value):
        raise ValueError("must have no control characters")
    return value


def _absolute(value: Path) -> Path:
    try:
        return value.expanduser().absolute()
    except RuntimeError:
        raise ValueError("begins with the home folder of an account that is not there") from None


def _host_names(value: str) -> str:
    for name in value.split():
        if host_name(name) is None:
            raise ValueError(
                f"must be names as the browser's address bar shows them, with spaces between, such as "
                f"dagster.example.org or nas:8443; without http:// and without a path: {name!r} is none"
            )
    return value


def _groups(value: str) -> frozenset[OrderGroup]:
    words = value.lower().split()
    return frozenset(OrderGroup) if words == ["all"] else frozenset(map(OrderGroup, words))


def _order_groups(value: str) -> str:
    try:
        _groups(value)
    except ValueError:
        raise ValueError(f"must be all, or groups of orders with spaces between, of: {', '.join(OrderGroup)}") from None
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (LookupError, ValueError, OSError):
        raise ValueError("must be a time zone such as Europe/Berlin, America/New_York or UTC") from None
    return value


NO_CREDENTIALS = (
    f"The store's API credentials are not set: {', '.join(CREDENTIAL_VARIABLES)}.\n"
    f"Get them from {CONSUMER_PAGE}, and put them "
    "in the environment or in a file .env in this folder. To try without a store: bl demo"
)


_CONNECT = (
    "The store is not connected: its API credentials are not set.\n"
    "Put the four BRICKLINK_ values into .env, then: bl doctor. To try without a store: bl demo"
)


@dataclass(frozen=True, slots=True)
class Store:
    """What the settings say of one store; the rest of them is of the installation.

    `key` is the store in every table, `timezone` that of its days, `credentials` None if they are not set.
    `request_timeout` is in seconds.
    """

    key: str
    timezone: str
    credentials: Credentials | None
    budget: Budget
    rechecks_per_day: int
    optional_parts: tuple[OptionalPart, ...]
    parallel_requests: int
    request_timeout: float
    api_url: str

    def known_credentials(self) -> Credentials:
        """The credentials. Raises SettingsError, which says what to do, if they are not set."""
        if self.credentials is None:
            raise SettingsError(NO_CREDENTIALS)
        return self.credentials

    @property
    def first_step(self) -> str:
        """What a user reads of what to do if nothing of the store is stored yet."""
        return _CONNECT if self.credentials is None else "Fetch your sales with: bl sync"


class Settings(BaseModel):
    """All settings, checked. Field names are the variables' names in lower case.

    Times are in seconds, limits in API calls per rolling 24 hours.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, str_strip_whitespace=True)

    bricklink_consumer_key: Annotated[SecretStr | None, AfterValidator(_no_placeholder)] = None
    bricklink_consumer_secret: Annotated[SecretStr | None, AfterValidator(_no_placeholder)] = None
    bricklink_token_value: Annotated[SecretStr | None, AfterValidator(_no_placeholder)] = None
    bricklink_token_secret: Annotated[SecretStr | None, AfterValidator(_no_placeholder)] = None
    bricklink_api_url: Annotated[str, AfterValidator(_http_url)] = BRICKLINK_API_URL

    bl_store: Annotated[str, AfterValidator(_store_key)] = Field(default="main", min_length=1, max_length=100)
    bl_timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    bl_database_url: Annotated[SecretStr, AfterValidator(_postgres_url)] | None = None
    bl_home: Annotated[Path, AfterValidator(_absolute)] = Field(default_factory=default_home)
    bl_postgres_bin: Path | None = None

    bl_ui_hosts: Annotated[str, AfterValidator(_host_names)] = ""
    bl_desk_token: Annotated[SecretStr | None, AfterValidator(_long_enough)] = None
    bl_desk_read_only: bool = False

    bl_notify_urls: SecretStr | None = None

    bl_daily_call_limit: int = Field(default=5000, ge=0, le=MOST_CALLS)
    bl_call_reserve: int = Field(default=250, ge=0, le=MOST_CALLS)
    bl_rechecks_per_day: int = Field(default=240, ge=0, le=MOST_CALLS)
    bl_messages: Annotated[str, AfterValidator(_order_groups)] = ""
    bl_messages_days: int = Field(default=60, ge=1, le=MOST_DAYS)
    bl_feedback: Annotated[str, AfterValidator(_order_groups)] = ""
    bl_feedback_days: int = Field(default=180, ge=1, le=MOST_DAYS)
    bl_max_parallel_requests: int = Field(default=4, ge=1, le=32)
    bl_request_timeout: float = Field(default=90, gt=0, le=3600, allow_inf_nan=False)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.bl_call_reserve > self.bl_daily_call_limit:
            raise ValueError("BL_CALL_RESERVE must not be larger than BL_DAILY_CALL_LIMIT")
        missing = [name for name in CREDENTIAL_VARIABLES if getattr(self, name.lower()) is None]
        if missing and len(missing) < len(CREDENTIAL_VARIABLES):
            raise ValueError(f"of the four BRICKLINK_ credentials these are not set: {', '.join(missing)}")
        return self

    @property
    def store(self) -> Store:
        """The store of these settings."""
        values = [getattr(self, name.lower()) for name in CREDENTIAL_VARIABLES]
        return Store(
            key=self.bl_store,
            timezone=self.bl_timezone,
            credentials=None if None in values else Credentials(*(value.get_secret_value() for value in values)),
            budget=Budget(self.bl_daily_call_limit, self.bl_call_reserve),
            rechecks_per_day=self.bl_rechecks_per_day,
            optional_parts=tuple(
                OptionalPart(kind, groups, timedelta(days=days))
                for kind, words, days in (
                    (AnswerKind.MESSAGES, self.bl_messages, self.bl_messages_days),
                    (AnswerKind.FEEDBACK, self.bl_feedback, self.bl_feedback_days),
                )
                if (groups := _groups(words))
            ),
            parallel_requests=self.bl_max_parallel_requests,
            request_timeout=self.bl_request_timeout,
            api_url=self.bricklink_api_url,
        )

    @property
    def notify_urls(self) -> list[str]:
        """The addresses that messages are sent to."""
        return self.bl_notify_urls.get_secret_value().split() if self.bl_notify_urls else []

    @property
    def ui_hosts(self) -> list[str]:
        """The names, some with a port, under which a reverse proxy shows what `bl up` serves."""
        return self.bl_ui_hosts.split()

    @property
    def postgres_url(self) -> URL | None:
        """The warehouse's URL if one is set, else None for the embedded Postgres."""
        return parse_postgres_url(self.bl_database_url.get_secret_value()) if self.bl_database_url else None

    def secrets_in_env_file(self) -> list[str]:
        """Names of the variables that `.env` sets and whose values are secrets."""
        names = _of_fields(dotenv_values(ENV_FILE))
        return [name.upper() for name in names if isinstance(getattr(self, name), SecretStr)]

    def as_environment(self) -> dict[str, str]:
        """The variables that give a process in another folder these settings; an empty one counts as not set."""
        variables = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            is_set = value is not None and name in self.model_fields_set
            variables[name.upper()] = str(value) if is_set else ""
        return variables


def _of_file(file: Path) -> dict[str, str]:
    """The settings in a `.env`. Raises SettingsError for what is wrong in it, OSError and UnicodeDecodeError."""
    _check_file(file)
    variables = dotenv_values(file)
    _check_names(variables)
    return _of_fields(variables)


def _of_fields(variables: Mapping[str, str | None]) -> dict[str, str]:
    """Those of the variables that are settings, by the field's name: case does not count, and empty is not set."""
    return {name.lower(): value for name, value in variables.items() if value and name.lower() in Settings.model_fields}


def _check_file(file: Path) -> None:
    """Raise SettingsError for a `.env` that is no file, and for lines that set nothing; without what is in them."""
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        if file.is_symlink():
            raise _unreadable(f"it is a link to {file.readlink()}, and no file is there") from None
        return
    if stat.S_ISDIR(mode):
        raise _unreadable("it is a folder")
    if not stat.S_ISREG(mode):
        return  # a pipe can be read only once
    with file.open(encoding="utf-8") as lines:
        wrong = [
            f"line {line.original.line}: write NAME=value"
            for line in parse_stream(lines)
            if line.error or (line.key is not None and line.value is None)
        ]
    if wrong:
        raise SettingsError("Settings to correct in .env:\n  " + "\n  ".join(wrong))


def _unreadable(reason: str) -> SettingsError:
    return SettingsError(
        f"The file .env in this folder cannot be read: {reason}. Nothing was done.\n"
        "Make it a text file with lines NAME=value that this account can read, or move it away."
    )


def _check_names(names: Iterable[str]) -> None:
    # In the environment such names may be another program's; in our .env they are typing errors.
    known = {name.upper() for name in Settings.model_fields}
    lines = []
    for name in (name.upper() for name in names):
        if name.startswith(("BL_", "BRICKLINK_")) and name not in known:
            nearest = get_close_matches(name, known, n=1)
            lines.append(f"{name}: there is no such setting" + (f"; perhaps {nearest[0]}" if nearest else ""))
    if lines:
        raise SettingsError("Settings to correct in .env:\n  " + "\n  ".join(lines))


def load_settings(*, env_file: Path | None = ENV_FILE, **overrides: Any) -> Settings:
    """Read and check all settings: overrides, by the fields' names, before the environment, before the file.

    Raises SettingsError, one line per variable that has to be corrected.
    """
    # The parser would warn of the lines that we name.
    logging.getLogger("dotenv.main").setLevel(logging.ERROR)
    try:
        return Settings(**{**(_of_file(env_file) if env_file else {}), **_of_fields(os.environ), **overrides})
    except OSError as error:
        raise _unreadable(str(error.strerror)) from None
    except UnicodeDecodeError:
        raise _unreadable("it is not text in UTF-8") from None
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_input=False, include_url=False):
            reason = str(problem["msg"]).removeprefix("Value error, ")
            variable = ".".join(str(part).upper() for part in problem["loc"])
            lines.append(f"{variable}: {reason}" if variable else reason)
        raise SettingsError("Settings to correct:\n  " + "\n  ".join(lines)) from None

"""Every setting of bl_pipeline: read from the environment and a `.env` file, checked once, here only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    model_validator,
)

from bl_pipeline.columns import AnswerKind
from bl_pipeline.env_file import ENV_FILE, EnvFileError, check_names, read_env_file
from bl_pipeline.postgres_url import parse_postgres_url
from bl_pipeline.records import Budget, Credentials, OptionalPart
from bl_pipeline.setting_values import (
    absolute,
    database_url,
    groups,
    host_names,
    http_url,
    long_enough,
    month_and_day,
    no_placeholder,
    order_groups,
    store_key,
    tax_file,
    timezone,
)
from bl_pipeline.stores_file import CREDENTIAL_VARIABLES, StoresFile, field_of, read_stores_file
from bl_pipeline.tax_settings import TaxFile, TaxSettings
from bl_pipeline.toml_file import to_correct

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

BRICKLINK_API_URL = "https://api.bricklink.com/api/store/v1"
CONSUMER_PAGE = "BrickLink's API consumer page (bricklink.com/v2/api/register_consumer.page)"
"""The page with the credentials, by the name that every message uses."""

MOST_CALLS = 1_000_000
"""More API calls a day than BrickLink could answer: a larger number is a typing error."""

MOST_DAYS = 36_500


class Executor(StrEnum):
    """Where the steps of a run of Dagster are done."""

    IN_PROCESS = "in_process"
    MULTIPROCESS = "multiprocess"
    CELERY = "celery"
    K8S = "k8s"


class LogFormat(StrEnum):
    """How what is logged looks."""

    TEXT = "text"
    JSON = "json"


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


@dataclass(frozen=True, slots=True)
class Store:
    """What the settings say of one store; the rest of them is of the installation.

    `key` is the store in every table, `timezone` that of its days, `credentials` and `taxes` None if they are not set.
    `request_timeout` is in seconds, `credential_variables` are the names of the variables that have the credentials.
    `place`, from 0, is its place among the `stores` of the installation.
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
    taxes: TaxSettings | None
    credential_variables: tuple[str, ...] = CREDENTIAL_VARIABLES
    place: int = 0
    stores: int = 1

    def known_credentials(self) -> Credentials:
        """The credentials. Raises SettingsError, which says what to do, if they are not set."""
        if self.credentials is None:
            raise SettingsError(self.no_credentials)
        return self.credentials

    @property
    def no_credentials(self) -> str:
        """What a user reads if the credentials are not set."""
        return (
            f"The store's API credentials are not set: {', '.join(self.credential_variables)}.\n"
            f"Get them from {CONSUMER_PAGE}, and put them "
            "in the environment or in a file .env in this folder. To try without a store: bl demo"
        )

    def command(self, words: str) -> str:
        """A command of `bl` about this store, as a user types it: the store is named if there are several."""
        return f"bl {words} --store {self.key}" if self.stores > 1 else f"bl {words}"

    @property
    def first_step(self) -> str:
        """What a user reads of what to do if nothing of the store is stored yet."""
        if self.credentials is not None:
            return f"Fetch your sales with: {self.command('sync')}"
        prefix = self.credential_variables[0].removesuffix("CONSUMER_KEY")
        return (
            "The store is not connected: its API credentials are not set.\n"
            f"Put the four {prefix} values into .env, then: {self.command('doctor')}. To try without a store: bl demo"
        )


class Settings(BaseModel):
    """All settings, checked: those of the installation, and those of one of its stores.

    Field names are the variables' names in lower case. Times are in seconds, limits in API calls per rolling 24 hours.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, str_strip_whitespace=True)

    bricklink_consumer_key: Annotated[SecretStr | None, AfterValidator(no_placeholder)] = None
    bricklink_consumer_secret: Annotated[SecretStr | None, AfterValidator(no_placeholder)] = None
    bricklink_token_value: Annotated[SecretStr | None, AfterValidator(no_placeholder)] = None
    bricklink_token_secret: Annotated[SecretStr | None, AfterValidator(no_placeholder)] = None
    bricklink_api_url: Annotated[str, AfterValidator(http_url)] = BRICKLINK_API_URL

    bl_stores_file: StoresFile | None = None
    bl_store: Annotated[str, AfterValidator(store_key)] = Field(default="main", min_length=1, max_length=100)
    bl_timezone: Annotated[str, AfterValidator(timezone)] = "UTC"
    bl_tax_file: Annotated[TaxFile | None, BeforeValidator(tax_file)] = None
    bl_database_url: Annotated[SecretStr, AfterValidator(database_url)] | None = None
    bl_home: Annotated[Path, AfterValidator(absolute)] = Field(default_factory=default_home)
    bl_postgres_bin: Path | None = None

    bl_executor: Executor = Executor.IN_PROCESS
    bl_celery_broker: SecretStr | None = None
    bl_run_history_days: int = Field(default=30, ge=1, le=MOST_DAYS)

    bl_ui_hosts: Annotated[str, AfterValidator(host_names)] = ""
    bl_desk_token: Annotated[SecretStr | None, AfterValidator(long_enough)] = None
    bl_desk_read_only: bool = False

    bl_datev_consultant: int | None = Field(default=None, ge=1001, le=9_999_999)
    bl_datev_client: int | None = Field(default=None, ge=1, le=99_999)
    bl_datev_year_start: Annotated[str, AfterValidator(month_and_day)] = "01-01"
    bl_datev_account_length: int = Field(default=4, ge=4, le=8)

    bl_notify_urls: SecretStr | None = None
    bl_log_format: LogFormat = LogFormat.TEXT

    bl_daily_call_limit: int = Field(default=5000, ge=0, le=MOST_CALLS)
    bl_call_reserve: int = Field(default=250, ge=0, le=MOST_CALLS)
    bl_rechecks_per_day: int = Field(default=240, ge=0, le=MOST_CALLS)
    bl_messages: Annotated[str, AfterValidator(order_groups)] = ""
    bl_messages_days: int = Field(default=60, ge=1, le=MOST_DAYS)
    bl_feedback: Annotated[str, AfterValidator(order_groups)] = ""
    bl_feedback_days: int = Field(default=180, ge=1, le=MOST_DAYS)
    bl_max_parallel_requests: int = Field(default=4, ge=1, le=32)
    bl_request_timeout: float = Field(default=90, gt=0, le=3600, allow_inf_nan=False)

    _installation: Self | None = PrivateAttr(None)
    _credentials_of_stores: dict[str, SecretStr] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.bl_call_reserve > self.bl_daily_call_limit:
            raise ValueError("BL_CALL_RESERVE must not be larger than BL_DAILY_CALL_LIMIT")
        if self.bl_executor is Executor.CELERY and self.bl_celery_broker is None:
            raise ValueError("BL_EXECUTOR=celery needs BL_CELERY_BROKER, such as redis://localhost:6379/0")
        values = [getattr(self, name.lower()) for name in CREDENTIAL_VARIABLES]
        missing = [name for name, value in zip(self.credential_variables, values, strict=True) if value is None]
        if missing and len(missing) < len(values):
            prefix = self.credential_variables[0].removesuffix("CONSUMER_KEY")
            raise ValueError(f"of the four {prefix} credentials these are not set: {', '.join(missing)}")
        return self

    @property
    def credential_variables(self) -> tuple[str, ...]:
        """The names of the variables that have the store's four credentials."""
        if self.bl_stores_file and self.bl_store in self.bl_stores_file.tables:
            return self.bl_stores_file.credential_variables(self.bl_store)
        return CREDENTIAL_VARIABLES

    @property
    def store(self) -> Store:
        """The store of these settings."""
        values = [getattr(self, name.lower()) for name in CREDENTIAL_VARIABLES]
        stores = list(self.bl_stores_file.tables) if self.bl_stores_file else [self.bl_store]
        return Store(
            key=self.bl_store,
            timezone=self.bl_timezone,
            credentials=None if None in values else Credentials(*(value.get_secret_value() for value in values)),
            budget=Budget(self.bl_daily_call_limit, self.bl_call_reserve),
            rechecks_per_day=self.bl_rechecks_per_day,
            optional_parts=tuple(
                OptionalPart(kind, about, timedelta(days=days))
                for kind, words, days in (
                    (AnswerKind.MESSAGES, self.bl_messages, self.bl_messages_days),
                    (AnswerKind.FEEDBACK, self.bl_feedback, self.bl_feedback_days),
                )
                if (about := groups(words))
            ),
            parallel_requests=self.bl_max_parallel_requests,
            request_timeout=self.bl_request_timeout,
            api_url=self.bricklink_api_url,
            taxes=self.bl_tax_file.settings if self.bl_tax_file else None,
            credential_variables=self.credential_variables,
            place=stores.index(self.bl_store) if self.bl_store in stores else 0,
            stores=len(stores),
        )

    @property
    def only_store(self) -> str | None:
        """The key of the store, if the installation has only one."""
        return None if self.bl_stores_file else self.bl_store

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

    @property
    def secrets(self) -> list[SecretStr]:
        """Every secret in them, the credentials of all stores too."""
        values = [getattr(self, name) for name in type(self).model_fields]
        return [value for value in (*values, *self._credentials_of_stores.values()) if isinstance(value, SecretStr)]

    def secrets_in_env_file(self) -> list[str]:
        """Names of the variables that `.env` sets and whose values are secrets."""
        names = {name.upper() for name, value in read_env_file(ENV_FILE).items() if value}
        secrets = [name.upper() for name in type(self).model_fields if isinstance(getattr(self, name), SecretStr)]
        return [name for name in (*secrets, *self._credentials_of_stores) if name in names]

    def as_environment(self) -> dict[str, str]:
        """The variables that give a process in another folder these settings; an empty one counts as not set."""
        variables = {}
        # What the table of a store says is no setting of the other stores.
        given = self._installation or self
        for name in type(self).model_fields:
            value = getattr(given, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            is_set = value is not None and name in given.model_fields_set
            variables[name.upper()] = str(value) if is_set else ""
        variables |= {name: value.get_secret_value() for name, value in self._credentials_of_stores.items()}
        return variables if given is self else {**variables, "BL_STORE": self.bl_store}


def load_settings(*, env_file: Path | None = ENV_FILE, **overrides: Any) -> Settings:
    """The settings of one store, checked: overrides, by the fields' names, before the environment, before the file.

    With several stores, BL_STORE says which. Raises SettingsError, one line per variable that has to be corrected.
    """
    installation, stores = _load(env_file, overrides)
    if not stores:
        return installation
    key = installation.bl_store if "bl_store" in installation.model_fields_set else None
    if key is None and len(stores) == 1:
        return stores[0]
    for settings in stores:
        if settings.bl_store == key:
            return settings
    names = ", ".join(settings.bl_store for settings in stores)
    if key is None:
        raise SettingsError(
            f"This installation has several stores: {names}.\n"
            f"Say which one, such as: --store {stores[0].bl_store}; or set BL_STORE."
        )
    raise SettingsError(f"There is no store {key} in {installation.bl_stores_file}. Its stores are: {names}.")


def load_stores(*, env_file: Path | None = ENV_FILE, **overrides: Any) -> list[Settings]:
    """The settings of each store, one or several. Raises SettingsError."""
    installation, stores = _load(env_file, overrides)
    return stores or [installation]


def load_installation(*, env_file: Path | None = ENV_FILE, **overrides: Any) -> Settings:
    """The settings for what is about no store, such as a backup of all; `bl_store` is any. Raises SettingsError."""
    return _load(env_file, overrides)[0]


def _load(env_file: Path | None, overrides: Mapping[str, Any]) -> tuple[Settings, list[Settings]]:
    """The settings of the installation, and with BL_STORES_FILE those of each store in it."""
    try:
        written = read_env_file(env_file) if env_file else {}
        variables = {name.upper(): value for name, value in [*written.items(), *os.environ.items()] if value}
        values = {**_of_fields(written), **_of_fields(os.environ), **overrides}
        file = _read_stores_file(values.get("bl_stores_file"))
        names = [name for store in file.tables for name in file.credential_variables(store)] if file else []
        check_names(written, {*names, *(name.upper() for name in Settings.model_fields)})
    except EnvFileError as error:
        raise SettingsError(str(error)) from None
    values["bl_stores_file"] = file
    try:
        installation = Settings(**values)
    except ValidationError as error:
        raise SettingsError("Settings to correct:\n  " + "\n  ".join(_lines(error, {}))) from None
    installation._credentials_of_stores = {
        name: SecretStr(variables[name.upper()]) for name in names if name.upper() in variables
    }
    return installation, _stores(installation, values, overrides) if file else []


def _stores(installation: Settings, values: Mapping[str, Any], overrides: Mapping[str, Any]) -> list[Settings]:
    """The settings of each store of the file; its own come first. Raises SettingsError with every fault."""
    file = installation.bl_stores_file
    assert file is not None
    stores, wrong = [], []
    of_key: dict[str, str] = {}
    for store in file.tables:
        of_table, variables = file.fields(store), file.credential_variables(store)
        secrets = {
            field.lower(): installation._credentials_of_stores.get(name)
            for field, name in zip(CREDENTIAL_VARIABLES, variables, strict=True)
        }
        try:
            settings = Settings(
                **{**values, **secrets, **of_table, **overrides, "bl_store": store, "bl_stores_file": file}
            )
        except ValidationError as error:
            written = {field_of(key): key for key in file.tables[store]} | dict(zip(secrets, variables, strict=True))
            wrong += [f"[{store}] {line}" for line in _lines(error, written)]
            continue
        settings._installation = installation
        settings._credentials_of_stores = installation._credentials_of_stores
        stores.append(settings)
        if known := settings.store.credentials:
            other = of_key.setdefault(known.consumer_key, store)
            if other != store:
                wrong.append(
                    f"[{store}] {variables[0]}: it is the key of [{other}]; every store has credentials of its own"
                )
    if wrong:
        raise SettingsError(f"Settings to correct:\n  BL_STORES_FILE: {to_correct(file.path, wrong)}")
    return stores


def _read_stores_file(path: str | None) -> StoresFile | None:
    try:
        return read_stores_file(absolute(Path(path.strip()))) if path else None
    except ValueError as error:
        raise SettingsError(f"Settings to correct:\n  BL_STORES_FILE: {error}") from None


def _of_fields(variables: Mapping[str, str | None]) -> dict[str, Any]:
    """Those of the variables that are settings, by the field's name: case does not count, and empty is not set."""
    return {name.lower(): value for name, value in variables.items() if value and name.lower() in Settings.model_fields}


def _lines(error: ValidationError, written: Mapping[str, str]) -> list[str]:
    """A line for each thing to correct; `written` is how the user has named a field, if not as the variable."""
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        reason = str(problem["msg"]).removeprefix("Value error, ")
        field = ".".join(map(str, problem["loc"]))
        lines.append(f"{written.get(field, field.upper())}: {reason}" if field else reason)
    return lines

"""How the value of each setting is checked: what raises ValueError says what to write."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from bl_pipeline.columns import OrderGroup
from bl_pipeline.guard import host_name
from bl_pipeline.postgres_url import parse_postgres_url
from bl_pipeline.tax_settings import TaxFile, read_tax_settings

SHORTEST_TOKEN = 16
"""Characters of a token that nobody guesses."""


def http_url(value: str) -> str:
    """The base URL of an API."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL")
    if parts.port == 0:  # one that is no number, or too large, raises the ValueError itself
        raise ValueError("Port out of range 1-65535")
    if not value.isascii() or set(value) & set(" ?#"):
        # It would be signed in another form than it is sent.
        raise ValueError("must be a URL of ASCII characters, without spaces and without a query")
    return value.rstrip("/")


def database_url(value: SecretStr) -> SecretStr:
    """A URL of a Postgres that can be parsed."""
    parse_postgres_url(value.get_secret_value())
    return value


def no_placeholder(value: SecretStr | None) -> SecretStr | None:
    """A secret; None for the placeholder that our own instructions show instead of a value."""
    return None if value is None or set(value.get_secret_value()) <= set(".\u2026") else value


def long_enough(value: SecretStr | None) -> SecretStr | None:
    """A token that nobody guesses."""
    if value is not None and len(value.get_secret_value()) < SHORTEST_TOKEN:
        raise ValueError(f"must have at least {SHORTEST_TOKEN} characters, such as: openssl rand -hex 20")
    return value


def store_key(value: str) -> str:
    """The key of a store."""
    if any(char < " " or char == "\x7f" for char in value):
        raise ValueError("must have no control characters")
    return value


def absolute(value: Path) -> Path:
    """A path that stays the same in another folder."""
    try:
        return value.expanduser().absolute()
    except RuntimeError:
        raise ValueError("begins with the home folder of an account that is not there") from None


def host_names(value: str) -> str:
    """Names of hosts, with spaces between."""
    for name in value.split():
        if host_name(name) is None:
            raise ValueError(
                f"must be names as the browser's address bar shows them, with spaces between, such as "
                f"dagster.example.org or nas:8443; without http:// and without a path: {name!r} is none"
            )
    return value


def groups(value: str) -> frozenset[OrderGroup]:
    """The groups of orders that are meant by `all`, or by their names."""
    words = value.lower().split()
    return frozenset(OrderGroup) if words == ["all"] else frozenset(map(OrderGroup, words))


def order_groups(value: str) -> str:
    """Groups of orders, or `all`."""
    try:
        groups(value)
    except ValueError:
        raise ValueError(f"must be all, or groups of orders with spaces between, of: {', '.join(OrderGroup)}") from None
    return value


def timezone(value: str) -> str:
    """The name of a time zone."""
    try:
        ZoneInfo(value)
    except (LookupError, ValueError, OSError):
        raise ValueError("must be a time zone such as Europe/Berlin, America/New_York or UTC") from None
    return value


def tax_file(value: str | TaxFile | None) -> TaxFile | None:
    """The tax settings in a file."""
    if not isinstance(value, str):
        return value
    path = absolute(Path(value.strip()))
    return TaxFile(path, read_tax_settings(path))


def month_and_day(value: str) -> str:
    """A day of the year, such as 01-01."""
    try:
        # Of no leap year: a business year does not begin on a day that most years lack.
        date.fromisoformat(f"2001-{value}")
    except ValueError:
        raise ValueError("must be the month and the day on which business years begin, such as 01-01") from None
    return value

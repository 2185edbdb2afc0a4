"""The stores of an installation with several: a TOML file with a table for each, whose name is the store's key.

What a table may have are the settings that are about one store; what it leaves out is as for one store. No secret is
in the file: `credentials` is what the names of four variables begin with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bl_pipeline.toml_file import no_such_key, read_toml, to_correct

CREDENTIAL_VARIABLES = (
    "BRICKLINK_CONSUMER_KEY",
    "BRICKLINK_CONSUMER_SECRET",
    "BRICKLINK_TOKEN_VALUE",
    "BRICKLINK_TOKEN_SECRET",
)
"""The variables of the only store."""

_ENDINGS = tuple(name.removeprefix("BRICKLINK") for name in CREDENTIAL_VARIABLES)
_PREFIX = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}", re.ASCII)

_KINDS: dict[str, type] = {
    "timezone": str,
    "credentials": str,
    "daily_call_limit": int,
    "call_reserve": int,
    "rechecks_per_day": int,
    "messages": str,
    "messages_days": int,
    "feedback": str,
    "feedback_days": int,
    "tax_file": str,
    "datev_consultant": int,
    "datev_client": int,
    "datev_year_start": str,
    "datev_account_length": int,
    "bricklink_api_url": str,
}
"""Key of a table → type of its value. Each but `credentials` is a setting of the same name."""

_WRITE = {str: "a text in quotes", int: "a whole number without quotes"}


@dataclass(frozen=True, slots=True)
class StoresFile:
    """The file that BL_STORES_FILE names, and what was in it when it was read: store → its table."""

    path: Path
    tables: Mapping[str, Mapping[str, Any]]

    def __str__(self) -> str:
        return str(self.path)

    def fields(self, store: str) -> dict[str, Any]:
        """The fields of the settings that a store's table sets; files are looked for beside this one."""
        values = {field_of(key): value for key, value in self.tables[store].items() if key != "credentials"}
        if "bl_tax_file" in values:
            values["bl_tax_file"] = str(self.path.parent / Path(values["bl_tax_file"]).expanduser())
        return values

    def credential_variables(self, store: str) -> tuple[str, ...]:
        """The names of a store's four credentials, in the order of CREDENTIAL_VARIABLES."""
        return tuple(self.tables[store]["credentials"] + ending for ending in _ENDINGS)


def field_of(key: str) -> str:
    """The field of the settings that a key of a table sets."""
    return key if key.startswith("bricklink_") else f"bl_{key}"


def read_stores_file(file: Path) -> StoresFile:
    """The stores in a file. Raises ValueError, whose message has a line for each thing to correct."""
    tables = read_toml(file, write="Write a part such as [bricks_uk] for each store")
    if wrong := list(_wrong(tables)):
        raise ValueError(to_correct(file, wrong))
    return StoresFile(file, tables)


def _wrong(tables: Mapping[str, Any]) -> Iterator[str]:
    if not tables:
        yield "it names no store: write a part such as [bricks_uk] for each"
    prefixes: dict[str, str] = {}
    lower: dict[str, str] = {}
    for store, table in tables.items():
        if not isinstance(table, dict):
            yield f"{store}: every setting is of a store: write it below a line such as [bricks_uk]"
            continue
        place = f"[{store}]"
        if _KEY.fullmatch(store) is None:
            yield f"{place}: a store's key has letters of a to z, digits and _, and begins with a letter"
        elif lower.setdefault(store.lower(), store) != store:
            yield f"{place}: there is [{lower[store.lower()]}] already; two keys differ in more than capitals"
        yield from (f"{place} {problem}" for problem in _wrong_values(table))
        prefix = table.get("credentials")
        if isinstance(prefix, str) and prefixes.setdefault(prefix, store) != store:
            # Not quoted: it may be a secret.
            yield f"{place} credentials: those of [{prefixes[prefix]}]; every store has credentials of its own"


def _wrong_values(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if key not in _KINDS:
            yield no_such_key(key, _KINDS)
        elif type(value) is not _KINDS[key]:
            yield f"{key}: write {_WRITE[_KINDS[key]]}"
    prefix = table.get("credentials")
    if prefix is None:
        yield 'credentials: missing. With credentials = "BRICKS_UK" they are read from BRICKS_UK_CONSUMER_KEY, ...'
    elif isinstance(prefix, str) and _PREFIX.fullmatch(prefix) is None:
        yield "credentials: write what the names of the variables begin with, in capitals, such as BRICKS_UK"

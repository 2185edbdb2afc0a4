"""A TOML file that the user writes: read, or refused with a line for each thing to correct."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any


def read_toml(file: Path, *, write: str) -> dict[str, Any]:
    """What is in the file, numbers with a point as Decimal. Raises ValueError; `write` says how to write the file."""
    try:
        # Some editors put a byte order mark before the text.
        return tomllib.loads(file.read_text(encoding="utf-8-sig"), parse_float=Decimal)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not text in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file} is no TOML: {error}. {write}") from None


def to_correct(file: Path, lines: Iterable[str]) -> str:
    """What a user reads of a file with faults."""
    return f"{file} has to be corrected:\n" + "\n".join(f"    {line}" for line in lines)


def no_such_key(key: str, known: Iterable[str]) -> str:
    """What a user reads of a key that is none of these."""
    known = list(known)
    nearest = get_close_matches(key, known, n=1)
    return f"{key}: there is no such key; " + (f"perhaps {nearest[0]}" if nearest else f"there are {', '.join(known)}")

"""The file `.env` in the working directory: its variables, or what has to be corrected in it."""

from __future__ import annotations

import logging
import stat
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

ENV_FILE = Path(".env")
"""In the working directory."""


class EnvFileError(Exception):
    """The file cannot be used; the message says what to do, and quotes nothing of it."""


def read_env_file(file: Path) -> Mapping[str, str | None]:
    """The variables of a `.env`; none if there is no such file. Raises EnvFileError."""
    # The parser would warn of the lines that we name.
    logging.getLogger("dotenv.main").setLevel(logging.ERROR)
    try:
        _check_file(file)
        return dotenv_values(file)
    except OSError as error:
        raise _unreadable(str(error.strerror)) from None
    except UnicodeDecodeError:
        raise _unreadable("it is not text in UTF-8") from None


def check_names(names: Collection[str], known: Collection[str]) -> None:
    """Raise EnvFileError for names in `.env` that look like settings, and are none of these."""
    # In the environment such names may be another program's; in our .env they are typing errors.
    lines = []
    for name in (name.upper() for name in names):
        if name.startswith(("BL_", "BRICKLINK_")) and name not in known:
            nearest = get_close_matches(name, known, n=1)
            lines.append(f"{name}: there is no such setting" + (f"; perhaps {nearest[0]}" if nearest else ""))
    if lines:
        raise _to_correct(lines)


def _check_file(file: Path) -> None:
    """Raise EnvFileError for a `.env` that is no file, and for lines that set nothing; without what is in them."""
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
        raise _to_correct(wrong)


def _to_correct(lines: list[str]) -> EnvFileError:
    return EnvFileError("Settings to correct in .env:\n  " + "\n  ".join(lines))


def _unreadable(reason: str) -> EnvFileError:
    return EnvFileError(
        f"The file .env in this folder cannot be read: {reason}. Nothing was done.\n"
        "Make it a text file with lines NAME=value that this account can read, or move it away."
    )

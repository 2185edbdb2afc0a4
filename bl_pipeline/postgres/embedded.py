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
import pwd
import secrets
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from bl_pipeline.postgres import keeper
from bl_pipeline.postgres.binaries import OLDEST, WHEEL, install_advice, installed, major, run_as, version_of
from bl_pipeline.postgres.keeper import HOST, NAME, Account, Cluster, FileLock

UNPRIVILEGED = "nobody"
START_TIMEOUT = 120.0  # recovery after a crash may take a while; a start that fails is noticed at once
ELSEWHERE = "set BL_DATABASE_URL to a Postgres of your own"


class EmbeddedPostgresError(Exception):
    """The embedded Postgres cannot run; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Lease:
    """A use of the server of a home: the server runs until this is closed or this process ends."""

    url: str = field(repr=False)  # has the password in it
    _lock: FileLock = field(repr=False, compare=False)

    def close(self) -> None:
        """End this use of the server; a second call does nothing."""
        _held.discard(self._lock)
        self._lock.close()

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_held: set[FileLock] = set()


def _forget_leases() -> None:
    for lock in _held:
        lock.close()
    _held.clear()


# A forked child shares the open file, and so the lock: it would keep the server after its parent's death.
os.register_at_fork(after_in_child=_forget_leases)


def acquire(home: Path, *, binaries: Path | None = None) -> Lease:
    """Find the Postgres server of `home`, or start it, and take a lease on it.

    `binaries` is the folder of the programs `postgres` and `initdb`; without it they are looked for in the
    wheel that comes with bl_pipeline, then in the system.
    """
    try:
        root = home.expanduser().resolve() / "postgres"
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        cluster = Cluster(root)
        lock = cluster.lock("lease")
        _held.add(lock)
        try:
            lock.take(fcntl.LOCK_SH)
            return Lease(_start_or_find(cluster, binaries), lock)
        except BaseException:
            _held.discard(lock)
            lock.close()
            raise
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The embedded Postgres cannot work in {home}: {error}. "
            f"Set BL_HOME to a folder that this account can write, or {ELSEWHERE}."
        ) from error


def exists(home: Path) -> bool:
    """Whether the embedded Postgres of this home has been made."""
    return (Cluster(home.expanduser().resolve() / "postgres").data / "PG_VERSION").exists()


def wait_until_stopped(home: Path, timeout: float = 30.0) -> None:
    """After the last lease was closed, wait for the server's end; return at once if others have a lease."""
    cluster = Cluster(home.expanduser().resolve() / "postgres")
    if not cluster.root.exists():
        return
    lease = cluster.lock("lease")
    held_by_others = not lease.take(fcntl.LOCK_EX | fcntl.LOCK_NB)
    lease.close()
    until = time.monotonic() + timeout
    while not held_by_others and has_keeper(cluster) and time.monotonic() < until:
        time.sleep(0.05)


def _start_or_find(cluster: Cluster, binaries: Path | None) -> str:
    """The URL of a server that has just answered, and has a keeper."""
    start = cluster.lock("start")
    try:
        start.take(fcntl.LOCK_EX)
        return serve(cluster, binaries)
    finally:
        start.close()


def serve(cluster: Cluster, binaries: Path | None) -> str:
    """The same, for a caller that has a lease and the lock `start`."""
    deadline = time.monotonic() + START_TIMEOUT
    launched = False
    reason = "no answer"
    while time.monotonic() < deadline:
        if has_keeper(cluster):
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


def has_keeper(cluster: Cluster) -> bool:
    """Whether a process runs the server, or is about to."""
    lock = cluster.lock("keeper")
    try:
        return not lock.take(fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        lock.close()


def _open_database(cluster: Cluster) -> str:
    with cluster.connect() as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
            connection.execute(f"CREATE DATABASE {NAME}")
        return f"postgresql://{NAME}:{cluster.password.read_text()}@{HOST}:{connection.info.port}/{NAME}"


def _failure(cluster: Cluster, what: str) -> EmbeddedPostgresError:
    with suppress(OSError):
        tail = cluster.log.read_text(errors="replace").splitlines()[-15:]
        what = "\n  ".join([f"{what} Its log, {cluster.log}, ends with:", *tail])
    return EmbeddedPostgresError(f"{what}\nRepair what it names, or {ELSEWHERE}.")


def _launch(cluster: Cluster, binaries: Path | None) -> None:
    """Start a keeper, after everything that it needs is in place."""
    for leftover in cluster.root.glob("tmp-*"):  # of a start that was interrupted
        shutil.rmtree(leftover, ignore_errors=True)
    if cluster.upgraded.exists() and not cluster.data.exists():
        cluster.upgraded.rename(cluster.data)  # the last step of an upgrade that was interrupted before it
    account = _server_account(cluster)
    folder, version = _find_binaries(cluster, binaries)
    if account:
        folder = _readable_binaries(cluster, folder, version, account)
    if not cluster.data.exists():
        _initdb(cluster, folder, major(version), account)
    elif not cluster.password.exists():
        _renew_password(cluster, folder, account)
    # By path, and with -P: neither the package nor its neighbours are imported.
    command = [sys.executable, "-P", keeper.__file__, str(cluster.root), str(folder)]
    log = os.open(cluster.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        run_as(None, command + [str(number) for number in account or ()], output=log)
    finally:
        os.close(log)


def _renew_password(cluster: Cluster, folder: Path, account: Account | None) -> None:
    """Give the user a new password. This way needs no password: the owner of the data may do it."""
    password = secrets.token_urlsafe(24)
    done = run_as(
        account,
        [str(folder / "postgres"), "--single", "-j", "-D", str(cluster.data), "postgres"],
        typed=f"ALTER ROLE {NAME} PASSWORD '{password}';\n\n",
    )
    if done.returncode != 0 or "ERROR" in done.stdout:
        raise EmbeddedPostgresError(
            f"The password of the embedded Postgres, {cluster.password}, is gone, and a new one cannot be set. Nothing "
            f"else is lost: leave {cluster.data} as it is, and put the file back from a copy of its folder."
        )
    work = cluster.root / "tmp-password"
    work.touch(mode=0o600)
    work.write_text(password)
    work.rename(cluster.password)


def _server_account(cluster: Cluster) -> Account | None:
    """The account that runs the server: our own; for root the data's owner, for new data `nobody`."""
    if os.geteuid() != 0:
        return None
    if cluster.data.exists() and cluster.data.stat().st_uid != 0:
        owner = cluster.data.stat()
        account = (owner.st_uid, owner.st_gid)
    else:
        try:
            entry = pwd.getpwnam(UNPRIVILEGED)
        except KeyError:
            raise EmbeddedPostgresError(
                f"Root cannot run Postgres, and there is no account {UNPRIVILEGED!r} to run it as: "
                f"use an ordinary account, or {ELSEWHERE}."
            ) from None
        account = (entry.pw_uid, entry.pw_gid)
    for folder in (*reversed(cluster.root.parents), cluster.root):
        if _may_enter(folder, account):
            continue
        if folder not in (cluster.root, cluster.root.parent):
            raise EmbeddedPostgresError(
                f"Root cannot run Postgres, and the account it is to run as cannot enter {folder}: "
                f"set BL_HOME to a folder outside it, such as /var/lib/bl_pipeline."
            )
        folder.chmod(folder.stat().st_mode | 0o111)
    return account


def _may_enter(folder: Path, account: Account) -> bool:
    return run_as(account, ["/bin/sh", "-c", 'test -x "$1"', "sh", str(folder)]).returncode == 0


def _find_binaries(cluster: Cluster, setting: Path | None) -> tuple[Path, str]:
    """The folder of the first fitting binaries, and their version."""
    wanted = cluster.data_version()
    others = []
    for folder, version in installed(setting):
        if wanted in (None, major(version)):
            return folder, version
        others.append((folder, version))
    if others and wanted is not None:
        raise EmbeddedPostgresError(_other_version(cluster, wanted, setting, others))
    raise EmbeddedPostgresError(
        f"No PostgreSQL {OLDEST} or newer{f' in {setting}' if setting else ''}: install the package "
        f"{WHEEL[0].replace('_', '-')} or a system PostgreSQL, or {ELSEWHERE}."
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
        return f"{said}\nInstall PostgreSQL {wanted} again: make setup, or the package {WHEEL[0].replace('_', '-')}."
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


def _initdb(cluster: Cluster, folder: Path, release: int, account: Account | None) -> None:
    """Make the data and the password: in another place, then renamed, so they are complete or not there."""
    # Unicode letters in either case, sorted by code point. Before 17 that takes a locale of the system.
    builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    locales = [builtin] if release >= 17 else [["--locale=C.UTF-8"], ["--locale=C"]]
    work = Path(tempfile.mkdtemp(prefix="tmp-", dir=cluster.root))
    try:
        data, password = work / "data", work / "password"
        data.mkdir(mode=0o700)
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        if account:  # while initdb runs, it may enter the folder and owns what is in it
            work.chmod(0o711)
            os.chown(data, *account)
            os.chown(password, *account)
        for locale in locales:
            done = run_as(
                account,
                [
                    str(folder / "initdb"),
                    f"--pgdata={data}",
                    f"--username={NAME}",
                    f"--pwfile={password}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--data-checksums",
                    *locale,
                ],
            )
            if done.returncode == 0:
                break
        else:
            lines = "\n  ".join(done.stdout.splitlines()[-15:])
            raise EmbeddedPostgresError(
                f"The embedded Postgres cannot make its data in {cluster.root}:\n  {lines}\n"
                f"Repair what it names, or {ELSEWHERE}."
            )
        os.chown(password, os.geteuid(), os.getegid())
        password.rename(cluster.password)
        data.rename(cluster.data)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    descriptor = os.open(cluster.root, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # else a power failure could undo the rename, and the data would be removed as a leftover
    finally:
        os.close(descriptor)

"""The keeper of the embedded Postgres: a small process that runs the server while anyone has a lease.

`embedded.acquire` starts it, by file path, so that it imports only psycopg and is up at once. It

- stops the server, and ends, when nobody has the lease lock any more, or when the home folder is gone;
- starts the server again, on the same port, when it has died;
- takes over a server that a killed keeper left running.

It connects to the server to see whether it runs: its process id may be another process's by now.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.pq import PGconn, Ping

NAME = "bl_pipeline"  # of the database and of its user
HOST = "127.0.0.1"
TICK = 0.3  # seconds between two checks of the leases
GRACE = 1.0  # seconds a server runs after its last lease, so that the next command finds it running
GIVE_UP_AFTER = 4  # failed starts, if the server was never up
LOG_LIMIT = 5_000_000  # bytes; one older log is kept

Account = tuple[int, int]  # user id, group id

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


_AS_ACCOUNT = """
import os, sys
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[1]))
os.execv(sys.argv[3], sys.argv[3:])
"""


def as_account(account: Account | None, command: list[str]) -> list[str]:
    """The command, run as this account; unchanged if None. It begins with the program's full path.

    Not by subprocess' own `user`: that forks, and in a process with gRPC's threads, such as Dagster's, the child of a
    fork may crash before it runs the program.
    """
    if account is None:
        return command
    return [sys.executable, "-I", "-c", _AS_ACCOUNT, *(str(number) for number in account), *command]


class FileLock:
    """An flock: the kernel releases it when its process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Not inheritable, so that no program started later keeps the lock alive.
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    def take(self, mode: int) -> bool:
        """Lock; False if `mode` has LOCK_NB and another process has the lock."""
        try:
            fcntl.flock(self._fd, mode)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Unlock, and keep the file open."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def sign(self, holder: str) -> None:
        """Write into the file who has the lock, such as a process id, for people who look for it."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{holder}\n".encode(), 0)

    def is_in_place(self) -> bool:
        """Whether the path is still that of the file that is open here."""
        try:
            return os.path.samestat(os.fstat(self._fd), self._path.stat())
        except OSError:
            return False

    def close(self) -> None:
        """Unlock, once; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


@dataclass(frozen=True)
class Cluster:
    """The server of one home: all its files are in the folder `root`."""

    root: Path

    @property
    def data(self) -> Path:
        """Postgres' own folder."""
        return self.root / "data"

    @property
    def upgraded(self) -> Path:
        """What is to become `data`: whole, and of a newer version. It is there for a moment of an upgrade only."""
        return self.root / "upgraded"

    def data_version(self) -> int | None:
        """The major version of Postgres that the data are of; None if there are none yet."""
        try:
            return int((self.data / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None

    @property
    def password(self) -> Path:
        """The file with the generated password: for clients, not for the server's account."""
        return self.root / "password"

    @property
    def log(self) -> Path:
        """The log of the server and its keeper."""
        return self.root / "server.log"

    def lock(self, name: str) -> FileLock:
        """One of the locks: `lease`, `start` or `keeper`."""
        return FileLock(self.root / f"{name}.lock")

    def postmaster(self) -> tuple[int, int] | None:
        """Process id and port, as the last server wrote them at its start; it may not run any more."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return int(lines[0]), int(lines[3])
        except (OSError, ValueError, IndexError):
            return None

    def conninfo(self) -> dict[str, Any]:
        """How to reach the server, whatever PG* variables this process has."""
        noted = self.postmaster()
        return {
            "hostaddr": HOST,
            "host": HOST,
            "port": noted[1] if noted else 1,  # nobody listens on port 1
            "user": NAME,
            "dbname": "postgres",
            "connect_timeout": 5,
            "sslmode": "disable",
            "gssencmode": "disable",
            "options": "",
        }

    def connect(self) -> psycopg.Connection[Any]:
        """Connect to the server that runs on this data; psycopg.Error if there is none, or another's."""
        # SCRAM only: another program on the port may ask for the password in plain text, and does not get it.
        connection = psycopg.connect(
            **self.conninfo(),
            password=self.password.read_text(),
            require_auth="scram-sha-256",
            autocommit=True,
        )
        with suppress(OSError, psycopg.Error):
            reported = connection.execute("SELECT current_setting('data_directory')").fetchone()
            if reported and self.data.samefile(reported[0]):
                return connection
        connection.close()
        raise psycopg.OperationalError("the port is another server's")


class Keeper:
    """Runs the server while there are leases."""

    def __init__(self, cluster: Cluster, binaries: Path, account: Account | None) -> None:
        self._cluster = cluster
        self._binaries = binaries
        self._account = account
        self._connection: psycopg.Connection[Any] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._backends: list[int] = []
        self._was_up = False
        self._failures = 0
        self._next_start = 0.0

    def run(self) -> None:
        """Return when the last lease is gone and the server has stopped."""
        lease = self._cluster.lock("lease")
        idle_since: float | None = None
        try:
            while lease.is_in_place():
                if lease.take(fcntl.LOCK_EX | fcntl.LOCK_NB):
                    now = time.monotonic()
                    idle_since = now if idle_since is None else idle_since
                    if now - idle_since > GRACE:
                        return  # with the lock: a process that comes now waits until this one has ended
                    lease.release()
                else:
                    idle_since = None
                self._tend()
                self._limit_log()
        finally:
            self._stop(at_once=not lease.is_in_place())

    def _tend(self) -> None:
        """Watch the server for one tick, and start it again if it has died."""
        if self._connection is not None:
            try:
                # Readable at once when the server goes, so its end is noticed without waiting out the tick.
                select.select([self._connection.fileno()], [], [], TICK)
                rows = self._connection.execute("SELECT pid FROM pg_stat_activity").fetchall()
                self._backends = [pid for (pid,) in rows]
            except psycopg.Error:
                self._connection.close()
                self._connection = None
            return
        try:
            self._connection = self._cluster.connect()
        except (psycopg.Error, OSError):
            if time.monotonic() < self._next_start or (self._child and self._child.poll() is None):
                time.sleep(0.02)
            else:
                self._start()
        else:
            self._was_up = True
            self._failures = 0

    def _start(self) -> None:
        ping = PGconn.ping(psycopg.conninfo.make_conninfo(**self._cluster.conninfo()).encode())
        if ping == Ping.REJECT:  # a server is starting or stopping there: wait for it
            time.sleep(0.1)
            return
        if ping == Ping.NO_RESPONSE and self._backends:
            # The postmaster was killed. Those of its children that are busy notice only when they are done,
            # and no new server may start beside them. This is the signal a dying postmaster sends itself.
            for pid in self._backends:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGQUIT)
            self._backends = []
            time.sleep(0.1)
        if self._failures >= GIVE_UP_AFTER and not self._was_up:
            sys.exit()  # `acquire` reports what the log says
        self._failures += 1
        self._next_start = time.monotonic() + min(0.1 * 2**self._failures, 5.0)
        settings = {**SETTINGS, "port": str(self._port())}
        stale = self._cluster.postmaster()
        self._child = subprocess.Popen(  # noqa: S603  (the command is made of our own paths)
            as_account(
                self._account,
                [
                    str(self._binaries / "postgres"),
                    "-D",
                    str(self._cluster.data),
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
            ),
            stdin=subprocess.DEVNULL,
            # The id in postmaster.pid may by now be any process of ours, after a restart of a container most
            # likely is. This makes Postgres ignore it, and rely on its second guard, the shared memory.
            env={**os.environ, "PG_GRANDPARENT_PID": str(stale[0] if stale else 0)},
        )

    def _port(self) -> int:
        """The port of the last time if it is free, else a new one, which is stored."""
        note = self._cluster.root / "port"
        with suppress(OSError, ValueError):
            return _bind(int(note.read_text()))
        port = _bind(0)
        note.write_text(f"{port}\n")
        return port

    def _stop(self, *, at_once: bool) -> None:
        noted = self._cluster.postmaster()
        pid = None
        if self._child is not None and self._child.poll() is None:
            pid = self._child.pid
        elif self._connection is not None and noted:
            pid = noted[0]
        if self._connection is not None:
            self._connection.close()
        if pid is None:
            return
        for number, timeout in ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0)):
            if number == signal.SIGINT and at_once:
                continue  # without its folder it cannot stop in the usual way
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            if self._has_ended(pid, timeout):
                return

    def _has_ended(self, pid: int, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._child is not None and self._child.pid == pid:
                if self._child.poll() is not None:
                    return True
            elif (self._cluster.postmaster() or (0, 0))[0] != pid:
                return True  # it removes this file last
            time.sleep(0.02)
        return False

    def _limit_log(self) -> None:
        log = self._cluster.log
        with suppress(OSError):
            if log.stat().st_size > LOG_LIMIT:
                shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)  # the server goes on appending to the same file


def _bind(port: int) -> int:
    """This port, or any if it is 0, if it is free to listen on; OSError if not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        probe.listen()
        return int(probe.getsockname()[1])


def main(root: str, binaries: str, uid: str = "", gid: str = "") -> None:
    """Become the keeper of this cluster, in the background, unless it has one."""
    os.umask(0o077)
    cluster = Cluster(Path(root))
    lock = cluster.lock("keeper")
    # A process that looks for a keeper has the lock for a moment, too.
    until = time.monotonic() + 1.0
    while not lock.take(fcntl.LOCK_EX | fcntl.LOCK_NB):
        if time.monotonic() > until:
            return
        time.sleep(0.02)
    if child := os.fork():
        lock.sign(str(child))
        os._exit(0)  # the child keeps the lock, and our caller has no child to wait for
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    Keeper(cluster, Path(binaries), (int(uid), int(gid)) if uid else None).run()
    lock.close()  # before the lease, so that a new process never takes this one for a running keeper


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Checks of an embedded Postgres, and processes that have a lease on one."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

import psycopg
import pytest

from bl_pipeline.postgres.cluster import Cluster
from bl_pipeline.postgres.embedded import Lease
from bl_pipeline_tests.support.waiting import wait_until

HOLDER = """
import os, sys, time
from pathlib import Path
from bl_pipeline.postgres.embedded import acquire
lease = acquire(Path(sys.argv[1]))
{more}
print(lease.url, flush=True)
time.sleep(600)
"""


@contextmanager
def new_home() -> Iterator[Path]:
    """A home below /tmp, with a blank in its name, since pytest's folders are closed to root's server."""
    path = Path(tempfile.mkdtemp(prefix="bl pipeline test-"))
    yield path
    try:
        wait_until(lambda: is_stopped(path))
    finally:
        noted = cluster(path).postmaster()
        shutil.rmtree(path, ignore_errors=True)  # a keeper that should be gone by now ends with it
        if noted:
            with suppress(ProcessLookupError):
                os.kill(noted[0], signal.SIGQUIT)


@dataclass(frozen=True)
class ExternalPostgres:
    """A server that is none of ours, with its programs."""

    url: str
    folder: Path
    _run: Callable[..., None]
    _start: Sequence[str]

    def start(self) -> None:
        self._run("pg_ctl", *self._start)

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "stop", "--wait", f"--mode={mode}")


@contextmanager
def external_postgres() -> Iterator[ExternalPostgres]:
    """A running Postgres 15, as the system's packages install it."""
    binaries = Path("/usr/lib/postgresql/15/bin")
    if not binaries.exists():
        pytest.skip(f"no Postgres 15 in {binaries}")
    account = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    folder = Path(tempfile.mkdtemp(prefix="bl-pipeline-external-"))
    os.chown(folder, account, -1)
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        command = [str(binaries / program), "--pgdata", str(folder / "data"), *arguments]
        subprocess.run(command, user=account, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    options = f"-p {port} -c unix_socket_directories= -c fsync=off"
    start = ("start", "--wait", "--log", str(folder / "log"), "-o", options)
    server = ExternalPostgres(f"postgresql://postgres@127.0.0.1:{port}/postgres", folder, run, start)
    try:
        run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        server.start()
        try:
            yield server
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A disk of its own of this size; whoever is not allowed to mount one skips the test."""
    folder = Path(tempfile.mkdtemp(prefix="bl-pipeline-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(folder)]
    try:
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("no disk can be mounted here")
        try:
            yield folder
        finally:
            # A server that has just ended may be in it still.
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        shutil.rmtree(folder)


def fill(disk: Path, *, but: int = 0) -> Path:
    """Fill a disk but for so many bytes; the file that does it."""
    file = disk / "filled"
    with file.open("wb") as filler, suppress(OSError):
        filler.write(b"x" * (shutil.disk_usage(disk).free - but))
    return file


def cluster(home: Path) -> Cluster:
    return Cluster(home / "postgres")


def is_stopped(home: Path) -> bool:
    return not (home / "postgres").exists() or not (cluster(home).has_keeper() or cluster(home).postmaster())


def postmaster(home: Path) -> int:
    noted = cluster(home).postmaster()
    assert noted
    return noted[0]


def keeper(home: Path) -> int:
    return int((home / "postgres" / "keeper.lock").read_text())


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ask(lease: Lease, query: str) -> Any:
    with psycopg.connect(lease.url) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row and len(row) == 1 else row


def execute(lease: Lease, command: str) -> None:
    with psycopg.connect(lease.url) as connection:
        connection.execute(command.encode())


def answers(lease: Lease) -> bool:
    try:
        return bool(ask(lease, "SELECT 1") == 1)
    except psycopg.OperationalError:
        return False


def answers_at(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def lease_in_process(home: Path, more: str = "", *, start_new_session: bool = False) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER.format(more=more), str(home)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=start_new_session)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()

"""The files of the embedded Postgres of a home, and the locks that its processes use to agree.

It needs the standard library only: the keeper imports it, and has to be up at once.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Self

NAME = "bl_pipeline"  # of the database and of its user
HOST = "127.0.0.1"
START_TIMEOUT = 120.0  # seconds; recovery after a crash may take a while, a start that fails is noticed at once
ELSEWHERE = "set BL_DATABASE_URL to a Postgres of your own"  # the end of messages


class EmbeddedPostgresError(Exception):
    """The embedded Postgres cannot run; the message says what is wrong and what to do."""


class FileLock(FileIO):
    """An open file with an flock: the kernel releases it when its process dies, however it dies.

    Programs that are started do not inherit it, unless it is handed to them.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), "a+", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600))

    def take(self, mode: int) -> bool:
        """Lock; False if `mode` has LOCK_NB and another process has the lock."""
        try:
            fcntl.flock(self, mode)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Unlock, and keep the file open."""
        fcntl.flock(self, fcntl.LOCK_UN)

    def sign(self, holder: str) -> None:
        """Write into the file who has the lock, such as a process id, for people who look for it."""
        self.truncate(0)
        self.write(f"{holder}\n".encode())


@dataclass(frozen=True)
class Cluster:
    """The server of a home: all its files are in the folder `root`."""

    root: Path

    @classmethod
    def of(cls, home: Path) -> Self:
        """The one of this BL_HOME; nothing is made."""
        return cls(home.expanduser().resolve() / "postgres")

    @property
    def data(self) -> Path:
        """Postgres' own folder."""
        return self.root / "data"

    @property
    def upgraded(self) -> Path:
        """What is to become `data`: whole, and of a newer version. It is there for a moment of an upgrade only."""
        return self.root / "upgraded"

    @property
    def upgrade_lacks_last_step(self) -> bool:
        """Whether an upgrade was interrupted before its last step, so that `upgraded` is there and `data` is not."""
        return self.upgraded.exists() and not self.data.exists()

    @property
    def password(self) -> Path:
        """The file with the generated password: for clients, not for the server's account."""
        return self.root / "password"

    @property
    def log(self) -> Path:
        """The log of the server and its keeper."""
        return self.root / "server.log"

    def lock(self, name: str) -> FileLock:
        """One of the locks, each a file of its own.

        - `lease`: shared by all who use the server; the keeper takes it alone before it stops the server.
        - `start`: of the process that looks whether the server runs, and starts it.
        - `keeper`: of the keeper, while it runs.
        - `server`: of the server, inherited by each of its processes; while one is left, no other may be started.
        """
        return FileLock(self.root / f"{name}.lock")

    def has_keeper(self) -> bool:
        """Whether a process runs the server, or is about to."""
        with self.lock("keeper") as lock:
            return not lock.take(fcntl.LOCK_EX | fcntl.LOCK_NB)

    def data_version(self) -> int | None:
        """The major version of Postgres that the data are of; None if there are none yet.

        Raises EmbeddedPostgresError if there are data, and they do not say it.
        """
        data = self.upgraded if self.upgrade_lacks_last_step else self.data
        file = data / "PG_VERSION"
        try:
            return int(file.read_text())
        except FileNotFoundError:
            if not data.exists():
                return None
        except (ValueError, IsADirectoryError):
            pass
        raise EmbeddedPostgresError(
            f"The data of the embedded Postgres are damaged: {file} is missing, or is no version of Postgres. Nothing "
            f"was changed.\nPut back this file, which has a line such as 18. If more is damaged, move {data} to "
            "another place, and restore your last backup: bl restore FILE. Without a backup: bl sync"
        )

    def postmaster(self) -> tuple[int, int] | None:
        """Process id and port, as the last server wrote them at its start; it may not run any more."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return int(lines[0]), int(lines[3])
        except (OSError, ValueError, IndexError):
            return None

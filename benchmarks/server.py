"""The Postgres of the benchmarks: the embedded one with the product's own settings, in a folder that is removed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from benchmarks.processes import family
from bl_pipeline.postgres import embedded


@dataclass
class Server:
    """A running server: templates are made once, and databases are copies of them."""

    folder: Path
    url: str = field(repr=False)
    _templates: set[str] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def template(self, name: str, fill: Callable[[str], None], *, of: str = "template1") -> str:
        """The name of a template; `fill` gets the URL of a copy of the template `of` if it is not there yet."""
        if name not in self._templates:
            self._execute(f"CREATE DATABASE {name} TEMPLATE {of} STRATEGY FILE_COPY")
            fill(self._url_of(name))
            self._templates.add(name)
        return name

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """The URL of a new database, which is dropped at the end."""
        name = f"bench_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        try:
            yield self._url_of(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def settle(self) -> None:
        """Write out what earlier steps have left in memory, so that the next one does not pay for it."""
        self._execute("CHECKPOINT")

    def cpu_seconds(self) -> float:
        """The time that all its processes have had a processor, also those that have ended."""
        server = int((self.folder / "home" / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])
        ticks = 0
        for pid in family(server):
            with suppress(OSError):
                used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
                # Of a process that has ended, the server itself has it.
                ticks += sum(map(int, used if pid == server else used[:2]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def ask(self, question: LiteralString) -> Any:
        """One value of the server, such as a setting."""
        with psycopg.connect(self.url) as connection:
            row = connection.execute(question).fetchone()
        assert row is not None
        return row[0]

    def _url_of(self, name: str) -> str:
        return f"{self.url.rpartition('/')[0]}/{name}"

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def serve() -> Iterator[Server]:
    """A server in a new folder, which also has room for other files; both are gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="bl-pipeline-bench-"))
    folder.chmod(0o711)  # if root runs the benchmarks, Postgres has another account
    try:
        with embedded.acquire(folder / "home") as lease:
            yield Server(folder, lease.url)
    finally:
        until = time.monotonic() + 60
        while list(folder.glob("**/postmaster.pid")) and time.monotonic() < until:
            time.sleep(0.05)
        shutil.rmtree(folder, ignore_errors=True)

"""Programs of Postgres, such as pg_dump and psql: how they are run, and how they reach a database."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Program:
    """A running program."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors

    @property
    def stdin(self) -> IO[bytes]:
        """Its standard input, if it was asked for."""
        assert self._process.stdin
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Its standard output, if it was asked for."""
        assert self._process.stdout
        return self._process.stdout

    def write(self, text: str) -> None:
        """Give it this to read."""
        self.stdin.write(text.encode())
        self.stdin.flush()

    def wait(self) -> int:
        """Wait for its end; returns its exit code."""
        return self._process.wait()

    def complaint(self) -> str:
        """The first error that it named, in a line."""
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        return next((line for line in lines if "ERROR" in line or "error:" in line), lines[0] if lines else "no reason")


@contextmanager
def run_program(
    command: list[str],
    environment: Mapping[str, str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
) -> Iterator[Program]:
    """Run a program while the context is open; it ends with the context."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603  (the command is made of our own paths)
            command, env=dict(environment), stdin=stdin, stdout=stdout, stderr=errors
        )
        try:
            yield Program(process, errors)
        finally:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    with suppress(OSError):
                        pipe.close()
            process.wait()


def access(url: str) -> tuple[str, dict[str, str]]:
    """How a program reaches the database: for its command line, without a password, and its environment, with it."""
    parameters = conninfo_to_dict(url)
    password = parameters.pop("password", None)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BL_", "BRICKLINK_"))}
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    return make_conninfo("", **parameters), environment

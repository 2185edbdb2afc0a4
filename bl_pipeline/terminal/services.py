"""The processes that `bl up` is made of: started, watched, shown, and ended with `bl up`, however it ends."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, NoReturn, Self

from bl_pipeline.terminal import watcher

_POLL = 0.2
_LAST_LINES = 2.0  # seconds
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class ServiceEnded(Exception):
    """A service has ended though nobody asked it to; the message says which."""


class Services:
    """Processes, each in a group of its own, that end when the context is left or this process dies.

    What they and their own processes write is shown on standard error, each line in the form that `form` gives it.
    """

    def __init__(self, folder: Path, environment: dict[str, str], form: Callable[[str], str] | None = None) -> None:
        """They run in `folder` with these variables."""
        self._cwd = folder
        self._environment = environment
        self._form = form
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Start the watcher, and make the folder `private`, which is removed afterwards."""
        # Short, as the name of a Unix socket in it may have some hundred characters; nobody else may enter it.
        self.private = Path(tempfile.mkdtemp(prefix="bl-up-", dir="/tmp"))
        self._watcher = subprocess.Popen(  # noqa: S603  (the command is made of our own words)
            [sys.executable, "-I", watcher.__file__, str(self.private)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is not for it
        )
        self._stopping = threading.Event()
        reading, writing = os.pipe()
        self._writing = os.fdopen(writing, "wb")
        self._showing = threading.Thread(
            target=_show,
            args=(os.fdopen(reading, errors="replace"), sys.stderr, self._stopping, self._form),
            daemon=True,
        )
        self._showing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End all of them; one that does not end by itself is killed."""
        if kind is not None and not issubclass(kind, Exception):
            # The user has stopped it: that one service misses another while all end is no news.
            self._stopping.set()
        self._writing.close()
        watcher.end_groups([child.pid for child in self._running.values()], self._reap)
        # To the last line; a process that has left its group may keep the pipe open.
        self._showing.join(timeout=_LAST_LINES)
        self._watcher.kill()  # before its input ends: nothing is left for it to do
        self._watcher.communicate()
        shutil.rmtree(self.private, ignore_errors=True)

    def _reap(self) -> None:
        for child in self._running.values():
            child.poll()

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Run a Python module under a name for messages."""
        child = subprocess.Popen(  # noqa: S603  (the command is made of our own words)
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._writing,
            stderr=self._writing,
            cwd=self._cwd,
            env=self._environment,
            start_new_session=True,
        )
        self._running[name] = child
        assert self._watcher.stdin is not None
        self._watcher.stdin.write(f"{child.pid}\n".encode())
        self._watcher.stdin.flush()

    def wait_for(self, happened: Callable[[], bool]) -> None:
        """Return when it has happened. Raises ServiceEnded if a service ends before."""
        while not happened():
            self._look()
            time.sleep(_POLL)

    def watch(self) -> NoReturn:
        """Stay until a service ends, which raises ServiceEnded, or the caller is interrupted."""
        while True:
            self._look()
            time.sleep(_POLL)

    def _look(self) -> None:
        for name, child in self._running.items():
            if child.poll() is not None:
                raise ServiceEnded(
                    f"{name} has ended by itself (exit code {child.returncode}); what it wrote is above."
                )


def listens(path: Path) -> bool:
    """Whether a server answers at this Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _show(
    output: IO[str], stream: IO[str], stopping: threading.Event, form: Callable[[str], str] | None = None
) -> None:
    """Copy the lines, without colours if the stream is no terminal; those written while all are `stopping` are not."""
    colours = stream.isatty() and form is None
    for line in output:
        if stopping.is_set():
            continue
        shown = line if colours else _COLOUR.sub("", line)
        # Even if nobody reads it, the services must be able to write.
        with suppress(OSError, ValueError):
            stream.write(f"{form(shown)}\n" if form else shown)
            stream.flush()

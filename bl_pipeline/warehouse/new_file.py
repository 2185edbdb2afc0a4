"""A file that gets its name when it is complete and on the disk; and the removal of those that were never completed."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

_PREFIX, _SUFFIX = ".bl-pipeline-", ".part"


@contextmanager
def new_file(file: Path, check: Callable[[], None]) -> Iterator[IO[bytes]]:
    """The content of a new file, mode 0600; `check` is called before the file gets its name, and raises if it may not.

    Raises OSError if nothing can be written in that folder. If anything fails, there is no file.
    """
    descriptor, part = _open_part(file.parent)
    try:
        with os.fdopen(descriptor, "wb") as written:
            yield written
            written.flush()
            os.fsync(written.fileno())
            check()
            part.rename(file)
    finally:
        part.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> list[Path]:
    """Remove the incomplete files that killed processes have left, and return what was removed.

    A process that writes one has a lock on it, which the kernel releases when the process ends, however it ends.
    """
    removed = []
    for part in sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}")):
        with suppress(OSError), ExitStack() as stack:
            # A pipe of that name, in a folder that others can write, must not make us wait.
            descriptor = os.open(part, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
            removed.append(part)
    return removed


def _open_part(folder: Path) -> tuple[int, Path]:
    while True:
        descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=folder)
        with suppress(OSError):  # some network file systems have no locks: there nothing is removed
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)  # taken for unfinished, before it was locked

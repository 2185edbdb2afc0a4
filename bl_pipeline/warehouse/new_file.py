"""A file that gets its name when it is complete and on the disk; and the removal of those that were never completed."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

_PREFIX, _SUFFIX = ".bl-pipeline-", ".part"


@contextmanager
def new_file(file: Path, check: Callable[[], None], *, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """The content of a new file; `check` is called before the file gets its name, and raises if it may not.

    Raises OSError, which names the file, if it cannot be written. If anything fails, there is no file.
    """
    with _errors_name(file):
        descriptor, part = _open_part(file.parent)
        try:
            with os.fdopen(descriptor, "wb") as written:
                yield written
                written.flush()
                os.fchmod(written.fileno(), mode)
                os.fsync(written.fileno())
                check()
                part.rename(file)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def replaced_file(file: Path) -> Iterator[IO[bytes]]:
    """The content of a file that takes the place of an older one when it is complete.

    A pipe or a device gets it as it is written. Raises OSError, which names the file; what was there before stays.
    """
    with _errors_name(file):
        if file.exists() and not file.is_file():
            with file.open("wb") as written:
                yield written
        else:
            with new_file(file.resolve(), check=lambda: None, mode=_mode(file)) as written:
                yield written


@contextmanager
def _errors_name(file: Path) -> Iterator[None]:
    """Let errors name the file that the user knows, or the folder in which none can be made, not the incomplete one."""
    try:
        yield
    except OSError as error:
        in_folder = isinstance(error, PermissionError) and error.filename not in (None, str(file))
        error.filename = str(file.parent if in_folder else file)
        raise


def usual_mode() -> int:
    """The mode of a new file that is not secret: what the account's umask leaves."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _mode(file: Path) -> int:
    """That of the file which is replaced. Raises PermissionError if it must not be written."""
    if not file.exists():
        return usual_mode()
    if not os.access(file, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return stat.S_IMODE(file.stat().st_mode)


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

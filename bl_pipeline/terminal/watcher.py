"""Ends what a process has started when that process is gone, however it died: kill -9 leaves nothing behind either.

    python -I watcher.py FOLDER

Standard input brings a line for each process group, its number. The end of the input is the end of the process that
wrote them, on every system. The folder, which was theirs, is then removed. Run by its path, it imports no package, so
it starts at once and is small.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

STOP_TIMEOUT = 20.0
"""Seconds for processes to end by themselves, before they are killed."""

_POLL = 0.05


def end_groups(groups: Iterable[int], reap: Callable[[], object] = lambda: None) -> None:
    """Ask these process groups to end, wait, and kill what is left of them.

    Args:
        groups: their numbers.
        reap: called between two checks; a parent collects its children there, or the dead ones keep their group.
    """
    left = list(groups)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for group in left:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)
        until = time.monotonic() + STOP_TIMEOUT
        while left and time.monotonic() < until:
            reap()
            left = [group for group in left if _lives(group)]
            time.sleep(_POLL)


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # on macOS: of a group that has zombies only
    return True


def main(folder: str) -> None:
    """Wait for the end of the input, then end what it named."""
    end_groups([int(line) for line in sys.stdin])
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])

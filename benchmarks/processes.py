"""Processes that are measured: seconds of the whole process, and the most memory that it and its children had.

    ended = run([bl, "rebuild"], environment)
    answer, ended = call(merge, url, python=sys.executable)     # a function, in a process of its own

A function that is called gets and returns what JSON has. This module needs the standard library only, since it also
runs in the environment of the competitors.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
_SAMPLE_SECONDS = 0.05


class ProcessFailed(Exception):
    """A process that is measured ended with an error; the message has what it wrote."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended well: its wall-clock time, the time that it and its children had a processor, its peak
    memory (RSS), and what it wrote to stdout."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str


def clean_environment(**more: str) -> dict[str, str]:
    """An environment in which no setting of the user counts, and neither does a `.env` file: see `run`."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": str(PROJECT), **more}


def run(command: Sequence[str | Path], environment: Mapping[str, str], *, exit_code: int = 0) -> Ended:
    """Run a command to its end in an empty folder. Raises ProcessFailed at another exit code."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        environment = {"HOME": folder, **environment}
        started = time.perf_counter()
        process = subprocess.Popen(
            list(map(str, command)), cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
        )
        peaks = _Peaks(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        peak = peaks.stop()
        output.seek(0)
        text = output.read().decode()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != exit_code:
            errors.seek(0)
            raise ProcessFailed(f"{' '.join(map(str, command))}\n{text}\n{errors.read().decode()}")
    return Ended(seconds, usage.ru_utime + usage.ru_stime, peak, text)


def call(
    function: Callable[..., Any],
    *arguments: Any,
    python: str | Path = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> tuple[Any, Ended]:
    """Call a function of a module in a process of its own; what it returns, and how the process went."""
    name = f"{function.__module__}:{function.__qualname__}"
    command = [python, "-m", __name__, name, json.dumps(arguments, default=str)]
    ended = run(command, environment or clean_environment())
    return json.loads(ended.output.splitlines()[-1]), ended


class _Peaks:
    """The sum of the peaks of a process and its children, sampled in a thread; in MiB."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peaks: dict[int, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        self._ended.set()
        self._thread.join()
        return sum(self._peaks.values()) / 1024

    def _watch(self) -> None:
        while True:
            for pid in family(self._pid):
                if peak := _peak_kib(pid):
                    self._peaks[pid] = peak
            if self._ended.wait(_SAMPLE_SECONDS):
                return


def family(pid: int) -> Iterator[int]:
    """A process and its descendants, those that are there now."""
    yield pid
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = thread.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from family(int(child))


def _peak_kib(pid: int) -> int:
    # The kernel keeps it, so that a short peak between two samples counts too.
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def _main() -> None:
    module, _, name = sys.argv[1].partition(":")
    function = getattr(importlib.import_module(module), name)
    sys.stdout.write("\n" + json.dumps(function(*json.loads(sys.argv[2]))) + "\n")


if __name__ == "__main__":
    _main()

"""Runs that the desk starts, each in a process of its own: it goes on if the page is closed, and can be canceled.

To cancel one is to close the pipe that is its standard input. So it is canceled once, however often it is asked for,
also before it has begun, and also if the desk dies.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from uuid import uuid4

from bl_pipeline.settings import Settings

CANCELED = "The run was canceled. What was stored is kept."
"""What is said of a run that was canceled before it could note so itself."""
_END_TIMEOUT = 30.0  # seconds for a run to end in good order when the desk ends


@dataclass(frozen=True)
class Ended:
    """How a process ended that ran a job: its exit code as that of `bl`, and its message if it had one."""

    exit_code: int
    message: str | None


class Launches:
    """The runs that this desk has started."""

    def __init__(self, settings: Settings) -> None:
        self._environment = {**os.environ, **settings.as_environment(), "PYTHONWARNINGS": "ignore"}
        self._lock = Lock()
        self.one_at_a_time = Lock()
        """For whoever starts a run: kept from the look whether one is going on until the new one is started."""
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._ended: dict[str, Ended] = {}
        self._interrupted: set[str] = set()

    def start(self, job: str, config: Mapping[str, Any]) -> str:
        """Start a run of a job; returns its id, which Dagster shows too. sync.runs has it some seconds later."""
        run_id = str(uuid4())
        process = subprocess.Popen(
            [sys.executable, "-m", "bl_pipeline.desk.launched"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
            text=True,
            process_group=0,  # Ctrl-C in the terminal of the desk is for the desk, which then cancels its runs
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps({"job": job, "run_id": run_id, "config": dict(config)}) + "\n")
        process.stdin.flush()
        with self._lock:
            self._processes[run_id] = process
        return run_id

    def running(self) -> list[str]:
        """The runs whose process has not ended."""
        with self._lock:
            self._collect()
            return list(self._processes)

    def ended(self, run_id: str) -> Ended | None:
        """How the run's process ended; None if it goes on, or if this desk has not started it."""
        with self._lock:
            self._collect()
            return self._ended.get(run_id)

    def _collect(self) -> None:
        """Note how processes have ended, whether anybody asks for their runs or not: their pipes are closed by it."""
        for run_id, process in list(self._processes.items()):
            if process.poll() is None:
                continue
            said, _ = process.communicate()
            try:
                self._ended[run_id] = Ended(**json.loads(said))
            except ValueError:
                self._ended[run_id] = Ended(1, CANCELED if run_id in self._interrupted else None)
            del self._processes[run_id]

    def interrupt(self, run_id: str) -> None:
        """End the run as Ctrl-C does, also if it has not begun yet."""
        with self._lock:
            process = self._processes.get(run_id)
            if process is not None and process.poll() is None:
                self._interrupted.add(run_id)
                _cancel(process)

    def cancel(self) -> None:
        """Cancel what goes on."""
        with self._lock:
            for process in self._processes.values():
                _cancel(process)

    def close(self) -> None:
        """Cancel what goes on, and wait until it has ended in good order."""
        self.cancel()
        with self._lock:
            for process in self._processes.values():
                try:
                    process.communicate(timeout=_END_TIMEOUT)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()


def _cancel(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
        process.stdin = None  # else `communicate` would write to it

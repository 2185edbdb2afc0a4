"""Runs of pytest in forks of one process that has imported the large libraries once: a development tool.

It reads a line of JSON for each run, and answers with a line. It never imports the product, which changes between runs.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LIBRARIES = (
    "alembic", "dagster", "fastapi", "hypothesis", "msgspec", "oauthlib", "pandas", "psycopg", "pyarrow.compute",
    "pydantic", "pytest", "sqlalchemy", "typer", "urllib3",
)  # fmt: skip


class WithoutShrinking:
    """A plugin of pytest: that a fault is noticed is enough, the smallest example is not needed."""

    def pytest_collection(self) -> None:
        """Change the profile before the tests are imported."""
        import hypothesis

        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", deadline=None, database=None, phases=phases)
        hypothesis.settings.load_profile("mutants")


class InOrder:
    """A plugin of pytest: these tests in this order, each a whole path or one test.

    To name each test as an argument would take minutes: pytest looks all of them up one after the other.
    """

    def __init__(self, tests: Sequence[str]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}
        self._paths = tuple(test for test in tests if "::" not in test)

    def _place(self, nodeid: str) -> int | None:
        if nodeid in self._places:
            return self._places[nodeid]
        return next((self._places[path] for path in self._paths if nodeid.startswith(path)), None)

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Leave out what is not among them."""
        placed = [(place, item) for item in items if (place := self._place(item.nodeid)) is not None]
        items[:] = [item for _, item in sorted(placed, key=lambda each: each[0])]


def run_tests(arguments: list[str], tests: list[str], record: str | None, rooms: list[str], output: str) -> int:
    """One run of pytest in this process, all it prints in a file."""
    import pytest

    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(file, number)
    plugins: list[Any] = [WithoutShrinking(), InOrder(tests)]
    if record:
        from bl_pipeline_tests.support.recorded_lines import Recorder

        plugins.append(Recorder(Path.cwd(), rooms, Path(record)))
    files = dict.fromkeys(test.partition("::")[0] for test in tests)
    return int(pytest.main([*arguments, *files], plugins=plugins))


def _wait(child: int, timeout: float) -> int | None:
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    return None


def serve() -> None:
    """Fork for each line of the input."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setsid()
            code = 1
            try:
                code = run_tests(asked["arguments"], asked["tests"], asked["record"], asked["rooms"], asked["output"])
            finally:
                os._exit(code)
        ended = _wait(child, asked["timeout"])
        # What a test has started and not ended ends here.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        if ended is None:
            os.waitpid(child, 0)
        sys.stdout.write(json.dumps(ended) + "\n")
        sys.stdout.flush()


class ForkedTests:
    """Asks for runs of pytest."""

    def __init__(self, process: subprocess.Popen[str], output: Path) -> None:
        self._process = process
        self.output = output

    def run(
        self,
        arguments: list[str],
        tests: list[str],
        timeout: float,
        record: Path | None = None,
        rooms: Sequence[str] = (),
    ) -> int | None:
        """The exit code of a run with these arguments; None if it took too long. It may `record` what it runs."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {
            "arguments": arguments,
            "tests": tests,
            "timeout": timeout,
            "record": str(record) if record else None,
            "rooms": list(rooms),
            "output": str(self.output),
        }
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        code: int | None = json.loads(self._process.stdout.readline())
        return code


@contextmanager
def forked_tests(folder: Path, environment: Mapping[str, str], output: Path) -> Iterator[ForkedTests]:
    """Run the tests of the project in this folder; what the last run printed is in `output`."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=folder, env={**os.environ, **environment, "PYTHONPATH": str(folder)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        yield ForkedTests(process, output)
        assert process.stdin is not None
        process.stdin.close()


if __name__ == "__main__":
    serve()

"""Which tests run through which lines of the product, so that a planted fault costs only the tests that can notice it.

What other processes run is not seen: a line that only they run has no test here.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

IMPORT = ""
"""In place of a test: what runs when a module is imported, whichever test it is for."""


def digest(source: bytes) -> str:
    """Whether a source is the one that was recorded."""
    return hashlib.blake2b(source, digest_size=16).hexdigest()


@dataclass(frozen=True)
class RecordedTest:
    """How long a test took, and the lines it ran through, by file."""

    seconds: float
    lines: Mapping[str, frozenset[int]]


@dataclass(frozen=True)
class Recording:
    """What a run of the tests ran through."""

    sources: Mapping[str, str]
    tests: Mapping[str, RecordedTest]

    @classmethod
    def read(cls, path: Path) -> Recording:
        """The recording of a file."""
        content = json.loads(path.read_text())
        tests = {
            name: RecordedTest(seconds, {file: frozenset(lines) for file, lines in files.items()})
            for name, (seconds, files) in content["tests"].items()
        }
        return cls(content["sources"], tests)

    def tests_of(self, folder: Path, name: str, start: int, end: int) -> list[str] | None:
        """The tests that run through what these bytes of a file decide, the quickest first; None if it is not known."""
        source = (folder / name).read_bytes()
        if self.sources.get(name) != digest(source):
            return None
        constants, lines = lines_of(source, start, end)
        wanted = {name: lines}
        if constants:
            word = re.compile(rf"\b(?:{'|'.join(map(re.escape, constants))})\b")
            wanted = {each: _lines_with(word, folder / each) for each in self.sources}
        found = [
            (test.seconds, test_name)
            for test_name, test in self.tests.items()
            if any(not lines.isdisjoint(test.lines.get(each, ())) for each, lines in wanted.items() if lines)
        ]
        names = [test_name for _, test_name in sorted(found)]
        if constants:
            return [test_name for test_name in names if test_name != IMPORT] or None
        return None if IMPORT in names else names


def _lines_with(word: re.Pattern[str], path: Path) -> frozenset[int]:
    return frozenset(number for number, line in enumerate(path.read_text().splitlines(), start=1) if word.search(line))


def lines_of(source: bytes, start: int, end: int) -> tuple[frozenset[str], frozenset[int]]:
    """The constants of the module or of a class that the bytes are in, or else the lines that run if they do.

    A default of a function counts as run where its body is.
    """
    first, last = (source[:place].count(b"\n") + 1 for place in (start, end))
    around: list[ast.stmt] = []
    statements: list[ast.stmt] = ast.parse(source).body
    while innermost := next((node for node in statements if node.lineno <= first <= (node.end_lineno or 0)), None):
        around.append(innermost)
        statements = [node for node in ast.walk(innermost) if isinstance(node, ast.stmt) and node is not innermost]
        statements.sort(key=lambda node: (node.lineno, -(node.end_lineno or 0)))
    if not around:
        return frozenset(), frozenset(range(first, last + 1))
    if isinstance(around[-1], ast.FunctionDef):
        return frozenset(), frozenset(range(around[-1].body[0].lineno, (around[-1].end_lineno or 0) + 1))
    if any(isinstance(node, ast.FunctionDef) for node in around):
        return frozenset(), frozenset(range(around[-1].lineno, last + 1))
    names = {node.name for node in around if isinstance(node, ast.ClassDef)}
    if isinstance(around[-1], ast.Assign | ast.AnnAssign):
        targets = around[-1].targets if isinstance(around[-1], ast.Assign) else [around[-1].target]
        names |= {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    return frozenset(names), frozenset(range(around[-1].lineno, last + 1))


class Recorder:
    """A plugin of pytest: it writes a Recording to a file."""

    def __init__(self, folder: Path, rooms: Sequence[str], target: Path) -> None:
        self._folder = f"{folder}/"
        # To trace the sandbox too would take twice as long.
        self._rooms = tuple(f"{folder}/{room}/" for room in rooms)
        self._target = target
        self._now: dict[str, set[int]] = defaultdict(set)
        self._tests: dict[str, tuple[float, dict[str, list[int]]]] = {}
        self._shared: dict[object, dict[str, set[int]]] = {}
        # What runs before the first test runs because something is imported.
        sys.settrace(self._trace)

    def _trace(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(self._rooms):
            return None
        lines = self._now[name]
        lines.add(frame.f_lineno)

        def trace_line(frame: FrameType, _event: str, _argument: Any) -> Any:
            lines.add(frame.f_lineno)
            return trace_line

        return trace_line

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        """Record one test with its fixtures."""
        if not self._tests:
            self._tests[IMPORT] = 0.0, self._lines()
        self._now = defaultdict(set)
        began = time.monotonic()
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)
            seconds = round(time.monotonic() - began, 3)
            for fixture in (each for found in item._fixtureinfo.name2fixturedefs.values() for each in found):  # type: ignore[attr-defined]
                self._add(self._shared.get(fixture, {}))
            self._tests[item.nodeid] = seconds, self._lines()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[Any]:
        """Keep what a fixture runs through: if it is made once for several tests, each of them depends on it."""
        before, self._now = self._now, defaultdict(set)
        try:
            return (yield)
        finally:
            made, self._now = self._now, before
            self._add(made)
            if fixturedef.scope != "function":
                self._shared[fixturedef] = made

    def _add(self, lines: Mapping[str, set[int]]) -> None:
        for name, more in list(lines.items()):
            self._now[name] |= more

    def _lines(self) -> dict[str, list[int]]:
        return {name.removeprefix(self._folder): sorted(lines.copy()) for name, lines in list(self._now.items())}

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write it all, unless the run was interrupted."""
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return
        names = {name for _, files in self._tests.values() for name in files}
        sources = {name: digest(Path(self._folder, name).read_bytes()) for name in sorted(names)}
        self._target.write_text(json.dumps({"sources": sources, "tests": self._tests}))

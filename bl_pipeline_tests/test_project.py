"""What a fresh clone stands on: the lock, the Pythons, and that every way in is the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[1]
LOCK = (PROJECT / "requirements.lock").read_text()
PYPROJECT: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())
REQUIREMENTS = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["project"]["optional-dependencies"]["dev"]]


def canonical(name: str) -> str:
    """A package's name as the lock writes it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[;<>=! ]", name)[0]).lower()


def locked() -> dict[str, list[str]]:
    """Each package of the lock with the lines that belong to it."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in LOCK.splitlines():
        if pinned := re.match(r"([A-Za-z0-9._-]+)==\S+", line):
            lines = found.setdefault(canonical(pinned[1]), [])
        lines.append(line)
    return found


def test_everything_locked_has_hashes() -> None:
    assert len(locked()) > 50
    assert [name for name, lines in locked().items() if not any("--hash=sha256:" in line for line in lines)] == []


def test_the_lock_names_no_index() -> None:
    assert re.findall(r"https?://|file:|--(?:extra-)?index-url|--find-links", LOCK) == []


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_every_requirement_is_locked(requirement: str) -> None:
    assert canonical(requirement) in locked()


def test_the_pythons_are_the_same_everywhere() -> None:
    assert PYPROJECT["project"]["requires-python"] == ">=3.11,<3.14"
    makefile = (PROJECT / "Makefile").read_text()
    assert "(3, 11) <= sys.version_info < (3, 14)" in makefile
    assert "3.11, 3.12 or 3.13" in (PROJECT / "README.md").read_text()


def test_the_code_location_has_one_name() -> None:
    """Whether a schedule is on depends on it: catches a launcher that would show another."""
    assert PYPROJECT["tool"]["dagster"]["code_location_name"] == "bl_pipeline"
    assert re.findall(r"location_name: (\S+)", (PROJECT / "workspace.yaml").read_text()) == ["bl_pipeline"]


def test_continuous_integration_runs_what_a_user_runs() -> None:
    assert re.search(r"^\s*(exec )?make test\b", (PROJECT / ".ci/run").read_text(), re.MULTILINE)
    assert (PROJECT / ".ci/run").stat().st_mode & 0o111

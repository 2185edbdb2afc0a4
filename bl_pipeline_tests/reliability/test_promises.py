"""docs/reliability.md names a test for each promise: each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"


def test_every_test_the_page_names_exists() -> None:
    """Planted: a test renamed, a file moved."""
    named = re.findall(r"`(?P<path>[a-z_/]+\.py)?(?:::(?P<name>test_\w+))?`", PAGE.read_text())
    path = ""
    seen = 0
    for given, name in named:
        path = given or path
        if given:
            assert (TESTS / path).is_file(), path
        if name:
            assert f"def {name}(" in (TESTS / path).read_text(), f"{path}::{name}"
            seen += 1
    assert seen > 20

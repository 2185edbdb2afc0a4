"""Parameters of which `make test` takes a few, and `make test-all` all."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def some_slow(values: Iterable[Any], quick: Collection[Any]) -> list[Any]:
    """The values as parameters; those that are not among `quick`, each of which has to be one of them, are slow."""
    values = list(values)
    assert all(each in values for each in quick)
    return [value if value in quick else pytest.param(value, marks=pytest.mark.slow) for value in values]

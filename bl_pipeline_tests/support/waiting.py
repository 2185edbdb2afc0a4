"""Tests wait for conditions, and never for a time: a busy machine takes as long as it takes."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds until a wait counts as a failed test."""


def wait_until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Wait for something, for so many seconds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < patience, "it did not happen"
        time.sleep(0.01)

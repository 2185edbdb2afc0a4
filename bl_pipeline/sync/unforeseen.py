"""Errors of our own code that nobody foresaw: their places in the code, for whoever repairs them; no values."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable

from bl_pipeline.project import PROJECT
from bl_pipeline.records import FailedOrder

LOG = logging.getLogger(__name__)
"""dagster.yaml sends what is logged here to the run's log; `bl` prints it on standard error."""


def frames(error: BaseException) -> tuple[str, ...]:
    """The calls that led to an error, the innermost last, as file:line and function; no message, no value."""
    return tuple(
        f"{_short(frame.filename)}:{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    )


def describe(error: BaseException) -> str:
    """What a user reads of such an error: its class and frames, and not its own words, which may quote a buyer."""
    lines = "\n".join(f"  {line}" for line in frames(error))
    return (
        f"{type(error).__name__}: a fault of bl_pipeline itself.\n"
        f"What was stored is kept. Please report this with the following lines.\n{lines}"
    )


def log_unforeseen(failures: Iterable[FailedOrder]) -> None:
    """Log, once for each place at which an error was raised that nobody foresaw, which orders met it there."""
    places: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for failed in failures:
        if failed.frames:
            places.setdefault((failed.error_class, failed.frames), []).append(failed.order_id)
    for (error_class, calls), order_ids in places.items():
        others = f" and {len(order_ids) - 1} more" if len(order_ids) > 1 else ""
        lines = "".join(f"\n  {line}" for line in calls)
        LOG.error("Order %s%s: %s, which nobody foresaw, at%s", order_ids[0], others, error_class, lines)


def _short(filename: str) -> str:
    """The file without the folders that are this machine's."""
    _, installed, rest = filename.rpartition("/site-packages/")
    return rest if installed else filename.removeprefix(f"{PROJECT}/")

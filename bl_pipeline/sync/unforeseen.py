"""Errors of our own code that nobody foresaw: their places in the code, for whoever repairs them; no values."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable

from bl_pipeline.project import PROJECT

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


def log_failed_orders(met: Iterable[tuple[str, str, tuple[str, ...]]]) -> None:
    """Log, once for each place, which orders met an error there; order id, class and frames of each are given."""
    places: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for order_id, error_class, calls in met:
        places.setdefault((error_class, calls), []).append(order_id)
    for (error_class, calls), order_ids in places.items():
        others = f" and {len(order_ids) - 1} more" if len(order_ids) > 1 else ""
        lines = "".join(f"\n  {line}" for line in calls)
        LOG.error("Order %s%s: %s, which nobody foresaw, at%s", order_ids[0], others, error_class, lines)


def _short(filename: str) -> str:
    """The file without the folders that are this machine's."""
    _, installed, rest = filename.rpartition("/site-packages/")
    return rest if installed else filename.removeprefix(f"{PROJECT}/")

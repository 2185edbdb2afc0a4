"""What an error that ends a run means; of an unexpected one, its place in the code. No values."""

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


def known_message(error: BaseException) -> str | None:
    """What a user reads of an error whose text is ours or has a known meaning; None if it is unexpected."""
    # Imported only now: if nothing goes wrong, nobody waits for them.
    from bl_pipeline.home import describe_os_error  # noqa: PLC0415
    from bl_pipeline.warehouse.refusals import read_refusal  # noqa: PLC0415

    if type(error).__module__.partition(".")[0] == "bl_pipeline":
        return str(error)
    if isinstance(error, OSError) and (message := describe_os_error(error)):
        return message
    refusal = read_refusal(error)
    return refusal.message if refusal else None


def summary(error: BaseException) -> str:
    """Why a run failed, to be stored and shown with its end: without the place in the code."""
    return known_message(error) or (
        f"{type(error).__name__}: a fault of bl_pipeline itself. See the run's log in Dagster, or the output of the "
        "command if it ran without Dagster."
    )


def describe(error: BaseException) -> str:
    """What a user reads of an unexpected error: its class and frames, not its own words, which may quote a buyer."""
    lines = "\n".join(f"  {line}" for line in frames(error))
    return (
        f"{type(error).__name__}: a fault of bl_pipeline itself.\n"
        f"What was stored is kept. Please report this with the following lines.\n{lines}"
    )


def message_of(error: BaseException) -> str:
    """What a user reads of any error: what it means, or, if it is unexpected, its place in the code."""
    return known_message(error) or describe(error)


def log_unexpected(failures: Iterable[FailedOrder]) -> None:
    """Log, once for each place at which an unexpected error was raised, which orders met it there."""
    places: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for failed in failures:
        if failed.frames:
            places.setdefault((failed.error_class, failed.frames), []).append(failed.order_id)
    for (error_class, calls), order_ids in places.items():
        others = f" and {len(order_ids) - 1} more" if len(order_ids) > 1 else ""
        lines = "".join(f"\n  {line}" for line in calls)
        LOG.error("Order %s%s: unexpected %s at%s", order_ids[0], others, error_class, lines)


def _short(filename: str) -> str:
    """The file without the folders that are this machine's."""
    _, installed, rest = filename.rpartition("/site-packages/")
    return rest if installed else filename.removeprefix(f"{PROJECT}/")

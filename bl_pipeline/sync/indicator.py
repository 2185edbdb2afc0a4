"""One word for how the warehouse stands, the same wherever it is shown."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from bl_pipeline.sync.result import RunStatus

FRESH_FOR = timedelta(hours=1)
"""With a run every half hour, more than this means that one was missed: worth a warning, not yet stale."""

STALE_AFTER = timedelta(hours=24)


class Indicator(StrEnum):
    """How the warehouse stands against the store."""

    SYNCED = "synced"
    STALE = "stale"
    ERROR = "error"
    SYNCING = "syncing"


def indicator(
    *, syncing: bool, last_ended: RunStatus | None, last_synced_at: datetime | None, now: datetime
) -> Indicator:
    """The word for this moment.

    `last_ended` is how the last run that was not canceled ended, None where there was none. A run that
    stopped at the call budget is no error: what counts then is how long the warehouse has been out of step.
    """
    if syncing:
        return Indicator.SYNCING
    if last_ended in (RunStatus.FAILED, RunStatus.COMPLETED_WITH_ERRORS):
        return Indicator.ERROR
    # A sync in the future was noted by a clock that was ahead: it says nothing of how old the warehouse is.
    if last_synced_at is None or abs(now - last_synced_at) > STALE_AFTER:
        return Indicator.STALE
    return Indicator.SYNCED

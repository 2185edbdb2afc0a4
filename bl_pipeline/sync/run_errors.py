"""Why a run that somebody waits for did not reach its end."""

from __future__ import annotations

from bl_pipeline.records import ExitCode, SyncResult


class RunError(Exception):
    """The run did not reach its end; the message says why and what to do, `result` what was done before."""

    exit_code = ExitCode.OTHER
    result = SyncResult()


class LockTaken(RunError):
    """Another sync of the store is running."""


class Canceled(RunError):
    """The user has canceled the run."""


def timezone_changed(before: str, after: str) -> str:
    """What a user reads when reports and lists have got another time zone."""
    return (
        f"Days in reports and times in lists are in {after} from now on; until now they were in {before}. "
        "Orders near the end of a day are now counted on another day, and some in another month or year. This includes "
        "past orders. To change that: BL_TIMEZONE"
    )

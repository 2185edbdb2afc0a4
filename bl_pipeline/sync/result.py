"""The report of one sync."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class StopReason(StrEnum):
    """What stopped a run before everything was done."""

    BUDGET = "budget"
    CREDENTIALS = "credentials"
    UNREACHABLE = "unreachable"
    SETTINGS = "settings"
    ERROR = "error"


class RunStatus(StrEnum):
    """How a run stands or ended."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    STOPPED_AT_BUDGET = "stopped_at_budget"
    FAILED = "failed"
    CANCELED = "canceled"


class ExitCode:
    """Exit codes of `bl`, in the order of precedence where several apply."""

    DONE = 0
    OTHER = 1
    USAGE = 2
    SOME_FAILED = 3
    BUDGET = 4
    CREDENTIALS = 5
    UNREACHABLE = 6


@dataclass(frozen=True)
class SyncResult:
    """What one sync did.

    Counts are orders, except `api_calls`; times are UTC; `duration_seconds` is wall-clock time.
    `last_synced_at` is the end of the last run that brought the warehouse in step with the lists.
    """

    orders_created: int = 0
    orders_updated: int = 0
    orders_skipped: int = 0
    orders_deferred: int = 0
    errors: list[dict[str, str]] = field(default_factory=list)
    api_calls: int = 0
    last_synced_at: datetime | None = None
    duration_seconds: float = 0.0
    stop_reason: StopReason | None = None
    message: str | None = None

    @property
    def orders_processed(self) -> int:
        """Orders that are in step now."""
        return self.orders_created + self.orders_updated + self.orders_skipped

    @property
    def exit_code(self) -> int:
        """The exit code of `bl`; where several apply, the gravest."""
        if self.stop_reason is not None:
            return {
                StopReason.CREDENTIALS: ExitCode.CREDENTIALS,
                StopReason.UNREACHABLE: ExitCode.UNREACHABLE,
                StopReason.BUDGET: ExitCode.BUDGET,
                StopReason.SETTINGS: ExitCode.USAGE,
                StopReason.ERROR: ExitCode.OTHER,
            }[self.stop_reason]
        if self.orders_deferred:
            return ExitCode.BUDGET
        return ExitCode.SOME_FAILED if self.errors else ExitCode.DONE

    @property
    def success(self) -> bool:
        """Everything was done."""
        return self.exit_code == ExitCode.DONE

    @property
    def run_status(self) -> RunStatus:
        """How a run with this result ended."""
        return {
            ExitCode.DONE: RunStatus.SUCCEEDED,
            ExitCode.SOME_FAILED: RunStatus.COMPLETED_WITH_ERRORS,
            ExitCode.BUDGET: RunStatus.STOPPED_AT_BUDGET,
        }.get(self.exit_code, RunStatus.FAILED)

    def as_dict(self) -> dict[str, Any]:
        """The SyncResult under its public names, ready for JSON."""
        return {
            "success": self.success,
            "orders_processed": self.orders_processed,
            "orders_created": self.orders_created,
            "orders_updated": self.orders_updated,
            "orders_skipped": self.orders_skipped,
            "orders_deferred": self.orders_deferred,
            "errors": self.errors,
            "api_calls": self.api_calls,
            "last_synced_at": self.last_synced_at.isoformat() if self.last_synced_at else None,
            "duration_seconds": round(self.duration_seconds, 3),
        }

"""What stops a sync, and the message its user reads: what it means and what to do."""

from __future__ import annotations

from datetime import datetime, timedelta

from bl_pipeline.bricklink import (
    BrickLinkError,
    CredentialsRefused,
    PermissionDenied,
    RateLimited,
    ServiceDown,
    TransientError,
)
from bl_pipeline.records import Stop, StopReason
from bl_pipeline.settings import SettingsError
from bl_pipeline.warehouse.ledger import WINDOW, BudgetExhausted


def stop_for(error: Exception, now: datetime, *, listing: bool = False) -> Stop:
    """Why the run stops; `listing` says that the lists were asked, not an order."""
    if isinstance(error, BudgetExhausted):
        return Stop(StopReason.BUDGET, budget_message(error.next_reset_at))
    if isinstance(error, RateLimited):
        return Stop(StopReason.BUDGET, rate_limit_message(error, now))
    if isinstance(error, CredentialsRefused) or (listing and isinstance(error, PermissionDenied)):
        return Stop(StopReason.CREDENTIALS, str(error))
    if isinstance(error, ServiceDown) or (listing and isinstance(error, TransientError)):
        return Stop(
            StopReason.UNREACHABLE,
            _with_details(
                f"The BrickLink API cannot be reached: {error.message}\n"
                "What was stored is kept, and the next run goes on from there. Check the network, BRICKLINK_API_URL "
                "and BrickLink's own status.",
                error,
            ),
        )
    if isinstance(error, SettingsError):
        return Stop(StopReason.SETTINGS, str(error))
    assert isinstance(error, BrickLinkError)
    return Stop(StopReason.ERROR, str(error))


def rate_limit_message(error: RateLimited, now: datetime) -> str:
    """What a user reads when BrickLink itself says that its call limit is reached."""
    # BrickLink does not say when its day ends, but it is within our 24 hours.
    wait, word = (WINDOW, "at the latest ") if error.retry_after is None else (timedelta(seconds=error.retry_after), "")
    return _with_details(
        f"{error.message}\n"
        f"Calls are free again {word}from {now + wait:%Y-%m-%d %H:%M} UTC; what was fetched is kept, and the next run "
        "goes on from there. If it happens again, other tools use the same key: raise BL_CALL_RESERVE by what they "
        "need.",
        error,
    )


def _with_details(message: str, error: BrickLinkError) -> str:
    return "\n".join(filter(None, [message, error.details]))


def budget_message(next_reset_at: datetime | None) -> str:
    """What a user reads when the calls of the last 24 hours are used up."""
    when = (
        f"Calls are free again from {next_reset_at:%Y-%m-%d %H:%M} UTC"
        if next_reset_at
        else "With these settings no call is ever free"
    )
    return (
        f"The call budget is used up. {when}; what was fetched is kept, and the next run goes on from there. "
        "To change the budget: BL_DAILY_CALL_LIMIT, BL_CALL_RESERVE."
    )

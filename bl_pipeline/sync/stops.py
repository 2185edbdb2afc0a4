"""What stops a sync: for each class of errors the reason, and the message its user reads: what it means and what to do.

The exit code is that of the reason: `StopReason.exit_code`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

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
from bl_pipeline.warehouse.ledger import BudgetExhausted
from bl_pipeline.warehouse.usage import WINDOW


def _rate_limit_message(error: RateLimited, now: datetime) -> str:
    # BrickLink does not say when its day ends, but it is within our 24 hours.
    wait, word = (WINDOW, "at the latest ") if error.retry_after is None else (timedelta(seconds=error.retry_after), "")
    return _with_details(
        f"{error.message}\n"
        f"Calls are free again {word}from {now + wait:%Y-%m-%d %H:%M} UTC; what was fetched is kept, and the next run "
        "goes on from there. If it happens again, other tools use the same key: raise BL_CALL_RESERVE by what they "
        "need.",
        error,
    )


def _unreachable_message(error: BrickLinkError, _now: datetime) -> str:
    return _with_details(
        f"The BrickLink API cannot be reached: {error.message}\n"
        "What was stored is kept, and the next run goes on from there. Check the network, BRICKLINK_API_URL "
        "and BrickLink's own status.",
        error,
    )


def _own_message(error: Exception, _now: datetime) -> str:
    return str(error)


def _with_details(message: str, error: BrickLinkError) -> str:
    return "\n".join(filter(None, [message, error.details]))


def _budget_message(error: BudgetExhausted, _now: datetime) -> str:
    when = (
        f"Calls are free again from {error.next_reset_at:%Y-%m-%d %H:%M} UTC"
        if error.next_reset_at
        else "With these settings no call is ever free"
    )
    return (
        f"The call budget is used up. {when}; what was fetched is kept, and the next run goes on from there. "
        "To change the budget: BL_DAILY_CALL_LIMIT, BL_CALL_RESERVE."
    )


class Case(NamedTuple):
    """What an error does to a run, by what was asked for; `order` is None if it costs that order only."""

    order: StopReason | None
    listing: StopReason
    message: Callable[[Any, datetime], str]


_BUDGET, _CREDENTIALS, _UNREACHABLE = StopReason.BUDGET, StopReason.CREDENTIALS, StopReason.UNREACHABLE

CASES: dict[type[Exception], Case] = {
    BudgetExhausted: Case(_BUDGET, _BUDGET, _budget_message),
    RateLimited: Case(_BUDGET, _BUDGET, _rate_limit_message),
    CredentialsRefused: Case(_CREDENTIALS, _CREDENTIALS, _own_message),
    PermissionDenied: Case(None, _CREDENTIALS, _own_message),
    ServiceDown: Case(_UNREACHABLE, _UNREACHABLE, _unreachable_message),
    TransientError: Case(None, _UNREACHABLE, _unreachable_message),
    SettingsError: Case(StopReason.SETTINGS, StopReason.SETTINGS, _own_message),
    BrickLinkError: Case(None, StopReason.ERROR, _own_message),
}
"""By the class of the error; a class that has no row has that of the nearest class above it."""

STOPS = tuple(kind for kind, case in CASES.items() if case.order is not None)
"""What stops the run also if it was one order that was asked for."""


def stop_for(error: Exception, now: datetime, *, listing: bool = False) -> Stop:
    """Why the run stops; `listing` says that the lists were asked, not an order. See `CASES`."""
    case = next(CASES[kind] for kind in type(error).__mro__ if kind in CASES)
    reason = case.listing if listing else case.order
    assert reason is not None, "this error costs one order only"
    return Stop(reason, case.message(error, now))

"""What each error does to a run: the reason, the exit code and the message of its user."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bl_pipeline import bricklink
from bl_pipeline.bricklink import (
    BrickLinkError,
    CredentialsRefused,
    InvalidAnswer,
    InvalidResource,
    OrderError,
    PermissionDenied,
    RateLimited,
    RequestRefused,
    ResourceNotFound,
    ServerError,
    ServiceDown,
    TransientError,
    Unreachable,
)
from bl_pipeline.records import ExitCode
from bl_pipeline.settings import SettingsError
from bl_pipeline.sync.stops import STOPS, stop_for
from bl_pipeline.warehouse.ledger import BudgetExhausted
from bl_pipeline_tests.conftest import NOW

ORDER_ONLY = None
EXIT_CODES: dict[type[BrickLinkError], tuple[int | None, int]] = {
    CredentialsRefused: (ExitCode.CREDENTIALS, ExitCode.CREDENTIALS),
    PermissionDenied: (ORDER_ONLY, ExitCode.CREDENTIALS),
    RateLimited: (ExitCode.BUDGET, ExitCode.BUDGET),
    ServiceDown: (ExitCode.UNREACHABLE, ExitCode.UNREACHABLE),
    Unreachable: (ORDER_ONLY, ExitCode.UNREACHABLE),
    ServerError: (ORDER_ONLY, ExitCode.UNREACHABLE),
    InvalidAnswer: (ORDER_ONLY, ExitCode.UNREACHABLE),
    TransientError: (ORDER_ONLY, ExitCode.UNREACHABLE),
    ResourceNotFound: (ORDER_ONLY, ExitCode.OTHER),
    RequestRefused: (ORDER_ONLY, ExitCode.OTHER),
    InvalidResource: (ORDER_ONLY, ExitCode.OTHER),
    OrderError: (ORDER_ONLY, ExitCode.OTHER),
    BrickLinkError: (ORDER_ONLY, ExitCode.OTHER),
}
"""If an order was asked for, and if the lists were."""


def test_every_error_of_the_api_has_its_exit_code() -> None:
    kinds = [kind for kind in vars(bricklink).values() if isinstance(kind, type) and issubclass(kind, BrickLinkError)]
    assert set(kinds) == EXIT_CODES.keys()
    for kind, (of_order, of_lists) in EXIT_CODES.items():
        error = kind("What happened.", method="GET", path="/orders/1")
        assert stop_for(error, NOW, listing=True).reason.exit_code == of_lists, kind
        if issubclass(kind, STOPS):
            assert stop_for(error, NOW).reason.exit_code == of_order, kind
        else:
            assert of_order is ORDER_ONLY, kind
            with pytest.raises(AssertionError, match="one order only"):
                stop_for(error, NOW)


def test_the_own_message_of_an_error_is_kept() -> None:
    refused = CredentialsRefused("Refused.", method="GET", path="/orders/1", code=401)
    assert stop_for(refused, NOW).message == "Refused.\n[GET /orders/1, code 401]"
    settings = stop_for(SettingsError("Set it."), NOW)
    assert (settings.message, settings.reason.exit_code) == ("Set it.", ExitCode.USAGE)


def test_what_cannot_be_reached_says_what_to_check_and_the_detail_last() -> None:
    down = stop_for(ServiceDown("BrickLink is down.", method="PUT", path="/orders/1"), NOW)
    assert down.message == (
        "The BrickLink API cannot be reached: BrickLink is down.\n"
        "What was stored is kept, and the next run goes on from there. Check the network, BRICKLINK_API_URL and "
        "BrickLink's own status.\n"
        "[PUT /orders/1]"
    )


def test_the_budget_and_a_rate_limit_say_when_calls_are_free() -> None:
    exhausted = stop_for(BudgetExhausted(NOW + timedelta(hours=2)), NOW)
    assert exhausted.reason.exit_code == ExitCode.BUDGET
    assert f"Calls are free again from {NOW + timedelta(hours=2):%Y-%m-%d %H:%M} UTC; " in exhausted.message
    assert "With these settings no call is ever free; " in stop_for(BudgetExhausted(None), NOW).message
    limited = RateLimited("Too many.")
    assert f"at the latest from {NOW + timedelta(days=1):%Y-%m-%d %H:%M} UTC" in stop_for(limited, NOW).message
    limited.retry_after = 60.0
    assert f"free again from {NOW + timedelta(minutes=1):%Y-%m-%d %H:%M} UTC" in stop_for(limited, NOW).message

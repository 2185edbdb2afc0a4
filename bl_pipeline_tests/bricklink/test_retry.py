from __future__ import annotations

import random

import pytest

from bl_pipeline.bricklink import (
    BrickLinkError,
    CredentialsRefused,
    InvalidAnswer,
    RateLimited,
    ResourceNotFound,
    RetryPolicy,
    ServerError,
    ServiceDown,
    Unreachable,
)
from bl_pipeline.bricklink.retry import Breaker
from bl_pipeline.bricklink.transport import Method

WRITES: list[Method] = ["PUT", "POST"]


class Fixed(random.Random):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


@pytest.mark.parametrize("kind", [Unreachable, ServerError, InvalidAnswer])
def test_passing_faults_are_tried_up_to_the_limit(kind: type[BrickLinkError]) -> None:
    policy = RetryPolicy(max_attempts=4)
    assert [policy.should_retry("GET", kind("x"), attempts) for attempts in (1, 2, 3, 4, 5)] == [True] * 3 + [False] * 2


def test_a_rate_limit_is_tried_once_more_only() -> None:
    assert [RetryPolicy().should_retry("GET", RateLimited("x"), attempts) for attempts in (1, 2, 3)] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("kind", [CredentialsRefused, ResourceNotFound, ServiceDown])
def test_lasting_faults_are_not_tried_again(kind: type[BrickLinkError]) -> None:
    assert not RetryPolicy().should_retry("GET", kind("x"), 1)


def test_a_write_is_repeated_only_if_it_was_certainly_not_done() -> None:
    not_sent = Unreachable("x")
    not_sent.may_have_effect = False
    policy = RetryPolicy()
    for error, repeated in (
        (not_sent, True), (RateLimited("x"), True),
        (Unreachable("x"), False), (ServerError("x"), False), (InvalidAnswer("x"), False),
        (ResourceNotFound("x"), False), (CredentialsRefused("x"), False), (ServiceDown("x"), False),
    ):  # fmt: skip
        assert [policy.should_retry(method, error, 1) for method in WRITES] == [repeated] * 2, error


def test_waits_double_up_to_the_longest() -> None:
    policy = RetryPolicy(first_wait=1, longest_wait=5, jitter=Fixed(1.0))
    assert [policy.wait_seconds(ServerError("x"), attempts) for attempts in (1, 2, 3, 4, 5)] == [
        1,
        2,
        4,
        5,
        5,
    ]


def test_jitter_takes_off_up_to_half_of_a_wait() -> None:
    assert RetryPolicy(first_wait=4, jitter=Fixed(0.0)).wait_seconds(ServerError("x"), 1) == 2
    assert RetryPolicy(first_wait=4, jitter=Fixed(0.5)).wait_seconds(ServerError("x"), 1) == 3


def test_the_wait_the_server_asks_for_is_a_minimum() -> None:
    error = RateLimited("x")
    error.retry_after = 7.0
    assert RetryPolicy(jitter=Fixed(1.0)).wait_seconds(error, 1) == 7
    error.retry_after = 0.0
    assert RetryPolicy(jitter=Fixed(1.0)).wait_seconds(error, 1) == 1


def test_a_server_that_asks_for_a_very_long_wait_is_not_asked_again() -> None:
    error = ServerError("x")
    error.retry_after = 121.0
    assert not RetryPolicy(longest_wait_on_request=120).should_retry("GET", error, 1)
    error.retry_after = 120.0
    assert RetryPolicy(longest_wait_on_request=120).should_retry("GET", error, 1)


def test_the_breaker_opens_after_failures_in_a_row_and_stays_open() -> None:
    breaker = Breaker(2)
    for outcome in (ServerError("x"), None, ServerError("x")):
        breaker.note(outcome, failures_when_sent=breaker.failures)
    breaker.check()
    breaker.note(Unreachable("x"), failures_when_sent=breaker.failures)
    breaker.note(None, failures_when_sent=breaker.failures)
    with pytest.raises(ServiceDown):
        breaker.check()


def test_an_answer_sent_before_the_failures_says_nothing_of_them() -> None:
    """With several requests under way, one that was answered late let the count begin anew."""
    breaker = Breaker(3)
    sent_before = breaker.failures
    for _ in range(2):
        breaker.note(ServerError("x"), failures_when_sent=breaker.failures)
    breaker.note(None, failures_when_sent=sent_before)
    breaker.check()
    breaker.note(ServerError("x"), failures_when_sent=breaker.failures)
    with pytest.raises(ServiceDown):
        breaker.check()


def test_trouble_with_single_orders_does_not_open_the_breaker() -> None:
    breaker = Breaker(2)
    no_data = InvalidAnswer("x")
    no_data.service_is_well = True
    for _ in range(3):
        breaker.note(no_data, failures_when_sent=breaker.failures)
        breaker.note(ResourceNotFound("x"), failures_when_sent=breaker.failures)
    breaker.check()

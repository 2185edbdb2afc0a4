"""When to try a call again, how long to wait before, and when to stop all calls."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import TypeGuard

from bl_pipeline.bricklink.errors import (
    BrickLinkError,
    CredentialsRefused,
    RateLimited,
    ServiceDown,
    TransientError,
)
from bl_pipeline.bricklink.transport import Method


def is_repeatable(error: BrickLinkError, method: Method) -> TypeGuard[TransientError]:
    """Whether the fault may pass by itself, and the same call sent again has no second effect."""
    return isinstance(error, TransientError) and (method == "GET" or not error.may_have_effect)


@dataclass(frozen=True)
class RetryPolicy:
    """How often and after how many seconds a call is tried again; `jitter` needs only `random()`.

    `max_attempts` counts the first attempt too; `max_attempts_when_limited` is the same after a "too many calls".
    `first_wait` and `longest_wait` are the seconds between two attempts: the wait doubles from one to the other.
    `longest_wait_on_request` is the longest wait in seconds that a server may ask for; if it asks for more, the call
    is not tried again. `max_failures_in_a_row` is the number of failed attempts after which a Breaker stops all calls.

    A write (PUT, POST) is tried again only if BrickLink has certainly not done it: it has one effect.
    """

    max_attempts: int = 4
    max_attempts_when_limited: int = 2
    first_wait: float = 1.0
    longest_wait: float = 30.0
    longest_wait_on_request: float = 120.0
    max_failures_in_a_row: int = 10
    jitter: random.Random = field(default_factory=random.SystemRandom, repr=False, compare=False)

    def should_retry(self, method: Method, error: BrickLinkError, attempts: int) -> bool:
        """Whether to try again after `attempts` attempts, the last of which ended in `error`."""
        return (
            is_repeatable(error, method)
            and attempts < self._attempts(error)
            # The server asks for a longer wait than a run can make: an earlier call would only be wasted.
            and (error.retry_after is None or error.retry_after <= self.longest_wait_on_request)
        )

    def wait_seconds(self, error: BrickLinkError, attempts: int) -> float:
        """The seconds to wait before the next attempt."""
        wait = min(self.first_wait * 2 ** (attempts - 1), self.longest_wait)
        wait = self._with_jitter(wait)
        asked = error.retry_after if isinstance(error, TransientError) else None
        return wait if asked is None else max(wait, asked)

    def _attempts(self, error: TransientError) -> int:
        # The limit is a daily one and each attempt counts: many attempts would use up even more of it.
        limited = self.max_attempts_when_limited if isinstance(error, RateLimited) else self.max_attempts
        return min(limited, self.max_attempts)

    def _with_jitter(self, wait: float) -> float:
        # Between half and the whole of the wait: threads that failed together do not try again together, and
        # waits still grow.
        return wait * (0.5 + 0.5 * self.jitter.random())


class Breaker:
    """Shared by all threads of a client: stops all calls if the service is down or has refused the credentials.

    Once open it stays open; a new client starts closed.
    """

    def __init__(self, max_failures_in_a_row: int) -> None:
        self._limit = max_failures_in_a_row
        self._lock = threading.Lock()
        self._failures = 0
        self._forgiven = 0
        self._refusal: CredentialsRefused | None = None

    @property
    def failures(self) -> int:
        """How many attempts have failed so far; `note` needs this number as it was when the attempt was sent."""
        with self._lock:
            return self._failures

    def check(self) -> None:
        """Raise ServiceDown or CredentialsRefused if it would be a waste to send a request."""
        with self._lock:
            refusal, failures = self._refusal, self._failures - self._forgiven
        if refusal is not None:
            raise CredentialsRefused(
                refusal.message, http_status=refusal.http_status, code=refusal.code, reason=refusal.reason
            )
        if failures >= self._limit:
            raise ServiceDown(f"BrickLink is down: the last {failures} attempts failed. Try again later.")

    def note(self, error: BrickLinkError | None, *, failures_when_sent: int) -> None:
        """Take note of the outcome of one attempt; None is an answer."""
        with self._lock:
            if isinstance(error, CredentialsRefused):
                self._refusal = error
            elif isinstance(error, TransientError) and not error.service_is_well:
                self._failures += 1
            # An answer that was under way when the breaker opened does not close it.
            elif self._failures - self._forgiven < self._limit:
                # The service worked after this was sent; the answer says nothing about failures since then.
                self._forgiven = max(self._forgiven, failures_when_sent)

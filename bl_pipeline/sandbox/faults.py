"""What can go wrong with a request, and when: faults that were seen, or that a client must handle."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from threading import Lock


class Fault(StrEnum):
    """A way to fail a request (or, the last one, to answer it strangely)."""

    TIMEOUT = "timeout"
    """No answer until the client leaves or the server stops."""
    RESET = "reset"
    """The connection is reset without an answer."""
    EMPTY = "empty"
    """HTTP 200 without a body."""
    CUT = "cut"
    """Half of the JSON, with its correct length."""
    CUT_SHORT = "cut_short"
    """Half of the JSON, with the length of all of it, and the connection closed."""
    HTML200 = "html200"
    """A maintenance page as HTTP 200."""
    HTML503 = "html503"
    """nginx's page as HTTP 503."""
    RATE_LIMIT_ENVELOPE = "rate_limit_envelope"
    """429 in the envelope."""
    RATE_LIMIT_HTTP = "rate_limit_http"
    """HTTP 429 from a gateway."""
    HTTP500 = "http500"
    """HTTP 500 with a page."""
    ENVELOPE500 = "envelope500"
    """500 in the envelope."""
    REDIRECT = "redirect"
    """302 to /error.page?code=500, which is a page."""
    DATA_ABSENT = "data_absent"
    """200 in the envelope, and no data."""
    DATA_NULL = "data_null"
    """200 in the envelope, data null."""
    WRONG_TYPE = "wrong_type"
    """One of the four below, in turn."""
    WRONG_TYPE_MONEY = "wrong_type_money"
    """Money with a decimal comma."""
    WRONG_TYPE_COUNT = "wrong_type_count"
    """"many" in place of a number."""
    WRONG_TYPE_ID = "wrong_type_id"
    """An object in place of an id."""
    WRONG_TYPE_DATA = "wrong_type_data"
    """Text in place of the data."""
    UNAUTHORIZED = "unauthorized"
    """401 SIGNATURE_INVALID in the envelope."""
    UNAUTHORIZED_HTTP = "unauthorized_http"
    """The same as a real HTTP 401."""
    IP_MISMATCH = "ip_mismatch"
    """401 TOKEN_IP_MISMATCHED in the envelope, the consumer key in it."""
    FORBIDDEN = "forbidden"
    """403 in the envelope."""
    CODE_AS_STRING = "code_as_string"
    """A good answer whose code is the text "200"."""


WRONG_TYPES = (Fault.WRONG_TYPE_MONEY, Fault.WRONG_TYPE_COUNT, Fault.WRONG_TYPE_ID, Fault.WRONG_TYPE_DATA)
"""The faults that WRONG_TYPE uses in turn."""

PASSING = (
    Fault.RESET,
    Fault.EMPTY,
    Fault.CUT,
    Fault.CUT_SHORT,
    Fault.HTML200,
    Fault.HTML503,
    Fault.RATE_LIMIT_ENVELOPE,
    Fault.RATE_LIMIT_HTTP,
    Fault.HTTP500,
    Fault.ENVELOPE500,
    Fault.REDIRECT,
)
"""The faults that the same request, sent again, may not meet, and that take no time."""


REFUSING = frozenset(
    {
        Fault.RATE_LIMIT_ENVELOPE,
        Fault.RATE_LIMIT_HTTP,
        Fault.UNAUTHORIZED,
        Fault.UNAUTHORIZED_HTTP,
        Fault.IP_MISMATCH,
        Fault.FORBIDDEN,
    }
)
"""The faults that say that nothing was done. Most others leave open what became of a write."""


@dataclass
class _Rule:
    pattern: re.Pattern[str]
    fault: Fault
    left: int | None


class Faults:
    """The plan of what goes wrong; safe to change while the server runs.

    A request meets the first that applies of: a rule for its path, the queue, chance. A write (PUT, POST) that meets
    one has no effect; or it has, and only its answer is lost, if `after_effect` and the fault is none of REFUSING.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.clear()

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        with self._lock:
            self.after_effect = False
            self._rules: list[_Rule] = []
            self._queue: list[Fault] = []
            self._rate = 0.0
            self._kinds: tuple[Fault, ...] = ()
            self._rng = Random(0)
            self._wrong_types = 0

    def next(self, *faults: Fault | str, times: int = 1) -> None:
        """The next requests meet these faults, one each, in this order, the whole `times` times."""
        kinds = [Fault(fault) for fault in faults] * times
        with self._lock:
            self._queue.extend(kinds)

    def on(self, pattern: str, fault: Fault | str, times: int | None = None) -> None:
        """Requests whose path matches meet the fault: the next `times` of them, or all.

        Args:
            pattern: a regular expression, searched for in the path after the base path, and in the path with
                its query: "/orders/123$" is this detail, "filed=true" the list of filed orders.
        """
        rule = _Rule(re.compile(pattern), Fault(fault), times)
        with self._lock:
            self._rules.append(rule)

    def at_random(self, rate: float, kinds: Sequence[Fault | str] = PASSING, seed: int = 0) -> None:
        """Of all other requests this share (0 to 1) meets one of these faults, chosen by the seed."""
        chosen = tuple(Fault(kind) for kind in kinds)
        if not 0 <= rate <= 1 or not chosen:
            raise ValueError("a rate is between 0 and 1, and needs a fault to choose")
        with self._lock:
            self._rate, self._kinds, self._rng = rate, chosen, Random(seed)

    def prevent(self, fault: Fault | None) -> bool:
        """Whether a write that meets the fault has no effect."""
        return fault not in {None, Fault.CODE_AS_STRING} and (fault in REFUSING or not self.after_effect)

    def take(self, path: str, query: str) -> Fault | None:
        """What this request meets; whatever is limited in number is used up by it."""
        with self._lock:
            fault = self._planned(path, query)
            if fault is Fault.WRONG_TYPE:
                fault = WRONG_TYPES[self._wrong_types % len(WRONG_TYPES)]
                self._wrong_types += 1
            return fault

    def _planned(self, path: str, query: str) -> Fault | None:
        for rule in self._rules:
            if rule.left != 0 and (rule.pattern.search(path) or rule.pattern.search(f"{path}?{query}")):
                if rule.left is not None:
                    rule.left -= 1
                return rule.fault
        if self._queue:
            return self._queue.pop(0)
        if self._rate and self._rng.random() < self._rate:
            return self._rng.choice(self._kinds)
        return None

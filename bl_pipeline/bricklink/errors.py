"""What can go wrong with the BrickLink API, grouped by what the caller should do about it.

    BrickLinkError
    ├─ CredentialsRefused    stop at once: every further call would be refused as well
    ├─ TransientError        retried here with growing waits; raised once the attempts are used up, or if
    │                        it was a write that may have been done: a write is never sent twice
    │  ├─ Unreachable        DNS, connect, TLS, timeout, reset, a body cut off by the network
    │  ├─ RateLimited        429; stop for now, asking on makes it worse
    │  ├─ ServerError        5xx, an HTML page, a redirect
    │  └─ InvalidAnswer      empty, cut or unreadable JSON, no envelope, no data though there must be some
    ├─ OrderError            this order cannot be fetched, others can: note it and go on
    │  ├─ ResourceNotFound   404
    │  ├─ PermissionDenied   403 for one order
    │  ├─ RequestRefused     400, 405, 415, 422 and every other 4xx
    │  └─ InvalidResource    the answer came, but a field has a shape that nobody knows
    └─ ServiceDown           too many failed attempts in a row: stop, keep the calls for later

`message` is for the user, `details` are the technical details in a line of their own, and `str()` is both. No
message contains a secret, personal data or any part of an answer's body, so each may be shown, logged and stored.
"""

from __future__ import annotations


class BrickLinkError(Exception):
    """Anything that went wrong with the BrickLink API; `str()` is fit for the user.

    `method` and `path`, with its query and below the base URL, are those of the call, "" if there was none.
    `http_status` is what HTTP said, `code` what the envelope's `meta.code` said, `reason` the API's own word for
    it (`SIGNATURE_INVALID`), each None or "" if there was none. `may_have_effect` says that BrickLink may have
    done what was asked: of a write, ask what became of it before it is sent again.
    """

    may_have_effect: bool = False

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        path: str = "",
        http_status: int | None = None,
        code: int | None = None,
        reason: str = "",
        outcome: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.method = method
        self.path = path
        self.http_status = http_status
        self.code = code
        self.reason = reason
        self._outcome = outcome

    @property
    def outcome(self) -> str:
        """A short word for the ledger: the outcome of the attempt."""
        return self._outcome or type(self).__name__

    def __str__(self) -> str:
        return "\n".join(filter(None, [self.message, self.details]))

    @property
    def details(self) -> str:
        """What was asked and answered, for those who look for the cause: a line of its own, "" if there is none."""
        details = [f"{self.method} {self.path}"] if self.path else []
        if self.http_status is not None:
            details.append(f"HTTP {self.http_status}")
        if self.code is not None:
            details.append(f"code {self.code}")
        if self.reason:
            details.append(self.reason)
        return f"[{', '.join(details)}]" if details else ""


class CredentialsRefused(BrickLinkError):
    """The API does not accept these credentials from this machine."""


class TransientError(BrickLinkError):
    """A fault that probably passes by itself.

    `retry_after` is the wait in seconds that the server asked for, None if it did not ask.
    `service_is_well` says that the service works: it gave a proper answer, but not the one that was needed.
    """

    may_have_effect = True
    retry_after: float | None = None
    service_is_well: bool = False


class Unreachable(TransientError):
    """No answer, or only a part of it, came back over the network.

    `may_have_effect` is False if no connection was made, so that nothing was sent.
    """


class RateLimited(TransientError):
    """The API says that there were too many calls, and has done nothing."""

    may_have_effect = False


class ServerError(TransientError):
    """The server, or a gateway before it, failed."""


class InvalidAnswer(TransientError):
    """Something came back, but it is no answer of this API."""


class OrderError(BrickLinkError):
    """This one order cannot be fetched; others can."""


class ResourceNotFound(OrderError):
    """The API knows no such order."""


class PermissionDenied(OrderError):
    """The order belongs to somebody else."""


class RequestRefused(OrderError):
    """The API refuses the request for a reason that asking again will not change."""


class InvalidResource(OrderError):
    """A field cannot be read; the message names the field and what was expected, never the value."""

    may_have_effect = True


class ServiceDown(BrickLinkError):
    """Too many attempts in a row failed: the next ones would be wasted too."""

"""What an HTTP answer means: the bytes of its data, or the error it stands for.

The real status is `meta.code` in the body, inside an HTTP 200 almost always; the documented HTTP status
with the same body is understood too. `Content-Type` says `text/html` even for JSON, so it is not
checked.
"""

from __future__ import annotations

import codecs
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from bl_pipeline.bricklink.errors import (
    BrickLinkError,
    CredentialsRefused,
    InvalidAnswer,
    PermissionDenied,
    RateLimited,
    RequestRefused,
    ResourceNotFound,
    ServerError,
    TransientError,
)
from bl_pipeline.settings import CONSUMER_PAGE


@dataclass(frozen=True)
class Expect:
    """What was asked for: how its data begins, and what absent or null data stands for (None: a fault)."""

    beginning: bytes
    absent: bytes | None = None
    of_one_order: bool = True


ORDERS = Expect(b"[", absent=b"[]", of_one_order=False)
ORDER = Expect(b"{")
PART = Expect(b"[")
PART_IF_ANY = Expect(b"[", absent=b"[]")
NOTHING = Expect(b"", absent=b"")


class _Meta(msgspec.Struct):
    code: int
    message: Any = None
    description: Any = None


class _Envelope(msgspec.Struct):
    meta: _Meta
    data: msgspec.Raw = msgspec.Raw()


def open_answer(status: int, headers: Mapping[str, str], body: bytes, expect: Expect, now: datetime) -> bytes:
    """The exact bytes of the envelope's data. Raises the BrickLinkError that the answer stands for.

    `now` is when the answer came: `Retry-After` may be a date.

    What no JSON reader or no database could take (invalid UTF-8, half a surrogate pair, NUL) is replaced by U+FFFD;
    nothing else is changed.
    """
    if status == 204 and expect is NOTHING and not body:
        return b""
    envelope = _envelope(body)
    if envelope is None:
        raise _asked_to_wait(_without_envelope(status, body), headers, now)
    code = envelope.meta.code
    if 200 <= code < 300 and not 200 <= status < 300:
        code = status  # the two disagree: believe the one that says it went wrong
    if not 200 <= code < 300:
        raise _asked_to_wait(_error(code, envelope.meta, status, expect), headers, now)
    data = bytes(envelope.data)
    if data in (b"", b"null") and expect.absent is not None:
        return expect.absent
    if not data.startswith(expect.beginning):
        error = InvalidAnswer("BrickLink answered without the data.", http_status=status, code=code)
        error.service_is_well = True
        raise error
    return data


_decoder = msgspec.json.Decoder(_Envelope, strict=False)


def _envelope(body: bytes) -> _Envelope | None:
    try:
        envelope = _decoder.decode(_repaired(body.removeprefix(b"\xef\xbb\xbf")))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return envelope if 100 <= envelope.meta.code < 600 else None


_ESCAPES = re.compile(
    rb"\\\\"  # a backslash: what follows it is no escape
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    rb"|(?P<bad>\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\u0000)"
)


_PIECE = 2**20


def _repaired(body: bytes) -> bytes:
    if not body.isascii() and not _is_utf8(body):
        body = body.decode(errors="replace").encode()
    # A single character is found ten times as fast, and most lists have no escapes at all.
    if b"\\" not in body or not any(start in body for start in (rb"\u0000", rb"\ud", rb"\uD")):
        return body
    return _ESCAPES.sub(lambda found: rb"\ufffd" if found["bad"] else found[0], body)


def _is_utf8(body: bytes) -> bool:
    """Piece by piece: the text of a long list would take several times the memory of its bytes."""
    decoder, whole = codecs.getincrementaldecoder("utf-8")(), memoryview(body)
    try:
        for start in range(0, len(body), _PIECE):
            decoder.decode(whole[start : start + _PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _without_envelope(status: int, body: bytes) -> BrickLinkError:
    """The error that an answer without an envelope stands for: a gateway's answer, or one that was cut off."""
    if status == 401:
        return CredentialsRefused(_refusal(""), http_status=status)
    if status == 429:
        return RateLimited(_LIMITED, http_status=status)
    if status >= 500 or 300 <= status < 400:
        word = "redirected" if status < 400 else "failed"
        return ServerError(f"BrickLink {word}.", http_status=status, outcome=f"http_{status}")
    if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return ServerError("BrickLink answered with a web page.", http_status=status, outcome="html")
    what = "nothing" if not body.strip() else "something unreadable, or cut off"
    return InvalidAnswer(f"BrickLink answered with {what}.", http_status=status)


def _error(code: int, meta: _Meta, status: int, expect: Expect) -> BrickLinkError:
    """The error that an envelope's code stands for."""
    reason = _reason(meta.description) or _reason(meta.message)
    about: dict[str, Any] = {"http_status": status, "code": meta.code, "reason": reason}
    bad_oauth = "BAD_OAUTH_REQUEST" in (_reason(meta.message), reason)
    if code == 401 or (code == 403 and not expect.of_one_order) or (bad_oauth and 400 <= code < 500):
        return CredentialsRefused(_refusal(reason, meta.description), **about)
    if code == 429:
        return RateLimited(_LIMITED, **about)
    if code >= 500:
        outcome = f"http_{status}" if status >= 500 else f"code_{code}"
        return ServerError("BrickLink had an error on its own side.", **about, outcome=outcome)
    if code == 404:
        return ResourceNotFound("BrickLink knows no such order. Check its number.", **about)
    if code == 403:
        return PermissionDenied("BrickLink does not let this store see the order.", **about)
    if code == 422:
        return RequestRefused("BrickLink does not allow this change while the order has its present status.", **about)
    if code >= 400:
        return RequestRefused("BrickLink refused the request.", **about)
    return ServerError("BrickLink redirected.", **about, outcome=f"code_{code}")


_REASON = re.compile(r"\A([A-Z]+(?:_[A-Z]+)+)(?=:|\s|\Z)")


def _reason(text: object) -> str:
    """The word in capitals that a description begins with; the rest may contain anything, the key included."""
    found = _REASON.match(text) if isinstance(text, str) else None
    return found[1] if found and len(found[1]) <= 50 else ""


_LIMITED = "BrickLink says that there were too many calls. Wait before the next sync."


def _refusal(reason: str, description: object = None) -> str:
    """What the seller can do about refused credentials."""
    if "IP_MISMATCH" in reason:
        address = f" {seen}" if (seen := _address(description)) else ""
        return (
            f"BrickLink does not accept calls from this machine's IP address{address}, which has changed. "
            f"No order can be fetched. Register the new address on {CONSUMER_PAGE} and use its token."
        )
    if "TIMESTAMP" in reason:
        return "BrickLink refused the time in the request, so no order can be fetched. Check the clock of this machine."
    return (
        f"BrickLink refused the credentials, so no order can be fetched. To reconnect, open {CONSUMER_PAGE}, "
        "check that this machine's IP address and mask are registered there, and copy the key, the token and "
        "both secrets from it."
    )


def _address(description: object) -> str:
    """The address in `consumer: <key> IP: <address>`: the machine's own, as seen by BrickLink."""
    found = re.search(r"IP: *([0-9a-fA-F.:]+)", description) if isinstance(description, str) else None
    try:
        return str(ipaddress.ip_address(found[1])) if found else ""
    except ValueError:
        return ""


_DAY = 24 * 3600
"""In seconds. No limit of BrickLink's is longer than a day, whatever a gateway says."""


def _asked_to_wait(error: BrickLinkError, headers: Mapping[str, str], now: datetime) -> BrickLinkError:
    """The error, with the wait that the answer asks for if it may be tried again."""
    if isinstance(error, TransientError):
        error.retry_after = _wait_seconds(headers.get("Retry-After", "").strip(), now)
    return error


def _wait_seconds(asked: str, now: datetime) -> float | None:
    """The seconds that `Retry-After` asks for, by their number or by the time of their end; None if it is neither."""
    if asked.isascii() and asked.isdigit():
        seconds = float(asked)
        return min(seconds, _DAY)
    try:
        end = parsedate_to_datetime(asked)
    except (ValueError, OverflowError):
        return None
    # Without an offset it is UTC. An end that has passed is no wait.
    seconds = (end.replace(tzinfo=end.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), _DAY)

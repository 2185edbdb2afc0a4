"""Which status an answer stands for, at the limits of each range, and how long a server may make us wait."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from bl_pipeline.bricklink import BrickLinkError, InvalidAnswer, RateLimited
from bl_pipeline.bricklink.envelope import NOTHING, ORDER, ORDERS, Expect, open_answer

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY = 24 * 3600.0


def answer(status: int, code: int | None, expect: Expect = ORDER, **meta: Any) -> str | BrickLinkError:
    """What an answer without or with an envelope stands for: the word of its outcome."""
    body = b"" if code is None else json.dumps({"meta": {"code": code, **meta}, "data": {"a": 1}}).encode()
    try:
        return open_answer(status, {}, body, expect, NOW).decode()
    except BrickLinkError as error:
        return error


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (200, 200, None), (299, 200, None), (200, 299, None), (404, 299, "ResourceNotFound"), (199, 200, "code_199"),
        (300, 200, "code_300"), (200, 300, "code_300"), (200, 199, "code_199"), (500, 300, "code_300"),
        (200, 399, "code_399"), (200, 400, "RequestRefused"), (200, 401, "CredentialsRefused"),
        (200, 402, "RequestRefused"), (200, 403, "PermissionDenied"), (200, 404, "ResourceNotFound"),
        (200, 405, "RequestRefused"), (200, 422, "RequestRefused"), (200, 429, "RateLimited"),
        (200, 499, "RequestRefused"), (200, 500, "code_500"), (499, 500, "code_500"), (500, 500, "http_500"),
        (503, 500, "http_503"), (200, 599, "code_599"),
        # Codes of no kind: it is no envelope.
        (200, 99, "InvalidAnswer"), (200, 100, "code_100"), (200, 600, "InvalidAnswer"),
        (299, None, "InvalidAnswer"), (300, None, "http_300"), (399, None, "http_399"), (400, None, "InvalidAnswer"),
        (401, None, "CredentialsRefused"), (429, None, "RateLimited"), (499, None, "InvalidAnswer"),
        (500, None, "http_500"),
    ],
)  # fmt: skip
def test_which_error_a_status_stands_for(status: int, code: int | None, outcome: str | None) -> None:
    """Planted: each limit moved by one."""
    found = answer(status, code)
    if outcome is None:
        assert found == '{"a": 1}'
    else:
        assert isinstance(found, BrickLinkError)
        assert found.outcome == outcome


def test_words_for_redirects_and_failures_without_an_envelope() -> None:
    assert [str(answer(status, None)).splitlines()[0] for status in (300, 399, 500)] == [
        "BrickLink redirected.", "BrickLink redirected.", "BrickLink failed.",
    ]  # fmt: skip


def test_a_403_of_the_list_is_about_the_credentials() -> None:
    found = answer(200, 403, ORDERS)
    assert isinstance(found, BrickLinkError)
    assert found.outcome == "CredentialsRefused"
    for code, outcome in (
        (399, "code_399"),
        (400, "CredentialsRefused"),
        (499, "CredentialsRefused"),
        (500, "code_500"),
    ):
        found = answer(200, code, message="BAD_OAUTH_REQUEST")
        assert isinstance(found, BrickLinkError)
        assert found.outcome == outcome


@pytest.mark.parametrize(("length", "reason"), [(50, True), (51, False)])
def test_a_long_word_is_no_reason(length: int, reason: bool) -> None:
    word = "A_" + "B" * (length - 2)
    found = answer(200, 404, description=f"{word}: key")
    assert isinstance(found, BrickLinkError)
    assert found.reason == (word if reason else "")


def test_the_reason_is_in_the_description_or_else_in_the_message() -> None:
    def reason(**meta: Any) -> str:
        found = answer(200, 404, **meta)
        assert isinstance(found, BrickLinkError)
        return found.reason

    assert reason(description="ONE_WORD: key", message="OTHER_WORD") == "ONE_WORD"
    assert reason(description="in small letters", message="OTHER_WORD") == reason(message="OTHER_WORD") == "OTHER_WORD"
    assert reason(description=["ONE_WORD"]) == reason() == ""


def waits(asked: str) -> float | None:
    with pytest.raises(RateLimited) as caught:
        open_answer(429, {"Retry-After": asked}, b"", ORDER, NOW)
    return caught.value.retry_after


def test_how_long_a_server_may_make_us_wait() -> None:
    """By seconds or by a date, a day at most; what is neither asks for nothing."""
    assert [waits(asked) for asked in ("0", " 7 ", "86399", "86400", "86401")] == [0, 7, DAY - 1, DAY, DAY]
    assert [waits(asked) for asked in ("", "-1", "1.5", "soon", "\u0667")] == [None] * 5

    def until(**later: float) -> float | None:
        return waits(format_datetime(NOW + timedelta(**later), usegmt=True))

    assert [until(seconds=90), until(days=1), until(days=2), until(seconds=-1), until()] == [90, DAY, DAY, 0, 0]
    assert waits("Mon, 15 Jun 2026 12:00:30 -0000") == 30


def test_no_content_is_an_answer_only_where_nothing_is_expected() -> None:
    assert open_answer(204, {}, b"", NOTHING, NOW) == b""
    for status, body, expect in ((204, b"", ORDER), (200, b"", NOTHING), (204, b"x", NOTHING), (205, b"", NOTHING)):
        with pytest.raises(InvalidAnswer):
            open_answer(status, {}, body, expect, NOW)

"""Days, times and words as people write them."""

from __future__ import annotations

from datetime import datetime

import pytest

from bl_pipeline.questions import QuestionError, one_of, parse_order_number, parse_time


@pytest.mark.parametrize(
    ("written", "begins", "over"),
    [
        ("2026", "2026-01-01", "2027-01-01"),
        ("2026-11", "2026-11-01", "2026-12-01"),
        (" 2026-02-28 ", "2026-02-28", "2026-03-01"),
        ("2026-05-31T14:00", "2026-05-31T14:00", "2026-05-31T14:00:00.000001"),
        ("2026-05-31T14:00Z", "2026-05-31T14:00Z", "2026-05-31T14:00:00.000001Z"),
        ("2026-05-31T14:00+02:00", "2026-05-31T14:00+02:00", "2026-05-31T14:00:00.000001+02:00"),
    ],
)
def test_a_period_begins_and_is_over(written: str, begins: str, over: str) -> None:
    assert parse_time(written) == datetime.fromisoformat(begins)
    assert parse_time(written, end=True) == datetime.fromisoformat(over)


@pytest.mark.parametrize(
    "written",
    [
        "", "yesterday", "26", "2026-13", "2026-02-30", "2026-11-", "٢٠٢٦", "20261105", "2026-W45", "2026-W45-4",
        "2026W454", "2026-03-14109", "2026-03-14x09:30",
    ],
)  # fmt: skip
def test_anything_else_is_refused(written: str) -> None:
    """Planted: a day in another form of ISO 8601, taken for its first moment though it is about its end."""
    with pytest.raises(QuestionError, match="2026-03-14T09:30Z"):
        parse_time(written)


@pytest.mark.parametrize("written", ["15646315", " BL-15646315 ", "bl-0015646315"])
def test_an_order_number_is_the_one_of_bricklink(written: str) -> None:
    assert parse_order_number(written) == "15646315"


@pytest.mark.parametrize("written", ["", "BL-", "1564x", "٢٠٢٦", "15 64"])
def test_what_is_no_order_number(written: str) -> None:
    with pytest.raises(QuestionError, match="15646315"):
        parse_order_number(written)


def test_the_last_year_of_all_has_no_end() -> None:
    assert parse_time("9999") == datetime.fromisoformat("9999-01-01")
    # Caught: "no year".
    with pytest.raises(QuestionError, match="is too late: the last year"):
        parse_time("9999", end=True)


def test_a_word_is_found_or_guessed() -> None:
    assert one_of("shipped", "status", ["SHIPPED", "PAID"]) == "SHIPPED"
    with pytest.raises(QuestionError, match=r"^There is no status shipt\. Did you mean SHIPPED\?\nThere are: PAID, SH"):
        one_of("shipt", "status", ["SHIPPED", "PAID"])
    with pytest.raises(QuestionError, match=r"^There is no status nonsense\.\nThere are: PAID, SHIPPED$"):
        one_of("nonsense", "status", ["SHIPPED", "PAID"])

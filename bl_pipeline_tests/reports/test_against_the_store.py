"""Every report against the same question answered in plain Python from the store's own state."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from bl_pipeline.reports.files import read_reports
from bl_pipeline.reports.reading import find_report
from bl_pipeline_tests.reports.conftest import Kept
from bl_pipeline_tests.support.report_rows import REPORTS
from bl_pipeline_tests.support.report_sums import Row


def by_grain(rows: list[Any], grain: tuple[str, ...]) -> dict[tuple[object, ...], Row]:
    """Rows by what identifies them, so that rows in any order compare equal."""
    found = {tuple(plain(row[name]) for name in grain): {name: plain(row[name]) for name in row} for row in rows}
    assert len(found) == len(rows), f"{grain} does not identify the rows"
    return found


def plain(value: object) -> object:
    """Values that are the same compare equal; hours are compared to the hundredth."""
    if isinstance(value, datetime):
        return str(value)
    if isinstance(value, Fraction):
        return pytest.approx(Decimal(value.numerator) / value.denominator, abs=Decimal("0.0051"))
    return value


def test_every_report_is_worked_out_again() -> None:
    assert REPORTS.keys() == {report.name for report in read_reports()}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_says_what_the_store_says(name: str, zone: str, kept: Kept) -> None:
    grain = find_report(name).grain
    expected = by_grain(REPORTS[name](kept.expected(zone)), grain)
    shown = by_grain(kept.rows(name), grain)
    assert expected, "the store has nothing to show here"
    if name == "fulfilment_times":
        # Approximate values stand on the right.
        assert shown.keys() == expected.keys()
        assert all(shown[key] == expected[key] for key in shown)
    else:
        assert shown == expected

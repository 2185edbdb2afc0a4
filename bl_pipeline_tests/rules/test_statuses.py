"""What BrickLink's statuses mean; here the whole table is written down once more."""

from __future__ import annotations

import pytest

from bl_pipeline.rules.statuses import (
    GROUPS,
    IN_WORK,
    NOT_REVENUE,
    NOT_SENT,
    OPEN,
    PERHAPS_UNPAID,
    STATUSES,
    UNDECIDED,
    group_of,
)
from bl_pipeline_tests.support.sales_rows import STATUS

DOCUMENTED = [
    "PENDING", "UPDATED", "PROCESSING", "READY", "PAID", "PACKED", "SHIPPED", "RECEIVED", "COMPLETED", "OCR", "NPB",
    "NPX", "NRS", "NSS", "CANCELLED",
]  # fmt: skip


@pytest.mark.parametrize("status", [*DOCUMENTED, "PAID-PENDING"])
def test_every_status_has_its_meaning(status: str) -> None:
    assert status in STATUSES
    for previous in (None, "shipped"):
        for paid in (True, False):
            assert group_of(status, previous=previous, paid=paid) == STATUS[status]


def test_the_table_has_these_and_no_other() -> None:
    assert GROUPS == STATUS


@pytest.mark.parametrize("status", ["AWAITING PICKUP", "", "paid", "PAID PENDING"])
def test_a_status_nobody_knows_is_unknown(status: str) -> None:
    """Never pending: catches a default, and a guess by upper case or by a part of the word."""
    assert status not in STATUSES
    assert group_of(status, previous="shipped", paid=True) == "unknown"


@pytest.mark.parametrize(
    ("previous", "paid", "status"),
    [
        ("cancelled", True, "cancelled"),
        ("shipped", False, "shipped"),
        (None, True, "completed"),
        (None, False, "unknown"),
    ],
)
def test_purged_keeps_what_was_known(previous: str | None, paid: bool, status: str) -> None:
    assert "PURGED" in STATUSES
    assert group_of("PURGED", previous=previous, paid=paid) == status


def test_revenue_is_everything_but_what_fell_through() -> None:
    meanings = {*GROUPS.values(), "unknown"}
    assert {*meanings} - {*NOT_REVENUE} == {"pending", "processing", "shipped", "completed", "on_hold", "unknown"}
    assert meanings - {*OPEN} == {"completed", "cancelled", "problem"}


def test_what_is_to_be_done_for_open_orders() -> None:
    assert {*OPEN} - {*PERHAPS_UNPAID} == {"processing"}
    assert {*OPEN} - {*NOT_SENT} == {"shipped"}
    assert {*IN_WORK} == {"pending", "processing"}
    assert {*UNDECIDED} == {"on_hold", "unknown"}

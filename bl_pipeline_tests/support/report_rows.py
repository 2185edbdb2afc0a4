"""Every report worked out again from the books."""

from __future__ import annotations

from collections.abc import Callable

from bl_pipeline_tests.support.report_rows_of_books import BookReports
from bl_pipeline_tests.support.report_rows_of_changes import ChangeReports
from bl_pipeline_tests.support.report_rows_of_imports import ImportReports
from bl_pipeline_tests.support.report_rows_of_payments import PaymentReports
from bl_pipeline_tests.support.report_rows_of_states import StateReports
from bl_pipeline_tests.support.report_rows_of_taxes import TaxReports
from bl_pipeline_tests.support.report_sums import Row


class Expected(TaxReports, StateReports, ChangeReports, PaymentReports, ImportReports, BookReports):
    """All reports as they have to be."""


REPORTS: dict[str, Callable[[Expected], list[Row]]] = {
    name: method
    for part in Expected.__mro__
    for name, method in vars(part).items()
    if callable(method) and not name.startswith("_")
}
"""What each report has to show, by its name."""

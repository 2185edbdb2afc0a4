"""Every report worked out again from the books."""

from __future__ import annotations

from collections.abc import Callable

from bl_pipeline_tests.support.report_rows_of_sales import SalesReports
from bl_pipeline_tests.support.report_rows_of_states import StateReports
from bl_pipeline_tests.support.report_sums import Row


class Expected(SalesReports, StateReports):
    """All reports as they have to be."""


REPORTS: dict[str, Callable[[Expected], list[Row]]] = {
    name: method
    for part in (SalesReports, StateReports)
    for name, method in vars(part).items()
    if callable(method) and not name.startswith("_")
}
"""What each report has to show, by its name."""

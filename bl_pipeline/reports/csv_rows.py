"""Rows of reports as CSV: a line of names, amounts exact, times as ISO 8601 in UTC, nothing for null."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import IO, Any

from bl_pipeline.reports.files import ReportColumn


def write_csv(columns: Sequence[ReportColumn], rows: Iterable[Sequence[Any]], file: IO[str]) -> None:
    """Write the rows, and before them the names of their columns."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    writer.writerows([_plain(value) for value in row] for row in rows)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return value

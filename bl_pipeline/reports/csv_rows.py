"""Rows as CSV: a line of names, amounts exact, times as ISO 8601 in UTC, nothing for null; safe in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import IO, Any

from bl_pipeline.reports.files import ReportColumn

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet would calculate: a buyer's name could read other cells, or start a program."""


def write_csv(columns: Sequence[ReportColumn], rows: Iterable[Sequence[Any]], file: IO[str]) -> None:
    """Write the rows of a report, and before them the names of their columns."""
    write_rows([column.name for column in columns], rows, file)


def write_rows(names: Sequence[str], rows: Iterable[Sequence[Any]], file: IO[str]) -> None:
    """Write rows with these names. A text that could be a formula gets an apostrophe before it; amounts stay."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_plain(value) for value in row] for row in rows)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value

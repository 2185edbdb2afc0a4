"""The data dictionary: docs/data-dictionary.md, written from the tables' comments and the headers of sql/.

    python -m bl_pipeline.warehouse.dictionary

The same comments are in Postgres, where `\\d+ sales.orders` and BI tools show them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from bl_pipeline.reports.files import Report, read_reports
from bl_pipeline.warehouse.tables import metadata

FILE = Path(__file__).parents[2] / "docs" / "data-dictionary.md"

_SCHEMAS = {
    "reports": "What an analyst reads: one view for each file in sql/. Amounts are in the row's `currency`.",
    "sales": "The normalised sales. Money is `numeric(19,4)` in the row's currency, times are UTC, null is not known.",
    "books": "What an accountant works with. Analysts read it in the views of `reports`.",
    "landing": "The API's answers as received.",
    "sync": "What the pipeline knows about itself.",
}

_INTRODUCTION = """\
# Data dictionary

Every relation and column of the warehouse. `python -m bl_pipeline.warehouse.dictionary` writes this page from the
comments that are in Postgres too, and a test checks that it is current.
"""


def dictionary() -> str:
    """The page."""
    return "\n".join([_INTRODUCTION, *_contents(), *_sections()])


def _contents() -> Iterator[str]:
    for schema, meaning in _SCHEMAS.items():
        links = ", ".join(f"[{name}](#{schema}{name})" for name in _names(schema))
        yield f"- **{schema}**: {meaning} {links}"
    yield ""


def _names(schema: str) -> list[str]:
    if schema == "reports":
        return sorted(report.name for report in read_reports())
    return sorted(table.name for table in _tables(schema))


def _tables(schema: str) -> list[Table]:
    return [table for table in metadata.tables.values() if table.schema == schema]


def _sections() -> Iterator[str]:
    for schema in _SCHEMAS:
        if schema == "reports":
            for report in sorted(read_reports(), key=lambda report: report.name):
                yield from _report(report)
        else:
            for table in sorted(_tables(schema), key=lambda table: table.name):
                yield from _table(table)


def _report(report: Report) -> Iterator[str]:
    yield f"## reports.{report.name}\n"
    yield f"{report.title}. *{report.question}*\n"
    if report.text:
        yield f"{report.text}\n"
    yield f"One row for each {', '.join(f'`{name}`' for name in report.grain)}.\n"
    yield from _rows(("column", "unit", "meaning"), ((f"`{c.name}`", c.unit or "", c.text) for c in report.columns))
    yield from (f"- {caveat}" for caveat in report.caveats)
    yield f"\n[sql/{report.name}.sql](../sql/{report.name}.sql)\n"


def _table(table: Table) -> Iterator[str]:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    yield f"## {table.fullname}\n"
    yield f"{table.comment}.\n"
    rows = (
        (
            f"`{column.name}`",
            column.type.compile(dialect=dialect).lower().replace("timestamp with time zone", "timestamptz"),
            "key" if column.primary_key else "" if column.nullable else "not null",
            column.comment or "",
        )
        for column in table.columns
    )
    yield from _rows(("column", "type", "", "meaning"), rows)


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    yield from (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
    yield ""


if __name__ == "__main__":
    FILE.write_text(dictionary(), encoding="utf-8")

"""`bl import`: refunds and fees from a CSV file of the seller into the books."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from bl_pipeline.clock import utc_now
from bl_pipeline.records import ExitCode
from bl_pipeline.terminal.console import clean, complain, print_json, show
from bl_pipeline.terminal.failures import Refused
from bl_pipeline.terminal.reading import Json
from bl_pipeline.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from bl_pipeline.books.csv_tables import FileError
    from bl_pipeline.books.import_files import ImportKind

_SHOWN = 20
"""Faults of a file that the terminal shows; --json has all."""


def import_file(
    what: Annotated[
        str | None, typer.Argument(metavar="[refunds|fees]", help="What the file has.", show_default=False)
    ] = None,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The CSV file; without it, what its columns are.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Refunds or fees from a CSV file into the books; without a file, what the columns of one are."""
    from bl_pipeline.books.csv_tables import FileErrors
    from bl_pipeline.books.import_files import ImportKind, parse_file
    from bl_pipeline.questions import QuestionError, one_of

    try:
        kinds = [ImportKind(one_of(what, "kind of file", list(ImportKind)))] if what else list(ImportKind)
    except QuestionError as error:
        raise Refused(str(error)) from None
    if file is None:
        print_json({str(kind): _columns_json(kind) for kind in kinds}) if as_json else show(_columns_view(kinds))
        return
    from bl_pipeline.settings import load_settings

    settings = load_settings()
    from bl_pipeline.books.importing import import_lines
    from bl_pipeline.warehouse.database import open_warehouse, refuse_unmade

    (kind,) = kinds
    refuse_unmade(settings)
    try:
        content = file.expanduser().read_bytes()
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from None
    now = utc_now()
    try:
        lines = parse_file(kind, content, today=now.astimezone(ZoneInfo(settings.bl_timezone)).date())
        with open_warehouse(settings, for_writing=True) as warehouse, warehouse.engine.begin() as connection:
            done = import_lines(connection, warehouse.store, kind, lines, file=file.name, now=now)
    except FileErrors as error:
        complain(_faults(file, error.errors))
        if as_json:
            faults = [{"line": fault.line, "error": fault.message} for fault in error.errors]
            print_json({"added": 0, "known": 0, "errors": faults})
        raise typer.Exit(ExitCode.USAGE) from None
    if as_json:
        print_json({"added": done.added, "known": done.known, "errors": []})
        return
    stay = "stays as it is" if done.known == 1 else "stay as they are"
    known = f" {plural(done.known, 'line')} had been imported before, and {stay}." if done.known else ""
    show(f"Imported {plural(done.added, 'line')} of {kind} from {clean(str(file))}.{known}")


def _faults(file: Path, errors: Sequence[FileError]) -> str:
    more = [f"and {len(errors) - _SHOWN} more"] if len(errors) > _SHOWN else []
    return "\n".join(
        [f"{clean(str(file))} has faults. Nothing was imported.", *(clean(str(e)) for e in errors[:_SHOWN]), *more]
    )


def _columns_json(kind: ImportKind) -> list[dict[str, Any]]:
    from bl_pipeline.books.import_files import COLUMNS

    return [
        {"name": column.name, "meaning": column.meaning, "optional": column.optional, "example": column.example}
        for column in COLUMNS[kind]
    ]


def _columns_view(kinds: Sequence[ImportKind]) -> RenderableType:
    from bl_pipeline.books.import_files import COLUMNS

    parts: list[RenderableType] = []
    for kind in kinds:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column()
        for column in COLUMNS[kind]:
            table.add_row(f"  {column.name}", column.meaning + ("; may be empty" if column.optional else ""))
        parts += [Text(f"bl import {kind} FILE", "bold"), Text("The columns of the file:"), table, Text("")]
        parts += [
            Text("  " + ",".join(column.name for column in COLUMNS[kind])),
            Text("  " + ",".join(column.example for column in COLUMNS[kind])),
            Text(""),
        ]
    rules = (
        "CSV with commas or semicolons; the first line names the columns, in any order. Amounts have a point; in a "
        "file with semicolons a comma is understood too, as in 1.234,50. If one line is wrong, nothing is imported. "
        "A line that was imported before is not imported again: it is known by its reference. What was imported "
        "stays; correct it by a further line with a reference of its own and the difference as its amount."
    )
    return Group(*parts, Text(rules, "dim"))

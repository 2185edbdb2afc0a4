"""Where output goes, and how amounts, times, counts and tables look in it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import IO, Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 100
"""Columns of output that goes to a file or a pipe, unless COLUMNS says otherwise."""

_COMFORTABLE = 16
_BETWEEN = 2
"""Columns between two columns of a table."""

STATUS_STYLES = {
    "pending": "yellow",
    "processing": "cyan",
    "shipped": "blue",
    "completed": "green",
    "on_hold": "magenta",
    "problem": "red",
    "cancelled": "dim",
    "unknown": "bold red",
}


def _console(stream: IO[str], *, stderr: bool) -> Console:
    width = None if stream.isatty() or os.environ.get("COLUMNS") else PIPED_WIDTH
    # No markup: names of buyers and items are shown as they are.
    return Console(file=stream, stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def stdout() -> Console:
    """Standard output: what was asked for."""
    return _console(sys.stdout, stderr=False)


def stderr() -> Console:
    """Standard error: progress, messages, errors."""
    return _console(sys.stderr, stderr=True)


def show(what: RenderableType = "", *, indent: int = 0) -> None:
    """Print on standard output."""
    console = stdout()
    what = Padding(what, (0, 0, 0, indent), expand=False) if indent else what
    if console.is_terminal:
        console.print(what)
        return
    with console.capture() as capture:
        console.print(what)
    # In a file or a pipe nobody wants the blanks that fill the lines up.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))
    sys.stdout.flush()


def complain(message: str) -> None:
    """Say on standard error what is wrong and what to do."""
    first, *rest = message.strip().splitlines()
    console = stderr()
    # In a log a message stays on its line; in a terminal it is wrapped between words.
    whole = not console.is_terminal
    console.print(Text.assemble(("Error: ", "bold red"), clean(first)), soft_wrap=whole)
    for line in rest:
        console.print(clean(line), soft_wrap=whole)


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output: amounts as text, times as ISO 8601 in UTC."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=_as_json) + "\n")
    sys.stdout.flush()


def _as_json(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def clean(value: object) -> str:
    """Text on one line, without the control characters that could command a terminal; nothing for None."""
    return "" if value is None else "".join(char if char.isprintable() else " " for char in str(value))


def amount(value: Decimal | None) -> str:
    """An amount in full: two decimals, or four where it has parts of a cent."""
    return "" if value is None else f"{value:,.4f}".removesuffix("00")


def amounts(values: Iterable[Decimal | None]) -> list[str]:
    """Amounts for a column that is justified to the right: decimal points stand below each other."""
    texts = [amount(value) for value in values]
    if any(_decimals(text) == 4 for text in texts):
        return [f"{text}  " if _decimals(text) == 2 else text for text in texts]
    return texts


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def money(value: Decimal | None, currency: str | None) -> str:
    """An amount with its currency; nothing where there is none."""
    return "" if value is None else f"{amount(value)} {currency or ''}".rstrip()


def when(time: datetime | None) -> str:
    """A time to the minute, in UTC."""
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def day(time: datetime | None) -> str:
    """The day of a time in UTC."""
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d}"


def ago(passed: timedelta) -> str:
    """How long ago, in the unit that tells the most."""
    seconds = max(passed.total_seconds(), 0)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{plural(int(seconds // length), unit)} ago"
    return "just now"


def plural(number: int, noun: str) -> str:
    """A number with its noun: 1 order, 1,204 orders."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def seconds(duration: float) -> str:
    """A duration as people say it."""
    if duration < 60:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def status_text(status: str) -> Text:
    """A normalised status in its colour."""
    return Text(clean(status), STATUS_STYLES.get(status, ""))


@dataclass(frozen=True)
class Column:
    """A column of a table. `least` lets it shrink to so many characters, `optional` lets it go altogether."""

    name: str = ""
    right: bool = False
    least: int | None = None
    optional: bool = False


class FittedTable:
    """A table of one line a row, made to fit where it is shown.

    Where it is too wide, the columns with a `least` width shrink, their cells cut with an ellipsis. Before that
    becomes uncomfortable, the optional columns go, the last one first.
    """

    def __init__(self, columns: Sequence[str | Column], rows: Iterable[Sequence[str | Text]]) -> None:
        self._columns = [Column(column) if isinstance(column, str) else column for column in columns]
        self._rows = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
        self._widths = [
            max([len(column.name), *(row[place].cell_len for row in self._rows)])
            for place, column in enumerate(self._columns)
        ]

    def left_out(self, width: int) -> list[str]:
        """The columns for which there is no room."""
        shown = self._shown(width)
        return [column.name for place, column in enumerate(self._columns) if place not in shown]

    def _shown(self, width: int) -> list[int]:
        shown = list(range(len(self._columns)))
        optional = [place for place in shown if self._columns[place].optional]
        while optional and self._comfortable(shown) > width:
            shown.remove(optional.pop())
        return shown

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        shown = self._shown(options.max_width)
        missing = self._width(shown, self._widths) - options.max_width
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for place in shown:
            column, width = self._columns[place], self._widths[place]
            if column.least is not None and missing > 0:
                fitting = max(width - missing, min(column.least, width))
                missing -= width - fitting
                width = fitting
            table.add_column(
                column.name, width=width, justify="right" if column.right else "left", no_wrap=True, overflow="ellipsis"
            )
        for row in self._rows:
            table.add_row(*(row[place] for place in shown))
        yield table

    def _comfortable(self, shown: Sequence[int]) -> int:
        return self._width(
            shown,
            [
                width if column.least is None else min(max(column.least, _COMFORTABLE), width)
                for column, width in zip(self._columns, self._widths, strict=True)
            ],
        )

    @staticmethod
    def _width(shown: Sequence[int], widths: Sequence[int]) -> int:
        return sum(widths[place] for place in shown) + _BETWEEN * (len(shown) - 1)


def facts(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Names with their values below each other; rows with an empty value are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        if value:
            grid.add_row(name, value)
    return grid

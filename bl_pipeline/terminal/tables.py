"""Tables of one line a row, made to fit the width of the output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_COMFORTABLE = 16
_BETWEEN = 2
"""Columns between two columns of a table."""

BAR = 24
_SHORT_BAR, _SHORTEST_BAR = 12, 6
_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True)
class Column:
    """A column of a table. `least`: it may shrink to this number of characters.

    If the table is too wide, `optional` columns are left out: those of the highest number first, all of one
    number together. 0 always stays.
    """

    name: str = ""
    right: bool = False
    least: int | None = None
    optional: int = 0


@dataclass(frozen=True)
class _Layout:
    """Which columns are shown, how wide, whether their names take several lines, and the bars' width."""

    shown: tuple[int, ...]
    widths: tuple[int, ...]
    bar: int


class FittedTable:
    """A table of one line a row, and in each row a bar, if there are `bars`.

    If it is too wide, bars become shorter and names of columns take several lines; then optional columns are left
    out, and columns with a `least` width shrink, their cells cut with an ellipsis; at last the columns at the end are
    left out. A line below names those that are, and the option `see` that shows them.
    """

    def __init__(
        self,
        columns: Sequence[str | Column],
        rows: Iterable[Sequence[str | Text]],
        bars: Sequence[Decimal | int] = (),
        *,
        see: str = "--json",
    ) -> None:
        self._columns = [Column(column) if isinstance(column, str) else column for column in columns]
        self._rows = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
        self._bars = bars
        self._see = see
        self._cells = [
            max((row[place].cell_len for row in self._rows), default=0) for place in range(len(self._columns))
        ]

    def _layout(self, width: int) -> _Layout:
        shown = list(range(len(self._columns)))
        in_one_line = [max(len(column.name), cells) for column, cells in zip(self._columns, self._cells, strict=True)]
        wrapped = [
            max(max(map(len, column.name.split()), default=0), cells)
            for column, cells in zip(self._columns, self._cells, strict=True)
        ]
        for widths, bar in ((in_one_line, _SHORT_BAR), (wrapped, _SHORTEST_BAR), (wrapped, 0)):
            if self._comfortable(shown, widths) + (bar + _BETWEEN if bar and self._bars else 0) <= width:
                break
        while (last := max((self._columns[place].optional for place in shown), default=0)) and (
            self._comfortable(shown, widths) > width
        ):
            shown = [place for place in shown if self._columns[place].optional != last]
        # Numbers and dates are never cut: rather, the last columns are not shown. One without a name belongs to the one
        # before it, such as a currency to its amount.
        while len(shown) > 1 and self._comfortable(shown, widths, 0) > width:
            if not self._columns[shown.pop()].name and len(shown) > 1:
                shown.pop()
        left = width - self._comfortable(shown, widths) - _BETWEEN
        # Names that could shrink keep what is more than a short bar.
        whole = width - self._width(shown, widths) - _BETWEEN
        bar = min(max(whole, min(left, _SHORT_BAR)), BAR) if self._bars and left >= _SHORTEST_BAR else 0
        missing = self._width(shown, widths) + (bar + _BETWEEN if bar else 0) - width
        fitting = []
        for place in shown:
            column, wide = self._columns[place], widths[place]
            if column.least is not None and missing > 0:
                narrow = max(wide - missing, min(column.least, wide))
                missing -= wide - narrow
                wide = narrow
            fitting.append(wide)
        return _Layout(tuple(shown), tuple(fitting), bar)

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        layout = self._layout(options.max_width)
        table = plain_table()
        for place, width in zip(layout.shown, layout.widths, strict=True):
            column = self._columns[place]
            name = Text(_in_lines(column.name, width), justify="right" if column.right else "left")
            table.add_column(name, width=width, vertical="bottom", no_wrap=True, overflow="ellipsis")
        largest = max(self._bars, default=0)
        if layout.bar:
            table.add_column(width=layout.bar, no_wrap=True)
        for number, row in enumerate(self._rows):
            cells = [
                _to_the_right(row[place], width) if self._columns[place].right else row[place]
                for place, width in zip(layout.shown, layout.widths, strict=True)
            ]
            if layout.bar:
                cells.append(Text(bar(self._bars[number], largest, layout.bar), "blue"))
            table.add_row(*cells)
        yield table
        left_out = [
            column.name for place, column in enumerate(self._columns) if column.name and place not in layout.shown
        ]
        if left_out:
            yield Text(f"no room for {', '.join(left_out)}; see {self._see}", "dim")

    def _comfortable(self, shown: Sequence[int], widths: Sequence[int], comfort: int = _COMFORTABLE) -> int:
        """The width if those that may shrink have shrunk, though not below `comfort` characters."""
        return self._width(
            shown,
            [
                width if column.least is None else min(max(column.least, comfort), width)
                for column, width in zip(self._columns, widths, strict=True)
            ],
        )

    @staticmethod
    def _width(shown: Sequence[int], widths: Sequence[int]) -> int:
        return sum(widths[place] for place in shown) + _BETWEEN * (len(shown) - 1)


def plain_table() -> Table:
    """A table with a line below its head and no others."""
    return Table(
        box=box.SIMPLE_HEAD,
        safe_box=False,  # a line of other characters would come with lines between the columns
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
    )


def _to_the_right(cell: Text, width: int) -> Text:
    """The cell with its blanks: rich would drop those at its end, with which decimal points are aligned."""
    moved = cell.copy()
    moved.pad_left(max(width - cell.cell_len, 0))
    return moved


def _in_lines(name: str, width: int) -> str:
    """The name of a column, broken between words if it is too wide."""
    lines: list[str] = []
    for word in name.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def bar(value: Decimal | int, largest: Decimal | int, width: int = BAR) -> str:
    """A bar of blocks and eighths of them; none for what is not above zero."""
    if largest <= 0 or value <= 0:
        return ""
    eighths = max(round(value / largest * width * 8), 1)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()

"""Tables that fit: what gives way, in which order, and that it is said."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from bl_pipeline.terminal.tables import Column, FittedTable

_COLUMNS = (Column("Order"), Column("Name", least=6), Column("Group", optional=1), Column("Total", right=True), "Day")
_ROW = ("BL-24140051", "Wilhelmina van den Berg", "processing", "12,345.6789", "2026-11-30")


def shown(
    width: int, see: str = "--json", columns: Sequence[str | Column] = _COLUMNS, row: Sequence[str] = _ROW
) -> list[str]:
    """The lines of a table of one row at this width."""
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(FittedTable(columns, [row], see=see))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_with_room_all_is_there() -> None:
    head, _, row = shown(80)
    assert head.split() == ["Order", "Name", "Group", "Total", "Day"]
    assert row == "  ".join(_ROW)


@pytest.mark.parametrize(
    ("width", "left_out", "name"),
    [
        # First the names, to a comfortable width, then what is optional, and then the names again.
        (68, "", "Wilhelmina van de…"),
        (60, "Group", "Wilhelmina van den Be…"),
        (44, "Group", "Wilhe…"),
        # Planted: numbers and days that are cut.
        (43, "Group, Day", "Wilhelmina van d…"),
        (31, "Group, Total, Day", "Wilhelmina van de…"),
        (11, "Name, Group, Total, Day", None),
    ],
)
def test_numbers_days_and_ids_are_never_cut(width: int, left_out: str, name: str | None) -> None:
    lines = shown(width)
    row, said = lines[2], " ".join(lines[3:])
    assert said == (f"no room for {left_out}; see --json" if left_out else "")
    gone = left_out.split(", ")
    cells = [
        cell
        for column, cell in zip(("Order", "Name", "Group", "Total", "Day"), _ROW, strict=True)
        if column not in gone
    ]
    expected = [name if cell == _ROW[1] else cell for cell in cells]
    assert row == "  ".join(filter(None, expected))


def test_where_the_rest_is_seen_can_be_another_option() -> None:
    assert " ".join(shown(60, see="--csv")[3:]) == "no room for Group; see --csv"


@pytest.mark.parametrize(("width", "row"), [(30, "BL-24140051  12,345.6789  EUR"), (28, "BL-24140051")])
def test_an_amount_stands_with_its_currency_or_not_at_all(width: int, row: str) -> None:
    """The currency has no name. Planted: it alone is left out, as a column with the name ""."""
    columns = (Column("Order"), Column("Total", right=True), Column())
    _head, _line, shown_row, *said = shown(width, columns=columns, row=("BL-24140051", "12,345.6789", "EUR"))
    assert (shown_row, " ".join(said)) == (row, "" if width == 30 else "no room for Total; see --json")

"""CSV files that people fill in: with commas or, as Excel writes them in much of Europe, with semicolons. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

_UTF_8_CHARACTER = re.compile(rb"[\xc2-\xde][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_WITH_POINT = re.compile(r"-?\d{1,15}(\.\d{1,4})?", re.ASCII)
_WITH_COMMA = re.compile(r"-?(\d{1,15}|[1-9]\d{0,2}(\.\d{3}){1,4})(,\d{1,4})?", re.ASCII)
_OF_TWO_MEANINGS = re.compile(r"-?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileError:
    """What is wrong with a line of a file; `line` is its number, from 1."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


class FileErrors(Exception):
    """A file cannot be read: all that is wrong with it."""

    def __init__(self, errors: Sequence[FileError]) -> None:
        self.errors = list(errors)
        super().__init__("\n".join(map(str, errors)))


@dataclass(frozen=True, slots=True)
class Table:
    """The lines of a file by their columns, each with its number, and what is wrong with the lines left out.

    Values are without blanks at their ends. `decimal_comma`: semicolons separate the columns, so that a number may
    have a comma before its decimals.
    """

    rows: Sequence[tuple[int, dict[str, str]]]
    errors: Sequence[FileError]
    decimal_comma: bool


def read_table(content: bytes, columns: Sequence[str]) -> Table:
    """The lines of a CSV file. Raises FileErrors if it is no CSV with these columns."""
    text = _decoded(content)
    delimiter = _delimiter(text, columns)
    header, rows = _split(text, delimiter)
    places = _places(columns, header)
    found: list[tuple[int, dict[str, str]]] = []
    errors: list[FileError] = []
    for number, cells in rows:
        if len(cells) == len(header):
            found.append((number, {name: cells[place].strip() for name, place in places.items()}))
        else:
            separator = "comma" if delimiter == "," else "semicolon"
            errors.append(
                FileError(
                    number,
                    f"it has {len(cells)} values, and the header has {len(header)} columns. "
                    f"A value with a {separator} in it needs quotes around it.",
                )
            )
    return Table(found, errors, delimiter == ";")


def parse_number(written: str, *, decimal_comma: bool) -> Decimal:
    """An amount with at most four decimals, such as 1234.50; with `decimal_comma` also 1234,50 and 1.234,50.

    Raises ValueError with what to write, also if the number can be read in two ways.
    """
    if not decimal_comma:
        if "," in written:
            raise ValueError(
                f"{written!r} has a comma. Write it with a point, and without one between thousands, as 1234.50"
            )
    elif _OF_TWO_MEANINGS.fullmatch(written):
        raise ValueError(
            f"{written!r} can be a number of thousands, or one with three decimals. Write it with two or four decimals"
        )
    elif _WITH_COMMA.fullmatch(written):
        return Decimal(written.replace(".", "").replace(",", "."))
    if not _WITH_POINT.fullmatch(written):
        example = "12,50 or -12,50" if decimal_comma else "12.50 or -12.50"
        raise ValueError(f"{written!r} is no amount such as {example}, with at most four decimals")
    return Decimal(written)


def _decoded(content: bytes) -> str:
    """The text of a file in UTF-8, or in Windows-1252, which Excel writes in Western Europe. Raises FileErrors."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # If some of it is UTF-8 and some is not, nobody knows what was meant.
        encoding = "ascii" if _UTF_8_CHARACTER.search(content) else "cp1252"
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            number = content.count(b"\n", 0, error.start) + 1
            raise FileErrors(
                [FileError(number, "it is neither UTF-8 nor Windows-1252. Save the file as CSV UTF-8.")]
            ) from None
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise FileErrors([FileError(number, "it is no text. Save the file as CSV UTF-8.")])
    return text


def _delimiter(text: str, columns: Sequence[str]) -> str:
    """The character that separates the names of the columns; no name contains either of the two."""
    header = next((line for line in text.splitlines() if line.strip(" ,;")), "")

    def named(delimiter: str) -> int:
        return sum(cell.strip(' "').casefold() in columns for cell in header.split(delimiter))

    return max(",;", key=named)


def _split(text: str, delimiter: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the other lines that are not empty with their numbers. Raises FileErrors."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    before = 0
    try:
        for cells in reader:
            # A value in quotes may have line breaks: the line is where it begins.
            if any(cell.strip() for cell in cells):
                rows.append((before + 1, cells))
            before = reader.line_num
    except csv.Error as error:
        raise FileErrors([FileError(before + 1, f"it is no CSV: {error}")]) from None
    if not rows:
        raise FileErrors([FileError(1, "the file is empty. Its first line names the columns.")])
    return [cell.strip().casefold() for cell in rows[0][1]], rows[1:]


def _places(known: Sequence[str], header: Sequence[str]) -> dict[str, int]:
    """Where each column is. Raises FileErrors."""
    if len(header) == 1 and "\t" in header[0]:
        raise FileErrors(
            [FileError(1, "the columns have to be separated by commas or semicolons. Save the file as CSV.")]
        )
    problems = [
        ("there is no column", [name for name in known if name not in header]),
        ("unknown column", [name or "without a name" for name in header if name not in known]),
        ("twice the column", sorted({name for name in header if name in known and header.count(name) > 1})),
    ]
    said = [f"{problem}: {', '.join(names)}" for problem, names in problems if names]
    if said:
        raise FileErrors([FileError(1, f"{'; '.join(said)}. The columns are: {','.join(known)}")])
    return {name: header.index(name) for name in known}

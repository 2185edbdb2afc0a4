"""CSV files of refunds and fees that a seller imports: their columns, and how a file becomes lines. No database."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from bl_pipeline.books.csv_tables import FileError, FileErrors, parse_number, read_table
from bl_pipeline.questions import QuestionError, parse_order_number

FIRST_DAY = date(2000, 1, 1)
"""BrickLink is not older: an earlier day is a typing error."""

_DAY = re.compile(r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)", re.ASCII)
_GERMAN_DAY = re.compile(r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})", re.ASCII)
_SHORTENED = re.compile(r"\d([.,]\d+)?E\+\d+", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}")
_SOURCE = re.compile(r"[a-z0-9][a-z0-9._-]*")
_LONGEST = 500


class ImportKind(StrEnum):
    """What a file has lines of."""

    REFUNDS = "refunds"
    FEES = "fees"


class FeeKind(StrEnum):
    """What a line of a file of fees is."""

    PAYMENT_FEE = "payment_fee"
    BRICKLINK_FEE = "bricklink_fee"
    POSTAGE = "postage"
    PAYOUT = "payout"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class FileColumn:
    """A column of a file: its name at the head of the file, what it has, an example. `optional` values may be empty."""

    name: str
    meaning: str
    example: str
    optional: bool = False


COLUMNS: Mapping[ImportKind, tuple[FileColumn, ...]] = {
    ImportKind.REFUNDS: (
        FileColumn("date", "day of the refund", "2026-09-14"),
        FileColumn("order_id", "the order", "15646315"),
        FileColumn("amount", "what the buyer got back; negative corrects an earlier line", "12.50"),
        FileColumn("currency", "ISO 4217 code of the amount", "EUR"),
        FileColumn("reference", "number of the refund at the bank or the payment service", "8XK12345AB678901C"),
        FileColumn("note", "your note", "two lots missing", optional=True),
    ),
    ImportKind.FEES: (
        FileColumn("date", "day of the fee or the payout", "2026-09-14"),
        FileColumn("reference", "its number at the source", "8XK12345AB678901C"),
        FileColumn("order_id", "the order that it is about, if it is about one", "15646315", optional=True),
        FileColumn(
            "amount",
            "what you pay, or of a payout receive; negative corrects an earlier line, or is a credit",
            "0.87",
        ),
        FileColumn("currency", "ISO 4217 code of the amount", "EUR"),
        FileColumn("source", "who charges or pays it, such as paypal, stripe, bricklink", "paypal"),
        FileColumn("kind", ", ".join(FeeKind), "payment_fee"),
        FileColumn("note", "your note", "", optional=True),
    ),
}
"""The columns of each kind of file, in any order in the file."""


LineKey = tuple[str | None, ...]
"""What a line is known by: another one with the same key is the same, or a mistake."""

LineSaid = tuple[date, Decimal, str]
"""The day, amount and currency of a line: the same if it comes again; its note may differ."""


@dataclass(frozen=True, slots=True)
class ImportLine:
    """A line of a file. `source` and `kind` are of fees only; `number` is its place in the file, from 1."""

    number: int
    date: date
    order_id: str | None
    amount: Decimal
    currency: str
    reference: str
    note: str | None
    source: str | None = None
    kind: FeeKind | None = None

    @property
    def key(self) -> LineKey:
        """What it is known by."""
        return (self.source, self.kind, self.reference, self.order_id)

    @property
    def said(self) -> LineSaid:
        """What has to be the same if it comes again."""
        return (self.date, self.amount, self.currency)


def parse_file(kind: ImportKind, content: bytes, *, today: date) -> list[ImportLine]:
    """The lines of a file. Raises FileErrors with all that is wrong.

    `today` is the store's day: a later one is a typing error.
    """
    table = read_table(content, [column.name for column in COLUMNS[kind]])
    form = _Form(today, table.decimal_comma)
    lines: list[ImportLine] = []
    errors = [*table.errors]
    for number, written in table.rows:
        line, wrong = _line(kind, number, written, form)
        errors += wrong
        if line:
            lines.append(line)
    first: dict[LineKey, ImportLine] = {}
    for line in lines:
        earlier = first.setdefault(line.key, line)
        if earlier is not line:
            errors.append(FileError(line.number, f"{_twice(line)} is in line {earlier.number} already."))
    if errors:
        raise FileErrors(sorted(errors, key=lambda error: error.line))
    return lines


@dataclass(frozen=True, slots=True)
class _Form:
    """What a value is read by: the store's day, and whether numbers may have a decimal comma."""

    today: date
    decimal_comma: bool


def _twice(line: ImportLine) -> str:
    of_order = f" of order {line.order_id}" if line.order_id else ""
    what = f" ({line.source}, {line.kind})" if line.kind else ""
    return f"the reference {line.reference}{of_order}{what}"


def _line(
    kind: ImportKind, number: int, written: Mapping[str, str], form: _Form
) -> tuple[ImportLine | None, list[FileError]]:
    """A line, or what is wrong with it."""
    errors: list[FileError] = []
    values: dict[str, Any] = {}
    for column in COLUMNS[kind]:
        value = written[column.name]
        try:
            if value:
                values[column.name] = _PARSERS[column.name](value, form)
            elif column.optional:
                values[column.name] = None
            else:
                raise ValueError("it is empty" + (f"; it is one of: {column.meaning}" if column.name == "kind" else ""))
        except ValueError as error:
            errors.append(FileError(number, f"{column.name}: {error}"))
    return (None if errors else ImportLine(number=number, **values)), errors


def _day(value: str, form: _Form) -> date:
    try:
        # A spreadsheet in German writes 14.09.2026. No country with points begins with the month.
        if not (found := _DAY.fullmatch(value) or _GERMAN_DAY.fullmatch(value)):
            raise ValueError
        day = date(int(found["year"]), int(found["month"]), int(found["day"]))
    except ValueError:
        raise ValueError(f"{value!r} is no day such as 2026-09-14 (year, month, day) or 14.09.2026") from None
    if not FIRST_DAY <= day <= form.today:
        raise ValueError(f"{value} is {'in the future' if day > form.today else f'before {FIRST_DAY}'}")
    return day


def _amount(value: str, form: _Form) -> Decimal:
    amount = parse_number(value, decimal_comma=form.decimal_comma)
    if not amount:
        raise ValueError("it is zero. Leave the line out")
    return amount


def _code(value: str, _form: _Form) -> str:
    if not _CURRENCY.fullmatch(value.upper()):
        raise ValueError(f"{value!r} is no ISO 4217 code such as EUR")
    return value.upper()


def _source(value: str, _form: _Form) -> str:
    if not _SOURCE.fullmatch(value.casefold()):
        raise ValueError(f"{value!r} is no single word such as paypal: letters a to z, digits, and . _ -")
    return value.casefold()


def _kind(value: str, _form: _Form) -> FeeKind:
    try:
        return FeeKind(value.casefold())
    except ValueError:
        raise ValueError(f"{value!r} is none of: {', '.join(FeeKind)}") from None


def _order_id(value: str, _form: _Form) -> str:
    try:
        return parse_order_number(value)
    except QuestionError as error:
        raise ValueError(str(error).removesuffix(".")) from None


def _text(value: str, _form: _Form) -> str:
    if len(value) > _LONGEST:
        raise ValueError(f"it has more than {_LONGEST} characters")
    if _SHORTENED.fullmatch(value):
        raise ValueError(
            f"{value!r} is a number that a spreadsheet has shortened. Make the column one of text, and write it in full"
        )
    return value


_PARSERS: Mapping[str, Callable[[str, _Form], Any]] = {
    "date": _day,
    "order_id": _order_id,
    "amount": _amount,
    "currency": _code,
    "reference": _text,
    "source": _source,
    "kind": _kind,
    "note": _text,
}


def unknown_orders(lines: Collection[ImportLine], known: Collection[str], store: str) -> list[FileError]:
    """Lines about orders that the warehouse does not have."""
    return [
        FileError(line.number, f"order_id: store {store} has no order {line.order_id} in the warehouse")
        for line in lines
        if line.order_id is not None and line.order_id not in known
    ]


def changed_lines(lines: Collection[ImportLine], imported: Mapping[LineKey, LineSaid]) -> list[FileError]:
    """Lines that were imported before, and say something else now."""
    errors = []
    for line in lines:
        before = imported.get(line.key)
        if before is not None and before != line.said:
            day, amount, currency = before
            errors.append(
                FileError(
                    line.number,
                    f"{_twice(line)} was imported as {amount:f} {currency} on {day}, and what was imported stays. "
                    "Leave that line as it was, and correct it by a further one: the difference as its amount, and "
                    f"a reference of its own, such as {line.reference}-2.",
                )
            )
    return errors

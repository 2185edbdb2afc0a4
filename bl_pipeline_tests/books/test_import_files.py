"""Files of refunds and fees: what is read of a good one, and what is said of a faulty one."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from bl_pipeline.books.csv_tables import FileErrors, parse_number
from bl_pipeline.books.import_files import COLUMNS, FeeKind, ImportKind, ImportLine, parse_file

TODAY = date(2026, 11, 20)
EXAMPLES = Path(__file__).parents[2] / "examples"
REFUNDS = "date,order_id,amount,currency,reference,note\n"
FEES = "date,reference,order_id,amount,currency,source,kind,note\n"
EMPTY = "the file is empty. Its first line names the columns."
UNREADABLE = "it is neither UTF-8 nor Windows-1252. Save the file as CSV UTF-8."
NO_TEXT = "it is no text. Save the file as CSV UTF-8."
GOOD = "2026-09-14,15646315,12.50,EUR,R1,\n"


def faults(kind: ImportKind, content: str | bytes) -> list[tuple[int, str]]:
    """What is wrong with a file, line by line."""
    with pytest.raises(FileErrors) as caught:
        parse_file(kind, content.encode() if isinstance(content, str) else content, today=TODAY)
    return [(error.line, error.message) for error in caught.value.errors]


def test_refunds_are_read() -> None:
    """In any order of columns, with a byte order mark, CRLF, blanks, and a note of any signs. Planted: note cut."""
    content = (
        "\ufeffAmount,Date,order_id,currency,reference,note\r\n"
        '12.50,2026-09-14,BL-15646315, eur ,8XK12,"two lots; ""Brick, 2 x 4"" 🧱\r\nand more"\r\n'
        "\r\n"
        "-0.5,2026-09-14,15646315,EUR,8XK12-2,\r\n"
    )
    assert parse_file(ImportKind.REFUNDS, content.encode(), today=TODAY) == [
        ImportLine(
            2, date(2026, 9, 14), "15646315", Decimal("12.50"), "EUR", "8XK12",
            'two lots; "Brick, 2 x 4" 🧱\r\nand more',
        ),
        ImportLine(5, date(2026, 9, 14), "15646315", Decimal("-0.5"), "EUR", "8XK12-2", None),
    ]  # fmt: skip


def test_fees_are_read() -> None:
    content = FEES + "2026-09-14,A,15646315,0.87,EUR,PayPal,payment_fee,\n2026-09-30,P,,412.66,USD,stripe,PAYOUT,x\n"
    assert parse_file(ImportKind.FEES, content.encode(), today=TODAY) == [
        ImportLine(2, date(2026, 9, 14), "15646315", Decimal("0.87"), "EUR", "A", None, "paypal", FeeKind.PAYMENT_FEE),
        ImportLine(3, date(2026, 9, 30), None, Decimal("412.66"), "USD", "P", "x", "stripe", FeeKind.PAYOUT),
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "cp1252"])
def test_what_a_german_spreadsheet_writes_is_read(encoding: str) -> None:
    """Planted: the encoding of the first line alone; the point of thousands taken for that of decimals; a comma in a
    text taken for a separator."""
    content = (
        "date;order_id;amount;currency;reference;note\r\n"
        '14.09.2026;15646315;1.234,50;EUR;R1;"zurück; zwei Lose, defekt"\r\n'
        ";;;;;\r\n"
        "1.9.2026;15646315;-12,5;EUR;R2;Brick, 2 x 4 für 5 €\r\n"
        "2026-09-02;15646315;7;EUR;R3;\r\n"
    )
    assert parse_file(ImportKind.REFUNDS, content.encode(encoding), today=TODAY) == [
        ImportLine(
            2, date(2026, 9, 14), "15646315", Decimal("1234.50"), "EUR", "R1", "zurück; zwei Lose, defekt"
        ),
        ImportLine(4, date(2026, 9, 1), "15646315", Decimal("-12.5"), "EUR", "R2", "Brick, 2 x 4 für 5 €"),
        ImportLine(5, date(2026, 9, 2), "15646315", Decimal(7), "EUR", "R3", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("1234,5", "1234.5"), ("1.234,50", "1234.50"), ("-1.234.567,8901", "-1234567.8901"), ("12.50", "12.50"),
        ("0,125", "0.125"), ("0.125", "0.125"), ("1.234.567", "1234567"), ("1234,567", "1234.567"), ("7", "7"),
        ("1.2345", "1.2345"),
    ],
)  # fmt: skip
def test_numbers_of_a_file_with_semicolons(written: str, amount: str) -> None:
    """Planted: every point taken out."""
    assert parse_number(written, decimal_comma=True) == Decimal(amount)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("1,234", "'1,234' can be a number of thousands, or one with three decimals"),
        ("-12.345", "'-12.345' can be a number of thousands"),
        ("1,234.50", "is no amount such as 12,50"),
        ("1.23,50", "is no amount"),
        ("12.34.567,8", "is no amount"),
        ("1,5,5", "is no amount"),
        ("12,50 €", "is no amount"),
        (",50", "is no amount"),
    ],
)
def test_a_number_that_can_be_another_is_named(written: str, message: str) -> None:
    """By its line and column. Planted: three digits behind a comma taken for decimals."""
    content = f"{REFUNDS}{GOOD}".replace(",", ";") + f"14.09.2026;15646315;{written};EUR;R2;\n"
    ((line, said),) = faults(ImportKind.REFUNDS, content)
    assert line == 3
    assert said.startswith("amount: ")
    assert message in said


@pytest.mark.parametrize("kind", ImportKind)
def test_the_examples_are_good_and_show_every_column(kind: ImportKind) -> None:
    content = (EXAMPLES / f"{kind}.csv").read_bytes()
    lines = parse_file(kind, content, today=TODAY)
    assert len(lines) >= 3
    assert content.decode().splitlines()[0] == ",".join(column.name for column in COLUMNS[kind])
    assert any(line.amount < 0 for line in lines)
    if kind is ImportKind.FEES:
        assert {line.kind for line in lines} == set(FeeKind) - {FeeKind.OTHER}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('2026-09-14,15646315,"12,50",EUR,R1,', "amount: '12,50' has a comma. Write it with a point"),
        ('2026-09-14,15646315,"1,234.50",EUR,R1,', "amount: '1,234.50' has a comma"),
        ("2026-09-14,15646315,12.50 EUR,EUR,R1,", "amount: '12.50 EUR' is no amount"),
        ("2026-09-14,15646315,1e3,EUR,R1,", "amount: '1e3' is no amount"),
        ("2026-09-14,15646315,NaN,EUR,R1,", "amount: 'NaN' is no amount"),
        ("2026-09-14,15646315,1.23456,EUR,R1,", "at most four decimals"),
        ("2026-09-14,15646315,1234567890123456,EUR,R1,", "is no amount"),
        ("2026-09-14,15646315,١٢,EUR,R1,", "is no amount"),
        ("2026-09-14,15646315,-0.00,EUR,R1,", "amount: it is zero"),
        ("2026-09-14,15646315,,EUR,R1,", "amount: it is empty"),
        ("31.09.2026,15646315,1,EUR,R1,", "date: '31.09.2026' is no day such as 2026-09-14"),
        ("14.09.26,15646315,1,EUR,R1,", "is no day"),
        ("09/14/2026,15646315,1,EUR,R1,", "is no day"),
        ("20260914,15646315,1,EUR,R1,", "is no day"),
        ("2026-02-30,15646315,1,EUR,R1,", "is no day"),
        ("2026-11-21,15646315,1,EUR,R1,", "date: 2026-11-21 is in the future"),
        ("1926-09-14,15646315,1,EUR,R1,", "date: 1926-09-14 is before 2000-01-01"),
        (",15646315,1,EUR,R1,", "date: it is empty"),
        ("2026-09-14,order 7,1,EUR,R1,", "order_id: 'order 7' is no order number"),
        ("2026-09-14,,1,EUR,R1,", "order_id: it is empty"),
        ("2026-09-14,15646315,1,€,R1,", "currency: '€' is no ISO 4217 code"),
        ("2026-09-14,15646315,1,EUR, ,", "reference: it is empty"),
        (f"2026-09-14,15646315,1,EUR,{'x' * 501},", "reference: it has more than 500 characters"),
        ("2026-09-14,15646315,1,EUR,1.23457E+16,", "reference: '1.23457E+16' is a number that a spreadsheet has short"),
        ("2026-09-14,15646315,1,EUR,R1", "it has 5 values, and the header has 6 columns"),
        ("2026-09-14,15646315,12,50,EUR,R1,", "it has 7 values, and the header has 6 columns"),
    ],
)
def test_a_faulty_line_is_named(written: str, message: str) -> None:
    """Behind a good one, and after an empty line. Planted: numbers counted without the header."""
    ((line, said),) = faults(ImportKind.REFUNDS, f"{REFUNDS}{GOOD.replace('R1', 'R0')}\n{written}\n")
    assert line == 4
    assert message in said


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("2026-09-14,A,,1,EUR,Pay Pal,payment_fee,", "source: 'Pay Pal' is no single word"),
        ("2026-09-14,A,,1,EUR,,payment_fee,", "source: it is empty"),
        (
            "2026-09-14,A,,1,EUR,paypal,fee,",
            "kind: 'fee' is none of: payment_fee, bricklink_fee, postage",
        ),
        ("2026-09-14,A,,1,EUR,paypal,,", "kind: it is empty; it is one of: payment_fee"),
    ],
)
def test_a_faulty_fee_is_named(written: str, message: str) -> None:
    ((line, said),) = faults(ImportKind.FEES, f"{FEES}{written}\n")
    assert line == 2
    assert message in said


def test_everything_wrong_is_said_at_once() -> None:
    """Planted: the first fault ends the reading."""
    content = REFUNDS + "x,y,z,w,,\n" + GOOD + "2026-09-14,15646315,1,EUR,R2\n" + GOOD
    found = faults(ImportKind.REFUNDS, content)
    assert [line for line, _ in found] == [2, 2, 2, 2, 2, 4, 5]
    assert found[-1][1] == "the reference R1 of order 15646315 is in line 3 already."


def test_the_same_reference_is_another_line_for_another_order_or_kind() -> None:
    """One bill of BrickLink split over orders; a fee and a payout of the same number."""
    fees = FEES + "".join(
        f"2026-09-14,A,{order},1,EUR,{source},{kind},\n"
        for order in ("", "1", "2")
        for source in ("paypal", "stripe")
        for kind in ("payment_fee", "payout")
    )
    assert len(parse_file(ImportKind.FEES, fees.encode(), today=TODAY)) == 12
    twice = fees + "2026-10-14,A,,7,USD,stripe,payout,\n"
    assert faults(ImportKind.FEES, twice) == [(14, "the reference A (stripe, payout) is in line 5 already.")]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("date,amount,currency,reference,note", "there is no column: order_id."),
        ("date,order_id,amount,currency,reference", "there is no column: note."),
        ("date,order_id,amount,currency,reference,note,", "unknown column: without a name."),
        ("date,order_id,amount,currency,reference,note,fee", "unknown column: fee."),
        ("date,order,amount,currency,reference,note", "there is no column: order_id; unknown column: order."),
        ("date,date,order_id,amount,currency,reference,note", "twice the column: date."),
        ("date\torder_id\tamount\tcurrency\treference\tnote", "the columns have to be separated by commas or semi"),
        (
            "date;order_id,amount;currency;reference;note",
            "there is no column: order_id, amount; unknown column: order_id,",
        ),
        ("2026-09-14,15646315,12.50,EUR,R1,", "there is no column: date, order_id, amount"),
    ],
)
def test_a_faulty_header_is_named(header: str, message: str) -> None:
    ((line, said),) = faults(ImportKind.REFUNDS, f"{header}\n{GOOD}")
    assert line == 1
    assert said.startswith(message)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", (1, EMPTY)),
        (b"\n \n,,\n", (1, EMPTY)),
        (f"{REFUNDS}{GOOD}2026-09-14,1,1,EUR,R2,".encode() + b"zur\x81ck\n", (3, UNREADABLE)),
        (f"{REFUNDS}2026-09-14,1,1,EUR,R2,zurück\n{GOOD}".encode() + "für\n".encode("cp1252"), (4, UNREADABLE)),
        (REFUNDS.encode("utf-16"), (1, NO_TEXT)),
        (f"{REFUNDS}PK\0\0\n".encode(), (2, NO_TEXT)),
        (f'{REFUNDS}{GOOD}2026-09-14,1,1,EUR,R2,"open\n'.encode(), (3, "it is no CSV: unexpected end of data")),
    ],
    ids=["empty", "blank", "other encoding", "two encodings", "UTF-16", "zip", "open quote"],
)  # fmt: skip
def test_what_is_no_csv_is_said(content: bytes, expected: tuple[int, str]) -> None:
    assert faults(ImportKind.REFUNDS, content) == [expected]


def test_a_file_with_a_header_alone_has_no_lines() -> None:
    assert parse_file(ImportKind.REFUNDS, REFUNDS.encode(), today=TODAY) == []

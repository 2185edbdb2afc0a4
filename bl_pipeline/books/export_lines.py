"""What exports are made of: of each entry of the journal what was sold, net and with its VAT. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from itertools import groupby
from operator import attrgetter

from bl_pipeline.books.journal import AccountKey, JournalLine

SOLD = (AccountKey.SALES_GOODS, AccountKey.SALES_SHIPPING, AccountKey.SALES_CHARGES, AccountKey.DISCOUNTS)
"""Accounts of the journal that have amounts without VAT; their VAT is in output_vat."""

WITHOUT_VAT = (AccountKey.SALES_TAX_PAYABLE,)
"""Other accounts that receivables stand against."""

CONTACT = "BrickLink buyers"
"""The contact of all invoices: the books need no buyer's name."""

_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class SoldLine:
    """A line of the journal that a receivable stands against: `net` as in the journal, and its share of the VAT.

    Both are negative if the line takes something off.
    """

    line: JournalLine
    net: Decimal
    vat: Decimal

    @property
    def gross(self) -> Decimal:
        """With VAT."""
        return self.net + self.vat


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A file of an export."""

    name: str
    content: bytes


class UnbalancedEntry(ValueError):
    """An entry of the journal is not what the journal promises; the message names it."""


def entries_of(lines: Iterable[JournalLine]) -> Iterator[list[JournalLine]]:
    """The lines entry by entry; they are in the order of the journal."""
    for _, members in groupby(lines, attrgetter("entry_no")):
        yield list(members)


def sold_lines(entry: Sequence[JournalLine]) -> list[SoldLine]:
    """The lines of an entry that its receivables stand against, each with its share of the VAT.

    Tax that BrickLink keeps goes in and out of its account, and is in no receivable. Raises UnbalancedEntry.
    """
    found: list[SoldLine] = []
    for is_reversal in (True, False):
        lines = [line for line in entry if line.is_reversal is is_reversal]
        sold = [line for line in lines if line.account_key in SOLD]
        vat = sum((line.income for line in lines if line.account_key is AccountKey.OUTPUT_VAT), Decimal(0))
        shares = shared_out(vat, [line.income for line in sold])
        part = [SoldLine(line, line.income, share) for line, share in zip(sold, shares, strict=True)]
        part += [SoldLine(line, line.income, Decimal(0)) for line in lines if line.account_key in WITHOUT_VAT]
        receivable = -sum((line.income for line in lines if line.account_key is AccountKey.RECEIVABLE), Decimal(0))
        if sum((each.gross for each in part), Decimal(0)) != receivable:
            raise UnbalancedEntry(
                f"Entry {entry[0].entry_no} of the journal ({entry[0].document}) does not balance, so nothing was "
                "exported. Somebody has changed the journal by hand. Restore your last backup: bl restore"
            )
        found += part
    return found


def shared_out(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """An amount in whole cents, shared out by the weights: whole cents again, whose sum is the amount.

    What rounding leaves goes to the largest weights. If the weights have no sum, the largest gets all.
    """
    if not weights:
        return []
    total = sum(weights, Decimal(0))
    largest_first = sorted(range(len(weights)), key=lambda place: -abs(weights[place]))
    if not total:
        return [amount if place == largest_first[0] else Decimal(0) for place in range(len(weights))]
    shares = [(amount * weight / total).quantize(_CENT, ROUND_DOWN) for weight in weights]
    # Less than a cent for each.
    rest = amount - sum(shares, Decimal(0))
    for place in largest_first[: int(abs(rest) / _CENT)]:
        shares[place] += _CENT.copy_sign(rest)
    return shares


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A CSV file with commas, in UTF-8. Texts are as they are: programs that read them know no formulas."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows(rows)
    return file.getvalue().encode()

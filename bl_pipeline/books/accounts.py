"""accounts.csv: which account of the accountant's chart each line of the journal belongs to. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from bl_pipeline.books.csv_tables import FileError, FileErrors, read_table
from bl_pipeline.books.journal import AccountKey, JournalLine, Region

COLUMNS = ("account_key", "region", "vat_rate", "account", "tax_code")
_KEYS, _REGIONS = list(AccountKey), list(Region)

FILE = "accounts.csv"
"""What the file is called, unless another one is given."""


@dataclass(frozen=True, slots=True)
class Combination:
    """What decides on the account of a line. In a line of accounts.csv None is any region, and any VAT rate."""

    account_key: AccountKey
    region: Region | None
    vat_rate: Decimal | None

    def __str__(self) -> str:
        return ",".join((self.account_key, self.region or "", rate_text(self.vat_rate)))


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the chart, by its number or name, and the tax code of the accountant's program; may be empty."""

    account: str
    tax_code: str


@dataclass(frozen=True, slots=True)
class Accounts:
    """The lines of accounts.csv that have an account, and the name of the file."""

    by_combination: Mapping[Combination, Account]
    file: str = FILE

    def find(self, line: JournalLine) -> Account | None:
        """The account of a line: of the lines of accounts.csv that fit, the most specific; region before VAT rate."""
        key, region, rate = line.account_key, line.region, line.vat_rate
        for fitting in ((region, rate), (region, None), (None, rate), (None, None)):
            if account := self.by_combination.get(Combination(key, *fitting)):
                return account
        return None

    def of(self, line: JournalLine) -> Account:
        """The account of a line. Raises KeyError if it has none: ask `unmapped` first."""
        account = self.find(line)
        if account is None:
            raise KeyError(str(combination_of(line)))
        return account

    def unmapped(self, lines: Iterable[JournalLine]) -> list[Combination]:
        """The combinations of these lines that have no account, each once."""
        return _in_order(combination_of(line) for line in lines if self.find(line) is None)


def rate_text(rate: Decimal | None) -> str:
    """A VAT rate as it is written: 19, 8.1, or nothing."""
    return "" if rate is None else f"{rate.normalize():f}"


def combination_of(line: JournalLine) -> Combination:
    """The combination of a line of the journal."""
    return Combination(line.account_key, line.region, line.vat_rate)


def _in_order(combinations: Iterable[Combination]) -> list[Combination]:
    """Each once, sorted as a chart of accounts is read."""
    return sorted(
        set(combinations),
        key=lambda each: (
            _KEYS.index(each.account_key),
            _REGIONS.index(each.region or Region.UNCLEAR),
            each.vat_rate or Decimal(0),
        ),
    )


def template(combinations: Iterable[Combination]) -> str:
    """accounts.csv with a line for each combination that occurs, sorted; account and tax_code are to be filled in."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    writer.writerows((*str(each).split(","), "", "") for each in _in_order(combinations))
    return file.getvalue()


def parse_accounts(content: bytes, file: str = FILE) -> Accounts:
    """The accounts of an accounts.csv, or a file of another name; lines whose account is empty are left out.

    Raises FileErrors.
    """
    table = read_table(content, COLUMNS)
    errors = [*table.errors]
    found: dict[Combination, Account] = {}
    for number, written in table.rows:
        if not written["account"]:
            continue
        try:
            each = _combination(written, decimal_comma=table.decimal_comma)
            if each in found:
                raise ValueError(f"{each} is in an earlier line already.")
            found[each] = Account(written["account"], written["tax_code"])
        except ValueError as error:
            errors.append(FileError(number, str(error)))
    if errors:
        raise FileErrors(errors)
    return Accounts(found, file)


def _combination(written: Mapping[str, str], *, decimal_comma: bool) -> Combination:
    for name, known in (("account_key", _KEYS), ("region", _REGIONS)):
        if written[name] not in known and (written[name] or name == "account_key"):
            raise ValueError(f"{name}: {written[name]!r} is none of: {', '.join(known)}")
    rate = written["vat_rate"]
    try:
        vat_rate = Decimal(rate.replace(",", ".") if decimal_comma else rate) if rate else None
        if vat_rate is not None and not 0 <= vat_rate < 100:  # also of NaN
            raise InvalidOperation
    except InvalidOperation:
        raise ValueError(
            f"vat_rate: {rate!r} is no rate in per cent such as 19 or {'8,1' if decimal_comma else '8.1, with a point'}"
        ) from None
    return Combination(
        AccountKey(written["account_key"]), Region(written["region"]) if written["region"] else None, vat_rate
    )

"""The lines of books.journal, and the words that are in them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum


class AccountKey(StrEnum):
    """What a line is about; accounts.csv says which account of the accountant's chart that is, in this order."""

    RECEIVABLE = "receivable"
    SALES_GOODS = "sales_goods"
    SALES_SHIPPING = "sales_shipping"
    SALES_CHARGES = "sales_charges"
    DISCOUNTS = "discounts"
    OUTPUT_VAT = "output_vat"
    SALES_TAX_PAYABLE = "sales_tax_payable"
    MARKETPLACE_TAX_CLEARING = "marketplace_tax_clearing"


class Region(StrEnum):
    """Where the address is, seen from the seller's country."""

    HOME = "home"
    EU = "eu"
    THIRD = "third"
    UNCLEAR = "unclear"


class TaxKind(StrEnum):
    """By which rule the order is taxed; docs/books.md says what each is made of."""

    STANDARD = "standard"
    OSS = "oss"
    EXPORT = "export"
    MARKETPLACE = "marketplace"
    NONE = "none"
    UNCLEAR = "unclear"


class EntryEvent(StrEnum):
    """Why an entry was written."""

    SALE = "sale"
    CORRECTION = "correction"
    CANCELLATION = "cancellation"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class JournalLine:
    """A line of books.journal, as far as exports need it; amounts in `currency`, with two decimals."""

    entry_no: int
    document: str
    platform_order_id: str
    event: EntryEvent
    booking_date: date
    corrects_period: date | None
    account_key: AccountKey
    is_reversal: bool
    country_code: str | None
    region: Region
    special_territory: str | None
    vat_rate: Decimal | None
    tax_kind: TaxKind
    debit: Decimal
    credit: Decimal
    currency: str

    @property
    def income(self) -> Decimal:
        """The credit, or as a negative amount the debit."""
        return self.credit - self.debit

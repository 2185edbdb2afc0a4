"""Months of a made-up journal, and files of exports read back by rules of their own: no code of the product is used."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from bl_pipeline.books.accounts import Account, Accounts, Combination
from bl_pipeline.books.journal import AccountKey, EntryEvent, JournalLine, Region, TaxKind

PERIOD = date(2026, 9, 1)
CENT = Decimal("0.01")
TAXES = (
    ("DE", "home", None, Decimal(19), "standard"),
    ("FR", "eu", None, Decimal(20), "oss"),
    ("GR", "eu", None, Decimal(24), "oss"),
    ("GB", "eu", "northern_ireland", Decimal(20), "oss"),
    ("LU", "eu", None, Decimal("8.1"), "oss"),
    ("US", "third", None, None, "marketplace"),
    ("CH", "third", None, Decimal(0), "export"),
    (None, "unclear", None, None, "unclear"),
)
"""Country, region, special territory, rate and kind of tax."""


def journal(seed: int, entries: int, currencies: tuple[str, ...] = ("EUR",)) -> list[JournalLine]:
    """A month with sales, and changes that take back what was booked, now or in an earlier month, and book it anew."""
    rng = random.Random(seed)
    lines: list[JournalLine] = []
    for number in range(1, entries + 1):
        event = rng.choice(("sale", "sale", "sale", "correction", "cancellation", "batch"))
        currency, tax = rng.choice(currencies), rng.choice(TAXES)
        before = vector(rng)
        sides: list[tuple[bool, tuple[object, ...], dict[str, Decimal], str]] = []
        if event != "sale":
            sides.append((True, tax, before, currency))
        if event != "cancellation":
            after = {**before, "discounts": before["discounts"] + 1} if rng.random() < 0.5 else vector(rng)
            changed = rng.random() < 0.2
            # Seldom the order's currency changes, too.
            later = rng.choice(currencies) if changed else currency
            sides.append((False, rng.choice(TAXES) if changed else tax, after, later))
        head = {
            "entry_no": number,
            "document": f"BL-{30_000_000 + number}",
            "platform_order_id": str(30_000_000 + number),
            "event": EntryEvent(event),
            "booking_date": PERIOD + timedelta(days=rng.randrange(30)),
            "corrects_period": date(2026, 7, 1) if event != "sale" and rng.random() < 0.5 else None,
        }
        lines += [line for side in sides for line in lines_of(head, *side)]
    return lines


def vector(rng: random.Random) -> dict[str, Decimal]:
    """What an order books, in cents: the amounts before tax, and the tax."""

    def cents(most: int) -> Decimal:
        return Decimal(rng.randrange(most)) / 100

    goods = cents(30_000)
    return {
        "sales_goods": goods,
        "sales_shipping": cents(2_000),
        "sales_charges": cents(300) if rng.random() < 0.3 else Decimal(0),
        "discounts": goods * 2 if rng.random() < 0.03 else cents(200) if rng.random() < 0.4 else Decimal(0),
        "sales_tax_payable": cents(500) if rng.random() < 0.1 else Decimal(0),
        "marketplace": cents(500) if rng.random() < 0.2 else Decimal(0),
    }


def lines_of(
    head: dict[str, object], is_reversal: bool, tax: tuple[object, ...], amounts: dict[str, Decimal], currency: str
) -> Iterator[JournalLine]:
    """The lines of one side of an entry; those without an amount are left out, as in the journal."""
    country, region, territory, rate, kind = tax
    net = amounts["sales_goods"] + amounts["sales_shipping"] + amounts["sales_charges"] - amounts["discounts"]
    vat = Decimal(0)
    if isinstance(rate, Decimal):
        vat = (net * rate / 100).quantize(CENT, ROUND_HALF_UP)
    # As credits; BrickLink's tax goes in and out.
    credits = [
        ("receivable", -(net + vat + amounts["sales_tax_payable"])),
        *((key, amounts[key]) for key in ("sales_goods", "sales_shipping", "sales_charges")),
        ("discounts", -amounts["discounts"]),
        ("output_vat", vat),
        ("sales_tax_payable", amounts["sales_tax_payable"]),
        ("marketplace_tax_clearing", amounts["marketplace"]),
        ("marketplace_tax_clearing", -amounts["marketplace"]),
    ]
    for account_key, amount in credits:
        if amount:
            credit = -amount if is_reversal else amount
            yield JournalLine(
                **head,  # type: ignore[arg-type]
                account_key=AccountKey(account_key),
                is_reversal=is_reversal,
                country_code=country,  # type: ignore[arg-type]
                region=Region(str(region)),
                special_territory=territory,  # type: ignore[arg-type]
                vat_rate=rate,  # type: ignore[arg-type]
                tax_kind=TaxKind(str(kind)),
                debit=max(-credit, Decimal(0)),
                credit=max(credit, Decimal(0)),
                currency=currency,
            )


def numbered_accounts(lines: Iterable[JournalLine]) -> Accounts:
    """A chart in which each combination has a number of its own, and a tax code."""
    found: dict[Combination, Account] = {}
    for line in lines:
        for key in (line.account_key, AccountKey.RECEIVABLE):
            each = Combination(key, line.region, line.vat_rate)
            found.setdefault(each, Account(str(4000 + len(found)), str(len(found) % 3) if len(found) % 3 else ""))
    return Accounts(found)


def totals(lines: Iterable[JournalLine], *keys: str) -> Counter[tuple[str, Decimal | None, str]]:
    """Credits less debits in cents, of these accounts, by region, rate and currency."""
    found: Counter[tuple[str, Decimal | None, str]] = Counter()
    for line in lines:
        if line.account_key in keys:
            found[line.region, line.vat_rate, line.currency] += int((line.credit - line.debit) * 100)
    return found


def cells(text: str, separator: str, newline: str = "\r\n") -> list[list[tuple[str, bool]]]:
    """A file of values between separators, sign by sign: each value, and whether it was in quotes."""
    rows: list[list[tuple[str, bool]]] = []
    row: list[tuple[str, bool]] = []
    place = 0
    while place < len(text):
        if text[place] == '"':
            value, place = "", place + 1
            while True:
                assert place < len(text), "a quote is not closed"
                if text.startswith('""', place):
                    value, place = value + '"', place + 2
                elif text[place] == '"':
                    place += 1
                    break
                else:
                    value, place = value + text[place], place + 1
            row.append((value, True))
        else:
            end = place
            while end < len(text) and text[end] != separator and not text.startswith(newline, end):
                assert text[end] not in '"\r\n', "a quote or the end of a line inside a value"
                end += 1
            row.append((text[place:end], False))
            place = end
        if text.startswith(newline, place):
            rows.append(row)
            row, place = [], place + len(newline)
        else:
            assert place < len(text), "the last line has no end"
            assert text[place] == separator, f"after a value comes {text[place]!r}"
            place += 1
            if place == len(text) or text.startswith(newline, place):
                row.append(("", False))
                rows.append(row)
                row, place = [], place + len(newline)
    assert not row
    return rows

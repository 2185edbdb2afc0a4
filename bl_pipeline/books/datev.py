"""A period of the journal as DATEV reads it: EXTF Buchungsstapel, header 700, format version 13. Pure.

DATEV takes the VAT out of the gross, by the account or the tax code, so output_vat is no record of its own. Nor is tax
that BrickLink keeps: it goes in and out of one account. Rules and names: developer.datev.de, DATEV-Format.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from bl_pipeline.books.accounts import Account, Accounts, combination_of
from bl_pipeline.books.export_lines import SOLD, WITHOUT_VAT, ExportFile, entries_of, sold_lines
from bl_pipeline.books.journal import AccountKey, EntryEvent, JournalLine, TaxKind

BASE_CURRENCY = "EUR"
MOST_RECORDS = 99_999
"""Records of a file that DATEV reads."""

_ENCODING = "cp1252"
_TEXT_LENGTH, _LABEL_LENGTH, _CODE_LENGTH = 60, 30, 4
_CENT = Decimal("0.01")
_MILLIONTH = Decimal("0.000001")
_MOST_AMOUNT = Decimal("9_999_999_999.99")
_LEAST_RATE, _ABOVE_RATES = 1, 10_000
_EVENTS = {
    EntryEvent.CORRECTION: "Korrektur",
    EntryEvent.CANCELLATION: "Storno",
    EntryEvent.BATCH: "Nachtrag",
}

FIELDS = (
    "Umsatz (ohne Soll/Haben-Kz)", "Soll/Haben-Kennzeichen", "WKZ Umsatz", "Kurs", "Basis-Umsatz", "WKZ Basis-Umsatz",
    "Konto", "Gegenkonto (ohne BU-Schlüssel)", "BU-Schlüssel", "Belegdatum", "Belegfeld 1", "Belegfeld 2", "Skonto",
    "Buchungstext", "Postensperre", "Diverse Adressnummer", "Geschäftspartnerbank", "Sachverhalt", "Zinssperre",
    "Beleglink",
    *(f"Beleginfo - {part} {number}" for number in range(1, 9) for part in ("Art", "Inhalt")),
    "KOST1 - Kostenstelle", "KOST2 - Kostenstelle", "Kost-Menge", "EU-Land u. UStID (Bestimmung)",
    "EU-Steuersatz (Bestimmung)", "Abw. Versteuerungsart", "Sachverhalt L+L", "Funktionsergänzung L+L",
    "BU 49 Hauptfunktionstyp", "BU 49 Hauptfunktionsnummer", "BU 49 Funktionsergänzung",
    *(f"Zusatzinformation{part} {number}" for number in range(1, 21) for part in (" - Art", "- Inhalt")),
    "Stück", "Gewicht", "Zahlweise", "Forderungsart", "Veranlagungsjahr", "Zugeordnete Fälligkeit", "Skontotyp",
    "Auftragsnummer", "Buchungstyp", "USt-Schlüssel (Anzahlungen)", "EU-Land (Anzahlungen)",
    "Sachverhalt L+L (Anzahlungen)", "EU-Steuersatz (Anzahlungen)", "Erlöskonto (Anzahlungen)", "Herkunft-Kz",
    "Buchungs GUID", "KOST-Datum", "SEPA-Mandatsreferenz", "Skontosperre", "Gesellschaftername", "Beteiligtennummer",
    "Identifikationsnummer", "Zeichnernummer", "Postensperre bis", "Bezeichnung SoBil-Sachverhalt",
    "Kennzeichen SoBil-Buchung", "Festschreibung", "Leistungsdatum", "Datum Zuord. Steuerperiode", "Fälligkeit",
    "Generalumkehr (GU)", "Steuersatz", "Land", "Abrechnungsreferenz", "BVV-Position", "EU-Land u. UStID (Ursprung)",
    "EU-Steuersatz (Ursprung)", "Abw. Skontokonto",
)  # fmt: skip
"""The fields of a record, in their order."""


@dataclass(frozen=True, slots=True)
class DatevHeader:
    """What the header of a file says of the books it belongs to.

    `year_start` is the first day of the business year that the period is in, `account_length` that of the accounts.
    """

    consultant: int
    client: int
    year_start: date
    account_length: int


def year_start(period: date, month: int, day: int) -> date:
    """The first day of the business year that a month is in, if years begin on this day of this month."""
    start = date(period.year, month, day)
    return start if start <= period else date(period.year - 1, month, day)


def datev_files(
    store: str,
    period: date,
    lines: Sequence[JournalLine],
    accounts: Accounts,
    header: DatevHeader,
    rates: Mapping[str, Decimal],
    now: datetime,
) -> list[ExportFile]:
    """The files of a period: one, or more if it has too many records. An entry is never split over two.

    `rates` are units of a currency for one euro, of each currency other than the euro that occurs. Raises KeyError for
    one that is missing, and for a line without an account.
    """
    files: list[list[str]] = [[]]
    for entry in entries_of(lines):
        records = list(_records(entry, accounts, rates))
        if len(files[-1]) + len(records) > MOST_RECORDS:
            files.append([])
        files[-1] += records
    return [
        ExportFile(
            f"EXTF_Buchungsstapel_{period:%Y-%m}{f'_{number}' if len(files) > 1 else ''}.csv",
            _encoded([_header(store, period, header, now), ";".join(FIELDS), *records]),
        )
        for number, records in enumerate(files, start=1)
        if records
    ]


def _header(store: str, period: date, header: DatevHeader, now: datetime) -> str:
    last = (period + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return ";".join(
        (
            '"EXTF"', "700", "21", '"Buchungsstapel"', "13", f"{now:%Y%m%d%H%M%S}{now.microsecond // 1000:03}", "",
            '"BL"', '""', '""', str(header.consultant), str(header.client), f"{header.year_start:%Y%m%d}",
            str(header.account_length), f"{period:%Y%m%d}", f"{last:%Y%m%d}",
            _text(f"BrickLink {period:%Y-%m} {store}", _LABEL_LENGTH), '""', "1", "0", "0", f'"{BASE_CURRENCY}"', "",
            '""', "", "", '""', "", "", '""', '""',
        )
    )  # fmt: skip


def needed(lines: Iterable[JournalLine]) -> Iterator[JournalLine]:
    """The lines that have to have an account: what was sold, and the receivable that each of these stands against."""
    for line in lines:
        if line.account_key in (*SOLD, *WITHOUT_VAT):
            yield line
            yield _debtor(line)


def foreign_currencies(lines: Iterable[JournalLine]) -> list[str]:
    """The currencies other than the euro that occur: each has to have a rate."""
    return sorted({line.currency for line in lines} - {BASE_CURRENCY})


def wrong_accounts(lines: Iterable[JournalLine], accounts: Accounts, length: int) -> list[str]:
    """What is wrong with the accounts of these lines, all of which have one: DATEV's are numbers of a length."""
    wrong: dict[str, None] = {}
    for line in needed(lines):
        account = accounts.of(line)
        number, code = account.account, account.tax_code
        if not (number.isascii() and number.isdigit() and len(number) <= length + 1 and int(number)):
            wrong[f"{combination_of(line)}: account {number!r} is no number of up to {length + 1} digits"] = None
        if code and not (code.isascii() and code.isdigit() and len(code) <= _CODE_LENGTH):
            wrong[f"{combination_of(line)}: tax_code {code!r} is no BU-Schlüssel of up to {_CODE_LENGTH} digits"] = None
    return list(wrong)


def too_large(lines: Iterable[JournalLine]) -> list[str]:
    """The documents with a line of more money than the field of an amount has digits for."""
    large = (line.document for line in lines if max(line.debit, line.credit) > _MOST_AMOUNT)
    return list(dict.fromkeys(large))


def _debtor(line: JournalLine) -> JournalLine:
    """The line as one of the receivable; an order that came to nothing because of a coupon has none in the journal."""
    return replace(line, account_key=AccountKey.RECEIVABLE)


def _records(entry: Sequence[JournalLine], accounts: Accounts, rates: Mapping[str, Decimal]) -> Iterator[str]:
    """The records of an entry: gross, one for what has the same accounts, tax code, currency, country and rate."""
    amounts: dict[tuple[str, Account, str, str, str], Decimal] = {}
    for sold in sold_lines(entry):
        line = sold.line
        key = (accounts.of(_debtor(line)).account, accounts.of(line), line.currency, *_destination(line))
        amounts[key] = amounts.get(key, Decimal(0)) + sold.gross
    first = entry[0]
    for (debtor, account, currency, country, rate), amount in amounts.items():
        if not amount:
            continue
        record = [""] * len(FIELDS)
        posting_text = _posting_text(first)
        record[0], record[2] = _number(abs(amount)), _text(currency)
        record[1] = _text("S" if amount > 0 else "H")
        if currency != BASE_CURRENCY:
            units = rates[currency].quantize(_MILLIONTH)
            in_euro = (abs(amount) / units).quantize(_CENT, ROUND_HALF_UP)
            if not in_euro:
                continue
            if _LEAST_RATE <= units < _ABOVE_RATES:
                record[3] = f"{units:f}".replace(".", ",")
                record[4], record[5] = _number(in_euro), _text(BASE_CURRENCY)
            else:
                # The field of the rate has no room for it.
                record[0], record[2] = _number(in_euro), _text(BASE_CURRENCY)
                posting_text = f"{currency} {_number(amount)}: {posting_text}"
        record[6], record[7] = debtor, account.account
        record[8] = _text(account.tax_code.zfill(_CODE_LENGTH) if account.tax_code else "")
        record[9] = f"{first.booking_date:%d%m}"
        record[10] = _text(first.document)
        record[13] = _text(posting_text)
        record[39], record[40] = _text(country), rate
        yield ";".join(record)


def _destination(line: JournalLine) -> tuple[str, str]:
    """The country and the rate of a sale that is declared in the One-Stop Shop; of others nothing."""
    if line.tax_kind is not TaxKind.OSS or line.country_code is None or line.vat_rate is None:
        return "", ""
    # The codes of VAT, which differ from ISO's twice.
    country = (
        "XI" if line.special_territory == "northern_ireland" else {"GR": "EL"}.get(line.country_code, line.country_code)
    )
    return country, _number(line.vat_rate)


def _posting_text(line: JournalLine) -> str:
    words = ["BrickLink", line.platform_order_id, line.country_code, _EVENTS.get(line.event)]
    if line.corrects_period:
        words.append(f"zu {line.corrects_period:%m.%Y}")
    return " ".join(filter(None, words))


def _number(amount: Decimal) -> str:
    return f"{amount.quantize(_CENT, ROUND_HALF_UP):f}".replace(".", ",")


def _text(value: str, length: int = _TEXT_LENGTH) -> str:
    """A text in quotes, cut to its length, of characters that the encoding has, without control characters."""
    plain = "".join(_encodable(character) for character in unicodedata.normalize("NFC", value))
    return '"' + plain[:length].replace('"', '""') + '"'


def _encodable(character: str) -> str:
    """A character of the encoding for each: the same one, the letter without its marks, or a question mark."""
    if unicodedata.category(character).startswith("C"):
        return " "
    for other in (character, unicodedata.normalize("NFKD", character)[0]):
        if other.encode(_ENCODING, "ignore"):
            return other
    return "?"


def _encoded(rows: Sequence[str]) -> bytes:
    return "".join(f"{row}\r\n" for row in rows).encode(_ENCODING)

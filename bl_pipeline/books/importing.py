"""Refunds and fees from a file into books.imported_refunds and books.imported_fees: all of it or nothing, each once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, text

from bl_pipeline.books.csv_tables import FileErrors
from bl_pipeline.books.import_files import (
    ImportKind,
    ImportLine,
    LineKey,
    LineSaid,
    changed_lines,
    unknown_orders,
)
from bl_pipeline.warehouse.database import PLATFORM
from bl_pipeline.warehouse.tables import imported_fees, imported_refunds

_TABLES = {ImportKind.REFUNDS: imported_refunds, ImportKind.FEES: imported_fees}


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a file: lines that are new, and lines that had been imported before."""

    added: int
    known: int


def import_lines(
    connection: Connection, store: str, kind: ImportKind, lines: Collection[ImportLine], *, file: str, now: datetime
) -> Imported:
    """Store the lines that are not stored yet, in the caller's transaction.

    `file` is the name of the file they come from. Raises FileErrors, and stores nothing, if one is about an order
    that the warehouse does not have, or was imported before with another day or amount.
    """
    table = _TABLES[kind]
    # Two imports of the same file at once: the second one sees what the first has stored.
    connection.execute(text(f"LOCK TABLE {table.fullname} IN SHARE ROW EXCLUSIVE MODE"))
    before = _read_imported(connection, store, kind)
    errors = [*unknown_orders(lines, _read_known(connection, store, lines), store), *changed_lines(lines, before)]
    if errors:
        raise FileErrors(sorted(errors, key=lambda error: error.line))
    new = [line for line in lines if line.key not in before]
    if new:
        connection.execute(
            insert(table),
            [
                {
                    "store": store,
                    "platform": PLATFORM,
                    "platform_order_id": line.order_id,
                    "date": line.date,
                    "amount": line.amount,
                    "currency": line.currency,
                    "reference": line.reference,
                    "note": line.note,
                    "file": file,
                    "imported_at": now,
                    **({"source": line.source, "kind": line.kind} if kind is ImportKind.FEES else {}),
                }
                for line in new
            ],
        )
    return Imported(len(new), len(lines) - len(new))


def _read_known(connection: Connection, store: str, lines: Collection[ImportLine]) -> set[str]:
    """Those of the lines' orders that the warehouse has."""
    asked = {line.order_id for line in lines if line.order_id is not None}
    found = connection.scalars(
        text(
            "SELECT platform_order_id FROM sales.orders "
            "WHERE store = :store AND platform = :platform AND platform_order_id = ANY(:asked)"
        ),
        {"store": store, "platform": PLATFORM, "asked": list(asked)},
    )
    return set(found)


def _read_imported(connection: Connection, store: str, kind: ImportKind) -> dict[LineKey, LineSaid]:
    """What the store has imported of this kind, by the key of the line."""
    columns = "source, kind" if kind is ImportKind.FEES else "NULL AS source, NULL AS kind"
    rows = connection.execute(
        text(
            f"SELECT {columns}, reference, platform_order_id, date, amount, currency FROM {_TABLES[kind].fullname} "
            "WHERE store = :store AND platform = :platform"
        ),
        {"store": store, "platform": PLATFORM},
    )
    return {
        (row.source, row.kind, row.reference, row.platform_order_id): (row.date, row.amount, row.currency)
        for row in rows
    }

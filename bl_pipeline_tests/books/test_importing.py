"""What a seller imports is stored once, all of a file or nothing, and never changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bl_pipeline.books.csv_tables import FileErrors
from bl_pipeline.books.import_files import ImportKind, parse_file
from bl_pipeline.books.importing import Imported, import_lines
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.stores import rename_store
from bl_pipeline_tests.conftest import NOW, Sync
from bl_pipeline_tests.support.report_sums import Row

REFUNDS = "date,order_id,amount,currency,reference,note\n"
FEES = "date,reference,order_id,amount,currency,source,kind,note\n"


def bring(warehouse: Warehouse, kind: ImportKind, content: str, file: str = "file.csv") -> Imported:
    """Import a file."""
    lines = parse_file(kind, content.encode(), today=date(2026, 6, 15))
    with warehouse.engine.begin() as connection:
        return import_lines(connection, warehouse.store, kind, lines, file=file, now=NOW)


def stored(warehouse: Warehouse, kind: ImportKind) -> list[Row]:
    """All that is stored of a kind."""
    with warehouse.engine.connect() as connection:
        rows = connection.execute(text(f"SELECT * FROM books.imported_{kind} ORDER BY 1")).mappings()
        return [dict(row) for row in rows]


@pytest.fixture
def orders(synced: Sync, warehouse: Warehouse) -> list[str]:
    """The orders that the warehouse has."""
    del synced
    with warehouse.engine.connect() as connection:
        return list(connection.scalars(text("SELECT platform_order_id FROM sales.orders ORDER BY 1")))


def test_refunds_are_stored(orders: list[str], warehouse: Warehouse) -> None:
    """Planted: an amount as a float; the note left out; the order of another line."""
    first, second = orders[:2]
    amount = "12345678901234.5678"
    content = f"{REFUNDS}2026-05-14,{first},{amount},EUR,R1,two lots\n2026-05-15,{second},-0.1234,USD,R1,\n"
    assert bring(warehouse, ImportKind.REFUNDS, content, "may.csv") == Imported(2, 0)
    same: Row = {"store": "main", "platform": "bricklink", "file": "may.csv", "imported_at": NOW, "reference": "R1"}
    rows = stored(warehouse, ImportKind.REFUNDS)
    assert [{**row, "amount": str(row["amount"])} for row in rows] == [
        {
            **same, "refund_id": 1, "platform_order_id": first, "date": date(2026, 5, 14), "amount": amount,
            "currency": "EUR", "note": "two lots",
        },
        {
            **same, "refund_id": 2, "platform_order_id": second, "date": date(2026, 5, 15), "amount": "-0.1234",
            "currency": "USD", "note": None,
        },
    ]  # fmt: skip


def test_a_file_that_comes_again_adds_only_what_is_new(orders: list[str], warehouse: Warehouse) -> None:
    """Longer than before, under another name, with a note and 1.5 for 1.50. Planted: no key with a null."""
    content = f"{FEES}2026-05-14,A,,1.50,EUR,paypal,payment_fee,\n2026-05-14,A,{orders[0]},2,EUR,paypal,payment_fee,\n"
    assert bring(warehouse, ImportKind.FEES, content) == Imported(2, 0)
    before = stored(warehouse, ImportKind.FEES)
    assert bring(warehouse, ImportKind.FEES, content) == Imported(0, 2)
    longer = content.replace("1.50", "1.5").replace("payment_fee,\n", "payment_fee,a note\n", 1)
    assert bring(warehouse, ImportKind.FEES, f"{longer}2026-05-15,B,,3,EUR,stripe,other,\n", "b.csv") == Imported(1, 2)
    assert stored(warehouse, ImportKind.FEES)[:2] == before
    assert len(stored(warehouse, ImportKind.FEES)) == 3


def test_one_wrong_line_and_nothing_is_imported(orders: list[str], warehouse: Warehouse) -> None:
    content = f"{REFUNDS}2026-05-14,{orders[0]},1,EUR,R1,\n2026-05-14,77,1,EUR,R2,\n2026-05-14,78,1,EUR,R3,\n"
    with pytest.raises(FileErrors) as caught:
        bring(warehouse, ImportKind.REFUNDS, content)
    assert str(caught.value) == (
        "line 3: order_id: store main has no order 77 in the warehouse\n"
        "line 4: order_id: store main has no order 78 in the warehouse"
    )
    assert stored(warehouse, ImportKind.REFUNDS) == []


@pytest.mark.parametrize(
    ("old", "new"), [("12.50", "12.51"), ("EUR", "USD"), ("05-14", "05-15")], ids=["amount", "currency", "day"]
)
def test_what_was_imported_stays_and_is_corrected_by_a_further_line(
    old: str, new: str, orders: list[str], warehouse: Warehouse
) -> None:
    """Planted: a changed line as one more refund, so that both count."""
    content = f"{REFUNDS}2026-05-14,{orders[0]},12.50,EUR,R1,\n"
    bring(warehouse, ImportKind.REFUNDS, content)
    before = stored(warehouse, ImportKind.REFUNDS)
    with pytest.raises(FileErrors, match=r"line 2: the reference R1 .* was imported as 12\.5000 EUR on 2026-05-14"):
        bring(warehouse, ImportKind.REFUNDS, content.replace(old, new))
    assert stored(warehouse, ImportKind.REFUNDS) == before
    corrected = f"{content}2026-05-14,{orders[0]},-0.01,EUR,R1-2,\n"
    assert bring(warehouse, ImportKind.REFUNDS, corrected) == Imported(1, 1)


@pytest.mark.parametrize("statement", ["UPDATE {} SET amount = 1", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("kind", ImportKind)
def test_nothing_that_was_imported_is_changed(
    kind: ImportKind, statement: str, orders: list[str], warehouse: Warehouse
) -> None:
    content = {
        ImportKind.REFUNDS: f"{REFUNDS}2026-05-14,{orders[0]},12.50,EUR,R1,\n",
        ImportKind.FEES: f"{FEES}2026-05-14,A,,1.50,EUR,paypal,payment_fee,\n",
    }
    bring(warehouse, kind, content[kind])
    with pytest.raises(DBAPIError, match="is append-only"), warehouse.engine.begin() as connection:
        connection.execute(text(statement.format(f"books.imported_{kind}")))


def test_a_store_with_another_name_keeps_its_imports(orders: list[str], warehouse: Warehouse) -> None:
    bring(warehouse, ImportKind.REFUNDS, f"{REFUNDS}2026-05-14,{orders[0]},12.50,EUR,R1,\n")
    with warehouse.engine.begin() as connection:
        rename_store(connection, "main", "shop")
    (row,) = stored(warehouse, ImportKind.REFUNDS)
    assert row["store"] == "shop"


def test_two_imports_at_once_add_each_line_once(orders: list[str], warehouse: Warehouse) -> None:
    """Planted: no lock, so that one of them ends with an error of Postgres."""
    content = REFUNDS + "".join(f"2026-05-14,{order},1,EUR,R{n},\n" for n in range(50) for order in orders[:4])
    files: list[Any] = [content] * 4
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda each: bring(warehouse, ImportKind.REFUNDS, each), files))
    assert sorted(each.added for each in done) == [0, 0, 0, 200]
    assert len(stored(warehouse, ImportKind.REFUNDS)) == 200

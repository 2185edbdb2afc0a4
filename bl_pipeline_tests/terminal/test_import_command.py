"""`bl import`: what it says of a file, and what it leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from bl_pipeline.sandbox import Store
from bl_pipeline_tests.terminal.conftest import Bl, expect, json_of

HEADER = "date,order_id,amount,currency,reference,note\n"


@pytest.fixture
def order_id(store: Store) -> int:
    """An order that was synced."""
    return max(store.sales)


def count(url: str) -> int:
    """How many refunds are stored."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM books.imported_refunds").fetchone()
    assert row
    return int(row[0])


def test_without_a_file_it_says_what_the_columns_are(bl: Bl) -> None:
    """In a terminal and as JSON, without a warehouse. Planted: the columns of the other kind."""
    shown = expect(bl("import", BL_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none"), 0).stdout
    assert "date,order_id,amount,currency,reference,note" in shown
    assert "date,reference,order_id,amount,currency,source,kind,note" in shown
    assert "payment_fee, bricklink_fee, postage, payout, other" in " ".join(shown.split())
    assert "source" not in expect(bl("import", "refunds"), 0).stdout
    columns = json_of(expect(bl("import", "fees", "--json"), 0))
    assert [column["name"] for column in columns["fees"] if column["optional"]] == ["order_id", "note"]


def test_a_file_is_imported_once(synced_bl: Bl, order_id: int, tmp_path: Path, database_url: str) -> None:
    file = tmp_path / "refunds.csv"
    file.write_text(f"{HEADER}2026-05-14,{order_id},12.50,EUR,R1,\n2026-05-14,BL-{order_id},1,EUR,R2,\n")
    first = expect(synced_bl("import", "refunds", str(file)), 0).stdout
    assert "Imported 2 lines of refunds from" in " ".join(first.split())
    again = " ".join(expect(synced_bl("import", "refunds", str(file)), 0).stdout.split())
    assert "Imported 0 lines" in again
    assert "2 lines had been imported before, and stay as they are." in again
    assert json_of(expect(synced_bl("import", "refunds", str(file), "--json"), 0)) == {
        "added": 0,
        "known": 2,
        "errors": [],
    }
    assert count(database_url) == 2
    file.write_text(f"{HEADER}2026-05-14,{order_id},1,EUR,R2,\n")
    alone = " ".join(expect(synced_bl("import", "refunds", str(file)), 0).stdout.split())
    assert alone.endswith("1 line had been imported before, and stays as it is.")


def test_a_faulty_file_is_refused_with_all_faults(
    synced_bl: Bl, order_id: int, tmp_path: Path, database_url: str
) -> None:
    file = tmp_path / "refunds.csv"
    lines = "".join(f'2026-05-14,{order_id},"1,{n}",EUR,R{n},\n' for n in range(30))
    file.write_text(f"{HEADER}2026-05-14,{order_id},1,EUR,R,\n{lines}")
    refused = expect(synced_bl("import", "refunds", str(file), "--json"), 2)
    said = " ".join(refused.stderr.split())
    assert "has faults. Nothing was imported." in said
    assert "line 3: amount: '1,0' has a comma" in said
    assert "and 10 more" in said
    assert "line 23" not in said
    answer = json_of(refused)
    assert (answer["added"], answer["known"], len(answer["errors"])) == (0, 0, 30)
    assert answer["errors"][-1]["line"] == 32
    file.write_text(f"{HEADER}2026-05-14,1,1,EUR,R,\n")
    assert "store main has no order 1 in the warehouse" in expect(synced_bl("import", "refunds", str(file)), 2).stderr
    assert count(database_url) == 0


def test_a_day_is_in_the_future_by_the_stores_time_zone(synced_bl: Bl, order_id: int, tmp_path: Path) -> None:
    """Tomorrow by UTC may be today far in the east, and never in the west. Planted: the day of UTC."""
    east = (datetime.now(UTC) + timedelta(hours=14)).date()
    file = tmp_path / "refunds.csv"
    file.write_text(f"{HEADER}{east},{order_id},1,EUR,R,\n")
    expect(synced_bl("import", "refunds", str(file), BL_TIMEZONE="Etc/GMT+12"), 2)
    expect(synced_bl("import", "refunds", str(file), BL_TIMEZONE="Pacific/Kiritimati"), 0)


def test_what_cannot_be_read_is_said(synced_bl: Bl, tmp_path: Path) -> None:
    assert "No such file" in expect(synced_bl("import", "fees", str(tmp_path / "none.csv")), 2).stderr
    assert "Is a directory" in expect(synced_bl("import", "fees", str(tmp_path)), 2).stderr
    assert "Did you mean refunds?" in expect(synced_bl("import", "refund"), 2).stderr

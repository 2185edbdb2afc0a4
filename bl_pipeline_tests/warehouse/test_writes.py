"""sync.writes: what was asked of orders, by store, run and order, and what became of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from bl_pipeline.rules.writes import Fields, WriteKind, WriteOutcome
from bl_pipeline.warehouse import writes
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.writes import Write, WriteAnswer

T = datetime(2026, 6, 15, 12, tzinfo=UTC)
LATER = T + timedelta(minutes=1)


def note(connection: Connection, store: Warehouse, **more: Any) -> Write:
    given = {
        "order_id": "31", "run_id": "run", "kind": WriteKind.STATUS, "asked": {"status": "PAID"},
        "before": {"status": None}, "now": T, **more,
    }  # fmt: skip
    return writes.note_write(connection, store, **given)


def test_a_write_is_noted_answered_and_settled(warehouse: Warehouse) -> None:
    with warehouse.engine.begin() as connection:
        write = note(connection, warehouse)
        other = note(connection, warehouse, kind=WriteKind.UPDATE)
        assert write == Write(
            write.write_id,
            "31",
            "run",
            WriteKind.STATUS,
            {"status": "PAID"},
            {"status": None},
            T,
            None,
            None,
            None,
            None,
        )
        writes.note_answer(connection, write, WriteAnswer.LOST, LATER)
        assert writes.of_run(connection, warehouse, "run") == [replace(write, answer=WriteAnswer.LOST), other]
        after: Fields = {"status": "PAID"}
        writes.note_outcome(connection, write, WriteOutcome.DONE, run_id="next", now=LATER, after=after)
        writes.note_outcome(connection, other, WriteOutcome.NOT_DONE, run_id="next", now=LATER)
        done = replace(write, answer=WriteAnswer.LOST, outcome=WriteOutcome.DONE, after=after, settled_at=LATER)
        assert writes.of_run(connection, warehouse, "run") == [
            done,
            replace(other, outcome=WriteOutcome.NOT_DONE, settled_at=LATER),
        ]
        columns = "requested_by, answered_at, settled_by, after IS NULL"
        rows = connection.execute(text(f"SELECT {columns} FROM sync.writes ORDER BY write_id")).all()
    assert [tuple(row) for row in rows] == [
        (writes.SELLER, LATER, "next", False),
        (writes.SELLER, None, "next", True),
    ]


def test_writes_are_read_of_one_store_the_oldest_first(warehouse: Warehouse) -> None:
    """Planted: those of another store, of another run, of another order; those that are settled."""
    other = Warehouse(warehouse.engine, "other")
    with warehouse.engine.begin() as connection:
        first = note(connection, warehouse, now=LATER)
        second = note(connection, warehouse, order_id="32", now=T)
        third = note(connection, warehouse, run_id="another")
        elsewhere = note(connection, other)
        assert writes.unsettled(connection, warehouse) == [first, second, third]
        assert writes.unsettled(connection, other) == [elsewhere]
        assert writes.of_run(connection, warehouse, "run") == [first, second]
        assert writes.of_order(connection, warehouse, "31") == [first, third]
        writes.note_outcome(connection, first, WriteOutcome.DONE, run_id="run", now=LATER)
        assert writes.unsettled(connection, warehouse) == [second, third]

"""sync.writes: every request that was to change an order at BrickLink, noted before it was sent.

Rows are added, and a value that is set is never changed: a trigger sees to it. What is null at first, the answer and
then the outcome, is set once. A write without an outcome is not settled: whether it was done is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import bindparam

from bl_pipeline.rules.writes import Fields, WriteKind, WriteOutcome
from bl_pipeline.warehouse.database import PLATFORM, Warehouse

SELLER = "this store's seller"


class WriteAnswer(StrEnum):
    """BrickLink's answer to a request; NOT_SENT: the request certainly did not reach it."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    LOST = "lost"
    NOT_SENT = "not_sent"


@dataclass(frozen=True, slots=True)
class Write:
    """One row of sync.writes. `answer` and `outcome` are None until they are known."""

    write_id: int
    order_id: str
    run_id: str
    kind: WriteKind
    asked: Fields = field(repr=False)
    before: Fields = field(repr=False)
    noted_at: datetime
    answer: WriteAnswer | None
    outcome: WriteOutcome | None
    after: Fields | None = field(repr=False)
    settled_at: datetime | None


_COLUMNS = """
    write_id, platform_order_id AS order_id, run_id, kind, asked, before, noted_at, answer, outcome, after, settled_at
"""


def _write(row: Row[Any]) -> Write:
    return Write(
        **{
            **row._mapping,
            "kind": WriteKind(row.kind),
            "answer": WriteAnswer(row.answer) if row.answer else None,
            "outcome": WriteOutcome(row.outcome) if row.outcome else None,
        }
    )


def note_write(
    connection: Connection,
    warehouse: Warehouse,
    *,
    order_id: str,
    run_id: str,
    kind: WriteKind,
    asked: Fields,
    before: Fields,
    now: datetime,
) -> Write:
    """Note a request that is about to be sent, in the caller's transaction: commit it first."""
    statement = text(
        f"""
        INSERT INTO sync.writes (
            store, platform, platform_order_id, run_id, requested_by, kind, asked, before, noted_at
        ) VALUES (:store, :platform, :order_id, :run_id, :seller, :kind, :asked, :before, :now)
        RETURNING {_COLUMNS}
        """
    ).bindparams(bindparam("asked", type_=JSONB), bindparam("before", type_=JSONB))
    values = {
        "store": warehouse.store,
        "platform": PLATFORM,
        "order_id": order_id,
        "run_id": run_id,
        "seller": SELLER,
        "kind": kind,
        "asked": asked,
        "before": before,
        "now": now,
    }
    return _write(connection.execute(statement, values).one())


def note_answer(connection: Connection, write: Write, answer: WriteAnswer, now: datetime) -> None:
    """Note the answer to a request; of one that was accepted or lost, only the order says the outcome."""
    connection.execute(
        text("UPDATE sync.writes SET answer = :answer, answered_at = :now WHERE write_id = :write_id"),
        {"write_id": write.write_id, "answer": answer, "now": now},
    )


def note_outcome(
    connection: Connection,
    write: Write,
    outcome: WriteOutcome,
    *,
    run_id: str,
    now: datetime,
    after: Fields | None = None,
    document_id: int | None = None,
) -> None:
    """Settle a write; `after` is what the order says of its fields now, in landing.documents under `document_id`."""
    statement = text(
        """
        UPDATE sync.writes SET outcome = :outcome, after = :after, document_id = :document_id, settled_at = :now,
            settled_by = :run_id
        WHERE write_id = :write_id
        """
    ).bindparams(bindparam("after", type_=JSONB(none_as_null=True)))
    values = {
        "write_id": write.write_id,
        "outcome": outcome,
        "after": after,
        "document_id": document_id,
        "now": now,
        "run_id": run_id,
    }
    connection.execute(statement, values)


def unsettled(connection: Connection, warehouse: Warehouse) -> list[Write]:
    """The writes whose outcome is not known, oldest first. Whoever has the store's lock may settle them."""
    return _read(connection, warehouse, "outcome IS NULL", {})


def of_run(connection: Connection, warehouse: Warehouse, run_id: str) -> list[Write]:
    """The requests that a run has noted, in their order."""
    return _read(connection, warehouse, "run_id = :run_id", {"run_id": run_id})


def of_order(connection: Connection, warehouse: Warehouse, order_id: str) -> list[Write]:
    """Every request about an order, oldest first."""
    return _read(connection, warehouse, "platform_order_id = :order_id", {"order_id": order_id})


def _read(connection: Connection, warehouse: Warehouse, where: str, values: dict[str, str]) -> list[Write]:
    rows = connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} FROM sync.writes
            WHERE store = :store AND platform = :platform AND {where} ORDER BY write_id
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM, **values},
    )
    return [_write(row) for row in rows]

"""Answers as received: stored before they are read, never changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, TextClause, text
from sqlalchemy.exc import DataError, IntegrityError

from bl_pipeline.columns import PARTS, AnswerKind
from bl_pipeline.warehouse.database import PLATFORM, Warehouse
from bl_pipeline.warehouse.state import newest_loaded


@dataclass(frozen=True, slots=True)
class Received:
    """One answer: the JSON of an order or of a part of it, and what the list said when it was fetched."""

    order_id: str
    kind: AnswerKind
    body: bytes
    listed_fingerprint: str | None
    listed_status_changed_at: datetime | None
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class Document(Received):
    """An answer that is stored."""

    document_id: int


_COLUMNS = """
    d.document_id, d.platform_order_id AS order_id, d.kind, d.body::text AS body, d.listed_fingerprint,
    d.listed_status_changed_at, d.fetched_at
"""


_DOCUMENTS_OF_PARTS = ", ".join(f"s.{kind}_document_id" for kind in PARTS)


def _document(row: Row[Any]) -> Document:
    return Document(
        row.order_id, AnswerKind(row.kind), row.body.encode(), row.listed_fingerprint, row.listed_status_changed_at,
        row.fetched_at, row.document_id,
    )  # fmt: skip


class UnstorableAnswer(Exception):
    """Postgres does not take the answer: it is no JSON in UTF-8, or a constraint of the seller's refuses it."""


_IN_ARRAYS = [field.name for field in fields(Received) if field.name != "body"]


@cache
def _landing(count: int) -> TextClause:
    """The statement that stores so many answers."""
    # Each as a parameter of its own: within an array the driver looks through all of it for what has to be escaped.
    bodies = ", ".join(f"CAST(:body_{number} AS text)" for number in range(count))
    return text(
        f"""
        INSERT INTO landing.documents (
            store, platform, run_id, platform_order_id, kind, body, listed_fingerprint, listed_status_changed_at,
            fetched_at
        ) SELECT CAST(:store AS text), CAST(:platform AS text), CAST(:run_id AS text), order_id, kind,
            CAST(body AS json), listed_fingerprint, listed_status_changed_at, fetched_at
        FROM unnest(
            CAST(:order_id AS text[]), CAST(:kind AS text[]), ARRAY[{bodies}], CAST(:listed_fingerprint AS text[]),
            CAST(:listed_status_changed_at AS timestamptz[]), CAST(:fetched_at AS timestamptz[])
        ) AS answer (order_id, kind, body, listed_fingerprint, listed_status_changed_at, fetched_at)
        RETURNING platform_order_id, kind, document_id
        """
    )


def land(connection: Connection, warehouse: Warehouse, run_id: str, answers: Sequence[Received]) -> list[Document]:
    """Store answers in the caller's transaction, each about another order or of another kind; in the same order.

    Raises UnstorableAnswer if Postgres refuses one of them: then the transaction cannot go on.
    """
    try:
        values = {
            "store": warehouse.store,
            "platform": PLATFORM,
            "run_id": run_id,
            **{name: [getattr(answer, name) for answer in answers] for name in _IN_ARRAYS},
            **{f"body_{number}": answer.body.decode() for number, answer in enumerate(answers)},
        }
        rows = connection.execute(_landing(len(answers)), values)
        ids = {(row.platform_order_id, row.kind): row.document_id for row in rows}
    except IntegrityError:
        raise UnstorableAnswer("A constraint on landing.documents refuses the answer.") from None
    except (UnicodeDecodeError, DataError):
        # None of these errors is chained: each would show the answer, and with it the buyer's address.
        raise UnstorableAnswer("The answer is no JSON in UTF-8 that Postgres can store.") from None
    return [
        Document(
            answer.order_id, answer.kind, answer.body, answer.listed_fingerprint, answer.listed_status_changed_at,
            answer.fetched_at, ids[answer.order_id, answer.kind],
        )
        for answer in answers
    ]  # fmt: skip


def not_loaded(connection: Connection, warehouse: Warehouse, order_ids: Collection[str]) -> dict[str, list[Document]]:
    """What has landed of these orders since they were last loaded, oldest first, by order id.

    It is there if a run has died, or if an answer could not be read.
    """
    rows = connection.execute(
        text(
            f"""
            SELECT {_COLUMNS}
            FROM landing.documents d
            JOIN sync.order_state s USING (store, platform, platform_order_id)
            WHERE d.store = :store AND d.platform = :platform AND d.platform_order_id = ANY(:order_ids)
              AND d.document_id > coalesce({newest_loaded("s")}, 0)
            ORDER BY d.document_id
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM, "order_ids": list(order_ids)},
    )
    return _by_order(rows)


def _by_order(rows: Iterable[Row[Any]]) -> dict[str, list[Document]]:
    found: dict[str, list[Document]] = {}
    for row in rows:
        document = _document(row)
        found.setdefault(document.order_id, []).append(document)
    return found


def all_landed(connection: Connection, warehouse: Warehouse, order_ids: Collection[str]) -> dict[str, list[Document]]:
    """Every answer ever landed of these orders, oldest first, by order id."""
    rows = connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} FROM landing.documents d
            WHERE d.store = :store AND d.platform = :platform AND d.platform_order_id = ANY(:order_ids)
            ORDER BY d.document_id
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM, "order_ids": list(order_ids)},
    )
    return _by_order(rows)


def landed_order_ids(connection: Connection, warehouse: Warehouse, *, after: str, limit: int) -> list[str]:
    """The next orders of which anything has landed, in the order of their ids; `after` is "" at first."""
    return list(
        connection.scalars(
            text(
                """
                SELECT DISTINCT platform_order_id FROM landing.documents
                WHERE store = :store AND platform = :platform AND platform_order_id > :after ORDER BY 1 LIMIT :limit
                """
            ),
            {"store": warehouse.store, "platform": PLATFORM, "after": after, "limit": limit},
        )
    )


def count_landed_orders(connection: Connection, warehouse: Warehouse) -> int:
    """The number of orders of which anything has landed."""
    counted = text(
        "SELECT count(DISTINCT platform_order_id) FROM landing.documents WHERE store = :store AND platform = :platform"
    )
    return connection.scalar(counted, {"store": warehouse.store, "platform": PLATFORM}) or 0


def orders_without_answers(connection: Connection, warehouse: Warehouse) -> list[str]:
    """The stored orders of which an answer that they or their parts were made of is not there: somebody deleted it."""
    found = text(
        f"""
        SELECT DISTINCT o.platform_order_id
        FROM sales.orders o JOIN sync.order_state s USING (store, platform, platform_order_id)
        CROSS JOIN LATERAL unnest(
            ARRAY[o.order_document_id, o.items_document_id, {_DOCUMENTS_OF_PARTS}]
        ) AS made (of_id)
        WHERE o.store = :store AND o.platform = :platform AND made.of_id IS NOT NULL
          AND NOT EXISTS (SELECT FROM landing.documents d WHERE d.document_id = made.of_id)
        ORDER BY 1
        """
    )
    return list(connection.scalars(found, {"store": warehouse.store, "platform": PLATFORM}))


def read_document(connection: Connection, document_id: int | None) -> Document:
    """One landed answer, by its id."""
    row = connection.execute(
        text(f"SELECT {_COLUMNS} FROM landing.documents d WHERE d.document_id = :id"),
        {"id": document_id},
    ).one()
    return _document(row)


def read_body(connection: Connection, document_id: int) -> str | None:
    """The JSON of one landed answer as it was received; None if it is not stored any more."""
    body: str | None = connection.scalar(
        text("SELECT body::text FROM landing.documents WHERE document_id = :id"), {"id": document_id}
    )
    return body


def known_order(
    connection: Connection, warehouse: Warehouse, order_id: str, *, at: datetime, not_of_run: str
) -> Document | None:
    """The newest answer about an order that the warehouse had received `at` a time; None if it had none.

    What the run `not_of_run` has received does not count, although a clock may stand still.
    """
    row = connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} FROM landing.documents d
            WHERE d.store = :store AND d.platform = :platform AND d.platform_order_id = :order_id
              AND d.kind = :kind AND d.fetched_at <= :at AND d.run_id <> :run_id
            ORDER BY d.document_id DESC LIMIT 1
            """
        ),
        {
            "store": warehouse.store,
            "platform": PLATFORM,
            "order_id": order_id,
            "kind": AnswerKind.ORDER,
            "at": at,
            "run_id": not_of_run,
        },
    ).one_or_none()
    return None if row is None else _document(row)


def before_and_after(
    connection: Connection, warehouse: Warehouse, order_id: str, kind: AnswerKind, run_id: str
) -> tuple[Document | None, Document | None]:
    """The newest answer of this kind that a run has received about an order, and before it the one of an earlier run.

    None if there is none.
    """
    rows = connection.execute(
        text(
            f"""
            SELECT DISTINCT ON (is_new) {_COLUMNS}, d.run_id = :run_id AS is_new FROM landing.documents d
            WHERE d.store = :store AND d.platform = :platform AND d.platform_order_id = :order_id AND d.kind = :kind
              AND d.document_id <= (
                SELECT max(document_id) FROM landing.documents
                WHERE store = :store AND platform = :platform AND platform_order_id = :order_id AND kind = :kind
                  AND run_id = :run_id
              )
            ORDER BY is_new, d.document_id DESC
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM, "order_id": order_id, "kind": kind, "run_id": run_id},
    )
    found = {row.is_new: _document(row) for row in rows}
    return found.get(False), found.get(True)

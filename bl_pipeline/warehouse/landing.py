"""Answers as received: written before anything is made of them, never changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import DataError

from bl_pipeline.warehouse.database import PLATFORM, Warehouse

Kind = Literal["order", "items"]


@dataclass(frozen=True, slots=True)
class Document:
    """One answer: the JSON of an order or of its items, and what the list said when it was fetched."""

    document_id: int
    order_id: str
    kind: Kind
    body: bytes
    listed_hash: str | None
    listed_status_changed_at: datetime | None
    fetched_at: datetime


_COLUMNS = """
    d.document_id, d.platform_order_id, d.kind, d.body::text, d.listed_hash, d.listed_status_changed_at, d.fetched_at
"""


def _document(row: Row[Any]) -> Document:
    document_id, order_id, kind, body, listed_hash, listed_status_changed_at, fetched_at = row
    return Document(document_id, order_id, kind, body.encode(), listed_hash, listed_status_changed_at, fetched_at)


class UnstorableAnswer(Exception):
    """Postgres does not take the answer for JSON in UTF-8."""


def land(
    warehouse: Warehouse,
    *,
    run_id: str,
    order_id: str,
    kind: Kind,
    body: bytes,
    listed_hash: str | None,
    listed_status_changed_at: datetime | None,
    fetched_at: datetime,
) -> Document:
    """Commit one answer.

    Raises UnstorableAnswer where the body is no JSON in UTF-8.
    """
    try:
        with warehouse.engine.begin() as connection:
            document_id = connection.scalar(
                text(
                    """
                    INSERT INTO landing.documents (
                        store, platform, platform_order_id, kind, body, listed_hash, listed_status_changed_at,
                        fetched_at, run_id
                    ) VALUES (
                        :store, :platform, :order_id, :kind, CAST(CAST(:body AS text) AS json), :listed_hash,
                        :listed_status_changed_at, :fetched_at, :run_id
                    ) RETURNING document_id
                    """
                ),
                {
                    "store": warehouse.store,
                    "platform": PLATFORM,
                    "order_id": order_id,
                    "kind": kind,
                    "body": body.decode(),
                    "listed_hash": listed_hash,
                    "listed_status_changed_at": listed_status_changed_at,
                    "fetched_at": fetched_at,
                    "run_id": run_id,
                },
            )
    except (UnicodeDecodeError, DataError):
        # Neither error is chained: both would show the answer, and with it the buyer's address.
        raise UnstorableAnswer("The answer is no JSON in UTF-8 that Postgres can store.") from None
    assert document_id is not None
    return Document(document_id, order_id, kind, body, listed_hash, listed_status_changed_at, fetched_at)


def landed_but_not_loaded(
    connection: Connection, warehouse: Warehouse, order_ids: Collection[str]
) -> dict[str, list[Document]]:
    """What a run that died had fetched of these orders and not loaded, oldest first, by order id.

    Only answers that are still what the list says; an order that failed since is fetched again instead.
    """
    rows = connection.execute(
        text(
            f"""
            SELECT {_COLUMNS}
            FROM landing.documents d
            JOIN sync.order_state s USING (store, platform, platform_order_id)
            WHERE d.store = :store AND d.platform = :platform AND d.platform_order_id = ANY(:order_ids)
              AND s.failed_at IS NULL
              AND d.document_id > coalesce(greatest(s.order_document_id, s.items_document_id), 0)
              AND d.listed_hash = s.listed_hash
              AND d.listed_status_changed_at IS NOT DISTINCT FROM s.listed_status_changed_at
            ORDER BY d.document_id
            """  # noqa: S608
        ),
        {"store": warehouse.store, "platform": PLATFORM, "order_ids": list(order_ids)},
    )
    found: dict[str, list[Document]] = {}
    for row in rows:
        document = _document(row)
        found.setdefault(document.order_id, []).append(document)
    return found


def stored_history(connection: Connection, warehouse: Warehouse, order_ids: Collection[str]) -> list[Document]:
    """Every answer ever landed of these orders, oldest first."""
    rows = connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} FROM landing.documents d
            WHERE d.store = :store AND d.platform = :platform AND d.platform_order_id = ANY(:order_ids)
            ORDER BY d.document_id
            """  # noqa: S608
        ),
        {"store": warehouse.store, "platform": PLATFORM, "order_ids": list(order_ids)},
    )
    return [_document(row) for row in rows]


def read_document(connection: Connection, document_id: int | None) -> Document:
    """One landed answer, by its id."""
    row = connection.execute(
        text(f"SELECT {_COLUMNS} FROM landing.documents d WHERE d.document_id = :id"),  # noqa: S608
        {"id": document_id},
    ).one()
    return _document(row)

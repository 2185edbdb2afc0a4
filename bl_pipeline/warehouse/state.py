"""sync.order_state: per order what the list said, what is stored, and what failed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from bl_pipeline.columns import PARTS, AnswerKind
from bl_pipeline.records import FailedOrder, ListedOrder, OrderDates, OrderState, PartState
from bl_pipeline.warehouse.database import PLATFORM, Warehouse

_ORDER = (
    "order_date", "listed_fingerprint", "listed_status", "listed_status_changed_at", "listed_filed", "is_listed",
    "stored_fingerprint", "stored_status_changed_at", "order_document_id", "order_fingerprint", "order_fetched_at",
    "failed_at", "attempts",
)  # fmt: skip


_ROWS_AT_A_TIME = 5_000


def _of_part(kind: AnswerKind) -> tuple[str, str, str]:
    """The columns of a part, in the order of the fields of PartState."""
    return f"{kind}_document_id", f"{kind}_fetched_at", f"{kind}_fingerprint"


_PARTS = tuple(name for kind in PARTS for name in _of_part(kind))
_NAMES = ", ".join(("platform_order_id", "status", *_ORDER, *_PARTS))
_COLUMNS = ", ".join(("s.platform_order_id", "o.status", *(f"s.{name}" for name in (*_ORDER, *_PARTS))))


def newest_loaded(table: str) -> str:
    """SQL for the newest document that was loaded of an order or its parts: null if none was."""
    return f"greatest({', '.join(f'{table}.{kind}_document_id' for kind in (AnswerKind.ORDER, *PARTS))})"


def read_states(
    connection: Connection, warehouse: Warehouse, order_ids: Collection[str] | None = None
) -> dict[str, OrderState]:
    """The state of these orders, or of all, by order id."""
    return _read(
        connection,
        f"""
        SELECT {_COLUMNS}
        FROM sync.order_state s LEFT JOIN sales.orders o USING (store, platform, platform_order_id)
        WHERE s.store = :store AND s.platform = :platform
          AND (CAST(:order_ids AS text[]) IS NULL OR s.platform_order_id = ANY(:order_ids))
        """,
        {
            "store": warehouse.store,
            "platform": PLATFORM,
            "order_ids": None if order_ids is None else list(order_ids),
        },
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which states a plan has to look at; what a reason to fetch an order is, rules/changes.py decides.

    `parts` are missing if they were never fetched, or are of an earlier content. Of the `open_groups`, orders are
    re-checked that were last fetched up to `open_before`, of others those up to `others_before`: of each the first
    `rechecks`. `optional_groups` and `optional_since`: orders of these groups and not older, whatever their state.
    """

    parts: Collection[AnswerKind]
    purged: str
    open_groups: Collection[str]
    open_before: datetime
    others_before: datetime
    rechecks: int
    optional_groups: Collection[str] = ()
    optional_since: datetime | None = None


def read_states_to_plan(connection: Connection, warehouse: Warehouse, wanted: Wanted) -> dict[str, OrderState]:
    """The states of the orders that may have to be fetched, by order id: at most a few of those that have not changed.

    Every order for which rules/changes.py has a reason is among them, unless only an open full sync wants it.
    """
    missing = "".join(
        f" OR s.{fetched_at} IS NULL OR s.{fingerprint} IS DISTINCT FROM s.order_fingerprint"
        for _, fetched_at, fingerprint in map(_of_part, wanted.parts)
    )
    changed = f"""(
        s.failed_at IS NOT NULL OR s.stored_fingerprint IS NULL OR s.stored_fingerprint <> s.listed_fingerprint
        OR s.stored_status_changed_at IS DISTINCT FROM s.listed_status_changed_at
        OR (s.listed_status <> :purged AND (false{missing}))
        OR coalesce(o.status = ANY(:optional_groups) AND s.order_date >= :optional_since, false)
    )"""
    due = """(
        s.is_listed AND s.listed_status <> :purged
        AND s.order_fetched_at <= CASE WHEN is_open THEN :open_before ELSE :others_before END
    )"""
    # One pass: two, joined, would look each order up in an index.
    return _read(
        connection,
        f"""
        SELECT {_NAMES} FROM (
            SELECT *, row_number() OVER (
                PARTITION BY is_changed, is_open ORDER BY order_fetched_at, platform_order_id COLLATE "C"
            ) AS place
            FROM (
                SELECT {_COLUMNS}, {changed} AS is_changed, is_open
                FROM sync.order_state s LEFT JOIN sales.orders o USING (store, platform, platform_order_id)
                CROSS JOIN LATERAL (SELECT coalesce(o.status = ANY(:open_groups), false) AS is_open) split
                WHERE s.store = :store AND s.platform = :platform AND ({changed} OR {due})
            ) wanted
        ) placed
        WHERE is_changed OR place <= :rechecks
        """,
        {
            "store": warehouse.store,
            "platform": PLATFORM,
            "purged": wanted.purged,
            "open_groups": list(wanted.open_groups),
            "open_before": wanted.open_before,
            "others_before": wanted.others_before,
            "rechecks": wanted.rechecks,
            "optional_groups": list(wanted.optional_groups),
            "optional_since": wanted.optional_since,
        },
    )


def _read(connection: Connection, statement: str, bound: Mapping[str, object]) -> dict[str, OrderState]:
    """The states that a statement selects: its columns are those of _NAMES."""
    rows = connection.execute(text(statement), bound)
    first = 2 + len(_ORDER)
    parts = [(kind, slice(first + 3 * place, first + 3 * place + 3)) for place, kind in enumerate(PARTS)]
    return {
        row[0]: OrderState(
            order_id=row[0],
            group=row[1],
            **dict(zip(_ORDER, row[2:first], strict=True)),
            # Most orders have one of three, and there are tens of thousands of them.
            parts={kind: PartState(*values) for kind, of_part in parts if any(values := row[of_part])},
        )
        for row in rows
    }


def read_loaded(connection: Connection, warehouse: Warehouse, order_ids: Collection[str]) -> dict[str, int]:
    """The newest document that was loaded of each of these orders or of its parts, by order id; 0 if none was."""
    rows = connection.execute(
        text(
            f"""
            SELECT s.platform_order_id, coalesce({newest_loaded("s")}, 0) AS newest
            FROM sync.order_state s
            WHERE s.store = :store AND s.platform = :platform AND s.platform_order_id = ANY(:order_ids)
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM, "order_ids": list(order_ids)},
    )
    return {row.platform_order_id: row.newest for row in rows}


def read_listed(connection: Connection, warehouse: Warehouse) -> Iterator[ListedOrder]:
    """What the lists said the last time of each order that was in them, a few thousand at a time."""
    found = connection.execute(
        text(
            """
            SELECT platform_order_id, order_date, listed_status, listed_status_changed_at, listed_filed,
                listed_fingerprint
            FROM sync.order_state WHERE store = :store AND platform = :platform AND is_listed
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM},
        execution_options={"yield_per": _ROWS_AT_A_TIME},
    )
    # Who stops in the middle leaves no cursor open.
    with found as rows:
        for row in rows:
            yield ListedOrder(*row)


def count_sound(connection: Connection, warehouse: Warehouse, dates: OrderDates, *, include_filed: bool) -> int:
    """Listed orders of these dates that have not failed; with `include_filed` also those that are filed."""
    return (
        connection.scalar(
            text(
                """
                SELECT count(*) FROM sync.order_state
                WHERE store = :store AND platform = :platform AND is_listed AND failed_at IS NULL
                  AND (:include_filed OR listed_filed IS NOT TRUE)
                  AND (CAST(:start AS timestamptz) IS NULL OR order_date >= :start)
                  AND (CAST(:before AS timestamptz) IS NULL OR order_date < :before)
                """
            ),
            {
                "store": warehouse.store,
                "platform": PLATFORM,
                "include_filed": include_filed,
                "start": dates.start,
                "before": dates.before,
            },
        )
        or 0
    )


class OrderCounts(NamedTuple):
    """How many orders are known, and how many of these are in the lists."""

    all: int
    listed: int


def count_orders(connection: Connection, warehouse: Warehouse) -> OrderCounts:
    """The known orders of the store."""
    row = connection.execute(
        text(
            """
            SELECT count(*), count(*) FILTER (WHERE is_listed) FROM sync.order_state
            WHERE store = :store AND platform = :platform
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM},
    ).one()
    return OrderCounts(*row)


def _part_values(state: OrderState) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for kind in PARTS:
        part = state.part(kind)
        values |= zip(_of_part(kind), (part.document_id, part.fetched_at, part.fingerprint), strict=True)
    return values


def save_loaded(connection: Connection, warehouse: Warehouse, states: Iterable[OrderState]) -> None:
    """Store the states of orders that are loaded in the same transaction: what is stored of them, and no failure."""
    rows = [
        {
            "store": warehouse.store,
            "platform": PLATFORM,
            "platform_order_id": state.order_id,
            "order_date": state.order_date,
            "listed_fingerprint": state.listed_fingerprint,
            "listed_status": state.listed_status,
            "listed_status_changed_at": state.listed_status_changed_at,
            "first_listed_at": state.order_fetched_at,
            "stored_fingerprint": state.stored_fingerprint,
            "stored_status_changed_at": state.stored_status_changed_at,
            "order_document_id": state.order_document_id,
            "order_fingerprint": state.order_fingerprint,
            "order_fetched_at": state.order_fetched_at,
            **_part_values(state),
        }
        for state in states
    ]
    if not rows:
        return
    connection.execute(
        text(
            f"""
            INSERT INTO sync.order_state AS s ({", ".join(rows[0])})
            VALUES ({", ".join(f":{name}" for name in rows[0])})
            ON CONFLICT (store, platform, platform_order_id) DO UPDATE SET
                stored_fingerprint = excluded.stored_fingerprint,
                stored_status_changed_at = excluded.stored_status_changed_at,
                order_document_id = excluded.order_document_id,
                order_fingerprint = excluded.order_fingerprint,
                order_fetched_at = excluded.order_fetched_at,
                {", ".join(f"{name} = coalesce(excluded.{name}, s.{name})" for name in _PARTS)},
                error = NULL, error_class = NULL, failed_at = NULL, attempts = 0
            -- Replaying what was loaded before moves nothing.
            WHERE {newest_loaded("excluded")} > coalesce({newest_loaded("s")}, 0)
            """
        ),
        rows,
    )


def save_listed(connection: Connection, warehouse: Warehouse, listed: Iterable[ListedOrder], now: datetime) -> None:
    """Store what the list says of orders that are new in it, or of which it now says something else."""
    rows = [
        {
            "store": warehouse.store,
            "platform": PLATFORM,
            "order_id": order.order_id,
            "order_date": order.order_date,
            "fingerprint": order.fingerprint,
            "status": order.status,
            "status_changed_at": order.status_changed_at,
            "is_filed": order.is_filed,
            "now": now,
        }
        for order in listed
    ]
    if not rows:
        return
    connection.execute(
        text(
            """
            INSERT INTO sync.order_state AS s (
                store, platform, platform_order_id, order_date, listed_fingerprint, listed_status,
                listed_status_changed_at, listed_filed, first_listed_at
            ) VALUES (
                :store, :platform, :order_id, :order_date, :fingerprint, :status, :status_changed_at, :is_filed, :now
            )
            ON CONFLICT (store, platform, platform_order_id) DO UPDATE SET
                order_date = excluded.order_date,
                listed_fingerprint = excluded.listed_fingerprint,
                listed_status = excluded.listed_status,
                listed_status_changed_at = excluded.listed_status_changed_at,
                listed_filed = excluded.listed_filed,
                is_listed = true,
                -- An order that changed is worth a call at once, however often it failed before.
                attempts = 0
            """
        ),
        rows,
    )


def save_unlisted(connection: Connection, warehouse: Warehouse, order_ids: Collection[str]) -> None:
    """Note that orders are not in the lists any more; what is stored of them stays."""
    connection.execute(
        text(
            """
            UPDATE sync.order_state SET is_listed = false
            WHERE store = :store AND platform = :platform AND platform_order_id = ANY(:order_ids)
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM, "order_ids": list(order_ids)},
    )


def mark_failed(connection: Connection, warehouse: Warehouse, failed: FailedOrder) -> None:
    """Note that an order could not be fetched, read or stored; what is stored of it stays as it is.

    `failed_at` and `attempts` must be set; `attempts` is the number of failures in a row, this one included.
    """
    connection.execute(
        text(
            """
            UPDATE sync.order_state
            SET error = :error, error_class = :error_class, failed_at = :failed_at, attempts = :attempts
            WHERE store = :store AND platform = :platform AND platform_order_id = :order_id
            """
        ),
        {
            "store": warehouse.store,
            "platform": PLATFORM,
            "order_id": failed.order_id,
            "error": failed.error,
            "error_class": failed.error_class,
            "attempts": failed.attempts,
            "failed_at": failed.failed_at,
        },
    )


def failed_orders(connection: Connection, warehouse: Warehouse, order_id: str | None = None) -> list[FailedOrder]:
    """The orders, or the one, that failed and have not been read since, the latest failure first."""
    rows = connection.execute(
        text(
            """
            SELECT platform_order_id AS order_id, error, error_class, failed_at, attempts FROM sync.order_state
            WHERE store = :store AND platform = :platform AND failed_at IS NOT NULL
              AND (CAST(:order_id AS text) IS NULL OR platform_order_id = :order_id)
            ORDER BY failed_at DESC, platform_order_id
            """
        ),
        {"store": warehouse.store, "platform": PLATFORM, "order_id": order_id},
    )
    return [FailedOrder(**row._mapping) for row in rows]

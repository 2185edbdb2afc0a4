"""The list of orders: which ones, in which order, how many there are and their sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from bl_pipeline.reports.questions import QuestionError, one_of
from bl_pipeline.warehouse.database import PLATFORM, Warehouse

SORTS = {
    "date": "order_date",
    "changed": "status_changed_at",
    "buyer": "lower(coalesce(buyer_name, buyer_username))",
    "status": "platform_status",
    "total": "currency {way}, total",
}
"""What a list can be sorted by. Amounts of different currencies are not compared: each currency is sorted by itself."""

LATEST_FIRST = "-date"


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders to list; None is no limit.

    `search` is a part of the order's id, the buyer's name, username or e-mail address, or the tracking number,
    whatever its case and accents; or the whole number of an item. `status` is BrickLink's word, `group` ours.
    `since` is included, `until` is not; naive times are the store's. `sort` is a name in SORTS, after a - the
    other way round.
    """

    search: str | None = None
    status: str | None = None
    group: str | None = None
    platform: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    sort: str = LATEST_FIRST
    limit: int = 20
    offset: int = 0


@dataclass(frozen=True, slots=True)
class OrderList:
    """Some of the orders that were asked for, and the number and the sums of all of them.

    `totals` is what the buyers pay, by currency. `without_revenue` is how many are cancelled or a problem. `platforms`
    are those that the list has. Times of `rows` are UTC.
    """

    rows: Sequence[Mapping[str, Any]] = ()
    count: int = 0
    totals: Mapping[str, Decimal | None] = field(default_factory=dict)
    without_revenue: int = 0
    platforms: frozenset[str] = frozenset()


def read_orders(
    connection: Connection, warehouse: Warehouse, wanted: OrderFilter, statuses: Sequence[str] = ()
) -> OrderList:
    """The orders of all platforms in one list.

    `statuses` are words that are known, whether an order has them or not. Raises QuestionError for a word that nobody
    knows.
    """
    where, values = _conditions(wanted, ZoneInfo(warehouse.timezone))
    values["store"] = warehouse.store
    sums = connection.execute(
        text(
            f"""
            SELECT currency, count(*) AS orders, sum(total) AS total, array_agg(DISTINCT platform) AS platforms,
                count(*) FILTER (WHERE status IN ('cancelled', 'problem')) AS without_revenue
            FROM sales.orders o WHERE {where} GROUP BY currency ORDER BY count(*) DESC, currency
            """
        ),
        values,
    ).all()
    if not sums:
        _check_words(connection, warehouse, wanted, statuses)
    rows = connection.execute(
        text(
            f"""
            SELECT display_id, platform, platform_order_id, order_date, status_changed_at, buyer_name, buyer_username,
                status, platform_status, payment_status, total_count, unique_count, total, final_total, currency,
                tracking_number, shipped_at
            FROM sales.orders o WHERE {where} ORDER BY {_order(wanted.sort)} LIMIT :limit OFFSET :offset
            """
        ),
        {**values, "limit": wanted.limit, "offset": wanted.offset},
    )
    return OrderList(
        rows=[dict(row) for row in rows.mappings()],
        count=sum(row.orders for row in sums),
        totals={row.currency: row.total for row in sums},
        without_revenue=sum(row.without_revenue for row in sums),
        platforms=frozenset(platform for row in sums for platform in row.platforms),
    )


def _conditions(wanted: OrderFilter, zone: ZoneInfo) -> tuple[str, dict[str, Any]]:
    conditions, values = ["store = :store"], dict[str, Any]()
    since, until = (
        time.replace(tzinfo=zone) if time and time.tzinfo is None else time for time in (wanted.since, wanted.until)
    )
    if since and until and since >= until:
        raise QuestionError("The list would end before it begins: --since is after --until.")
    for condition, name, value in (
        ("platform_status = upper(:status)", "status", wanted.status),
        ("status = lower(:group)", "group", wanted.group),
        ("platform = lower(:platform)", "platform", wanted.platform),
        ("order_date >= :since", "since", since),
        ("order_date < :until", "until", until),
        (_search(), "search", (wanted.search or "").strip() or None),
    ):
        if value is not None:
            conditions.append(condition)
            values[name] = value
    return " AND ".join(conditions), values


def _search() -> str:
    shown = "concat_ws(' ', display_id, buyer_name, buyer_username, buyer_email, tracking_number)"
    return f"""(
        strpos({_plain(shown)}, {_plain("CAST(:search AS text)")}) > 0
        OR EXISTS (
            SELECT FROM sales.order_items i
            WHERE i.store = o.store AND i.platform = o.platform AND i.platform_order_id = o.platform_order_id
              AND lower(i.item_number) = lower(:search)
        )
    )"""


def _plain(value: str) -> str:
    """SQL for the value without case and accents. The extension unaccent is not on every server."""
    without_marks = rf"regexp_replace(normalize({value}, NFKD), '[\u0300-\u036f]', '', 'g')"
    # Letters with a stroke are not made of a letter and a mark.
    return f"replace(translate(lower({without_marks}), 'øØłŁđĐı', 'oollddi'), 'ß', 'ss')"


def _order(sort: str) -> str:
    name, way = sort.removeprefix("-"), "DESC" if sort.startswith("-") else "ASC"
    by = SORTS[one_of(name, "order to sort by", SORTS)]
    # With the order's id the sort order is unique: pages of a list neither repeat an order nor leave one out.
    return f"{by.format(way='ASC')} {way} NULLS LAST, order_date {way}, platform_order_id {way}"


def _check_words(connection: Connection, warehouse: Warehouse, wanted: OrderFilter, statuses: Sequence[str]) -> None:
    """Raise QuestionError for a word that is neither known nor in the store's orders."""
    if wanted.status is not None:
        stored = connection.scalars(
            text("SELECT DISTINCT platform_status FROM sales.orders WHERE store = :store"), {"store": warehouse.store}
        )
        one_of(wanted.status, "status", {*statuses, *stored})
    if wanted.platform is not None:
        stored = connection.scalars(
            text("SELECT DISTINCT platform FROM sales.orders WHERE store = :store"), {"store": warehouse.store}
        )
        one_of(wanted.platform, "platform", {PLATFORM, *stored})

"""The list of orders: which ones, in which order, how many there are and their sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, text

from bl_pipeline.columns import OrderGroup
from bl_pipeline.countries import countries, country_code
from bl_pipeline.questions import QuestionError, one_of, parse_time
from bl_pipeline.rules.statuses import (
    NOT_REVENUE,
    NOT_SENT,
    PAYMENT_ARRIVED,
    PAYMENT_FAILED,
    PERHAPS_UNPAID,
    PURGED,
    STATUSES,
)
from bl_pipeline.warehouse.database import PLATFORM, Warehouse
from bl_pipeline.warehouse.tables.schema import sql_list

SORTS: Mapping[str, tuple[str, ...]] = {
    "id": ("length(s.platform_order_id)", "s.platform_order_id"),
    "platform": (),
    "date": (),
    "changed": ("s.status_changed_at",),
    "buyer": ("s.buyer",),
    "status": (),
    "total": ("s.total",),
}
"""What a list can be sorted by: expressions of sales.order_search, nulls at the end whichever way; after them the order
date and the id, and before them a group.
"""

_GROUPS = {"platform": "s.platform {way}", "status": "s.platform_status {way}", "total": "s.currency"}
"""What has few values and comes before everything else. How many orders a group has is known from the sums, so only the
groups on a page are sorted. Amounts of different currencies are not compared: each currency is sorted by itself.
"""

_NO_GROUPS = "left('',0)"
"""Of all orders the same, and not written as a constant, by which Postgres does not group."""

LATEST_FIRST = "-date"

_FEW = 10_000
"""Orders that are sorted in milliseconds."""

UNPAID = f"""(
    (paid_at IS NULL OR payment_status IN ({sql_list(PAYMENT_FAILED)}))
    AND coalesce(payment_status, '') NOT IN ({sql_list(PAYMENT_ARRIVED)})
    AND status IN ({sql_list(PERHAPS_UNPAID)}) AND platform_status <> '{PURGED}'
)"""
"""SQL for an order of sales.order_search that is open, and whose buyer has not paid."""

NOT_SHIPPED = f"""(
    shipped_at IS NULL AND status IN ({sql_list(NOT_SENT)}) AND platform_status <> '{PURGED}'
)"""
"""SQL for an order of sales.order_search that is open, and has not been sent."""


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders to list; None is no limit.

    `search` is a part of the order's id, the buyer's name, username or e-mail address, or the tracking number,
    whatever its case and accents; or the whole number of an item. `status` is BrickLink's word, `group` ours.
    `country` is a code such as DE, or the country's English name. `unpaid` and `not_shipped` are open orders only.
    `since` is included, `until` is not; naive times are the store's. `sort` is a name in SORTS, after a - the
    other way round. `stores` are the stores whose orders are listed; without any it is that of the warehouse.
    """

    search: str | None = None
    status: str | None = None
    group: str | None = None
    platform: str | None = None
    country: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    unpaid: bool = False
    not_shipped: bool = False
    sort: str = LATEST_FIRST
    limit: int = 20
    offset: int = 0
    stores: tuple[str, ...] = ()


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


def parse_filter(
    *,
    search: str | None = None,
    status: str | None = None,
    group: str | None = None,
    platform: str | None = None,
    country: str | None = None,
    since: str | None = None,
    until: str | None = None,
    unpaid: bool = False,
    not_shipped: bool = False,
    sort: str | None = None,
    limit: int = 20,
    offset: int = 0,
) -> OrderFilter:
    """The filter that was written, each part as text; what is None or blank is no limit.

    Raises QuestionError for a word that cannot be meant. Words that depend on what is stored (status, platform,
    country) are checked by `read_orders`.
    """
    written = {
        name: value.strip() or None if value else None
        for name, value in {
            "search": search, "status": status, "group": group, "platform": platform, "country": country,
            "since": since, "until": until, "sort": sort,
        }.items()
    }  # fmt: skip
    status, group, since, until = written["status"], written["group"], written["since"], written["until"]
    known = {word.casefold(): word for word in STATUSES}
    if status and status.casefold() in set(OrderGroup) - known.keys():
        raise QuestionError(f"{status} is a group of statuses, and no status of BrickLink's. Ask for it as the group.")
    if group:
        word = known.get(group.casefold())
        hint = f"{word} is a status of BrickLink's. Ask for it as the status." if word else ""
        group = one_of(group, "group", tuple(OrderGroup), hint)
    sort = written["sort"] or LATEST_FIRST
    _sort(sort)
    return OrderFilter(
        search=written["search"],
        status=status,
        group=group,
        platform=written["platform"],
        country=written["country"],
        since=parse_time(since) if since else None,
        until=parse_time(until, end=True) if until else None,
        unpaid=unpaid,
        not_shipped=not_shipped,
        sort=sort,
        limit=limit,
        offset=offset,
    )


def read_orders(connection: Connection, warehouse: Warehouse, wanted: OrderFilter) -> OrderList:
    """The orders of all platforms in one list. Raises QuestionError for a word that nobody knows.

    The transaction of `connection` should see one moment (REPEATABLE READ): else a page far back may be moved by what
    is stored while it is read.
    """
    wanted = replace(wanted, stores=wanted.stores or (warehouse.store,))
    source, values = _source(wanted, ZoneInfo(warehouse.timezone))
    sort, way = _sort(wanted.sort)
    groups = _GROUPS.get(sort, _NO_GROUPS).format(way=way)
    group = groups.split()[0]
    sums = connection.execute(
        text(
            f"""
            SELECT s.currency, s.platform, {group} AS group_, count(*) AS orders, sum(s.total) AS total,
                count(*) FILTER (WHERE s.status IN ({sql_list(NOT_REVENUE)})) AS without_revenue
            {source} GROUP BY s.currency, s.platform, {group} ORDER BY {groups}
            """
        ),
        values,
    ).all()
    if not sums:
        _check_words(connection, wanted)
    counts = Counter[str]()
    for row in sums:
        counts[row.group_] += row.orders
    source += f" AND {group} = :group_"
    rows, before = list[Mapping[str, Any]](), 0
    for name, count in counts.items():
        first, last = (min(max(place - before, 0), count) for place in (wanted.offset, wanted.offset + wanted.limit))
        if first < last:
            part = _read_part(source, SORTS[sort], way, count, first, last)
            rows += map(dict, connection.execute(text(part), {**values, "group_": name}).mappings())
        before += count
    return OrderList(
        rows=rows,
        count=before,
        totals=_totals(sums),
        without_revenue=sum(row.without_revenue for row in sums),
        platforms=frozenset(row.platform for row in sums),
    )


def _read_part(source: str, by: Sequence[str], way: str, count: int, first: int, last: int) -> str:
    """SQL for the rows from place `first` (from 0) up to `last` of `count` sorted ones.

    Which rows these are is found in the narrow table, and from the nearer end.
    """
    forwards = _order(by, way)
    backwards = _order(by, "ASC" if way == "DESC" else "DESC", nulls="FIRST")
    from_end = first + last > count
    if count <= _FEW:
        # OFFSET 0: filtered before they are sorted. Else Postgres, which guesses how many there are, might look
        # for them in all orders by date.
        source = f"FROM (SELECT s.* {source} OFFSET 0) s"
    ids = (
        f"SELECT s.* {source} ORDER BY {backwards if from_end else forwards} "
        f"LIMIT {last - first} OFFSET {count - last if from_end else first}"
    )
    return f"""
        SELECT display_id, o.platform, o.platform_order_id, o.order_date, o.status_changed_at, buyer_name,
            buyer_username, o.status, o.platform_status, o.payment_status, o.country_code, total_count, unique_count,
            o.total, final_total, o.currency, tracking_number, o.shipped_at, o.store
        FROM ({ids}) s JOIN sales.orders o USING (store, platform, platform_order_id)
        ORDER BY {forwards}
    """


def _totals(sums: Sequence[Row[Any]]) -> dict[str, Decimal | None]:
    """The sum of each currency, the one of most orders first."""
    orders: Counter[str] = Counter()
    totals = dict[str, Decimal | None]()
    for row in sums:
        orders[row.currency] += row.orders
        known = totals.get(row.currency)
        totals[row.currency] = row.total if known is None else known + (row.total or 0)
    return {currency: totals[currency] for currency in sorted(totals, key=lambda name: (-orders[name], name))}


def _source(wanted: OrderFilter, zone: ZoneInfo) -> tuple[str, dict[str, Any]]:
    """FROM and WHERE for the orders that are asked for, with their values."""
    # With an equals sign the rows of one store come sorted from their index.
    one = len(wanted.stores) == 1
    chosen, stores = ("= :stores", wanted.stores[0]) if one else ("= ANY(:stores)", list(wanted.stores))
    conditions, values = [f"s.store {chosen}"], dict[str, Any](stores=stores)
    since, until = (
        time.replace(tzinfo=zone) if time and time.tzinfo is None else time for time in (wanted.since, wanted.until)
    )
    if since and until and since >= until:
        raise QuestionError("The list would end before it begins: since is after until.")
    for condition, name, value in (
        ("platform_status = upper(:status)", "status", wanted.status),
        ("status = lower(:group)", "group", wanted.group),
        ("s.platform = lower(:platform)", "platform", wanted.platform),
        ("country_code = :country", "country", country_code(wanted.country) if wanted.country else None),
        ("order_date >= :since", "since", since),
        ("order_date < :until", "until", until),
        (f"({_SEARCH} OR lots.platform_order_id IS NOT NULL)", "search", (wanted.search or "").strip() or None),
    ):
        if value is not None:
            conditions.append(condition)
            values[name] = value
    conditions += [UNPAID] if wanted.unpaid else []
    conditions += [NOT_SHIPPED] if wanted.not_shipped else []
    lots = f"LEFT JOIN {_LOTS.format(chosen=chosen)} USING (store, platform, platform_order_id)"
    return f"FROM sales.order_search s {lots if 'search' in values else ''} WHERE {' AND '.join(conditions)}", values


# LIKE, so that Postgres guesses well how many orders have the words; its special characters are searched as they are.
_SEARCH = r"words LIKE '%' || regexp_replace(sales.plain_text(:search), '([\\%_])', '\\\1', 'g') || '%'"
_LOTS = """(
    SELECT DISTINCT store, platform, platform_order_id FROM sales.order_items
    WHERE store {chosen} AND lower(item_number) = lower(:search)
) lots"""


def _sort(written: str) -> tuple[str, str]:
    """The name in SORTS, and ASC or DESC. Raises QuestionError."""
    name = one_of(written.removeprefix("-"), "sort order", SORTS)
    return name, "DESC" if written.startswith("-") else "ASC"


def _order(by: Sequence[str], way: str, nulls: str = "LAST") -> str:
    # With the order's id and store the sort order is unique: pages of a list neither repeat an order nor leave one out.
    every = [f"{one} {way} NULLS {nulls}" for one in by]
    return ", ".join([*every, f"s.order_date {way}", f"s.platform_order_id {way}", f"s.store {way}"])


def _check_words(connection: Connection, wanted: OrderFilter) -> None:
    """Raise QuestionError for a word that is neither known nor in the stores' orders."""
    country = wanted.country and country_code(wanted.country)
    for kind, column, written, known in (
        ("status", "platform_status", wanted.status, {*STATUSES}),
        ("platform", "platform", wanted.platform, {PLATFORM}),
        # Not with all countries as known: a message would list them.
        ("country", "country_code", None if country in countries() else country, set[str]()),
    ):
        if written is not None:
            of_stores = f"SELECT DISTINCT {column} FROM sales.order_search WHERE store = ANY(:stores)"
            stored = connection.scalars(text(f"{of_stores} AND {column} IS NOT NULL"), {"stores": list(wanted.stores)})
            one_of(written, kind, {*known, *stored})

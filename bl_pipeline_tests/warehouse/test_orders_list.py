"""The list of orders: what is found, in which order, and what all of it comes to."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from bl_pipeline.questions import QuestionError
from bl_pipeline.sandbox import Store
from bl_pipeline.warehouse import orders_list
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.orders_list import SORTS, OrderFilter, OrderList, parse_filter, read_orders
from bl_pipeline.warehouse.stores import rename_store
from bl_pipeline_tests.conftest import NOW, Sync
from bl_pipeline_tests.support.sales_rows import order_row


def read(warehouse: Warehouse, **wanted: object) -> OrderList:
    with warehouse.engine.connect() as connection:
        return read_orders(connection, warehouse, OrderFilter(**wanted))  # type: ignore[arg-type]


def shown(warehouse: Warehouse, **wanted: object) -> list[str]:
    return [row["platform_order_id"] for row in read(warehouse, **wanted).rows]


def change(warehouse: Warehouse, order_id: str, **values: object) -> None:
    with warehouse.engine.begin() as connection:
        changes = ", ".join(f"{name} = :{name}" for name in values)
        connection.execute(
            text(f"UPDATE sales.orders SET {changes} WHERE platform_order_id = :order_id"),
            {**values, "order_id": order_id},
        )


def test_orders_are_listed_latest_first_in_pages(synced: Sync, store: Store, warehouse: Warehouse) -> None:
    latest_first = [
        str(order.order_id)
        for order in sorted(store.sales.values(), key=lambda order: order.date_ordered, reverse=True)
    ]
    assert shown(warehouse, limit=100) == latest_first
    pages = [shown(warehouse, limit=7, offset=offset) for offset in range(0, 28, 7)]
    assert [order_id for page in pages for order_id in page] == latest_first
    assert shown(warehouse, sort="date", limit=3) == latest_first[:-4:-1]
    since, until = NOW - timedelta(days=60), NOW - timedelta(days=30)
    between = [str(order.order_id) for order in store.sales.values() if since <= order.date_ordered < until]
    assert between
    assert sorted(shown(warehouse, since=since, until=until, limit=100)) == sorted(between)


def test_pages_of_equal_rows_leave_nothing_out(synced: Sync, warehouse: Warehouse) -> None:
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sales.orders SET order_date = now(), buyer_name = 'X', total = 1"))
    for sort in (*SORTS, *(f"-{name}" for name in SORTS)):
        pages = [shown(warehouse, sort=sort, limit=5, offset=offset) for offset in range(0, 25, 5)]
        assert len({order_id for page in pages for order_id in page}) == 24, sort


PLAINLY = {
    "id": "length(platform_order_id) {way}, platform_order_id {way}",
    "platform": "platform {way}",
    "date": "order_date {way}",
    "changed": "status_changed_at {way} NULLS LAST",
    "buyer": "lower(coalesce(buyer_name, buyer_username)) {way} NULLS LAST",
    "status": "platform_status {way}",
    "total": "currency, total {way} NULLS LAST",
}
"""Each sort order as one would write it for sales.orders."""


@pytest.mark.parametrize("few", [0, 10_000], ids=["as-many", "as-few"])
def test_every_page_is_a_part_of_the_whole_list(
    few: int, synced: Sync, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nulls, equal dates and several currencies.

    Planted: a page of the second half read forwards, nulls first in it, currencies in descending order.
    """
    monkeypatch.setattr(orders_list, "_FEW", few)
    every = shown(warehouse, limit=100)
    for order_id in every[::4]:
        change(warehouse, order_id, total=None, buyer_name=None, buyer_username=None, status_changed_at=None)
    for order_id in every[1::3]:
        change(warehouse, order_id, order_date=NOW, total=Decimal(7), buyer_name="É X", status_changed_at=NOW)
    for other in range(30):
        change(warehouse, every[other % 24], currency=("EUR", "GBP", "USD")[other % 3])
    assert PLAINLY.keys() == SORTS.keys()
    for sort, by in PLAINLY.items():
        for way, sign in (("ASC", ""), ("DESC", "-")):
            with warehouse.engine.connect() as connection:
                whole = connection.scalars(
                    text(
                        "SELECT platform_order_id FROM sales.orders "
                        f"ORDER BY {by.format(way=way)}, order_date {way}, platform_order_id {way}"
                    )
                ).all()
            for limit, offset in ((5, 0), (5, 4), (7, 9), (5, 11), (5, 17), (5, 20), (5, 22), (23, 1), (100, 0)):
                page = shown(warehouse, sort=sign + sort, limit=limit, offset=offset)
                assert page == whole[offset : offset + limit], (sign + sort, limit, offset)


def test_sorting_by_total_keeps_currencies_apart(synced: Sync, warehouse: Warehouse) -> None:
    for sort, reverse in (("total", False), ("-total", True)):
        rows = read(warehouse, sort=sort, limit=100).rows
        for currency in ("EUR", "USD"):
            totals = [row["total"] for row in rows if row["currency"] == currency]
            assert totals == sorted(totals, reverse=reverse)
        assert len({row["currency"] for row in rows[:3]}) == 1


def test_bricklinks_words_and_our_groups_are_two_filters(synced: Sync, store: Store, warehouse: Warehouse) -> None:
    words = {order.status for order in store.sales.values()}
    for word in words:
        expected = {str(order.order_id) for order in store.sales.values() if order.status == word}
        assert set(shown(warehouse, status=word.lower(), limit=100)) == expected
    assert {"COMPLETED", "PURGED"} <= words
    groups = {order_row(order)["status"] for order in store.sales.values()}
    for group in groups:
        expected = {str(o.order_id) for o in store.sales.values() if order_row(o)["status"] == group}
        assert set(shown(warehouse, group=group, limit=100)) == expected
    assert shown(warehouse, status="ready") == [], "known, though no order has it"
    # Caught: a country to which no order went was said to be none.
    for country in ("Finland", "cz"):
        assert shown(warehouse, country=country) == []
    unknown = next(order.status for order in store.sales.values() if order_row(order)["status"] == "unknown")
    assert shown(warehouse, status=unknown), "a word that only the store knows"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"status": "shiped"}, "There is no status shiped. Did you mean SHIPPED"),
        ({"platform": "brickowl"}, "There is no platform brickowl. Did you mean bricklink"),
        ({"sort": "-price"}, "There is no sort order price"),
        ({"since": NOW, "until": NOW}, "since is after until"),
        ({"country": "Germny"}, "There is no country GERMNY.*DE"),
    ],
)
def test_unknown_words_are_refused(wanted: dict[str, object], message: str, synced: Sync, warehouse: Warehouse) -> None:
    with pytest.raises(QuestionError, match=f"(?s){message}"):
        read(warehouse, **wanted)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"status": "On_hold"}, "is a group of statuses, and no status of BrickLink's"),
        ({"group": "paid"}, "There is no group paid.*PAID is a status of BrickLink's"),
        ({"group": "complted"}, "Did you mean completed"),
        ({"sort": "price"}, "There is no sort order price"),
        ({"since": "yesterday"}, "2026-03-14"),
        ({"until": "2026-13"}, "2026-03-14"),
    ],
)
def test_a_word_that_cannot_be_meant_is_refused(written: dict[str, str], message: str) -> None:
    with pytest.raises(QuestionError, match=f"(?s){message}"):
        parse_filter(**written)  # type: ignore[arg-type]


def test_a_filter_as_it_is_written() -> None:
    assert parse_filter(search=" ", status="", since=None, sort="", group=" ") == OrderFilter()
    assert parse_filter(
        search=" x ", status="shipped", group="ON_HOLD", since="2026-03", until="2026-03", sort="total"
    ) == OrderFilter(
        search="x",
        status="shipped",
        group="on_hold",
        since=datetime.fromisoformat("2026-03-01"),
        until=datetime.fromisoformat("2026-04-01"),
        sort="total",
    )


def test_orders_of_a_country(synced: Sync, store: Store, warehouse: Warehouse) -> None:
    countries = {order_row(order)["country_code"] for order in store.sales.values()}
    assert len(countries) > 2
    for code in countries:
        expected = {str(o.order_id) for o in store.sales.values() if order_row(o)["country_code"] == code}
        assert set(shown(warehouse, country=code.lower(), limit=100)) == expected
    (order_id, *_) = shown(warehouse)
    change(warehouse, order_id, country_code="GB")
    for written in ("GB", "uk", "Britain (UK)"):
        assert order_id in shown(warehouse, country=written, limit=100), written


OPEN_OR_NOT: tuple[tuple[str, str, str | None, bool, bool, set[str]], ...] = (
    # status, BrickLink's status, payment status, paid, sent: the lists that have the order
    ("pending", "PENDING", "None", False, False, {"unpaid", "not_shipped"}),
    ("pending", "PENDING", None, False, False, {"unpaid", "not_shipped"}),
    ("pending", "PENDING", "Bounced", True, False, {"unpaid", "not_shipped"}),
    ("pending", "PENDING", "Received", True, False, {"not_shipped"}),
    ("pending", "PENDING", "Completed", False, False, {"not_shipped"}),
    ("processing", "PACKED", "None", False, False, {"not_shipped"}),
    ("processing", "PAID", "Received", True, True, set()),
    ("shipped", "SHIPPED", "None", False, False, {"unpaid"}),
    ("shipped", "SHIPPED", "Received", True, False, set()),
    ("on_hold", "OCR", "Sent", False, False, {"unpaid", "not_shipped"}),
    ("unknown", "NEWWORD", "None", False, False, {"unpaid", "not_shipped"}),
    ("unknown", "PURGED", None, False, False, set()),
    ("completed", "COMPLETED", "None", False, False, set()),
    ("problem", "NPB", "None", False, False, set()),
    ("cancelled", "CANCELLED", "None", False, False, set()),
)


def test_unpaid_and_not_shipped_are_of_open_orders(synced: Sync, warehouse: Warehouse) -> None:
    (order_id, *_) = shown(warehouse)
    for status, word, payment, paid, sent, lists in OPEN_OR_NOT:
        change(
            warehouse, order_id, status=status, platform_status=word, payment_status=payment,
            paid_at=NOW if paid else None, shipped_at=NOW if sent else None,
        )  # fmt: skip
        found = {name for name in ("unpaid", "not_shipped") if order_id in shown(warehouse, limit=100, **{name: True})}
        assert found == lists, (status, word, payment, paid, sent)


def test_sorting_by_number_and_by_text(synced: Sync, warehouse: Warehouse) -> None:
    (order_id, *_) = shown(warehouse, sort="-id")
    change(warehouse, order_id, platform_order_id="999")
    assert shown(warehouse, sort="id")[0] == "999", "9 digits come after 3"
    assert int(shown(warehouse, sort="-id")[0]) > 999
    words = [row["platform_status"] for row in read(warehouse, sort="status", limit=100).rows]
    assert words == sorted(words)
    assert len(set(words)) > 3
    change(warehouse, "999", buyer_name=None, buyer_username=None)
    for sort in ("buyer", "-buyer"):
        assert shown(warehouse, sort=sort, limit=100)[-1] == "999", "without a name: at the end"


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("chloe", True),
        ("CHLOÉ", True),
        ("Chloe\u0301 DE vri", True),  # the accent as a sign of its own
        ("bjorn ostergard", True),
        ("łukasz", True),
        ("lukasz", True),
        ("strasse", True),
        ("Chloè Vries", False),
        ("%", False),
        ("_", False),
        ("tr%", False),
    ],
)
def test_case_and_accents_do_not_count(search: str, found: bool, synced: Sync, warehouse: Warehouse) -> None:
    (order_id,) = shown(warehouse, limit=1)
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sales.orders SET buyer_email = 'x@y', buyer_username = 'x'"))
    change(warehouse, order_id, buyer_name="Chloé de Vries Björn Østergård ŁUKASZ Straße")
    assert shown(warehouse, search=search) == ([order_id] if found else [])


def test_what_is_searched(synced: Sync, store: Store, warehouse: Warehouse) -> None:
    order = next(order for order in store.sales.values() if order.status == "SHIPPED")
    order_id = str(order.order_id)
    for search in (
        order_id,
        f"bl-{order_id}",
        f" BL-{order_id} ",
        str(order.shipping.tracking_no).lower(),
        order.buyer.email.upper(),
        str(order.buyer.name)[:4],
    ):
        assert order_id in shown(warehouse, search=search, limit=100), search
    item = order.lots[0].item.no
    assert item is not None
    having = {
        str(each.order_id)
        for each in store.sales.values()
        if not each.is_purged and any(lot.item.no == item for lot in each.lots)
    }
    assert having <= set(shown(warehouse, search=item.upper(), limit=100))
    assert order_id in having
    assert len(shown(warehouse, search=" ", limit=100)) == 24, "no search at all"


def test_number_and_sums_are_of_all_that_was_asked_for(synced: Sync, store: Store, warehouse: Warehouse) -> None:
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for order in store.sales.values():
        totals[order.currency] += order.grand_total
    found = read(warehouse, limit=3)
    assert (len(found.rows), found.count, dict(found.totals)) == (3, 24, dict(totals))
    assert found.without_revenue == sum(
        order_row(order)["status"] in ("cancelled", "problem") for order in store.sales.values()
    )
    assert found.platforms == {"bricklink"}
    beyond = read(warehouse, offset=50)
    assert (list(beyond.rows), beyond.count) == ([], 24)


def test_days_are_those_of_the_store(synced: Sync, warehouse: Warehouse) -> None:
    warehouse = replace(warehouse, timezone="Asia/Tokyo")
    late, early = shown(warehouse, limit=2)
    zone = ZoneInfo("Asia/Tokyo")
    change(warehouse, late, order_date=datetime(2026, 12, 1, 0, 0, tzinfo=zone))
    change(warehouse, early, order_date=datetime(2026, 11, 30, 23, 59, tzinfo=zone))
    assert shown(warehouse, since=datetime.fromisoformat("2026-12-01")) == [late]
    assert shown(warehouse, since=datetime.fromisoformat("2026-11-30"), until=datetime.fromisoformat("2026-12-01")) == [
        early
    ]
    assert len(shown(warehouse, since=datetime.fromisoformat("0001-01-01"), limit=100)) == 24


def test_another_store_is_not_in_the_list(synced: Sync, warehouse: Warehouse) -> None:
    other = Warehouse(warehouse.engine, "other")
    assert (list(read(other).rows), read(other).count) == ([], 0)


def searched(warehouse: Warehouse) -> set[tuple[str, str]]:
    with warehouse.engine.connect() as connection:
        return {tuple(row) for row in connection.execute(text("SELECT store, words FROM sales.order_search"))}


def test_what_the_list_reads_follows_every_change_of_an_order(synced: Sync, warehouse: Warehouse) -> None:
    """Planted: a trigger that compares the words only."""
    same = [
        "order_date", "status", "platform_status", "currency", "total", "country_code", "payment_status", "paid_at",
        "shipped_at", "status_changed_at",
    ]  # fmt: skip
    differ = " OR ".join(f"o.{name} IS DISTINCT FROM s.{name}" for name in same)
    with warehouse.engine.begin() as connection:
        for values in ("status = 'unknown', platform_status = 'NEW', payment_status = NULL", "total = NULL",
                       "order_date = now(), paid_at = NULL, shipped_at = now(), status_changed_at = NULL",
                       "currency = 'CHF', total = 1.5, country_code = NULL", "buyer_name = 'ÄB'", "buyer_name = NULL",
                       "buyer_username = NULL"):  # fmt: skip
            connection.execute(text(f"UPDATE sales.orders SET {values}"))
            assert connection.execute(
                text(
                    f"""
                    SELECT count(*), count(*) FILTER (
                        WHERE {differ} OR s.buyer IS DISTINCT FROM lower(coalesce(o.buyer_name, o.buyer_username))
                    ) FROM sales.orders o JOIN sales.order_search s USING (store, platform, platform_order_id)
                    """
                )
            ).one() == (24, 0), values


def test_what_is_searched_follows_every_change_of_an_order(synced: Sync, store: Store, warehouse: Warehouse) -> None:
    """Planted: a trigger without DELETE, and one that leaves the row of the old store."""
    assert len(searched(warehouse)) == 24
    (order_id, other, *_) = shown(warehouse)
    change(warehouse, order_id, buyer_name="Zoë Ångström", buyer_username=None, buyer_email=None, tracking_number=None)
    assert shown(warehouse, search="zoe angstrom") == [order_id]
    assert ("main", f"bl-{order_id} zoe angstrom") in searched(warehouse)
    change(warehouse, order_id, buyer_name=None, display_id="")
    assert ("main", "") in searched(warehouse)
    assert shown(warehouse, search="zoe") == []
    with warehouse.engine.begin() as connection:
        connection.execute(text("DELETE FROM sales.orders WHERE platform_order_id = :id"), {"id": order_id})
    assert len(searched(warehouse)) == 23
    with warehouse.engine.begin() as connection:
        assert rename_store(connection, "main", "renamed") == 24
    assert {name for name, _ in searched(warehouse)} == {"renamed"}
    assert shown(replace(warehouse, store="renamed"), search=other) == [other]


def test_signs_of_a_pattern_are_searched_as_they_are(synced: Sync, warehouse: Warehouse) -> None:
    (order_id, other, *_) = shown(warehouse)
    change(warehouse, order_id, buyer_name=r"100%_\o/")
    change(warehouse, other, buyer_name="100 and o")
    for search in ("100%", "%_", r"_\o", "\\"):
        assert shown(warehouse, search=search) == [order_id], search

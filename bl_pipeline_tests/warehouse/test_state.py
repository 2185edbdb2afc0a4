"""sync.order_state: what the lists said, what is stored, what failed; and which states a plan looks at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import EVERY_DATE, FailedOrder, ListedOrder, OrderDates, OrderState, PartState
from bl_pipeline.warehouse import state
from bl_pipeline.warehouse.database import Warehouse

T = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY, MOMENT = timedelta(days=1), timedelta(microseconds=1)
ITEMS, MESSAGES = AnswerKind.ITEMS, AnswerKind.MESSAGES


@pytest.fixture
def connection(warehouse: Warehouse) -> Iterator[Connection]:
    with warehouse.engine.begin() as connection:
        yield connection


@pytest.fixture
def other(warehouse: Warehouse) -> Warehouse:
    """Another store in the same warehouse."""
    return Warehouse(warehouse.engine, "other")


def listed(order_id: str, **more: Any) -> ListedOrder:
    return ListedOrder(order_id, T - DAY, "PAID", T, False, "f")._replace(**more)


LOADED = OrderState(
    order_id="1", order_date=T - DAY, listed_fingerprint="f", listed_status="PAID", listed_status_changed_at=T,
    stored_fingerprint="f", stored_status_changed_at=T, order_document_id=10, order_fingerprint="k",
    order_fetched_at=T - DAY, parts={ITEMS: PartState(11, T - DAY, "k")},
)  # fmt: skip


def put(connection: Connection, store: Warehouse, *states: OrderState) -> None:
    """Orders that are listed and loaded, as these states say."""
    for each in states:
        said = listed(each.order_id, order_date=each.order_date, status=each.listed_status)
        state.save_listed(connection, store, [said], T)
        state.save_loaded(connection, store, [each])


def failure(order_id: str, at: datetime = T, attempts: int = 1) -> FailedOrder:
    return FailedOrder(order_id, "why", "SomeError", failed_at=at, attempts=attempts)


def read(connection: Connection, store: Warehouse, order_id: str = "1") -> OrderState:
    (found,) = state.read_states(connection, store, [order_id]).values()
    return found


def test_what_the_list_says_is_stored_and_the_last_word_counts(
    connection: Connection, warehouse: Warehouse, other: Warehouse
) -> None:
    state.save_listed(connection, warehouse, [], T)
    for store in (warehouse, other):
        state.save_listed(connection, store, [listed("1"), listed("2")], T)
    state.mark_failed(connection, warehouse, failure("1", attempts=3))
    state.save_unlisted(connection, warehouse, ["1"])
    gone = read(connection, warehouse)
    assert (gone.is_listed, gone.failed_at, gone.attempts) == (False, T, 3)

    said = listed("1", order_date=T, status="SHIPPED", status_changed_at=None, is_filed=True, fingerprint="g")
    state.save_listed(connection, warehouse, [said], T)
    assert read(connection, warehouse) == OrderState("1", T, "g", "SHIPPED", None, True, failed_at=T, attempts=0)
    assert read(connection, warehouse, "2") == OrderState("2", T - DAY, "f", "PAID", T, False)
    assert read(connection, other) == OrderState("1", T - DAY, "f", "PAID", T, False)


def test_orders_are_read_of_one_store_and_counted(
    connection: Connection, warehouse: Warehouse, other: Warehouse
) -> None:
    """Planted: each condition left out."""
    filed = listed("3", is_filed=True, order_date=T)
    state.save_listed(connection, warehouse, [listed("1"), listed("2"), filed, listed("4")], T)
    state.save_listed(connection, other, [listed("1"), listed("9")], T)
    state.save_unlisted(connection, warehouse, ["2"])
    state.mark_failed(connection, warehouse, failure("4"))

    assert set(state.read_states(connection, warehouse)) == {"1", "2", "3", "4"}
    assert set(state.read_states(connection, warehouse, ["1", "9"])) == {"1"}
    assert state.read_states(connection, warehouse, []) == {}
    assert sorted(state.read_listed(connection, warehouse)) == [listed("1"), filed, listed("4")]
    assert state.count_orders(connection, warehouse) == (4, 3)
    assert state.count_orders(connection, other) == (2, 2)

    def sound(dates: OrderDates = EVERY_DATE, *, filed: bool = True) -> int:
        return state.count_sound(connection, warehouse, dates, include_filed=filed)

    assert (sound(), sound(filed=False)) == (2, 1)
    assert (sound(OrderDates(T)), sound(OrderDates(T + MOMENT))) == (1, 0)
    assert (sound(OrderDates(before=T)), sound(OrderDates(before=T + MOMENT))) == (1, 2)
    assert sound(OrderDates(T - DAY, T)) == 1


def test_failures_are_of_one_store_the_latest_first(
    connection: Connection, warehouse: Warehouse, other: Warehouse
) -> None:
    state.save_listed(connection, warehouse, [listed(name) for name in "1234"], T)
    state.save_listed(connection, other, [listed("1")], T)
    for failed in (failure("1"), failure("3", T + DAY), failure("2", T + DAY, attempts=2)):
        state.mark_failed(connection, warehouse, failed)
    expected = [failure("2", T + DAY, attempts=2), failure("3", T + DAY), failure("1")]
    assert state.failed_orders(connection, warehouse) == expected
    assert state.failed_orders(connection, warehouse, "3") == [failure("3", T + DAY)]
    assert state.failed_orders(connection, warehouse, "4") == state.failed_orders(connection, other) == []


def test_what_is_loaded_ends_a_failure_and_replaying_moves_nothing(
    connection: Connection, warehouse: Warehouse, other: Warehouse
) -> None:
    """Planted: an older answer that takes the place of a newer one; a part forgotten that was not fetched."""
    state.save_loaded(connection, warehouse, [])
    state.save_listed(connection, warehouse, [listed("1")], T)
    state.mark_failed(connection, warehouse, failure("1", attempts=3))
    assert state.read_loaded(connection, warehouse, ["1", "2"]) == {"1": 0}
    state.save_loaded(connection, warehouse, [LOADED])
    expected = replace(LOADED, listed_filed=False)
    assert read(connection, warehouse) == expected
    assert state.read_loaded(connection, warehouse, ["1"]) == {"1": 11}
    assert state.read_loaded(connection, warehouse, []) == state.read_loaded(connection, other, ["1"]) == {}

    same = replace(LOADED, order_fingerprint="other", order_fetched_at=T)
    state.save_loaded(connection, warehouse, [same])
    assert read(connection, warehouse) == expected

    newer = replace(same, order_document_id=12, parts={MESSAGES: PartState(13, T, "m")})
    state.save_loaded(connection, warehouse, [newer])
    assert read(connection, warehouse) == replace(newer, listed_filed=False, parts={**LOADED.parts, **newer.parts})


WANTED = state.Wanted(
    parts=(ITEMS,), purged="PURGED", open_groups=("shipped",), open_before=T - DAY, others_before=T - 30 * DAY,
    rechecks=2,
)  # fmt: skip


def planned(connection: Connection, store: Warehouse, **wanted: Any) -> set[str]:
    return set(state.read_states_to_plan(connection, store, replace(WANTED, **wanted)))


RECENT = replace(LOADED, order_fetched_at=T, parts={ITEMS: PartState(11, T, "k")})


def with_status(connection: Connection, store: Warehouse, order_id: str, status: str) -> None:
    """The order as it is in `sales`, only as far as a plan looks at it."""
    connection.execute(
        text(
            """
            INSERT INTO sales.orders (store, platform, platform_order_id, display_id, order_date, first_order_date,
                status, platform_status, currency, fetched_at, order_document_id)
            VALUES (:store, 'bricklink', :order_id, :order_id, :t, :t, :status, 'x', 'EUR', :t, 1)
            """
        ),
        {"store": store.store, "order_id": order_id, "status": status, "t": T},
    )


def test_a_plan_looks_at_what_has_changed(connection: Connection, warehouse: Warehouse, other: Warehouse) -> None:
    """Planted: each reason left out."""
    put(connection, warehouse, *(replace(RECENT, order_id=name) for name in ("same", "failed", "gone")))
    put(connection, other, replace(RECENT, order_id="elsewhere", stored_fingerprint="before"))
    state.mark_failed(connection, warehouse, failure("failed"))
    state.save_unlisted(connection, warehouse, ["gone"])
    state.save_listed(connection, warehouse, [listed("new")], T)
    put(
        connection, warehouse,
        replace(RECENT, order_id="content", stored_fingerprint="before"),
        replace(RECENT, order_id="status", stored_status_changed_at=T - DAY),
        replace(RECENT, order_id="unknown time", stored_status_changed_at=None),
        replace(RECENT, order_id="without items", parts={}),
        replace(RECENT, order_id="older items", parts={ITEMS: PartState(11, T, "before")}),
        replace(RECENT, order_id="purged", listed_status="PURGED", parts={}),
    )  # fmt: skip
    changed = {"failed", "new", "content", "status", "unknown time"}
    assert planned(connection, warehouse) == changed | {"without items", "older items"}
    assert planned(connection, warehouse, parts=()) == changed
    assert planned(connection, other) == {"elsewhere"}


def test_a_plan_looks_at_the_longest_unchecked(connection: Connection, warehouse: Warehouse) -> None:
    """Of the open orders and of the others as many as may be re-checked each."""
    for number in range(4):
        for status, age in (("shipped", DAY), ("completed", 30 * DAY)):
            order_id = f"{status} {number}"
            fetched = T - age - (number - 1) * MOMENT
            put(connection, warehouse, replace(RECENT, order_id=order_id, order_fetched_at=fetched))
            with_status(connection, warehouse, order_id, status)
    due = {f"{status} {number}" for status in ("shipped", "completed") for number in (2, 3)}
    assert planned(connection, warehouse) == due
    # The youngest is a moment too young, and what was fetched a day or 30 days ago is due.
    assert planned(connection, warehouse, rechecks=9) == due | {"shipped 1", "completed 1"}
    assert planned(connection, warehouse, rechecks=0) == set()
    state.save_unlisted(connection, warehouse, ["shipped 3", "completed 3"])
    purged = replace(RECENT, order_id="purged", listed_status="PURGED", order_fetched_at=T - 99 * DAY)
    put(connection, warehouse, purged)
    assert planned(connection, warehouse, rechecks=9) == {
        f"{status} {number}" for status in ("shipped", "completed") for number in (1, 2)
    }


def test_a_plan_looks_at_orders_of_which_a_part_is_optional(connection: Connection, warehouse: Warehouse) -> None:
    for order_id, age, status in (("1", DAY, "shipped"), ("2", DAY + MOMENT, "shipped"), ("3", DAY, "completed")):
        put(connection, warehouse, replace(RECENT, order_id=order_id, order_date=T - age))
        with_status(connection, warehouse, order_id, status)
    wanted = {"optional_groups": ["shipped"], "optional_since": T - DAY}
    assert planned(connection, warehouse, **wanted) == {"1"}
    assert planned(connection, warehouse) == set()

"""What a fault in an answer costs, all the way into tables and reports: as little as possible, and never silently."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from bl_pipeline.records import ExitCode, FailedOrder, SyncRequest
from bl_pipeline.reports.files import read_reports
from bl_pipeline.sandbox import SandboxOrder, Wire
from bl_pipeline.sync.rebuild import RebuildResult, rebuild
from bl_pipeline.warehouse import state
from bl_pipeline.warehouse.checks import find_offenders, unreadable_fields
from bl_pipeline_tests.conftest import NOW
from bl_pipeline_tests.support.sales_rows import (
    as_json,
    assert_in_step,
    dump,
    item_rows,
    order_row,
    stored_items,
    stored_orders,
)
from bl_pipeline_tests.support.world import RememberingStore, World, session_on

SALES = ("sales.orders", "sales.order_items", "sales.replaced_items", "sales.order_status_history")
Edit = Callable[[Any], Any]
"""Changes an answer in place, or returns another one."""


@dataclass(frozen=True)
class EditedWire(Wire):
    """Answers about some orders that are not as they should be."""

    details: dict[int, Edit] = field(default_factory=dict)
    lots: dict[int, Edit] = field(default_factory=dict)

    def detail(self, order: SandboxOrder) -> dict[str, Any]:
        answer = deepcopy(super().detail(order))
        edited: dict[str, Any] = _edited(answer, self.details.get(order.order_id))
        return edited

    def items(self, order: SandboxOrder) -> Any:
        answer = deepcopy(super().items(order))
        return _edited(answer, self.lots.get(order.order_id))


def _edited(answer: Any, edit: Edit | None) -> Any:
    return (edit(answer) or answer) if edit else answer


@pytest.fixture
def store() -> RememberingStore:
    """A store of orders in one currency."""
    return RememberingStore.of(orders=9, seed=8, now=NOW, filed=0, purged=0)


def do_rebuild(world: World) -> RebuildResult:
    with session_on(world.warehouse, world.settings, world.clock) as session:
        session.take_lock(lambda: None)
        return rebuild(session)


def rows(world: World, query: str) -> list[dict[str, Any]]:
    with world.warehouse.engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(query)).mappings()]


def failed(world: World) -> dict[str, FailedOrder]:
    with world.warehouse.engine.connect() as connection:
        return {order.order_id: order for order in state.failed_orders(connection, world.warehouse)}


def offenders(world: World, check: str) -> list[str]:
    with world.warehouse.engine.connect() as connection:
        return find_offenders(connection, world.warehouse, check).order_ids


def of_several_lots(world: World, count: int) -> list[int]:
    """Orders with more than one lot, and paid, so that they count as revenue."""
    found = [
        order.order_id
        for order in world.store.sales.values()
        if len(order.batches[0]) > 1 and order.status in ("PAID", "PACKED", "SHIPPED", "RECEIVED", "COMPLETED")
    ]
    assert len(found) >= count
    return found[:count]


def put(path: str, value: Any) -> Edit:
    """Put a value into an answer: "0.1.quantity" is that of the second lot of the first batch."""
    *above, last = path.split(".")

    def edit(answer: Any) -> None:
        for name in above:
            answer = answer[int(name)] if isinstance(answer, list) else answer.setdefault(name, {})
        answer[int(last) if isinstance(answer, list) else last] = value

    return edit


LOST_LOTS = {"price": ("unit_price_final", "1,50"), "quantity": ("quantity", "many"), "size": ("quantity", 2**62)}


@pytest.mark.parametrize("fault", LOST_LOTS)
def test_a_lot_that_cannot_be_read_costs_neither_the_order_nor_its_other_lots(world: World, fault: str) -> None:
    """Caught: the whole order lost, and with it its revenue."""
    name, value = LOST_LOTS[fault]
    (order_id,) = of_several_lots(world, 1)
    order = world.store.order(order_id)
    world.server.wire = EditedWire(lots={order_id: put(f"0.1.{name}", value)})

    result = world.sync()

    assert result.exit_code == ExitCode.SOME_FAILED
    (error,) = result.errors
    assert error["order_id"] == str(order_id)
    assert f"items: 1 of {order.unique_count} lots cannot be read" in error["error"]
    assert "[0][1]" in error["error"]
    assert stored_orders(world.warehouse)[str(order_id)] == order_row(order)
    whole = item_rows(order)
    assert stored_items(world.warehouse)[str(order_id)] == [whole[0], *whole[2:]]
    # Counted in full: what is not known of its items is a row without an item.
    (counted,) = rows(world, f"SELECT revenue FROM reports.revenue_orders WHERE platform_order_id = '{order_id}'")
    assert counted["revenue"] == order.final_total
    (items,) = rows(
        world, f"SELECT sum(items_total) AS total FROM reports.revenue_items WHERE platform_order_id = '{order_id}'"
    )
    assert items["total"] == order.subtotal
    assert rows(world, "SELECT platform_order_id, missing, reason, missing_count FROM reports.missing") == [
        {
            "platform_order_id": str(order_id),
            "missing": "items",
            "reason": "unreadable",
            "missing_count": whole[1]["quantity"],
        }
    ]
    assert offenders(world, "items_are_stored") == [str(order_id)]
    assert offenders(world, "items_match_subtotal") == offenders(world, "items_match_counts") == []
    before = as_json(dump(world.warehouse, *SALES))
    rebuilt = do_rebuild(world)
    assert (rebuilt.undone, len(rebuilt.failures)) == (False, 1)
    assert as_json(dump(world.warehouse, *SALES)) == before

    world.server.wire = Wire()
    world.server.clear_requests()
    assert world.sync().success
    asked = [request.path for request in world.server.requests if request.path != "/orders"]
    assert asked == [f"/orders/{order_id}", f"/orders/{order_id}/items"]
    assert_in_step(world.warehouse, world.store)
    assert (failed(world), rows(world, "SELECT * FROM reports.missing")) == ({}, [])


@pytest.mark.slow
def test_what_stays_unreadable_is_asked_for_ever_more_rarely(world: World) -> None:
    """Caught: each load began to count the attempts anew, so that every sync spent two calls on it."""
    (order_id,) = of_several_lots(world, 1)
    world.server.wire = EditedWire(lots={order_id: put("0.0.quantity", "many")})
    attempts = []
    for _ in range(6):
        world.sync()
        attempts.append(failed(world)[str(order_id)].attempts)
        world.advance(minutes=30)
    assert attempts == [1, 2, 3, 3, 4, 4]


@pytest.mark.slow
def test_a_release_that_reads_more_needs_no_call_for_it(world: World) -> None:
    """`bl rebuild` reads what has landed again. Here the stored answers change, not the release."""
    (order_id,) = of_several_lots(world, 1)
    world.server.wire = EditedWire(lots={order_id: put("0.0.quantity", "readable later")})
    world.sync()
    world.server.clear_requests()
    quantity = json.dumps(world.store.order(order_id).batches[0][0].quantity)
    with world.warehouse.engine.begin() as connection:
        connection.execute(
            text("UPDATE landing.documents SET body = CAST(replace(body::text, :wrong, :right) AS json)"),
            {"wrong": '"readable later"', "right": quantity},
        )

    assert do_rebuild(world).failures == []

    assert_in_step(world.warehouse, world.store)
    assert (failed(world), rows(world, "SELECT * FROM reports.missing")) == ({}, [])
    world.server.wire = Wire()
    result = world.sync()
    assert (result.success, result.api_calls) == (True, 2)


@pytest.mark.slow
@pytest.mark.parametrize("answer", [[[7]], [{"quantity": "many"}], [None], [[]], ["no list"], [[[[1]]]]])
def test_items_of_which_none_can_be_read_cost_the_items(world: World, answer: Any) -> None:
    """The order counts, and what is stored of its items stays. Caught: the order lost; its stored items deleted."""
    new, known = of_several_lots(world, 2)
    world.server.wire = EditedWire(lots={new: lambda _: answer})
    assert [error["order_id"] for error in world.sync().errors] == [str(new)]
    assert stored_orders(world.warehouse)[str(new)] == order_row(world.store.order(new))
    assert str(new) not in stored_items(world.warehouse)
    assert [row["reason"] for row in rows(world, "SELECT reason FROM reports.missing")] == ["unreadable"]
    had = stored_items(world.warehouse)[str(known)]
    world.server.wire = EditedWire(lots={known: lambda _: answer})
    world.advance(hours=1)
    world.store.add_batch(known)

    result = world.sync()

    assert [error["order_id"] for error in result.errors] == [str(known)]
    stored = stored_orders(world.warehouse)[str(known)]
    assert (stored["total"], stored["total_count"]) == (
        world.store.order(known).grand_total,
        world.store.order(known).total_count,
    )
    assert stored_items(world.warehouse)[str(known)] == had
    before = as_json(dump(world.warehouse, *SALES))
    assert not do_rebuild(world).undone
    assert as_json(dump(world.warehouse, *SALES)) == before
    world.server.wire = Wire()
    assert world.sync().success
    assert_in_step(world.warehouse, world.store)


def test_stored_items_are_not_replaced_by_fewer_of_the_same_content_or_of_a_purged_order(world: World) -> None:
    """Planted: whatever can be read replaces what is stored."""
    same, purged = of_several_lots(world, 2)
    assert world.sync().success
    had = stored_items(world.warehouse)
    world.server.wire = EditedWire(lots=dict.fromkeys((same, purged), put("0.0.quantity", "many")))
    world.advance(hours=1)

    result = world.sync(SyncRequest(order_ids=(str(same), str(purged))))

    assert len(result.errors) == 2
    assert stored_items(world.warehouse) == had
    # They are stored, and are not asked for again.
    assert rows(world, "SELECT * FROM reports.missing") == []
    world.store.purge(purged)
    world.server.wire = Wire()
    assert world.sync().success
    assert stored_items(world.warehouse) == had
    assert not do_rebuild(world).undone
    assert stored_items(world.warehouse) == had


NO_NUMBER: dict[str, Edit] = {
    "absent": lambda lots: lots[0][0]["item"].pop("no") and None,
    "null": put("0.0.item.no", None),
    "no item": lambda lots: lots[0][0].pop("item") and None,
    "null item": put("0.0.item", None),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", NO_NUMBER)
def test_a_lot_without_a_catalogue_number_is_stored_and_reported(world: World, kind: str) -> None:
    """BrickLink's custom items have none. Caught: the whole order failed."""
    (order_id,) = of_several_lots(world, 1)
    world.server.wire = EditedWire(lots={order_id: NO_NUMBER[kind]})

    assert world.sync().success

    first, *others = item_rows(world.store.order(order_id))
    gone = ["item_number"] if "item" not in kind else ["item_number", "item_name", "item_type", "category_id"]
    assert stored_items(world.warehouse)[str(order_id)] == [{**first, **dict.fromkeys(gone)}, *others]
    assert rows(world, "SELECT * FROM reports.missing") == []
    sold = rows(world, "SELECT sum(items_total) AS total, sum(lots) AS lots FROM reports.revenue_by_item")
    orders = rows(world, "SELECT sum(items_total) AS total FROM reports.revenue_orders")
    assert sold[0]["total"] == orders[0]["total"]
    unnumbered = rows(world, "SELECT item_name, lots FROM reports.revenue_by_item WHERE item_number IS NULL")
    assert unnumbered == [{"item_name": None, "lots": 1}]


def test_a_catalogue_number_that_is_a_number_is_its_text(world: World) -> None:
    (order_id,) = of_several_lots(world, 1)
    world.server.wire = EditedWire(lots={order_id: put("0.0.item.no", 3001)})
    assert world.sync().success
    line = stored_items(world.warehouse)[str(order_id)][0]
    assert (line["item_number"], line["unreadable_fields"]) == ("3001", ["item.no"])


DATES = (
    "0001-01-01T00:00:00.000Z",
    "9999-12-31T23:59:59.999+01:00",
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T00:00:00Z",
)


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def test_no_report_fails_on_a_date_that_is_not_plausible(world: World, zone: str) -> None:
    """Caught: reports by day and month ended with an error, and named no order."""
    details: dict[int, Edit] = {}
    names = ("payment.date_paid", "shipping.date_shipped", "date_status_changed")
    for number, order_id in enumerate(list(world.store.sales)[: len(names) * 2]):
        details[order_id] = put(names[number % 3], DATES[number % 4])
    world.server.wire = EditedWire(details=details)

    assert world.sync().success

    with world.warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sync.stores SET timezone = :zone"), {"zone": zone})
    stored = stored_orders(world.warehouse)
    columns = dict(zip(names, ("paid_at", "shipped_at", "status_changed_at"), strict=True))
    for number, order_id in enumerate(details):
        name = names[number % 3]
        assert stored[str(order_id)][columns[name]] is None
        assert stored[str(order_id)]["unreadable_fields"] == [name]
    for report in read_reports():
        rows(world, f"SELECT * FROM reports.{report.name}")
    assert offenders(world, "fields_are_readable") == sorted(map(str, details))
    with world.warehouse.engine.connect() as connection:
        assert unreadable_fields(connection, world.warehouse) == dict.fromkeys(sorted(names), 2)
    landed = rows(world, "SELECT count(*) AS count FROM landing.documents WHERE body::text ~ '0001-01-01|9999-12-31'")
    assert landed == [{"count": len(details)}]


@pytest.mark.slow
@pytest.mark.parametrize("date", [*DATES, "soon", None])
def test_an_order_without_a_plausible_date_fails_and_is_missing(world: World, date: str | None) -> None:
    """Its money would belong to no day, and a wrong day is worse than an order that is named as missing."""
    order_id = next(iter(world.store.sales))
    world.server.wire = EditedWire(details={order_id: put("date_ordered", date)})

    result = world.sync()

    assert [error["order_id"] for error in result.errors] == [str(order_id)]
    assert "date_ordered" in result.errors[0]["error"]
    assert rows(world, "SELECT platform_order_id, missing, reason FROM reports.missing") == [
        {"platform_order_id": str(order_id), "missing": "order", "reason": "unreadable"}
    ]


def test_what_the_buyer_saw_never_costs_an_order_its_money(world: World) -> None:
    (order_id,) = of_several_lots(world, 1)
    lots = {order_id: put("0.0.disp_unit_price", "$1.00")}
    world.server.wire = EditedWire(details={order_id: put("disp_cost.grand_total", "$25.00")}, lots=lots)

    assert world.sync().success

    stored = stored_orders(world.warehouse)[str(order_id)]
    assert stored == {
        **order_row(world.store.order(order_id)), "disp_total": None, "unreadable_fields": ["disp_cost.grand_total"],
    }  # fmt: skip
    with world.warehouse.engine.connect() as connection:
        assert unreadable_fields(connection, world.warehouse) == {
            "disp_cost.grand_total": 1,
            "items.disp_unit_price": 1,
        }


def test_an_api_that_has_changed_every_field_it_may_costs_no_order(world: World) -> None:
    """On the day of such a change every order would fail at once."""

    def changed(answer: dict[str, Any]) -> None:
        answer["shipping"] |= {"method_id": "A1", "tracking_no": ["T1"], "date_shipped": "soon"}
        answer["shipping"]["address"]["phone_number"] = 4912345
        answer |= {"remarks": ["a"], "is_filed": "Y", "total_weight": "1.123456", "buyer_order_count": 3.0}
        answer["cost"] = {
            name: float(value) if name not in ("currency_code", "vat_rate") else value
            for name, value in answer["cost"].items()
        } | {"vat_rate": "19.123456"}

    world.server.wire = EditedWire(details=dict.fromkeys(world.store.sales, changed))

    assert world.sync().success

    for order_id, stored in stored_orders(world.warehouse).items():
        right = order_row(world.store.order(int(order_id)))
        for name in ("total", "subtotal", "shipping", "fees", "final_total", "insurance", "tax", "vat_amount"):
            assert (type(stored[name]), stored[name]) == (Decimal, right[name])
        assert (stored["shipping_method_id"], stored["tracking_number"], stored["remarks"]) == (None, '["T1"]', '["a"]')
        assert (stored["is_filed"], stored["total_weight"], stored["vat_rate"]) == (None, None, None)
        assert (stored["buyer_order_count"], stored["shipping_address"]["phone_number"]) == (3, "4912345")
    for report in read_reports():
        rows(world, f"SELECT * FROM reports.{report.name}")

"""One order's value never stops its batch."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import UNREADABLE, FailedOrder
from bl_pipeline.rules.frames import SCHEMAS
from bl_pipeline.sync.loading import FetchedOrder, PreparedOrder, load_prepared, prepare
from bl_pipeline.warehouse import landing
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.state import read_states
from bl_pipeline_tests.conftest import Sync


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("buyer_name", "half an emoji: \ud83d"),
        ("buyer_name", "a zero: \0"),
        ("total_count", 2**70),
        ("total_count", "many"),
        ("total", Decimal(10) ** 30),
        ("total", Decimal("NaN")),
        ("total", "25.00 EUR"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_value_that_cannot_be_stored_costs_its_own_order_only(
    synced: Sync, warehouse: Warehouse, column: str, value: Any
) -> None:
    """Refused by Postgres, by its driver, or by Arrow. Planted: only Postgres's own refusals taken for such."""
    place = SCHEMAS[AnswerKind.ORDER].get_field_index(column)
    batch: list[list[PreparedOrder]] = []
    with warehouse.engine.begin() as connection:
        ids = connection.scalars(text("SELECT order_document_id FROM sales.orders ORDER BY 1 LIMIT 3")).all()
        for document in [landing.read_document(connection, document_id) for document_id in ids]:
            prepared = prepare(FetchedOrder([document]), None)
            assert isinstance(prepared, list)
            batch.append(prepared)
        bad = batch[1][0]
        row = (*bad.order_row[:place], value, *bad.order_row[place + 1 :])
        batch[1] = [replace(bad, order_row=row)]
        result = load_prepared(connection, warehouse, batch)
    good = [batch[0][0].state.order_id, batch[2][0].state.order_id]
    assert [failure.order_id for failure in result.failures] == [bad.state.order_id]
    assert list(result.outcomes) == good


@pytest.mark.parametrize("status", ["PURGED", "COMPLETED"])
def test_what_is_absent_of_an_order_keeps_its_stored_value_only_if_it_was_purged(
    synced: Sync, warehouse: Warehouse, status: str
) -> None:
    """Planted: the stored values lost; kept for every order; kept although the answer has others."""
    select = "SELECT * FROM sales.orders WHERE platform_status = 'COMPLETED' AND remarks IS NOT NULL ORDER BY 1, 2, 3"
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sales.orders SET remarks = 'by hand'"))
        before = connection.execute(text(select)).mappings().all()[0]
        document = landing.read_document(connection, before["order_document_id"])
        order = json.loads(document.body)
        lost = {name: order.pop(name) for name in ("buyer_email", "shipping", "payment", "total_weight")}
        order |= {"status": status, "buyer_name": "another"}
        answer = replace(document, document_id=document.document_id + 10**6, body=json.dumps(order).encode())
        state = read_states(connection, warehouse, [document.order_id])[document.order_id]
        prepared = prepare(FetchedOrder([answer]), state)
        assert isinstance(prepared, list)
        load_prepared(connection, warehouse, [prepared])
        query = text("SELECT * FROM sales.orders WHERE platform_order_id = :order_id")
        after = connection.execute(query, {"order_id": document.order_id}).mappings().one()

    assert all(lost.values())
    changed = {name for name in before if before[name] != after[name]} - {"order_document_id"}
    absent = {
        "address_state", "buyer_email", "buyer_name", "country_code", "paid_at", "payment_currency", "payment_method",
        "payment_status", "postal_code", "shipping_address", "shipping_method", "shipping_method_id", "shipped_at",
        "total_weight", "tracking_number", "tracking_url",
    }  # fmt: skip
    if status == "PURGED":
        assert changed == {"platform_status", "buyer_username"}
    else:
        assert {"buyer_username", "buyer_email", "shipping_address", "remarks"} <= changed
        assert changed <= absent | {"buyer_username", "remarks"}
    assert after["buyer_username"] == "another"


@pytest.mark.parametrize("status", ["PURGED", "COMPLETED"])
def test_items_that_cannot_be_fetched_count_as_whole_only_if_the_order_was_purged(
    synced: Sync, warehouse: Warehouse, status: str
) -> None:
    """The order says something else of its items now. Planted: stored items of a purged one taken for damaged."""
    with warehouse.engine.begin() as connection:
        query = "SELECT order_document_id FROM sales.orders WHERE platform_status = 'COMPLETED' LIMIT 1"
        document = landing.read_document(connection, connection.scalars(text(query)).one())
        state = read_states(connection, warehouse, [document.order_id])[document.order_id]
    order = json.loads(document.body) | {"status": status, "total_count": 1}
    answer = replace(document, document_id=document.document_id + 10**6, body=json.dumps(order).encode())
    failed = FailedOrder(document.order_id, "refused", "OrderError")

    prepared = prepare(FetchedOrder([answer], failures={AnswerKind.ITEMS: failed}), state)

    assert isinstance(prepared, list)
    items = prepared[-1].parts[AnswerKind.ITEMS]
    stored = state.part(AnswerKind.ITEMS)
    assert (items.failure, items.rows) == (failed, None)
    assert items.state == (stored if status == "PURGED" else replace(stored, fingerprint=UNREADABLE))


@pytest.mark.parametrize(
    ("in_order", "in_list", "stored_before", "as_listed"),
    [
        (True, False, "f", False),
        (False, True, None, False),
        (True, True, "f", True),
        (True, False, "", True),
        (None, False, "f", True),
        (True, None, "f", True),
    ],
)
def test_an_order_that_was_filed_after_the_list_was_read_is_fetched_again_once(
    synced: Sync,
    warehouse: Warehouse,
    in_order: bool | None,
    in_list: bool | None,
    stored_before: str | None,
    as_listed: bool,
) -> None:
    """Planted: a value that is absent taken for another one; each time again."""
    with warehouse.engine.begin() as connection:
        document_id = connection.scalar(text("SELECT max(order_document_id) FROM sales.orders"))
        document = landing.read_document(connection, document_id)
        [state] = read_states(connection, warehouse, [document.order_id]).values()
    body = json.loads(document.body)
    body.pop("is_filed")
    body |= {} if in_order is None else {"is_filed": in_order}
    before = replace(state, listed_filed=in_list, stored_fingerprint=stored_before)
    prepared = prepare(FetchedOrder([replace(document, body=json.dumps(body).encode())]), before)
    assert isinstance(prepared, list)
    assert prepared[0].state.stored_fingerprint == (document.listed_fingerprint if as_listed else "")

"""What is different between two answers about one order, as the desk shows it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bl_pipeline.rules.order_differences import Difference, count_lots, order_differences

ANSWER: dict[str, Any] = json.loads((Path(__file__).parent / "answers" / "order.json").read_text())


def body(**values: Any) -> bytes:
    """The recorded order with other values; an object gets other values for the fields that are given."""
    changed = {
        name: {**ANSWER[name], **value} if isinstance(value, dict) and isinstance(ANSWER.get(name), dict) else value
        for name, value in values.items()
    }
    return json.dumps({**ANSWER, **changed}).encode()


def test_columns_that_differ_in_the_order_of_the_table() -> None:
    newer = body(
        remarks="call first",
        status="SHIPPED",
        date_status_changed="2021-03-15T10:00:00.000Z",
        cost={"shipping": "4.1000", "grand_total": "9.8970"},
    )
    assert order_differences(body(), body()) == []
    assert order_differences(body(), newer) == [
        Difference(
            "status_changed_at",
            datetime(2021, 3, 14, 15, 9, 26, 535000, UTC),
            datetime(2021, 3, 15, 10, tzinfo=UTC),
        ),
        Difference("platform_status", "READY", "SHIPPED"),
        Difference("shipping", Decimal("3.1000"), Decimal("4.1000")),
        Difference("total", Decimal("8.8970"), Decimal("9.8970")),
        Difference("remarks", None, "call first"),
    ]


def test_an_address_is_compared_by_its_fields() -> None:
    address = ANSWER["shipping"]["address"]
    moved = body(shipping={"address": {**address, "city": "Village", "country_code": "FR"}})
    found = order_differences(body(), moved)
    assert found is not None
    (one,) = found
    assert one.column == "shipping_address"
    assert (one.before["city"], one.after["city"]) == ("Town", "Village")

    without = order_differences(body(), body(shipping={"address": None}))
    assert ("shipping_address", None) in [(one.column, one.after) for one in without or []]


def test_what_the_buyer_saw_is_left_out() -> None:
    assert order_differences(body(), body(disp_cost={"currency_code": "USD", "subtotal": "9.0000"})) == []


TOO_LARGE = {"grand_total": "999999999999999.0000", "subtotal": "-9.0000"}


@pytest.mark.parametrize("bad", [b"{}", b"no JSON", body(cost=TOO_LARGE)])
def test_an_answer_that_cannot_be_read_has_no_differences_to_show(bad: bytes) -> None:
    assert order_differences(body(), bad) is None
    assert order_differences(bad, body()) is None


def test_lots_are_counted_over_all_batches() -> None:
    assert count_lots(b'[[{"inventory_id": 1}, {}], [{}], {"no": "batch"}]') == 4
    assert count_lots(b'[{"inventory_id": 1}, {"inventory_id": 2}]') == 2
    assert count_lots(b"[]") == 0
    assert count_lots(b"null") == 0

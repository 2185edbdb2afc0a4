"""The lists, as they were recorded in different years: what they say of each order."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bl_pipeline.bricklink import OrderSummary, UnreadableSummary, read_summaries
from bl_pipeline.records import ListedOrder
from bl_pipeline.rules.summaries import fingerprint, listed_orders

ANSWERS = Path(__file__).parent / "answers"

LISTED = {
    "list_2014": [
        ListedOrder("2201001", datetime(2014, 3, 4, 7, 8, 9, 120000, tzinfo=UTC), "READY", None, False, "")
    ],
    "list_two_currencies": [
        ListedOrder(
            "4100200", datetime(2014, 5, 2, 19, 20, 21, 960000, tzinfo=UTC), "COMPLETED",
            datetime(2014, 5, 20, 3, 2, 1, tzinfo=UTC), False, "",
        )
    ],
    "list_purged": [
        ListedOrder(
            f"260060{n}", datetime(2012, 4, n, 21, 4, 25, 587000, tzinfo=UTC), "PURGED",
            datetime(2012, 4, 10 + n, 7, 46, 52, tzinfo=UTC), n == 2, "",
        )
        for n in (1, 2)
    ],
    "list_vat_flag": [
        ListedOrder(
            "17400400", datetime(2021, 11, 8, 22, 38, 43, 650000, tzinfo=UTC), "COMPLETED",
            datetime(2021, 11, 13, 16, 1, 38, tzinfo=UTC), False, "",
        )
    ],
}  # fmt: skip


def answer(name: str) -> Any:
    return json.loads((ANSWERS / f"{name}.json").read_text())


def rows_of(name: str) -> tuple[list[OrderSummary], list[UnreadableSummary]]:
    return read_summaries((ANSWERS / f"{name}.json").read_bytes())


@pytest.mark.parametrize("name", LISTED)
def test_each_row_is_an_order(name: str) -> None:
    rows, unreadable = rows_of(name)

    listed = listed_orders(rows, filed=False)

    assert unreadable == []
    assert [without_hash(order) for order in listed.values()] == [without_hash(order) for order in LISTED[name]]
    assert len({order.fingerprint for order in listed.values()}) == len(rows)


def without_hash(order: ListedOrder) -> tuple[Any, ...]:
    """All of it but the hash."""
    return order.order_id, order.order_date, order.status, order.status_changed_at, order.is_filed


@pytest.mark.parametrize(
    ("path", "value", "moves"),
    [
        (("status",), "SHIPPED", True),
        (("date_ordered",), "2021-11-08T22:38:43.651Z", True),
        (("buyer_name",), None, True),
        (("total_count",), 4, True),
        (("unique_count",), 4, True),
        (("is_filed",), True, True),
        (("payment", "status"), "Returned", True),
        (("payment", "method"), "Cash", True),
        (("payment", "date_paid"), None, True),
        (("cost", "subtotal"), "7.4501", True),
        (("cost", "grand_total"), "9.0101", True),
        (("cost", "final_total"), None, True),
        (("disp_cost", "grand_total"), "9.99", False),  # an exchange rate moves every day
        (("date_status_changed",), "2022-01-01T00:00:00.000Z", False),  # compared by itself
        (("something_new",), "whatever", False),
    ],
)
def test_the_fingerprint_moves_with_what_the_list_says(path: tuple[str, ...], value: Any, moves: bool) -> None:
    (row,) = answer("list_vat_flag")
    (before,), _ = read_summaries(json.dumps([row]))
    holder = row
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value

    (after,), _ = read_summaries(json.dumps([row]))

    hashes = [fingerprint(each, is_filed=bool(each.is_filed)) for each in (before, after)]
    assert (hashes[0] != hashes[1]) is moves


def test_the_filed_list_is_right_about_an_order_in_both() -> None:
    (row,) = answer("list_vat_flag")
    (unfiled,), _ = read_summaries(json.dumps([row]))
    (filed,), _ = read_summaries(json.dumps([{**row, "is_filed": True, "status": "RECEIVED"}]))

    merged = listed_orders([unfiled], filed=False) | listed_orders([filed], filed=True)

    assert [(order.is_filed, order.status) for order in merged.values()] == [(True, "RECEIVED")]


def test_the_list_an_old_row_stands_in_says_whether_it_is_filed() -> None:
    rows, _ = rows_of("list_2014")
    assert rows[0].is_filed is None
    assert [order.is_filed for order in listed_orders(rows, filed=True).values()] == [True]
    unfiled, filed = listed_orders(rows, filed=False)["2201001"], listed_orders(rows, filed=True)["2201001"]
    assert unfiled.fingerprint != filed.fingerprint


def test_a_row_of_which_only_the_id_can_be_read_is_an_order_all_the_same() -> None:
    good, bad = answer("list_purged")
    bad["cost"]["grand_total"] = "5,83"
    rows, unreadable = read_summaries(json.dumps([good, bad]))

    merged = listed_orders([*rows, *unreadable], filed=False)

    assert set(merged) == {"2600601", "2600602"}
    assert merged["2600602"].status == ""

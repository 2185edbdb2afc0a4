"""Both ways to read a list give the same: the quick one for rows as documented, and the one that knows all forms."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bl_pipeline.bricklink import InvalidAnswer, ListRow, OrderSummary, each_summary, read_summaries
from bl_pipeline.records import ListedOrder
from bl_pipeline.rules.summaries import fingerprint, listed_orders

ANSWERS = Path(__file__).parent / "answers"
(ROW,) = json.loads((ANSWERS / "list_vat_flag.json").read_text())

PATHS = [
    "order_id", "date_ordered", "date_status_changed", "status", "buyer_name", "seller_name", "total_count",
    "unique_count", "is_filed", "vat_collected_by_bl", "salesTax_collected_by_BL", "payment", "payment.method",
    "payment.currency_code", "payment.date_paid", "payment.status", "cost", "cost.currency_code", "cost.subtotal",
    "cost.grand_total", "cost.final_total", "cost.etc1", "cost.salesTax", "cost.salesTax_collected_by_BL",
    "cost.salesTax_collected_by_bl", "cost.vat_rate", "cost.disp_currency_code", "disp_cost", "disp_cost.subtotal",
    "something_new", "unreadable_fields",
]  # fmt: skip
TEXT = 'Zo\u00eb "quoted" \\ \n \u2028 \U0001f600'
VALUES: list[Any] = [
    None, "", " ", "7.4500", "7.45000", "7,45", "-7.4500", "1e3", 7, 0, -1, True, False, "true", "1", [], {}, [1],
    "2021-11-08T22:38:43.650Z", "2021-11-08T22:38:43.6505679Z", "2021-11-08T22:38:43+02:00", "2021-11-08T22:38:43",
    "2021-11-08", "1990-01-01T00:00:00.000Z", "2150-01-01T00:00:00.000Z", "0000-00-00T00:00:00.000Z", "SHIPPED", "EUR",
    TEXT, 2**63 - 1, 2**63, 10**30,
    *map(msgspec.Raw, (b"7.0", b"7.45", b"7.450000", b"1e3", b"1E-2", b"0.00001", b"-0", b"9007199254740995", b"1e400",
        b'"\\u00e9\\ud83d\\ude00"', b'{"a":{"a":[[[]]]}}')),
]  # fmt: skip
CHANGES = st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(VALUES), st.booleans()), max_size=4)


def changed(changes: list[tuple[str, Any, bool]], order_id: int) -> dict[str, Any]:
    """The recorded row with other values at these paths, or without them."""
    row: dict[str, Any] = deepcopy(ROW) | {"order_id": order_id}
    for path, value, is_absent in changes:
        *above, name = path.split(".")
        holder: Any = row
        for part in above:
            holder = holder.get(part)
            if not isinstance(holder, dict):
                break
        else:
            holder.pop(name, None) if is_absent else holder.update({name: value})
    return row


def quickly(raw: bytes) -> dict[str, ListedOrder] | str:
    try:
        return listed_orders(each_summary(raw), filed=True)
    except InvalidAnswer as error:
        return error.message


def in_all_forms(raw: bytes) -> dict[str, ListedOrder] | str:
    try:
        rows, unreadable = read_summaries(raw)
    except InvalidAnswer as error:
        return error.message
    return listed_orders([*rows, *unreadable], filed=True)


@settings(deadline=None, database=None, derandomize=True, max_examples=1500)
@given(CHANGES, CHANGES)
@example(
    [("date_ordered", "2021-11-08T22:38:43.6505679Z", False)], [("date_ordered", "2021-11-08T22:38:43+02:00", False)]
)
@example([("cost.salesTax_collected_by_BL", "7,45", False)], [("payment.date_paid", "", False)])
def test_both_ways_read_the_same(one: list[tuple[str, Any, bool]], other: list[tuple[str, Any, bool]]) -> None:
    """Planted: times read by msgspec; the other names of the sales tax left out; a row declined as a whole list."""
    raw = msgspec.json.encode([changed(one, 31), ROW, changed(other, 32)])
    assert quickly(raw) == in_all_forms(raw)


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"null", b"[", b"[{}", b"[1]", b"[[]]", b'[{"order_id": "x"}]', b"[" * 5000 + b"]" * 5000]
)
def test_what_is_no_list_is_refused_in_the_same_words(raw: bytes) -> None:
    assert quickly(raw) == in_all_forms(raw)
    assert isinstance(quickly(raw), str)


def test_a_row_as_documented_is_read_the_quick_way() -> None:
    """Else each row is read twice, and nobody sees it."""
    with_tax = {**ROW, "cost": {**ROW["cost"], "salesTax_collected_by_BL": "0.1000"}}
    declined = {**ROW, "total_count": "7"}
    rows = [ROW, with_tax, {**ROW, "payment": None}, declined]
    assert [type(row) for row in each_summary(msgspec.json.encode(rows))] == [ListRow] * 3 + [OrderSummary]


PINNED = {
    "list_2014": "49b833a3f5421f0559fde43a6efb9561",
    "list_purged": "fead35abe0ca38de296ec346e02c17c2",
    "list_two_currencies": "c2acac456ed289686046ac3800eb61c0",
    "list_vat_flag": "48ee0ece73dd4db5dfe7e19048c8f628",
}
"""Of the first row. Stored with every order: another value would fetch every order of every seller again."""


@pytest.mark.parametrize("name", PINNED)
def test_the_stored_fingerprints_stay_as_they_are(name: str) -> None:
    raw = (ANSWERS / f"{name}.json").read_bytes()
    first = next(iter(listed_orders(each_summary(raw), filed=True).values()))
    assert first.fingerprint == PINNED[name]


@settings(deadline=None, database=None, derandomize=True)
@given(CHANGES, st.booleans())
@example([("buyer_name", TEXT, False), ("payment.method", TEXT, False)], True)
def test_a_fingerprint_is_of_the_json_of_what_the_row_says(
    changes: list[tuple[str, Any, bool]], is_filed: bool
) -> None:
    """Planted: a text that is not escaped; absent payment as an empty list."""
    try:
        rows, _ = read_summaries(msgspec.json.encode([changed(changes, 31)]))
    except InvalidAnswer:
        return
    for row in rows:
        payment, cost = row.payment, row.cost
        content = (
            row.status,
            row.date_ordered.isoformat(),
            row.buyer_name,
            row.total_count,
            row.unique_count,
            is_filed,
            payment and (payment.method, payment.currency_code, payment.status),
            payment and payment.date_paid and payment.date_paid.isoformat(),
            (cost.currency_code, cost.subtotal, cost.grand_total, cost.final_total),
        )
        expected = hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()
        assert fingerprint(row, is_filed=is_filed) == expected

"""Any value in any field: a clear error of that order, or a right row, and never a crash or a silent zero.

The answers go the whole way, from the bytes of an HTTP answer into the tables. What a value means is worked out
here, by rules that share no code with the pipeline.
"""

from __future__ import annotations

import html
import json
import os
import re
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests.adapters import BaseAdapter

from bl_pipeline.bricklink import (
    BrickLinkClient,
    BrickLinkError,
    Credentials,
    InvalidAnswer,
    RetryPolicy,
    read_items,
    read_order,
    read_summaries,
)
from bl_pipeline.bricklink.envelope import ITEMS, ITEMS_OF_PURGED, ORDER, ORDERS, open_answer
from bl_pipeline.defs.session import SyncSession
from bl_pipeline.defs.steps import SyncRequest
from bl_pipeline.sandbox import SandboxOrder, Store, Wire
from bl_pipeline.settings import load_settings
from bl_pipeline.sync.result import ExitCode, SyncResult
from bl_pipeline.warehouse import state
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline.warehouse.ledger import CallLedger
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.conftest import NOW, Clock
from bl_pipeline_tests.expected import Row, item_rows, order_row, stored_items, stored_orders
from bl_pipeline_tests.reliability.driving import run_steps, truncate

STORE = Store.grow(orders=60, seed=21, now=NOW, filed=0, purged=0, currencies=("EUR", "USD"))
SALES = [order for order in STORE.sales.values() if order.lots]
WIRE = Wire()
EXPECTED_ERRORS = {"InvalidResource", "NotNormalisable", "UnstorableAnswer", "InvalidAnswer"}

Json = dict[str, Any]
ABSENT = object()
WRONG = object()
"""No meaning: the order has to fail."""


class Field(NamedTuple):
    """A field of an answer: where it is, what it holds, and the columns it fills."""

    path: str
    kind: str
    columns: tuple[str, ...]
    required: bool = False


def fields(kind: str, *entries: str, required: bool = False) -> list[Field]:
    """Fields from "path>column column"."""
    found = []
    for entry in entries:
        path, _, columns = entry.partition(">")
        found.append(Field(path, kind, tuple(columns.split()), required))
    return found


_COSTS = ("shipping", "insurance", "etc1", "etc2", "credit", "coupon", "vat_amount")
DETAIL = [
    *fields("time", "date_ordered>order_date first_order_date", required=True),
    *fields("time", "date_status_changed>status_changed_at", "payment.date_paid>paid_at"),
    *fields("time", "shipping.date_shipped>shipped_at"),
    *fields("raw", "status>platform_status", required=True),
    *fields("raw", "buyer_name>buyer_username", "buyer_email>buyer_email", "seller_name>seller_username"),
    *fields("raw", "payment.status>payment_status", "payment.currency_code>payment_currency"),
    *fields("raw", "shipping.tracking_no>tracking_number", "shipping.tracking_link>tracking_url"),
    *fields("raw", "disp_cost.currency_code>disp_currency"),
    *fields("word", "cost.currency_code>currency", required=True),
    *fields("text", "store_name>store_name", "remarks>remarks", "payment.method>payment_method"),
    *fields("text", "shipping.method>shipping_method", "shipping.address.name.full>buyer_name"),
    *fields("address", *(f"shipping.address.{name}>" for name in ("full", "address1", "address2", "city", "state"))),
    *fields("address", "shipping.address.postal_code>", "shipping.address.phone_number>"),
    *fields("integer", "total_count>total_count", "unique_count>unique_count", "buyer_order_count>buyer_order_count"),
    *fields("integer", "shipping.method_id>shipping_method_id"),
    *fields("flag", "is_filed>is_filed", "is_invoiced>is_invoiced", "require_insurance>require_insurance"),
    *fields("flag", "drive_thru_sent>drive_thru_sent"),
    *fields("flag", "salesTax_collected_by_bl>sales_tax_collected_by_bricklink"),
    *fields("money", "cost.subtotal>subtotal", "cost.grand_total>total", "cost.final_total>final_total"),
    *fields("money", *(f"cost.{name}>{name}" for name in _COSTS), "cost.salesTax>tax", "cost.vat_rate>vat_rate"),
    *fields("money", *(f"disp_cost.{name}>disp_{name}" for name in ("subtotal", "etc1", "coupon", "vat_amount"))),
    *fields("money", "disp_cost.grand_total>disp_total", "disp_cost.final_total>disp_final_total"),
    *fields("money", "total_weight>total_weight"),
    *fields("part", "payment>paid_at payment_status payment_method payment_currency"),
    *fields("part", "shipping>shipping_method tracking_number shipped_at shipping_address country_code buyer_name"),
    *fields("part", "shipping.address>shipping_address country_code buyer_name", "shipping.address.name>buyer_name"),
    *fields("part", "disp_cost>disp_currency disp_subtotal disp_total"),
    *fields("part", "cost>", required=True),
    *fields("unknown", "something_new>", "cost.something_new>"),
]
LOT = [
    *fields("raw", "item.no>item_number", required=True),
    *fields("integer", "quantity>quantity", required=True),
    *fields("integer", "inventory_id>inventory_id", "color_id>color_id", "item.category_id>category_id"),
    *fields("raw", "item.type>item_type", "new_or_used>condition", "completeness>completeness"),
    *fields("raw", "currency_code>currency", "disp_currency_code>disp_currency"),
    *fields("text", "item.name>item_name", "color_name>color_name", "description>description", "remarks>remarks"),
    *fields("money", "unit_price_final>unit_price", "unit_price>list_unit_price", "weight>weight"),
    *fields("money", "disp_unit_price_final>disp_unit_price", "disp_unit_price>disp_list_unit_price"),
    *fields("money", "order_cost>order_cost"),
    *fields("part", "item>", required=True),
    *fields("unknown", "something_new>", "item.something_new>"),
]
# What a field takes part in beside its own columns.
DERIVED = {
    "cost.subtotal": {"fees"}, "cost.grand_total": {"fees"}, "cost.shipping": {"fees"}, "status": {"status"},
    "unit_price_final": {"total_price"}, "quantity": {"total_price"},
    "cost": set(), "shipping.address.country_code": {"country_code"},
}  # fmt: skip
PARTS_COLUMNS = {
    "shipping": {"tracking_url", "shipping_method_id"},
    "disp_cost": {f"disp_{name}" for name in ("shipping", "final_total", *_COSTS)},
}


# What a value means.

_MONEY = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,4}0*)?\Z")


def stored_text(value: str) -> str:
    """Text as it comes out of the JSON and goes into Postgres."""
    # Two halves of a pair beside each other are one character once they have been JSON.
    return re.sub("[\x00\ud800-\udfff]", "\ufffd", json.loads(json.dumps(value)))


def meaning(kind: str, value: Any) -> set[Any]:
    """What may be stored for a value; WRONG in it says that the order may fail, or has to where it is all."""
    if value is ABSENT or value is None:
        return {None}
    if kind in ("raw", "text", "word", "address"):
        if not isinstance(value, str) or (kind == "word" and not value):
            return {WRONG}
        text = stored_text(value)
        if kind in ("raw", "word"):
            return {text}
        return {re.sub("[\x00\ud800-\udfff]", "\ufffd", html.unescape(html.unescape(text)))}
    if value == "" and isinstance(value, str):
        return {None}
    if isinstance(value, str) and value.lower() == "null":
        return {None, WRONG}
    if kind == "money":
        fits = isinstance(value, str) and value.isascii() and _MONEY.match(value)
        return {Decimal(value)} if fits else {WRONG}
    if kind == "flag":
        if isinstance(value, bool):
            return {value}
        known = {"true": True, "false": False, "1": True, "0": False}.get(str(value).lower())
        return {WRONG} if known is None or isinstance(value, dict | list) else {known, WRONG}
    if kind == "integer":
        return _integer(value)
    if kind == "time":
        return _time(value)
    raise AssertionError(kind)


def _integer(value: Any) -> set[Any]:
    if isinstance(value, bool) or not isinstance(value, int | str | float):
        return {WRONG}
    try:
        number = Decimal(str(value)) if not isinstance(value, str) or value.isascii() else Decimal("NaN")
    except ArithmeticError:
        return {WRONG}
    if not number.is_finite() or number != number.to_integral_value() or not -(2**63) <= number < 2**63:
        return {WRONG}
    plain = isinstance(value, int) or (isinstance(value, str) and re.fullmatch("-?(0|[1-9][0-9]*)", value))
    return {int(number)} if plain else {int(number), WRONG}


def _time(value: Any) -> set[Any]:
    if not isinstance(value, str):
        return {WRONG}
    try:
        time = datetime.fromisoformat(value)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return {WRONG}
    strict = re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)?", value, re.ASCII)
    return {time} if strict else {time, WRONG}


# Answers with a value in them.


@dataclass(frozen=True)
class Mutation:
    """One field of one answer is something else."""

    answer: str
    field: Field
    value: Any

    @property
    def expected(self) -> set[Any]:
        """What may be in the field's columns, with WRONG for "the order may fail"."""
        if self.field.kind == "unknown":
            return {ABSENT}
        gone = self.value is ABSENT or self.value is None
        if self.field.required and gone:
            return {WRONG}
        if self.field.kind == "part":
            # An object of none of the known fields is one whose every field is absent.
            return {None} if gone or (self.value == "" and not self.field.required) else {WRONG, None}
        if self.field.required and self.value == "" and self.field.kind in ("time", "integer"):
            return {WRONG}
        return meaning(self.field.kind, self.value)

    @property
    def touched(self) -> set[str]:
        """The columns that may differ."""
        return {
            *self.field.columns,
            *DERIVED.get(self.field.path, ()),
            *PARTS_COLUMNS.get(self.field.path, ()),
            *({"shipping_address"} if self.field.path.startswith("shipping.address") else ()),
        }

    def apply(self, answer: Json) -> None:
        """Put the value in."""
        *above, last = self.field.path.split(".")
        for name in above:
            answer = answer.setdefault(name, {})
        if self.value is ABSENT:
            answer.pop(last, None)
        else:
            answer[last] = self.value


class Canned(BaseAdapter):
    """BrickLink without a network: the bytes of each answer, by path."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        super().__init__()
        self._answers = answers

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        path = str(parts.path).removeprefix("/api") + (f"?{parts.query}" if parts.query else "")
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url or ""
        response._content = self._answers[path]
        return response

    def close(self) -> None:
        """Nothing is open."""


class CannedSession(SyncSession):
    """A session whose client gets canned answers; all else is real."""

    answers: dict[str, bytes]

    def client(self, run_id: str) -> BrickLinkClient:
        def session() -> requests.Session:
            made = requests.Session()
            made.mount("http://", Canned(self.answers))
            return made

        return BrickLinkClient(
            Credentials("key", "secret", "token", "token secret"),
            CallLedger(self.warehouse.engine, store=self.warehouse.store, run_id=run_id, budget=self.budget),
            base_url="http://bricklink.test/api",
            retry=RetryPolicy(jitter=Random(1), max_failures_in_a_row=10**6),
            clock=self.clock,
            sleep=lambda _seconds: None,
            session_factory=session,
        )


def envelope(data: Any) -> bytes:
    """An answer's body; lone surrogates and NUL go as escapes."""
    return json.dumps({"meta": {"code": 200, "message": "OK", "description": "OK"}, "data": data}).encode()


class Fuzzed(NamedTuple):
    """What became of a batch of orders, each with its mutation or none."""

    result: SyncResult
    orders: dict[str, Row]
    items: dict[str, list[Row]]
    failed: dict[str, state.FailedOrder]


def sync_answers(warehouse: Warehouse, mutations: list[Mutation | None]) -> Fuzzed:
    """A first sync of as many orders as there are mutations."""
    truncate(warehouse.engine)
    rows, answers = [], {}
    for order, mutation in zip(SALES, mutations, strict=False):
        row, detail, items = WIRE.row(order), WIRE.detail(order), deepcopy(WIRE.items(order))
        if mutation is not None:
            mutation.apply({"row": row, "detail": detail, "lot": items[0][0]}[mutation.answer])
        rows.append(row)
        answers[f"/orders/{order.order_id}"] = envelope(detail)
        answers[f"/orders/{order.order_id}/items"] = envelope(items)
    answers["/orders?direction=in&filed=false"] = envelope(rows)
    answers["/orders?direction=in&filed=true"] = envelope([])
    configured = load_settings(_env_file=None, bl_daily_call_limit=10**6, bl_call_reserve=0, bl_max_parallel_requests=2)
    session = CannedSession(configured, warehouse, SyncLock(warehouse), clock=Clock(NOW))
    session.answers = answers
    try:
        result = run_steps(session, request=REQUEST)
    finally:
        session.close()
    with warehouse.engine.connect() as connection:
        failed = {order.order_id: order for order in state.failed_orders(connection, warehouse)}
    return Fuzzed(result, stored_orders(warehouse), stored_items(warehouse), failed)


def check(fuzzed: Fuzzed, order: SandboxOrder, mutation: Mutation | None) -> None:
    """The order failed with a clear reason, or its row is right."""
    order_id = str(order.order_id)
    row, lines = order_row(order), item_rows(order)
    if mutation is None or mutation.answer == "row":
        assert order_id not in fuzzed.failed, fuzzed.failed[order_id]
        assert fuzzed.orders[order_id] == row
        assert fuzzed.items[order_id] == lines
        return
    expected = mutation.expected
    if order_id in fuzzed.failed:
        failure = fuzzed.failed[order_id]
        assert failure.error_class in EXPECTED_ERRORS, failure
        assert order_id not in fuzzed.orders, "half an order"
        assert WRONG in expected or _too_large(mutation), f"refused, though it means {expected}: {failure.error}"
        return
    assert expected != {WRONG}, f"stored: {fuzzed.orders[order_id]}"
    stored, stored_lines = fuzzed.orders[order_id], fuzzed.items.get(order_id, [])
    touched = mutation.touched
    if mutation.answer == "detail":
        _check_row(stored, row, mutation, expected)
        assert stored_lines == lines
    else:
        assert stored == row
        _check_row(stored_lines[0], lines[0], mutation, expected)
        assert stored_lines[1:] == lines[1:]
        assert touched >= {"total_price"} or stored_lines[0]["total_price"] == lines[0]["total_price"]


def _check_row(stored: Row, row: Row, mutation: Mutation, expected: set[Any]) -> None:
    for name, value in row.items():
        if name not in mutation.touched:
            assert stored[name] == value, f"{name} is not what was changed"
    if mutation.field.kind == "unknown":
        assert stored == row
    elif mutation.field.kind == "address":
        assert (stored["shipping_address"] or {}).get(mutation.field.path.rpartition(".")[2]) in expected
    else:
        for name in mutation.field.columns:
            held = stored[name] or None if name == "shipping_address" else stored[name]
            # True == 1, and Decimal("1") == 1, but they are not the same in a table.
            right = [each for each in expected if type(each) is type(held) and each == held]
            assert right, f"{name}: {stored[name]!r:.100}"
    if "fees" in mutation.touched:
        parts = [stored["total"], stored["subtotal"], stored["shipping"]]
        assert stored["fees"] == (None if None in parts else parts[0] - parts[1] - parts[2])
    if "total_price" in mutation.touched:
        price = stored["unit_price"]
        assert stored["total_price"] == (None if price is None else price * stored["quantity"])


def _too_large(mutation: Mutation) -> bool:
    """Whether an amount worked out from the value may be beyond 15 digits."""
    if mutation.field.path == "quantity":
        return abs(int(mutation.value)) > 10**11
    if mutation.field.path in ("cost.subtotal", "cost.grand_total", "cost.shipping", "unit_price_final"):
        return abs(Decimal(mutation.value)) > 10**9
    return False


REQUEST = SyncRequest()

NASTY_TEXT = (
    "", " ", "\x00",
    "a\x00b", "\ud800", "x\udfffy", "\ud83d\ude00", "😀👩\u200d👧", "\u202eRTL\u200f", "שלום", "e\u0301",
    "\ufeff", "\uffff", "\\u0000", "\\ud800", "&#40;x&#41;", "&amp;#39;", "&amp;amp;amp;", "&#0;", "&#xD800;",
    "&#1114112;", "<b>x</b>", "\t", "\r\n", "\\N", "\\.",
    "null", "NULL", "None", "NaN", "Infinity", "-Infinity", "0", "-0",
    "1", "00", "007", "1e3", "1E400", "0x10", " 5", "5 ", "1,5", "1.5", "1.00000", "1.00001", "0.0000", "-0.0000",
    "-3.1400", ".5", "5.", "+5", "١٢", "\uff19", "1_000", "999999999999999.9999", "1000000000000000",
    "9223372036854775807", "9223372036854775808", "-9223372036854775809", "true", "false", "True", "yes",
    "2021-02-28T10:11:21.703Z", "2021-02-28T10:11:21", "2021-02-28T10:11:21+05:30", "2021-02-28",
    "2021-02-30T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-01:00", "2016-12-31T23:59:60Z", "2021-W01-1", "20210228T101121Z", "2021-03-28T02:30:00+01:00",
    "2021-02-28T10:11:21.1234567Z", "x" * 100_000, "&#40;" * 10_000,
)  # fmt: skip
NASTY_NUMBERS = (
    0, -0.0, 1, -1, 1.0, 1.5, 0.1, 1e300, 5e-324, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30,
    10**400,
)  # fmt: skip
NASTY: tuple[Any, ...] = (
    ABSENT, None, True, False, *NASTY_NUMBERS, *NASTY_TEXT, [], {}, [[]], [None], {"value": 1}, {"": {}}, [1] * 100,
)  # fmt: skip

ANY_VALUE = st.sampled_from(NASTY) | st.one_of(
    st.text(st.characters(codec=None, categories=None), max_size=40),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(-(10**16), 10**16, places=4).map(str),
    st.datetimes(timezones=st.just(UTC)).map(lambda time: time.isoformat()),
)
A_MUTATION = st.one_of(
    st.builds(Mutation, st.just("detail"), st.sampled_from(DETAIL), ANY_VALUE),
    st.builds(Mutation, st.just("lot"), st.sampled_from(LOT), ANY_VALUE),
    st.builds(
        Mutation,
        st.just("row"),
        st.sampled_from([field for field in DETAIL if field.path.partition(".")[0] in WIRE.row(SALES[0])]),
        ANY_VALUE,
    ),
)


@pytest.fixture
def empty_warehouse(database_url: str) -> Iterator[Warehouse]:
    with open_warehouse(load_settings(_env_file=None, bl_database_url=database_url)) as warehouse:
        yield warehouse


def fuzz(warehouse: Warehouse, mutations: list[Mutation | None]) -> None:
    """Sync these mutations in one batch, among orders that nothing is wrong with."""
    fuzzed = sync_answers(warehouse, [*mutations, None, None])
    assert fuzzed.result.exit_code in (ExitCode.DONE, ExitCode.SOME_FAILED), fuzzed.result
    for order, mutation in zip(SALES, [*mutations, None, None], strict=False):
        try:
            check(fuzzed, order, mutation)
        except AssertionError as error:
            raise AssertionError(f"{mutation!r:.300}: {error}") from error


def sweep(every: int) -> list[Mutation | None]:
    """Every field with every so many-eth nasty value."""
    pairs = [("detail", field) for field in DETAIL] + [("lot", field) for field in LOT]
    return [
        Mutation(answer, field, value)
        for number, (answer, field) in enumerate(pairs)
        for position, value in enumerate(NASTY)
        if (position + number * 7) % every == 0
    ]


def in_batches(mutations: list[Mutation | None]) -> Iterator[list[Mutation | None]]:
    size = len(SALES) - 2
    for first in range(0, len(mutations), size):
        yield mutations[first : first + size]


def test_every_field_takes_every_nasty_value_or_says_why_not(empty_warehouse: Warehouse) -> None:
    """Caught: 1e999 in a field nobody knows, and a number of 400 digits, ended the run and every run after it."""
    started = time.monotonic()
    mutations = sweep(19)
    for batch in in_batches(mutations):
        fuzz(empty_warehouse, batch)
    print(f"{len(mutations)} values in {time.monotonic() - started:.0f} s")  # noqa: T201  (shown with -rP)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_every_field_takes_all_nasty_values_or_says_why_not(empty_warehouse: Warehouse) -> None:
    """Every field, every value."""
    for batch in in_batches(sweep(1)):
        fuzz(empty_warehouse, batch)


_COMMON: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


def test_any_value_in_any_field_is_a_right_row_or_a_clear_error(empty_warehouse: Warehouse) -> None:
    """Caught: an absent amount stored as zero; text with a lone surrogate; a count of 2**63."""

    @settings(max_examples=8, derandomize=True, **_COMMON)
    @given(st.lists(A_MUTATION, min_size=15, max_size=40))
    def run(mutations: list[Mutation | None]) -> None:
        fuzz(empty_warehouse, mutations)

    run()


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_any_value_in_any_field_for_long(empty_warehouse: Warehouse) -> None:
    """The same with other values each time."""

    @settings(max_examples=int(os.environ.get("BL_TEST_EXAMPLES", "300")), **_COMMON)
    @given(st.lists(A_MUTATION, min_size=15, max_size=50))
    def run(mutations: list[Mutation | None]) -> None:
        fuzz(empty_warehouse, mutations)

    run()


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "1e-999", "1e99999999999999999999", "1" + "0" * 400, "1" + "0" * 5000]
)
def test_a_number_beyond_all_bounds_ends_nothing(empty_warehouse: Warehouse, number: str) -> None:
    """No JSON writer of Python makes these. Caught: the digest of the answer could not be worked out."""
    bad, good = SALES[:2]
    answers = {"/orders?direction=in&filed=true": envelope([])}
    answers["/orders?direction=in&filed=false"] = envelope([WIRE.row(bad), WIRE.row(good)])
    for order in (bad, good):
        detail = envelope({**WIRE.detail(order), "something_new": "HERE"} if order is bad else WIRE.detail(order))
        answers[f"/orders/{order.order_id}"] = detail.replace(b'"HERE"', number.encode())
        answers[f"/orders/{order.order_id}/items"] = envelope(WIRE.items(order))
    session = CannedSession(load_settings(_env_file=None), empty_warehouse, SyncLock(empty_warehouse), clock=Clock(NOW))
    session.answers = answers
    try:
        result = run_steps(session, REQUEST)
    finally:
        session.close()

    stored = stored_orders(empty_warehouse)
    assert stored[str(good.order_id)] == order_row(good)
    if not result.success:
        assert [error["order_id"] for error in result.errors] == [str(bad.order_id)]
        assert str(bad.order_id) not in stored
    else:
        assert stored[str(bad.order_id)] == order_row(bad)


# Whole answers.

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["meta", "data", "code", "order_id", "item", "cost", "x"]), inner, max_size=4)
    ),
    max_leaves=20,
)
GOOD = [
    envelope(WIRE.detail(SALES[0])),
    envelope(WIRE.items(SALES[0])),
    envelope([WIRE.row(order) for order in SALES[:3]]),
]


def take_apart(status: int, headers: dict[str, str], body: bytes) -> None:
    """Nothing but a BrickLinkError, with nothing of the body in it, comes out of an answer."""
    for expect, reader in (
        (ORDER, read_order), (ITEMS, read_items), (ITEMS_OF_PURGED, read_items), (ORDERS, read_summaries),
    ):  # fmt: skip
        try:
            raw = open_answer(status, headers, body, expect, "/orders/1")
            assert isinstance(raw, bytes)
            raw.decode()
            reader(raw)
        except BrickLinkError as error:
            assert "Brickville" not in str(error)


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(
    status=st.sampled_from([200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 503]),
    headers=st.dictionaries(st.just("Retry-After"), st.text(max_size=12)),
    body=st.binary(max_size=200)
    | ANY_JSON.map(lambda value: json.dumps(value).encode())
    | ANY_JSON.map(lambda value: json.dumps({"meta": {"code": 200}, "data": value}).encode())
    | ANY_JSON.map(lambda value: json.dumps({"meta": value, "data": []}).encode())
    | st.builds(lambda code: json.dumps({"meta": {"code": code, "description": code}}).encode(), ANY_JSON),
)
def test_no_answer_is_more_than_a_bricklink_error(status: int, headers: dict[str, str], body: bytes) -> None:
    """Caught: a RecursionError, a ValueError or an InvalidOperation that gets through."""
    take_apart(status, headers, body)


@settings(max_examples=400, deadline=None, database=None, derandomize=True)
@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=0, max_size=3)), max_size=4),
    st.floats(0.01, 1),
)
def test_no_damaged_answer_is_more_than_a_bricklink_error(
    body: bytes, damage: list[tuple[float, bytes]], kept: float
) -> None:
    """Bytes replaced, the end cut off."""
    for where, put in damage:
        position = int(where * len(body))
        body = body[:position] + put + body[position + len(put) :]
    take_apart(200, {}, body[: int(kept * len(body)) + 1])


@pytest.mark.parametrize("body", GOOD)
def test_an_answer_cut_off_anywhere_is_never_an_answer(body: bytes) -> None:
    """Caught: half a list taken for a whole one."""
    for length in range(0, len(body), 1 + len(body) // 400):
        for expect in (ORDER, ITEMS, ITEMS_OF_PURGED, ORDERS):
            with pytest.raises(InvalidAnswer):
                open_answer(200, {}, body[:length], expect, "/orders")


@pytest.mark.parametrize("depth", [100, 900, 990, 5_000, 500_000])
def test_an_answer_nested_without_end_is_one_orders_error(depth: int) -> None:
    """Caught: RecursionError."""
    for value in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
        take_apart(200, {}, b'{"meta":{"code":200},"data":%s}' % value)
        take_apart(200, {}, b'{"meta":{"code":200},"data":{"order_id":1,"x":%s}}' % value)

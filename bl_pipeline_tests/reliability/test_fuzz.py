"""Any value in any field: a clear error of that order, or a right row, and never a crash or a silent zero.

The answers go the whole way, from the bytes of an HTTP answer into the tables. What a value means says `mutations`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bl_pipeline.bricklink import BrickLinkClient, Credentials, Request, Response, RetryPolicy
from bl_pipeline.records import ExitCode, FailedOrder, SyncRequest, SyncResult
from bl_pipeline.sandbox import SandboxOrder, Store, Wire
from bl_pipeline.settings import load_settings
from bl_pipeline.stores_file import CREDENTIAL_VARIABLES
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.warehouse import state
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline.warehouse.ledger import CallLedger
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.conftest import NOW, Clock
from bl_pipeline_tests.support.processes import run_steps
from bl_pipeline_tests.support.sales_rows import Row, item_rows, order_row, stored_items, stored_orders
from bl_pipeline_tests.support.strange_values import DETAIL, LOT, NASTY, Mutation
from bl_pipeline_tests.support.world import truncate

pytestmark = pytest.mark.slow

STORE = Store.grow(orders=60, seed=21, now=NOW, filed=0, purged=0, currencies=("EUR", "USD"))
SALES = [order for order in STORE.sales.values() if order.lots]
WIRE = Wire()
EXPECTED_ERRORS = {"InvalidResource", "NotNormalisable", "UnstorableAnswer", "InvalidAnswer"}


API_URL = "http://bricklink.test/api"


class Canned(NamedTuple):
    """BrickLink without a network: the bytes of each answer, by path."""

    answers: dict[str, bytes]

    def send(self, request: Request) -> Response:
        return Response(200, {}, self.answers[request.url.removeprefix(API_URL)])


CREDENTIALS: dict[str, Any] = {name.lower(): "made-up" for name in CREDENTIAL_VARIABLES}


class CannedSession(SyncSession):
    """A session whose client gets canned answers; all else is real."""

    answers: dict[str, bytes]

    @contextmanager
    def calling(self, run_id: str) -> Iterator[tuple[BrickLinkClient, CallLedger]]:
        with (
            CallLedger(
                self.warehouse.engine, key=["key"], store=self.warehouse.store, run_id=run_id, budget=self.store.budget
            ) as ledger,
            BrickLinkClient(
                Credentials("key", "secret", "token", "token secret"),
                ledger,
                base_url=API_URL,
                retry=RetryPolicy(jitter=Random(1), max_failures_in_a_row=10**6),
                clock=self.clock,
                sleep=lambda _seconds: None,
                transport=Canned(self.answers),
            ) as client,
        ):
            yield client, ledger


def envelope(data: Any) -> bytes:
    """An answer's body; lone surrogates and NUL go as escapes."""
    return json.dumps({"meta": {"code": 200, "message": "OK", "description": "OK"}, "data": data}).encode()


class Fuzzed(NamedTuple):
    """What became of a batch of orders, each with its mutation or none."""

    result: SyncResult
    orders: dict[str, Row]
    items: dict[str, list[Row]]
    failed: dict[str, FailedOrder]


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
    configured = load_settings(
        **CREDENTIALS, env_file=None, bl_daily_call_limit=10**6, bl_call_reserve=0, bl_max_parallel_requests=2
    )
    session = CannedSession(configured.store, warehouse, SyncLock(warehouse), clock=Clock(NOW))
    session.answers = answers
    try:
        result = run_steps(session, request=REQUEST)
    finally:
        session.close()
    with warehouse.engine.connect() as connection:
        failed = {order.order_id: order for order in state.failed_orders(connection, warehouse)}
    return Fuzzed(result, stored_orders(warehouse), stored_items(warehouse), failed)


def check(fuzzed: Fuzzed, order: SandboxOrder, mutation: Mutation | None) -> None:
    """Every row is right, and no more is lost than the value may cost."""
    order_id = str(order.order_id)
    row, lines = order_row(order), item_rows(order)
    failure = fuzzed.failed.get(order_id)
    if mutation is None or mutation.answer == "row":
        assert failure is None, failure
        assert fuzzed.orders[order_id] == row
        assert fuzzed.items[order_id] == lines
        return
    lost = mutation.lost or ({"detail": "order", "lot": "lot"}[mutation.answer] if _too_large(mutation, order) else "")
    assert (failure is not None) == (lost in ("order", "lot")), f"lost: {lost or 'nothing'}, {failure}"
    if failure is not None:
        assert failure.error_class in EXPECTED_ERRORS, failure
    if lost == "order":
        assert order_id not in fuzzed.orders, "half an order"
        return
    stored, stored_lines = fuzzed.orders[order_id], fuzzed.items.get(order_id, [])
    if mutation.answer == "detail":
        _check_row(stored, row, mutation)
        assert stored_lines == lines
        return
    assert stored == row
    if lost == "lot":
        assert stored_lines == lines[1:]
        return
    _check_row(stored_lines[0], lines[0], mutation)
    assert stored_lines[1:] == lines[1:]


def _check_row(stored: Row, row: Row, mutation: Mutation) -> None:
    assert stored["unreadable_fields"] == ([mutation.field.path] if mutation.lost else None)
    for name, value in row.items():
        if name not in mutation.touched:
            assert stored[name] == value, f"{name} is not what was changed"
    if mutation.field.kind == "unknown":
        assert stored == row
    elif mutation.field.kind == "address":
        last = mutation.field.path.rpartition(".")[2]
        key = {"first": "first_name", "last": "last_name"}.get(last, last)
        assert (stored["shipping_address"] or {}).get(key) == mutation.stored
        assert {name: stored[name] for name in mutation.field.columns} == dict.fromkeys(
            mutation.field.columns, mutation.stored
        )
    else:
        for name in mutation.field.columns:
            found = stored[name] or None if name == "shipping_address" else stored[name]
            # True == 1, and Decimal("1") == 1, but they are not the same in a table.
            assert (type(found), found) == (type(mutation.stored), mutation.stored), f"{name}: {stored[name]!r:.100}"
    if "fees" in mutation.touched:
        parts = [stored["total"], stored["subtotal"], stored["shipping"]]
        assert stored["fees"] == (None if None in parts else parts[0] - parts[1] - parts[2])
    if "total_price" in mutation.touched:
        price = stored["unit_price"]
        assert stored["total_price"] == (None if price is None else price * stored["quantity"])


def _too_large(mutation: Mutation, order: SandboxOrder) -> bool:
    """Whether an amount worked out from the value is beyond 15 digits."""
    value, lot = mutation.meaning, order.batches[0][0]
    fees = {
        "cost.grand_total": order.grand_total,
        "cost.subtotal": order.subtotal,
        "cost.shipping": order.costs.shipping,
    }
    if mutation.lost or value is None:
        return False
    if mutation.answer == "lot":
        other = {"quantity": lot.unit_price_final, "unit_price_final": lot.quantity}.get(mutation.field.path)
        return other is not None and abs(value * other) >= 10**15
    if mutation.field.path not in fees:
        return False
    fees[mutation.field.path] = value
    return abs(fees["cost.grand_total"] - fees["cost.subtotal"] - fees["cost.shipping"]) >= 10**15


REQUEST = SyncRequest()

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
    with open_warehouse(load_settings(env_file=None, bl_database_url=database_url)) as warehouse:
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
    """Every field with every n-th difficult value."""
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
    configured = load_settings(**CREDENTIALS, env_file=None)
    session = CannedSession(configured.store, empty_warehouse, SyncLock(empty_warehouse), clock=Clock(NOW))
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

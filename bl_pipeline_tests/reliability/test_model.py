"""A store lives, its API fails, syncs die: whatever the order of events, the warehouse ends as the store is.

Hypothesis makes up the events. The model is the store itself, which remembers every state its orders ever had,
and the rows are worked out from it by `expected`, which shares no code with the pipeline.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from bl_pipeline.records import ExitCode, SyncRequest, SyncResult
from bl_pipeline.sandbox import PASSING, Fault, NotPossibleError, RecordedRequest, SandboxServer, Wire
from bl_pipeline.settings import load_settings
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline_tests.conftest import NOW, Clock
from bl_pipeline_tests.support.sales_rows import (
    Row,
    as_read,
    item_rows,
    items_as_read,
    order_row,
    stored_items,
    stored_orders,
)
from bl_pipeline_tests.support.world import (
    Death,
    RememberingStore,
    World,
    check_ledger,
    check_signatures,
    fits,
    is_sound,
    landed,
    status_of_purged,
    truncate,
)

pytestmark = pytest.mark.slow

FAULTS = (*PASSING, Fault.DATA_ABSENT, Fault.DATA_NULL, Fault.WRONG_TYPE, Fault.FORBIDDEN, Fault.UNAUTHORIZED)
STATUSES = ("PROCESSING", "READY", "PAID-PENDING", "OCR", "NPB", "NSS", "AWAITING PICKUP")
# What no list shows, so that only a re-check finds it.
ONLY_IN_DETAIL = {"remarks", "tracking_number", "tracking_url"}
COST_PARTS = {"shipping", "fees", "insurance", "etc1", "etc2", "credit", "coupon", "vat_amount"}

Change = Callable[[RememberingStore, int, Any], object]
CHANGES: dict[str, Change] = {
    "pay": lambda store, order_id, _: store.pay(order_id),
    "pack": lambda store, order_id, _: store.pack(order_id),
    "ship": lambda store, order_id, word: store.ship(order_id, tracking_no=f"TR{word}"),
    "receive": lambda store, order_id, _: store.receive(order_id),
    "complete": lambda store, order_id, _: store.complete(order_id),
    "cancel": lambda store, order_id, _: store.cancel(order_id),
    "status": lambda store, order_id, word: store.set_status(order_id, STATUSES[word % len(STATUSES)]),
    "payment": lambda store, order_id, word: store.set_payment_status(order_id, ("Sent", "Bounced")[word % 2]),
    "shipping": lambda store, order_id, word: store.edit_costs(order_id, shipping=Decimal(word) / 8),
    "credit": lambda store, order_id, word: store.edit_costs(order_id, credit=Decimal(word) / 100),
    "remarks": lambda store, order_id, word: store.edit_remarks(order_id, f"shelf &#40;{word}&#41;" if word else None),
    "tracking": lambda store, order_id, word: store.edit_tracking(order_id, f"TN{word}" if word else None),
    "file": lambda store, order_id, _: store.file(order_id),
    "unfile": lambda store, order_id, _: store.unfile(order_id),
    "purge": lambda store, order_id, _: store.purge(order_id),
    "add batch": lambda store, order_id, _: store.add_batch(order_id),
    "remove item": lambda store, order_id, _: store.remove_last_item(order_id),
}
A_CHANGE = st.tuples(
    st.sampled_from((*sorted(CHANGES), "add batch", "remove item", "purge")), st.integers(0, 11), st.integers(0, 9)
)
"""Which change, of which order, and a number to fill in."""
CHANGES_MADE = st.lists(A_CHANGE, max_size=6)
CHANGES_DURING = st.lists(st.tuples(st.integers(0, 12), A_CHANGE), max_size=3)
"""Changes, each before a certain request of the sync."""
A_DEATH = st.none() | st.tuples(st.integers(0, 25), st.booleans())
"""At which commit, and whether it still takes effect."""


@dataclass
class Tally:
    """What all examples together have been through."""

    examples: int = 0
    syncs: int = 0
    deaths: int = 0
    faults: int = 0
    calls: int = 0
    changes: int = 0


class Life(RuleBasedStateMachine):
    """One store's life."""

    def __init__(self, warehouse: Warehouse, database_url: str, death: Death, tally: Tally) -> None:
        super().__init__()
        truncate(warehouse.engine)
        self.warehouse, self.database_url, self.death, self.tally = warehouse, database_url, death, tally
        self.stack = ExitStack()
        self.during: list[tuple[int, tuple[str, int, int]]] = []
        self.requests_seen = 0
        self.orders: dict[str, Row] = {}
        self.items: dict[str, list[Row]] = {}
        tally.examples += 1

    @initialize(
        seed=st.integers(0, 9),
        orders=st.integers(2, 7),
        allowed=st.sampled_from((12, 30, 5000)),
        purged_items=st.sampled_from(("empty", "absent", "not_found")),
    )
    def begin(self, seed: int, orders: int, allowed: int, purged_items: Any) -> None:
        store = RememberingStore.of(orders=orders, seed=seed, now=NOW, filed=1, purged=1, unknown=0)
        server = SandboxServer(
            store, timestamp_lifetime=10**9, on_request=self._on_request, wire=Wire(purged_items=purged_items)
        )
        self.stack.enter_context(server)
        self.allowed = allowed
        self.world = World(store, server, self.warehouse, self.database_url, Clock(NOW), self.death)
        self.world.overrides = {"bl_daily_call_limit": allowed, "bl_call_reserve": 0}

    # What happens in the store.

    @rule(paid=st.booleans())
    def place(self, paid: bool) -> None:
        if len(self.world.store.sales) < 12:
            self.world.store.place_order(paid=paid)
            self.tally.changes += 1

    @rule(hours=st.sampled_from((1, 7, 25, 75)))
    def time_passes(self, hours: int) -> None:
        self.world.advance(hours=hours)

    def _change_all(self, changes: list[tuple[str, int, int]], during: list[tuple[int, tuple[str, int, int]]]) -> None:
        for each in changes:
            self._change(*each)
        self.during = [(self.requests_seen + at, each) for at, each in during]

    def _change(self, name: str, which: int, word: int) -> None:
        store = self.world.store
        sales = sorted(store.sales.values(), key=lambda order: order.order_id)
        order = sales[which % len(sales)]
        if order.is_purged and name not in ("file", "unfile"):
            return
        try:
            CHANGES[name](store, order.order_id, word)
            self.tally.changes += 1
        except NotPossibleError:
            return

    def _on_request(self, _request: RecordedRequest) -> None:
        self.requests_seen += 1
        due = [entry for entry in self.during if entry[0] < self.requests_seen]
        self.during = [entry for entry in self.during if entry[0] >= self.requests_seen]
        for _, each in due:
            self._change(*each)

    # What happens to the API.

    @rule(
        rate=st.sampled_from((0.1, 0.3, 0.7)), kinds=st.sets(st.sampled_from(FAULTS), min_size=1), seed=st.integers(0)
    )
    def faults_begin(self, rate: float, kinds: set[Fault], seed: int) -> None:
        self.world.server.faults.at_random(rate, sorted(kinds), seed % 1000)

    @rule()
    def faults_end(self) -> None:
        self.world.server.faults.clear()

    # What the pipeline does, after these changes, and while those happen.

    @rule(changes=CHANGES_MADE, during=CHANGES_DURING, filed=st.booleans(), items=st.booleans(), death=A_DEATH)
    def incremental(self, changes: Any, during: Any, filed: bool, items: bool, death: Any) -> None:
        self._change_all(changes, during)
        self._sync(SyncRequest(include_filed=filed, include_items=items), death)

    @rule(changes=CHANGES_MADE, during=CHANGES_DURING)
    def plain_sync(self, changes: Any, during: Any) -> None:
        self._change_all(changes, during)
        self._sync(SyncRequest())

    @rule(changes=CHANGES_MADE, during=CHANGES_DURING, items=st.booleans(), death=A_DEATH)
    def full(self, changes: Any, during: Any, items: bool, death: Any) -> None:
        self._change_all(changes, during)
        self._sync(SyncRequest(full_sync=True, include_items=items), death)

    @rule(changes=CHANGES_MADE, which=st.sets(st.integers(0, 11), min_size=1, max_size=3), death=A_DEATH)
    def refresh(self, changes: Any, which: set[int], death: Any) -> None:
        self._change_all(changes, [])
        known = sorted(self.orders)
        if not known:
            # No precondition: with two requests at a time a life is not the same twice, but its events have to be.
            return
        order_ids = tuple(sorted({known[position % len(known)] for position in which}))
        self._sync(SyncRequest(order_ids=order_ids), death)

    @rule(death=A_DEATH)
    def retry(self, death: Any) -> None:
        self._sync(SyncRequest(only_failed=True), death)

    def _sync(self, request: SyncRequest, death: tuple[int, bool] | None = None) -> SyncResult | None:
        die_at, after = death or (None, False)
        result = self.world.sync_or_die(request, die_at=die_at, after=after)
        self.tally.syncs += 1
        self.tally.deaths += result is None
        self._check()
        return result

    # What has to be true after every sync, whatever became of it.

    def _check(self) -> None:
        store = self.world.store
        check_ledger(self.world, allowed=self.allowed)
        check_signatures(self.world.server)
        orders, items = stored_orders(self.warehouse), stored_items(self.warehouse)
        assert orders.keys() <= {str(order_id) for order_id in store.sales}, "an order that is no sale of the store"
        assert orders.keys() >= self.orders.keys(), "an order was lost"
        for order_id, row in orders.items():
            versions = store.versions[int(order_id)]
            assert any(fits(row, version) for version in versions), f"{order_id} is stored as it never was: {row}"
            lines = items.get(order_id, [])
            if lines:
                # A fault makes the first lot unreadable; the others are stored.
                assert any(lines in (items_as_read(lots, lines), lots[1:]) for lots in map(item_rows, versions)), (
                    f"{order_id} never had these items"
                )
            had = self.items.get(order_id, [])
            if had and not lines:
                gone = any(not version.lots for version in versions)
                assert gone and row["platform_status"] != "PURGED", f"{order_id} has lost its items"
            if self.orders.get(order_id, {}).get("platform_status") == "PURGED":
                assert lines == had, f"the items of the purged {order_id} were touched"
        self.orders, self.items = orders, items

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self._come_to_rest()
        finally:
            self.stack.close()

    def _come_to_rest(self) -> None:
        world = self.world
        self.tally.faults += sum(request.fault is not None for request in world.server.requests)
        world.server.faults.clear()
        self.during.clear()
        # The longest wait after failures is a week. Then a day's budget brings at least (allowed - 2) // 2 orders.
        world.advance(days=8)
        result: SyncResult | None = None
        for _ in range(2 + len(world.store.sales) * 4 // (self.allowed - 2)):
            world.advance(hours=25)
            result = self._sync(SyncRequest())
            assert result is not None
            assert result.exit_code in (ExitCode.DONE, ExitCode.BUDGET), result
            if result.success:
                break
        assert result is not None
        assert result.success, "the warehouse does not come to rest"
        self._check_equal(but_for=ONLY_IN_DETAIL | COST_PARTS)

        # After a month every order is due for a look that no list calls for: one run is enough.
        self.allowed = world.overrides["bl_daily_call_limit"] = 5000
        world.advance(days=31)
        result = self._sync(SyncRequest())
        assert result is not None
        assert result.success, result
        self._check_equal(but_for=set())
        result = self._sync(SyncRequest())
        assert result is not None
        assert self._fetched() == [], "at rest, yet not at rest"
        assert (result.api_calls, result.orders_skipped) == (2, len(world.store.sales))
        self.tally.calls += check_ledger(world, allowed=5000)
        with self.warehouse.engine.connect() as connection:
            left = connection.scalar(text("SELECT count(*) FROM sync.full_syncs WHERE completed_at IS NULL"))
            started = connection.scalar(text("SELECT count(*) FROM sync.runs WHERE status = 'started'"))
        assert (left, started) == (0, 0)

    def _fetched(self) -> list[tuple[str, str]]:
        """What the last run set out to fetch, and why."""
        with self.warehouse.engine.connect() as connection:
            rows = connection.execute(
                text(
                    """
                    SELECT platform_order_id, reason FROM sync.run_orders
                    WHERE run_id = (SELECT run_id FROM sync.api_calls ORDER BY call_id DESC LIMIT 1)
                    """
                )
            )
            return [(row[0], row[1]) for row in rows]

    def _check_equal(self, *, but_for: set[str]) -> None:
        """The warehouse is the store, except these columns of orders."""
        answers = landed(self.warehouse)
        assert self.orders.keys() == {str(order_id) for order_id in self.world.store.sales}
        for order in self.world.store.sales.values():
            order_id = str(order.order_id)
            row = self.orders[order_id]
            details = [body for kind, body in answers[order_id] if kind == "order" and is_sound(body)]
            right = as_read(order_row(order, first_order_date=row["first_order_date"]), row)
            if order.is_purged:
                right["status"] = status_of_purged(details)
            wrong = {
                name: (row[name], value)
                for name, value in right.items()
                if row[name] != value and name not in but_for and not (order.is_purged and value is None)
            }
            assert not wrong, f"{order_id}: {wrong}"
            if order.is_purged:
                assert [line["item_number"] for line in self.items.get(order_id, [])] in last_items(answers[order_id])
            else:
                lines = self.items.get(order_id, [])
                assert lines == items_as_read(item_rows(order), lines), f"{order_id}: other items"


def last_items(answers: list[tuple[str, Any]]) -> list[list[str]]:
    """The items, by number, that were last seen of an order before BrickLink deleted them.

    Those of the last whole answer, or of a later one of which the first lot could not be read.
    """
    last: list[list[str]] = [[]]
    may_be_empty = False
    for kind, body in answers:
        numbers = [lot["item"]["no"] for batch in body for lot in batch] if kind == "items" else []
        if kind == "order":
            may_be_empty = body["status"] != "PURGED" and body["total_count"] == 0
        elif not is_sound_items(body):
            last = [*last, numbers[1:]] if len(numbers) > 1 else last
        # None are believed if the order counts none: its last item was taken off. Else they were purged meanwhile.
        elif body or may_be_empty:
            last = [numbers]
    return last


def is_sound_items(batches: Any) -> bool:
    """Whether no fault has made a lot of them unreadable."""
    return not batches or (isinstance(batches[0][0]["quantity"], int) and "," not in batches[0][0]["unit_price_final"])


@pytest.fixture
def stage(database_url: str) -> Iterator[tuple[Warehouse, str, Death]]:
    """One warehouse for all examples: each begins by emptying it."""
    with open_warehouse(load_settings(env_file=None, bl_database_url=database_url)) as warehouse:
        death = Death(warehouse.engine)
        yield warehouse, database_url, death
        death.close()


def live(stage: tuple[Warehouse, str, Death], profile: settings) -> Tally:
    """Run this number of lives."""
    tally = Tally()
    # A function that makes one does as well as the class.
    machine = cast(type[RuleBasedStateMachine], lambda: Life(*stage, tally))
    run_state_machine_as_test(machine, settings=profile)
    print(tally)  # noqa: T201  (shown with -rP)
    return tally


_COMMON: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
    "phases": (Phase.explicit, Phase.generate),
}


def test_whatever_happens_the_warehouse_ends_as_the_store_is(stage: tuple[Warehouse, str, Death]) -> None:
    """Planted: payments and totals that the list says changed, not compared with what it said before."""
    tally = live(stage, settings(max_examples=28, stateful_step_count=18, derandomize=True, **_COMMON))
    assert tally.deaths
    assert tally.faults


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_whatever_happens_for_long_the_warehouse_ends_as_the_store_is(stage: tuple[Warehouse, str, Death]) -> None:
    """The same with other events each time."""
    examples = int(os.environ.get("BL_TEST_EXAMPLES", "300"))
    live(stage, settings(max_examples=examples, stateful_step_count=40, **_COMMON))

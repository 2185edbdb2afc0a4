"""`sales` made again from what was received: the same rows, no call, and rather nothing than a lost order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from bl_pipeline.defs.resources import OpenedSession
from bl_pipeline.records import SyncRequest
from bl_pipeline.sandbox import Fault, SandboxServer, Store, move_on
from bl_pipeline.settings import Settings
from bl_pipeline.sync.rebuild import RebuildResult, rebuild
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import NOW, Clock, MakeSettings, Sync, sandbox_settings
from bl_pipeline_tests.support.processes import EVERYTHING, Commits, Task, run_and_kill, run_steps, start
from bl_pipeline_tests.support.sales_rows import Row, as_json, dump, stored_items
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.support.sessions import session_at
from bl_pipeline_tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    import dagster as dg

pytestmark = pytest.mark.slow

SALES = ("sales.orders", "sales.order_items", "sales.replaced_items", "sales.order_status_history")


def grow() -> Store:
    """A store of every kind of order."""
    return Store.grow(orders=14, seed=21, now=NOW, filed=4, purged=2, unknown=1, currencies=("EUR", "USD"))


@pytest.fixture
def store() -> Store:
    return grow()


def sales(warehouse: Warehouse) -> dict[str, list[Row]]:
    """Every row of `sales`, with the ids and times of its origin."""
    return {table: sorted(rows, key=lambda row: row["store"]) for table, rows in dump(warehouse, *SALES).items()}


def do_rebuild(settings: Settings, clock: Clock) -> RebuildResult:
    with session_at(settings, clock) as session:
        session.take_lock(lambda: None)
        return rebuild(session)


def sync_once(settings: Settings, clock: Clock, request: SyncRequest = EVERYTHING) -> None:
    with session_at(settings, clock) as session:
        run_steps(session, request, batch_size=5)


def make_history(settings: Settings, store: Store, server: SandboxServer) -> None:
    """Several states of orders, batches, purges, refreshes, failures, a killed run."""
    clock = Clock(NOW)

    def pass_time() -> None:
        clock.advance(hours=25)
        store.advance(timedelta(hours=25))

    sync_once(settings, clock)
    for seed in range(4):
        pass_time()
        move_on(store, new=1, changed=4, seed=seed)
        if seed == 2:
            # Answers have landed and are not loaded when it dies.
            task = Task(settings.model_copy(update={"bl_max_parallel_requests": 1}), clock.now)
            assert run_and_kill(task, 15, after=True)
        sync_once(settings, clock)
    unfiled = [order for order in store.sales.values() if not order.is_filed and not order.is_purged]
    first, second, third = (order.order_id for order in unfiled[:3])
    pass_time()
    store.add_batch(first)
    store.remove_last_item(second)
    store.edit_remarks(third, "No list shows this")
    for order in list(store.sales.values()):
        if order.is_filed and not order.is_purged:
            store.purge(order.order_id)
    sync_once(settings, clock)
    pass_time()
    sync_once(settings, clock, SyncRequest(order_ids=(str(first), str(third))))
    pass_time()
    # Failures: of two that are stored, and of one that is new and never was.
    store.set_status(second, "OCR")
    new = store.place_order()
    for broken in (second, new):
        server.faults.on(f"/orders/{broken}$", Fault.WRONG_TYPE_MONEY)
    server.faults.on(f"/orders/{third}/items$", Fault.WRONG_TYPE_COUNT)
    store.add_batch(third)
    sync_once(settings, clock)


@pytest.fixture(scope="session")
def eventful_template(postgres: Postgres) -> str:
    """A template of a warehouse with a past."""
    name = "bl_pipeline_template_eventful"

    def fill(url: str) -> None:
        with SandboxServer(grow(), timestamp_lifetime=10**9) as server:
            make_history(sandbox_settings(server, url), server.store, server)

    postgres.make_template(name, "bl_pipeline_template", fill)
    return name


@pytest.fixture
def database_url(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[str]:
    """A database with a past if the test asks for `eventful`, else an empty one."""
    eventful = "eventful" in request.fixturenames
    template = request.getfixturevalue("eventful_template") if eventful else "bl_pipeline_template"
    with postgres.database(template) as url:
        yield url


@pytest.fixture
def eventful(warehouse: Warehouse, clock: Clock) -> Warehouse:
    """A warehouse with a past."""
    clock.advance(days=12)
    with warehouse.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM sync.order_state WHERE failed_at IS NOT NULL")) == 3
        assert (connection.scalar(text("SELECT count(*) FROM sales.order_status_history")) or 0) > 25
    return warehouse


def test_the_same_rows_and_no_call(
    eventful: Warehouse, settings: Settings, clock: Clock, server: SandboxServer
) -> None:
    """Planted: only the last answer of each order replayed, so that history is lost; items of purged orders dropped;
    provenance taken from the run instead of the answer.
    """
    before, states = sales(eventful), dump(eventful, "sync.order_state")
    clock.advance(days=3)

    result = do_rebuild(settings, clock)

    assert not result.undone
    assert result.orders == len(before["sales.orders"])
    assert as_json(sales(eventful)) == as_json(before)
    assert as_json(dump(eventful, "sync.order_state")) == as_json(states)
    assert server.requests == []


def test_damage_is_repaired(eventful: Warehouse, settings: Settings, clock: Clock) -> None:
    """Planted: rows merged rather than made again, so that a wrong row too many stays."""
    before = sales(eventful)
    with eventful.engine.begin() as connection:
        connection.execute(text("UPDATE sales.orders SET total = total + 1, buyer_name = NULL, disp_vat_rate = NULL"))
        connection.execute(text("DELETE FROM sales.order_items WHERE line_number = 1"))
        connection.execute(text("DELETE FROM sales.order_status_history WHERE total > 20"))
        connection.execute(
            text(
                "INSERT INTO sales.order_items (store, platform, platform_order_id, batch_number, line_number) "
                "SELECT store, platform, platform_order_id, 99, 99 FROM sales.orders LIMIT 3"
            )
        )
    assert sales(eventful) != before

    assert not do_rebuild(settings, clock).undone

    assert as_json(sales(eventful)) == as_json(before)


def test_another_store_is_left_alone(eventful: Warehouse, settings: Settings, clock: Clock, database_url: str) -> None:
    """Planted: tables emptied without the store in the WHERE."""
    others = Store.grow(orders=6, seed=8, now=NOW, purged=0)
    with SandboxServer(others, timestamp_lifetime=10**9) as server:
        sync_once(sandbox_settings(server, database_url, bl_store="other"), clock)
    before = sales(eventful)
    assert "other" in as_json(before)

    do_rebuild(settings, clock)

    assert as_json(sales(eventful)) == as_json(before)


@pytest.mark.parametrize("kind", ["order", "items"])
def test_an_order_that_cannot_be_read_any_more_undoes_it(
    kind: str, eventful: Warehouse, settings: Settings, clock: Clock
) -> None:
    """Planted: the order just left out; the tables emptied in a transaction of their own."""
    with eventful.engine.begin() as connection:
        order_id = connection.scalar(
            text("SELECT platform_order_id FROM sync.order_state WHERE failed_at IS NULL ORDER BY 1 LIMIT 1")
        )
        # An answer as no normalisation knows it: what a later release may make of an old one.
        connection.execute(
            text(
                "UPDATE landing.documents SET body = CAST(:body AS json) "
                "WHERE kind = :kind AND platform_order_id = :order_id"
            ),
            {"kind": kind, "order_id": order_id, "body": '{"order_id": []}' if kind == "order" else '[[{"item": 7}]]'},
        )
    before, states = sales(eventful), dump(eventful, "sync.order_state")

    result = do_rebuild(settings, clock)

    assert result.undone
    assert order_id in [failed.order_id for failed in result.failures]
    assert str(order_id) in result.message
    assert as_json(sales(eventful)) == as_json(before)
    assert as_json(dump(eventful, "sync.order_state")) == as_json(states)


@pytest.mark.parametrize("kill_at", range(2))
def test_killed_it_has_changed_nothing(kill_at: int, eventful: Warehouse, settings: Settings, clock: Clock) -> None:
    """Planted: the tables emptied, or each part of the orders filled in, in a transaction of its own."""
    before = sales(eventful)
    task = Task(settings, clock.now)

    died = run_rebuild_and_kill(task, kill_at)

    assert as_json(sales(eventful)) == as_json(before)
    assert died or kill_at > 0
    assert not do_rebuild(settings, clock).undone
    assert as_json(sales(eventful)) == as_json(before)


def run_rebuild_and_kill(task: Task, kill_at: int) -> bool:
    """Rebuild in a process that is killed before one of its commits; False if it came to its end."""
    process = start(_doomed_rebuild, task, kill_at)
    process.join(PATIENCE)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _doomed_rebuild(task: Task, kill_at: int) -> None:
    with session_at(task.settings, task.clock) as session:
        session.take_lock(lambda: None)
        Commits(kill_at).watch(session.warehouse.engine)
        rebuild(session)


@pytest.mark.parametrize("kill_at", range(6, 22, 2))
def test_what_a_killed_run_left_is_neither_lost_nor_half_there(
    kill_at: int, make_settings: MakeSettings, store: Store, server: SandboxServer, clock: Clock, warehouse: Warehouse
) -> None:
    """A rebuild between a kill and the next sync: it takes an order whole or not at all, and the sync goes on as ever.

    Planted: an order replayed without the items it came with; a rebuild that makes the next sync call again for what
    has landed.
    """
    settings = make_settings(bl_max_parallel_requests=1)
    sync_once(settings, clock)
    clock.advance(hours=1)
    for order in list(store.sales.values())[-4:]:
        if not order.is_purged:
            store.add_batch(order.order_id)
    store.place_order()
    server.clear_requests()
    task = Task(settings, clock.now, batch_size=3)
    assert run_and_kill(task, kill_at, after=True)
    held_before = stored_items(warehouse)
    asked = {request.path for request in server.requests if request.path != "/orders"}
    with warehouse.engine.connect() as connection:
        loose = connection.execute(
            text("SELECT platform_order_id, kind FROM landing.documents WHERE fetched_at = :now"), {"now": clock.now}
        ).all()
        in_store = connection.scalar(text("SELECT count(*) FROM sales.orders"))
    landed = {f"/orders/{row.platform_order_id}{'/items' if row.kind == 'items' else ''}" for row in loose}
    assert landed <= asked

    assert not do_rebuild(settings, clock).undone

    with warehouse.engine.connect() as connection:
        assert (connection.scalar(text("SELECT count(*) FROM sales.orders")) or 0) >= (in_store or 0)
        uneven = connection.scalars(
            text(
                """
                SELECT o.platform_order_id FROM sales.orders o LEFT JOIN LATERAL (
                    SELECT count(*) AS lots, sum(quantity) AS pieces FROM sales.order_items i
                    WHERE (i.store, i.platform, i.platform_order_id) = (o.store, o.platform, o.platform_order_id)
                ) i ON true
                WHERE o.platform_status <> 'PURGED'
                  AND (i.lots, coalesce(i.pieces, 0)) <> (o.unique_count, o.total_count)
                """
            )
        ).all()
    assert uneven == [], "an order with items of another state of it"
    assert set(held_before) <= set(stored_items(warehouse))

    server.clear_requests()
    clock.advance(minutes=30)
    sync_once(settings, clock)
    again = {request.path for request in server.requests if request.path != "/orders"}
    assert again & landed == set()
    after = sales(warehouse)
    assert {row["platform_order_id"] for row in after["sales.orders"]} == {str(key) for key in store.sales}
    assert not do_rebuild(settings, clock).undone
    assert as_json(sales(warehouse)) == as_json(after)


def test_the_job_takes_the_lock_and_reports(
    synced: Sync, dagster_instance: dg.DagsterInstance, warehouse: Warehouse, server: SandboxServer
) -> None:
    """Through Dagster: `rebuild` as the UI and `bl rebuild` run it."""
    from bl_pipeline.definitions import defs
    from bl_pipeline.sync.session import open_session

    before = sales(warehouse)
    server.clear_requests()
    with open_session(synced.settings) as session:
        run = defs.resolve_job_def("rebuild").execute_in_process(
            resources={"sync": OpenedSession(session)}, instance=dagster_instance
        )
        assert session.lock.taken

    assert run.success
    assert as_json(sales(warehouse)) == as_json(before)
    assert server.requests == []

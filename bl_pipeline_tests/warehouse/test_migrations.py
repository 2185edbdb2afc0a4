"""A warehouse of an earlier release is brought up to date with what it has, and costs no call for it."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

import bl_pipeline.warehouse
from bl_pipeline.records import SyncRequest
from bl_pipeline.reports.views import install_reports
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.settings import Settings
from bl_pipeline.warehouse.database import Warehouse, known_revisions
from bl_pipeline_tests.conftest import Clock, Sync, sandbox_settings
from bl_pipeline_tests.support.processes import run_steps
from bl_pipeline_tests.support.sales_rows import dump
from bl_pipeline_tests.support.sessions import session_at


def back_to_0002(connection: Connection) -> None:
    """Undo 0008, and what 0003 does: keys without currency and date, digests of the answers."""
    for schema, table, before, after, _comment in scripts().get_revision("0008").module.COLUMNS:
        connection.execute(text(f"ALTER TABLE {schema}.{table} RENAME {after} TO {before}"))
    keys = connection.execute(text("SELECT platform_order_id, order_key, items_key FROM sync.order_state")).all()
    for order_id, *pair in keys:
        shortened = [None if key is None else json.dumps(json.loads(key)[:4]) for key in pair]
        connection.execute(
            text("UPDATE sync.order_state SET order_key = :o, items_key = :i WHERE platform_order_id = :order_id"),
            {"o": shortened[0], "i": shortened[1], "order_id": order_id},
        )
    connection.execute(text("ALTER TABLE sync.order_state ADD order_digest text, ADD items_digest text"))


def scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(bl_pipeline.warehouse.__file__).parent / "migrations"))


def migrate(connection: Connection, revision: str) -> None:
    """Apply one migration."""
    with Operations.context(MigrationContext.configure(connection)):
        scripts().get_revision(revision).module.upgrade()


def test_the_names_of_the_files_are_the_revisions_in_their_order() -> None:
    """Planted: a file that does not begin with its revision; two with the same number."""
    assert known_revisions() == [script.revision for script in scripts().walk_revisions()][::-1]


def test_items_are_fetched_again_only_if_the_date_of_their_order_has_moved_since(
    synced: Sync, store: Store, server: SandboxServer, settings: Settings, clock: Clock, warehouse: Warehouse
) -> None:
    """Planted: the migration left out, which fetches all items again; the date of today taken for that of the items."""
    moved, *others = (order.order_id for order in store.sales.values() if not order.is_purged)
    store.set_status(others[0], "OCR")
    store.put(replace(store.order(moved), date_ordered=store.order(moved).date_ordered + timedelta(days=1)))
    with session_at(settings, clock) as session:
        run_steps(session, SyncRequest(include_items=False))
    before = dump(warehouse, "sync.order_state")
    with warehouse.engine.begin() as connection:
        back_to_0002(connection)
        lost = connection.scalar(
            text(
                "DELETE FROM sales.order_status_history WHERE platform_order_id = :order_id RETURNING platform_order_id"
            ),
            {"order_id": str(others[1])},
        )
        assert lost == str(others[1])
    server.clear_requests()

    with warehouse.engine.begin() as connection:
        migrate(connection, "0003")
        migrate(connection, "0008")
    assert dump(warehouse, "sync.order_state") == before
    with session_at(settings, clock) as session:
        result = run_steps(session)

    assert result.success
    assert [request.path for request in server.requests if request.path != "/orders"] == [f"/orders/{moved}/items"]


@pytest.mark.parametrize("release", ["0007"])
def test_a_warehouse_of_an_earlier_release_is_upgraded_and_synced(
    release: str, server: SandboxServer, store: Store, empty_database_url: str, clock: Clock
) -> None:
    """What it has stays as it is, and the next sync asks for what has changed and no more.

    `releases/` has dumps of warehouses as releases made them, of the store of the fixture `store` after one sync.
    Planted: a migration that loses stored_fingerprint, which fetches every order again.
    """
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        dumped = gzip.decompress((Path(__file__).parent / "releases" / f"{release}.sql.gz").read_bytes())
        connection.execute(dumped)
    changed = next(order.order_id for order in store.sales.values() if not order.is_purged)
    store.set_payment_status(changed, "Bounced")
    clock.advance(hours=1)
    settings = sandbox_settings(server, empty_database_url)

    with session_at(settings, clock) as session:
        orders = dump(session.warehouse, "sales.orders")["sales.orders"]
        result = run_steps(session)

    assert len(orders) == len(store.sales) == result.orders_processed
    assert (result.success, result.orders_updated) == (True, 1)
    assert [request.path for request in server.requests] == ["/orders", "/orders", f"/orders/{changed}"]


def test_stored_reports_become_live_and_what_is_built_on_them_stays(synced: Sync, warehouse: Warehouse) -> None:
    """Planted: the tables dropped with CASCADE, which drops the seller's view; the digests left as they were."""
    with warehouse.engine.begin() as connection:
        before = connection.execute(text("SELECT * FROM reports.revenue_by_month ORDER BY 1, 2, 3, 4")).all()
        for statement in (
            "CREATE SCHEMA stored",
            "ALTER TABLE sync.report_views ADD stored_at timestamptz",
            "CREATE TABLE stored.revenue_by_month AS SELECT * FROM reports.revenue_by_month LIMIT 1",
            "CREATE OR REPLACE VIEW reports.revenue_by_month AS SELECT * FROM stored.revenue_by_month",
            "CREATE VIEW public.mine AS SELECT * FROM reports.revenue_by_month",
        ):
            connection.execute(text(statement))
        migrate(connection, "0010")
        install_reports(connection)

        assert len(before) > 1
        for view in ("reports.revenue_by_month", "public.mine"):
            assert connection.execute(text(f"SELECT * FROM {view} ORDER BY 1, 2, 3, 4")).all() == before
        assert connection.scalar(text("SELECT to_regnamespace('stored')")) is None

"""A store that is called otherwise than before, as `bl` says it and as `bl rename-store` repairs it."""

from __future__ import annotations

import psycopg
import pytest

from bl_pipeline.sandbox import SandboxServer
from bl_pipeline_tests.terminal.conftest import Bl, expect, json_of

pytestmark = pytest.mark.slow


def test_a_new_name_is_named_everywhere_and_can_be_given(bl: Bl, server: SandboxServer) -> None:
    """Planted: an empty list without a hint; a doctor who finds nothing; a name that only half of the tables have."""
    expect(bl("sync"), 0)
    asked = len(server.requests)

    assert "Error: Store shop has no orders yet" in expect(bl("sync", BL_STORE="shop"), 2).stderr
    assert "bl rename-store main shop" in expect(bl("plan", BL_STORE="shop"), 2).stderr
    doctor = expect(bl("doctor", BL_STORE="shop"), 2).stdout
    assert "bl rename-store main shop" in " ".join(doctor.split())
    hint = "No orders of store shop; this warehouse has orders of: main. Choose one with --store, or set BL_STORE."
    assert hint in " ".join(expect(bl("orders", BL_STORE="shop"), 0).stderr.split())
    assert len(server.requests) == asked

    assert "is called main already" in expect(bl("rename-store", "main", "main"), 2).stderr
    assert "no orders of a store mian" in expect(bl("rename-store", "mian", "shop"), 2).stderr
    renamed = expect(bl("rename-store", "main", " shop "), 0).stdout  # as BL_STORE would have it
    assert "Store main is called shop now, with 12 orders. Set BL_STORE=shop." in renamed
    # The refused syncs under the new name say nothing any more.
    assert json_of(expect(bl("status", "--json", BL_STORE="shop"), 0))["indicator"] == "synced"
    assert len(json_of(expect(bl("orders", "--json", BL_STORE="shop"), 0))) == 12
    assert expect(bl("report", "revenue_by_year", "--json", BL_STORE="shop"), 0).stdout != "[]\n"
    assert json_of(expect(bl("sync", "--json", BL_STORE="shop"), 0))["orders_skipped"] == 12
    assert "orders of: shop" in " ".join(expect(bl("orders"), 0).stderr.split())


def test_two_stores_cannot_become_one(synced_bl: Bl, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO sync.order_state (store, platform, platform_order_id, order_date, listed_fingerprint, "
            "listed_status, first_listed_at) VALUES ('other', 'bricklink', '1', now(), '', 'PAID', now())"
        )
    refused = expect(synced_bl("rename-store", "main", "other"), 2)
    assert "two stores cannot become one" in " ".join(refused.stderr.split())


def test_a_store_is_not_renamed_while_it_syncs(synced_bl: Bl, database_url: str) -> None:
    """Planted: the lock not taken."""
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended('bl_pipeline.sync:main', 0))")
        refused = expect(synced_bl("rename-store", "main", "shop"), 1)
    assert "A sync of store main is running" in " ".join(refused.stderr.split())

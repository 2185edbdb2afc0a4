"""What a load leaves in `sales`: of one store among several, and nothing of another."""

from __future__ import annotations

from sqlalchemy import text

from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.load import _keep_replaced, analyze_sales, clear_sales
from bl_pipeline_tests.conftest import Sync
from bl_pipeline_tests.support import many_orders

TABLES = ("orders", "order_items", "order_status_history")


def test_the_sales_of_one_store_are_cleared(synced: Sync, warehouse: Warehouse) -> None:
    """Planted: nothing deleted; what another store has deleted too."""
    with warehouse.engine.begin() as connection:

        def count(store: str) -> list[int]:
            values = {"store": store}
            return [
                connection.scalar(text(f"SELECT count(*) FROM sales.{table} WHERE store = :store"), values) or 0
                for table in TABLES
            ]

        before = count("main")
        assert all(before)
        clear_sales(connection, Warehouse(warehouse.engine, "other"))
        assert count("main") == before
        clear_sales(connection, warehouse)
        assert count("main") == [0, 0, 0]


def test_postgres_has_looked_at_the_sales_afterwards(synced: Sync, warehouse: Warehouse) -> None:
    """Else it may plan a query for an empty table."""
    with warehouse.engine.begin() as connection:
        analyze_sales(connection)
        rows = text(
            "SELECT relname, reltuples FROM pg_class WHERE relnamespace = 'sales'::regnamespace AND relkind = 'r'"
        )
        seen = {name: int(count) for name, count in connection.execute(rows)}
    assert {name: seen[name] for name in ("orders", "order_status_history")} == {
        "orders": 24, "order_status_history": 24,
    }  # fmt: skip
    assert min(seen.values()) >= 0, seen


def test_replaced_lots_are_read_order_by_order(warehouse: Warehouse) -> None:
    """Also before Postgres has counted the rows, as after a restore.

    Caught: all lots of the store read for each of its orders, so that 200 changed orders of 10,000 took two minutes,
    and those of a larger store hours.
    """
    orders = 2000  # with a few hundred, Postgres may take any index
    with warehouse.engine.begin() as connection:
        for table in ("sales.orders", "sales.order_items", "landing.documents"):
            connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)"))
        many_orders.fill(connection, orders)
    with warehouse.engine.begin() as connection:
        connection.execute(text("CREATE TEMP TABLE staged_orders ON COMMIT DROP AS TABLE sales.orders"))
        connection.execute(text("UPDATE staged_orders SET items_document_id = items_document_id + 1"))
        order_ids = list(connection.scalars(text("SELECT platform_order_id FROM sales.orders")))
        read = text(
            "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables "
            "WHERE relid IN ('sales.orders'::regclass, 'sales.order_items'::regclass)"
        )
        before = connection.scalar(read)
        _keep_replaced(connection, order_ids)
        assert connection.scalar(read) - before <= 6 * orders
        lots = connection.scalar(text("SELECT count(*) FROM sales.order_items"))
        assert connection.scalar(text("SELECT count(*) FROM sales.replaced_items")) == lots

"""What a load leaves in `sales`: of one store among several, and nothing of another."""

from __future__ import annotations

from sqlalchemy import text

from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.load import analyze_sales, clear_sales
from bl_pipeline_tests.conftest import Sync

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

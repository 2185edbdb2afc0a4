"""Many stores in one warehouse, each with a BrickLink, a life and a clock of its own, through half-hours of a day."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

from sqlalchemy import text

from bl_pipeline.records import SyncRequest, SyncResult
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.settings import Settings, load_settings
from bl_pipeline.sync.run import run_sync
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline_tests.conftest import NOW, Clock, sandbox_settings
from bl_pipeline_tests.support.world import session_on

HALF_HOUR = timedelta(minutes=30)
_AT_A_TIME = 4


@dataclass
class Shop:
    """One store of a fleet: its BrickLink, its settings, its clock, and what came of its syncs."""

    store: Store
    server: SandboxServer
    settings: Settings
    warehouse: Warehouse
    random: Random
    clock: Clock = field(default_factory=lambda: Clock(NOW))
    results: list[SyncResult] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The store's key."""
        return self.settings.bl_store

    def live(self) -> None:
        """What happens in half an hour: most often nothing."""
        open_ids = [order.order_id for order in self.store.sales.values() if not (order.is_purged or order.is_filed)]
        if self.random.random() < 0.1:
            self.store.place_order(paid=self.random.random() < 0.5)
        if self.random.random() < 0.1 and open_ids:
            self.store.set_status(self.random.choice(open_ids), self.random.choice(("PACKED", "SHIPPED", "CANCELLED")))

    def sync(self, run_id: str) -> None:
        """One sync, which must not wait for another one."""
        with session_on(self.warehouse, self.settings, self.clock) as session:
            assert session.lock.try_acquire(), f"{self.key} has to wait"
            self.results.append(run_sync(session, SyncRequest(), run_id=run_id))

    def stored(self) -> set[tuple[str, str]]:
        """Order and status as the warehouse has them."""
        with self.warehouse.engine.connect() as connection:
            rows = connection.execute(
                text("SELECT platform_order_id, platform_status FROM sales.orders WHERE store = :store"),
                {"store": self.key},
            )
            return {(row.platform_order_id, row.platform_status) for row in rows}

    def sold(self) -> set[tuple[str, str]]:
        """The same as BrickLink has them."""
        return {(str(order.order_id), order.status) for order in self.store.sales.values()}


@contextmanager
def new_fleet(database_url: str, stores: int, *, orders: int, limit: int) -> Iterator[list[Shop]]:
    """Shops in one warehouse, which has nothing of them yet; `limit` is the budget of each, in calls of 24 hours."""
    with ExitStack() as stack:
        warehouse = stack.enter_context(
            open_warehouse(load_settings(env_file=None, bl_database_url=database_url, bl_max_parallel_requests=8))
        )
        shops: list[Shop] = []
        taken: set[int] = set()
        seed = 0
        while len(shops) < stores:
            seed += 1
            store = Store.grow(orders=orders, seed=seed, now=NOW, purged=0)
            if taken & store.sales.keys():
                continue  # an order id of BrickLink is of one store only
            taken |= store.sales.keys()
            server = stack.enter_context(SandboxServer(store, timestamp_lifetime=10**9))
            key = f"store_{len(shops):02}"
            settings = sandbox_settings(
                server, database_url, bl_store=key, bl_daily_call_limit=limit, bl_call_reserve=0,
                bl_max_parallel_requests=1, bl_request_timeout=30,
            )  # fmt: skip
            shops.append(Shop(store, server, settings, replace(warehouse, store=key), Random(seed)))
        yield shops


def half_hour(shops: list[Shop], number: int) -> None:
    """Half an hour passes, and each store is synced once, some at the same time, each at its own minute."""
    for place, shop in enumerate(shops):
        shop.store.advance(HALF_HOUR)
        shop.clock.now = NOW + HALF_HOUR * (number + 1) + HALF_HOUR / len(shops) * place
        shop.live()
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        for ended in [threads.submit(shop.sync, f"{shop.key} {number}") for shop in shops]:
            ended.result()


def figures(warehouse: Warehouse) -> str:
    """Rows and size of each table that has any, as lines of text: what docs/capacity.md is made of."""
    with warehouse.engine.connect() as connection:
        tables = connection.scalars(
            text(
                "SELECT format('%I.%I', schemaname, relname) FROM pg_stat_user_tables "
                "WHERE schemaname IN ('landing', 'sales', 'sync', 'books') ORDER BY 1"
            )
        ).all()
        lines = []
        for table in tables:
            rows, size = connection.execute(
                text(f"SELECT count(*), pg_total_relation_size('{table}') FROM {table}")
            ).one()
            if rows:
                lines.append(f"{table}: {rows:,} rows, {size:,} bytes")
        size = connection.scalar(text("SELECT pg_database_size(current_database())"))
        return "\n".join((*lines, f"database: {size:,} bytes"))

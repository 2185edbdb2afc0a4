"""A world of a store and a warehouse in which syncs run and die; and what has to be true at the end."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any, cast

from sqlalchemy import Connection, Engine, event, text

from bl_pipeline.bricklink import RetryPolicy
from bl_pipeline.records import SyncRequest, SyncResult
from bl_pipeline.sandbox import SandboxOrder, SandboxServer, Store
from bl_pipeline.settings import Settings, load_settings
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.conftest import NOW, Clock, sandbox_settings
from bl_pipeline_tests.support.processes import EVERYTHING, run_steps
from bl_pipeline_tests.support.sales_rows import STATUS, Row, as_read, order_row

DAY = timedelta(hours=24)


class Died(BaseException):
    """The end of a process: nothing it does afterwards reaches the database."""


class Death:
    """Ends a run at one of its commits, before or after it takes effect."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._commits_left: int | None = None
        self._after = False
        self._dead = False
        self.commits = 0
        event.listen(engine, "commit", self._on_commit)
        event.listen(engine, "before_cursor_execute", self._on_statement)

    def close(self) -> None:
        """Take the hooks off."""
        event.remove(self._engine, "commit", self._on_commit)
        event.remove(self._engine, "before_cursor_execute", self._on_statement)

    def plan(self, commit: int | None, *, after: bool = False) -> None:
        """Die at this commit, counted from 0; never if it is None."""
        self._commits_left, self._after, self._dead, self.commits = commit, after, False, 0

    def _on_commit(self, _connection: Connection) -> None:
        with self._lock:
            if self._dead:
                raise Died
            self.commits += 1
            if self._commits_left is None:
                return
            if self._commits_left == 0:
                self._dead = True
                if not self._after:
                    raise Died
            self._commits_left -= 1

    def _on_statement(self, *_: object) -> None:
        if self._dead:
            raise Died


class RememberingStore(Store):
    """A store that knows every state each of its orders ever had."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.versions: dict[int, list[SandboxOrder]] = {key: [order] for key, order in self.orders.items()}

    def put(self, order: SandboxOrder) -> None:
        super().put(order)
        self.versions.setdefault(order.order_id, []).append(order)

    @classmethod
    def of(cls, **keywords: Any) -> RememberingStore:
        """As `grow`."""
        return cast(RememberingStore, cls.grow(**keywords))


@contextmanager
def session_on(warehouse: Warehouse, settings: Settings, clock: Clock) -> Iterator[SyncSession]:
    """A session as a process of its own would have it, on an engine that others use too."""
    session = SyncSession(settings.store, warehouse, SyncLock(warehouse))
    session.clock, session.sleep = clock, clock.sleep
    session.retry = RetryPolicy(jitter=Random(1))
    try:
        yield session
    finally:
        session.close()


@dataclass
class World:
    """A store, its API, a warehouse, and a clock that only moves when a test moves it."""

    store: RememberingStore
    server: SandboxServer
    warehouse: Warehouse
    database_url: str
    clock: Clock
    death: Death
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The settings as they are now."""
        usual = {"bl_request_timeout": 30, "bl_max_parallel_requests": 2}
        return sandbox_settings(self.server, self.database_url, **{**usual, **self.overrides})

    def sync(self, request: SyncRequest = EVERYTHING) -> SyncResult:
        """One run."""
        result = self.sync_or_die(request)
        assert result is not None
        return result

    def sync_or_die(
        self, request: SyncRequest = EVERYTHING, *, die_at: int | None = None, after: bool = False
    ) -> SyncResult | None:
        """One run that dies at a commit, counted from 0, before or after it takes effect; None if it died."""
        self.death.plan(die_at, after=after)
        try:
            with session_on(self.warehouse, self.settings, self.clock) as session:
                return run_steps(session, request)
        except Died:
            return None
        finally:
            # A real death ends the threads too.
            for thread in threading.enumerate():
                if thread.name.startswith("fetch"):
                    thread.join()
            self.death.plan(None)

    def advance(self, **by: float) -> None:
        """Time passes, for the store and for us."""
        self.clock.advance(**by)
        self.store.advance(timedelta(**by))


@contextmanager
def new_world(store: RememberingStore, database_url: str, **overrides: Any) -> Iterator[World]:
    """A world of this store, and a warehouse that has nothing of it yet; `overrides` are of its settings."""
    with (
        open_warehouse(load_settings(env_file=None, bl_database_url=database_url)) as warehouse,
        SandboxServer(store, timestamp_lifetime=10**9) as server,
    ):
        yield World(store, server, warehouse, database_url, Clock(NOW), Death(warehouse.engine), overrides)


def truncate(engine: Engine) -> None:
    """An empty warehouse again."""
    with engine.begin() as connection:
        tables = connection.scalars(
            text(
                """
                SELECT schemaname || '.' || tablename FROM pg_tables
                WHERE schemaname IN ('landing', 'sales', 'sync', 'books') AND tablename <> 'alembic_version'
                """
            )
        ).all()
        # What is append-only refuses it otherwise.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY"))


def landed(warehouse: Warehouse) -> dict[str, list[tuple[str, Any]]]:
    """What has landed, in order: kind and JSON, by order id."""
    found: dict[str, list[tuple[str, Any]]] = {}
    with warehouse.engine.connect() as connection:
        for order_id, kind, body in connection.execute(
            text("SELECT platform_order_id, kind, body::text FROM landing.documents ORDER BY document_id")
        ):
            found.setdefault(order_id, []).append((kind, json.loads(body)))
    return found


def is_sound(detail: Any) -> bool:
    """Whether no fault has put a wrong type into it."""
    return isinstance(detail["order_id"], int) and "," not in detail["cost"]["grand_total"]


def status_of_purged(details: list[Any]) -> str:
    """The group of an order that was purged, from all that was ever seen of it."""
    status: str | None = None
    for detail in details:
        if detail["status"] != "PURGED":
            status = STATUS.get(detail["status"], "unknown")
        elif status is None:
            status = "completed" if detail["payment"].get("date_paid") else "unknown"
    assert status is not None
    return status


def fits(stored: Row, order: SandboxOrder) -> bool:
    """Whether a stored row is this state of the order.

    Of a purged one it may know more than BrickLink does. When the order was first dated, and how it stood before
    it was purged, only its past shows it.
    """
    right = as_read(order_row(order), stored)
    known_apart = {"first_order_date"} | ({"status"} if order.is_purged else set())
    return all(
        stored[name] == value or name in known_apart or (order.is_purged and value is None)
        for name, value in right.items()
    )


def check_ledger(world: World, *, allowed: int) -> int:
    """Every request is in the ledger, and no 24 hours have more than the budget; returns the calls."""
    with world.warehouse.engine.connect() as connection:
        times = list(
            connection.scalars(
                text(
                    """
                    SELECT started_at FROM sync.api_calls
                    UNION ALL SELECT usable_until FROM sync.call_reservations, generate_series(1, calls) ORDER BY 1
                    """
                )
            )
        )
    assert len(times) >= len(world.server.requests), "a request was sent that is not in the ledger"
    for position, time in enumerate(times):
        in_window = bisect_right(times, time) - bisect_right(times, time - DAY)
        assert in_window <= allowed, f"{in_window} calls in the 24 hours to call {position}"
    return len(times)


def check_signatures(server: SandboxServer) -> None:
    """No nonce and no signature was ever used twice, and none was refused for what it is."""
    requests = [request for request in server.requests if request.nonce is not None]
    assert len({request.nonce for request in requests}) == len(requests)
    assert len({request.signature for request in requests}) == len(requests)
    assert {request.refusal for request in requests} <= {None}

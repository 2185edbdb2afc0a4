"""Writes to orders of a sandbox: one run each, what it stored, and what effect it had."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from bl_pipeline.rules.writes import checked
from bl_pipeline.sandbox import SandboxServer
from bl_pipeline.settings import Settings
from bl_pipeline.sync.asking import WriteOrder
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.sync.writing import WriteResult, run_write
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import Clock
from bl_pipeline_tests.support.sessions import session_at


def write(session: SyncSession, order_id: int, *, unchanged_since: datetime | None = None, **given: Any) -> WriteResult:
    """One run that writes to one order; `drive_thru=True` sends that."""
    asked = WriteOrder(str(order_id), checked(given), unchanged_since)
    return run_write(session, asked, run_id=uuid4().hex, job="update_order")


@dataclass
class Writer:
    """Runs writes, each in a session of its own, and looks at what became of them."""

    settings: Settings
    clock: Clock
    server: SandboxServer
    warehouse: Warehouse

    def __call__(self, order_id: int, **given: Any) -> WriteResult:
        with session_at(self.settings, self.clock, sleep=self.clock.sleep) as session:
            return write(session, order_id, **given)

    def rows(self) -> list[tuple[Any, ...]]:
        """Kind, answer and outcome of each row of sync.writes."""
        return self.select("SELECT kind, answer, outcome FROM sync.writes ORDER BY write_id")

    def select(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.warehouse.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement), values)]

    def sent(self) -> list[str]:
        """What was sent to change an order: the ends of the paths."""
        return [request.path.split("/")[-1] for request in self.server.requests if request.method != "GET"]

    def effects(self) -> list[str]:
        """Of these, what the sandbox has done."""
        return [request.path.split("/")[-1] for request in self.server.requests if request.had_effect]

    def history(self, order_id: int) -> list[tuple[Any, ...]]:
        """Status, payment status, and whether the change was ours."""
        return self.select(
            "SELECT platform_status, payment_status, is_ours FROM reports.status_history "
            "WHERE platform_order_id = :order_id ORDER BY state_number",
            order_id=str(order_id),
        )

"""How `bl cancel` stops a run, whatever process the run is in: it sets a time in the run's row, which the run reads."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text

from bl_pipeline.warehouse.database import Warehouse


def request_cancel(connection: Connection, warehouse: Warehouse, now: datetime) -> str | None:
    """Ask the started run of the store to stop; its id, None if there is none."""
    run_id: str | None = connection.scalar(
        text(
            """
            UPDATE sync.runs SET cancel_requested_at = coalesce(cancel_requested_at, :now)
            WHERE store = :store AND status = 'started' RETURNING run_id
            """
        ),
        {"store": warehouse.store, "now": now},
    )
    return run_id

"""A write to an order that somebody waits for: without Dagster, so that no event has what was typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from bl_pipeline.clock import utc_now
from bl_pipeline.settings import Settings
from bl_pipeline.sync.asking import ask
from bl_pipeline.sync.finishing import read_result
from bl_pipeline.sync.interruptions import interruption_behind
from bl_pipeline.sync.previewing import Preview, preview_write
from bl_pipeline.sync.run_errors import Canceled, timezone_changed
from bl_pipeline.sync.session import open_session
from bl_pipeline.sync.writing import WriteResult, run_write


def write_order(
    settings: Settings,
    order_id: str,
    given: Mapping[str, Any],
    *,
    job: str,
    dry_run: bool,
    warn: Callable[[str], None],
    clock: Callable[[], datetime] = utc_now,
    **how: Any,
) -> WriteResult | Preview:
    """Write to an order what is given, as `ask` takes it, or say what would be written; `warn` gets a line to show.

    Raises NotAsked for what BrickLink would not take, SettingsError without credentials, WarehouseError without a
    warehouse, LockTaken if a sync of the store is running, and Canceled if the user has canceled it.
    """
    asked = ask(settings.store, order_id, given, now=clock(), **how)
    settings.store.known_credentials()
    with open_session(settings) as session:
        session.clock = clock
        run_id = str(uuid4())
        if dry_run:
            return preview_write(session, asked, run_id=run_id)
        session.take_lock_now("nothing was written")
        try:
            result = run_write(session, asked, run_id=run_id, job=job)
        except BaseException as error:
            if interruption_behind(error) is None:
                raise
            session.cancel()
            canceled = Canceled(
                "Canceled. If a request was under way, the next run reads the order first and says what became of it. "
                "Nothing more is sent. Ask again for what is left."
            )
            canceled.result = read_result(session.warehouse, run_id)
            raise canceled from None
        if session.timezone_before:
            warn(timezone_changed(session.timezone_before, settings.bl_timezone))
    return result

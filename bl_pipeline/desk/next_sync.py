"""When the store is synced next without anybody's click, and why not if it is not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from bl_pipeline.desk.state import Desk
from bl_pipeline.rules.indicator import SYNC_EVERY
from bl_pipeline.warehouse.schedule import read_schedule


class Planned(StrEnum):
    """Whether a next sync is planned. `UNKNOWN`: this Postgres does not have Dagster's state."""

    YES = "yes"
    NOT_CONNECTED = "not connected"
    NO_DAEMON = "no daemon"
    SWITCHED_OFF = "switched off"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class NextSync:
    """`at` is None if no sync is planned."""

    planned: Planned
    at: datetime | None = None


def next_sync(desk: Desk) -> NextSync:
    """When Dagster's schedule syncs the store next, or why it does not."""
    if desk.settings.store.credentials is None:
        return NextSync(Planned.NOT_CONNECTED)
    with desk.source.reading() as (connection, _):
        schedule = read_schedule(connection, desk.clock())
    if schedule is None:
        return NextSync(Planned.UNKNOWN)
    # `bl up` ends with its daemon. The desk alone does not know whether one runs, but a daemon notes that it does.
    if desk.dagster_url is None and not schedule.daemon_runs:
        return NextSync(Planned.NO_DAEMON)
    if not schedule.is_on:
        return NextSync(Planned.SWITCHED_OFF)
    now = desk.clock().astimezone(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return NextSync(Planned.YES, midnight + SYNC_EVERY * ((now - midnight) // SYNC_EVERY + 1))

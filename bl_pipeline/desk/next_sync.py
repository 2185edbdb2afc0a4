"""When the store is synced next without anybody's click, and why not if it is not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from bl_pipeline.dagster_names import names_of
from bl_pipeline.desk.state import Desk
from bl_pipeline.rules.indicator import SYNC_EVERY, sync_offset
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
    """`at` is None if no sync is planned. `schedule` is the name of the store's schedule in Dagster."""

    planned: Planned
    at: datetime | None = None
    schedule: str = ""


def next_sync(desk: Desk) -> NextSync:
    """When Dagster's schedule syncs the store next, or why it does not."""
    store = desk.settings.store
    if store.credentials is None:
        return NextSync(Planned.NOT_CONNECTED)
    with desk.source.reading() as (connection, _):
        schedule = read_schedule(connection, names_of(store).schedule, desk.clock())
    if schedule is None:
        return NextSync(Planned.UNKNOWN)
    # `bl up` ends with its daemon. The desk alone does not know whether one runs, but a daemon notes that it does.
    if desk.dagster_url is None and not schedule.daemon_runs:
        return NextSync(Planned.NO_DAEMON)
    if not schedule.is_on:
        return NextSync(Planned.SWITCHED_OFF, schedule=names_of(store).schedule)
    now = desk.clock().astimezone(UTC)
    first = now.replace(hour=0, minute=0, second=0, microsecond=0) + sync_offset(store.place, store.stores)
    return NextSync(Planned.YES, first + SYNC_EVERY * ((now - first) // SYNC_EVERY + 1))

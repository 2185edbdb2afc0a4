"""Whether Dagster runs the schedule that syncs the store: what Dagster has noted in the same Postgres.

Read from its tables: to import Dagster takes seconds, and a page is shown in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from bl_pipeline.warehouse.preconditions import DAGSTER_SCHEMA

_ALIVE_FOR = timedelta(minutes=5)
"""Dagster's daemon notes every half minute that it runs."""


@dataclass(frozen=True)
class Schedule:
    """`is_on`: nobody has switched it off. `daemon_runs`: the process of Dagster runs that starts its syncs."""

    is_on: bool
    daemon_runs: bool


def read_schedule(connection: Connection, name: str, now: datetime) -> Schedule | None:
    """The state of the schedule of this name; None if Dagster's tables are not here, or our user may not read them."""
    has_tables = text(
        """
        SELECT count(*) = 2 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = :schema AND c.relname = ANY(:names)
            AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
        """
    )
    names = ["instigators", "daemon_heartbeats"]
    if not connection.scalar(has_tables, {"schema": DAGSTER_SCHEMA, "names": names}):
        return None
    status, heartbeat = connection.execute(
        text(
            f"""
            SELECT
                (SELECT status FROM {DAGSTER_SCHEMA}.instigators
                 WHERE instigator_type = 'SCHEDULE'
                     AND instigator_body::jsonb #>> '{{origin,job_name}}' = :name
                 ORDER BY update_timestamp DESC LIMIT 1),
                (SELECT max("timestamp") FROM {DAGSTER_SCHEMA}.daemon_heartbeats WHERE daemon_type = 'SCHEDULER')
            """
        ),
        {"name": name},
    ).one()
    # Dagster's times are UTC without a zone. Without a row the schedule is as in the code: on.
    alive = heartbeat is not None and abs(now - heartbeat.replace(tzinfo=UTC)) < _ALIVE_FOR
    return Schedule(is_on=status != "STOPPED", daemon_runs=alive)

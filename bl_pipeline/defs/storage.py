"""Dagster's own storage, in a schema of its own in the warehouse's Postgres."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Self
from weakref import WeakSet, finalize

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import DagsterPostgresException, retry_pg_connection_fn
from sqlalchemy import Connection, Engine, text
from sqlalchemy.dialects import plugins
from sqlalchemy.engine import URL, CreateEnginePlugin
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema

from bl_pipeline.settings import load_installation
from bl_pipeline.warehouse.connections import leave_silent_server, open_engine, pin_sessions, with_driver
from bl_pipeline.warehouse.database import WarehouseError, check_preconditions, postgres_url, unreachable
from bl_pipeline.warehouse.preconditions import DAGSTER_SCHEMA

_PLUGIN = "bl_pipeline_dagster"

_engines: WeakSet[Engine] = WeakSet()


class DagsterSessions(CreateEnginePlugin):
    """Sets up the sessions of the engines that Dagster makes of our URL."""

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:  # noqa: ARG002  (the names are SQLAlchemy's)
        """Let a connection that is kept, but whose session has ended, be replaced."""
        kwargs["pool_pre_ping"] = True

    def update_url(self, url: URL) -> URL:
        """The URL as it is."""
        return url

    def engine_created(self, engine: Engine) -> None:
        """Let each new session begin in Dagster's schema, with our settings, and errors show no parameters."""
        engine.hide_parameters = True
        pin_sessions(engine, DAGSTER_SCHEMA)
        leave_silent_server(engine)
        _engines.add(engine)


plugins.register(_PLUGIN, __name__, DagsterSessions.__name__)


def close_connections() -> None:
    """Close the connections that Dagster keeps in this process and does not use now."""
    for engine in list(_engines):
        engine.dispose()


class WarehouseStorage(DagsterPostgresStorage):
    """Runs, events and schedules in the schema `dagster` of the Postgres that the settings name.

    Named in dagster.yaml. In every process that opens the instance, the embedded Postgres, if that is used, runs
    while the process uses the instance.
    """

    def __init__(self, url: URL, lease: ExitStack, inst_data: ConfigurableClassData | None) -> None:
        super().__init__(url.render_as_string(hide_password=False), inst_data=inst_data)
        # Dagster's instance keeps references to the parts of its storage, but not to this object.
        finalize(self.run_storage, lease.close)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """No options: the settings of bl_pipeline say it all."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, _config_value: Any) -> Self:
        """The storage in the Postgres of the settings.

        Raises SettingsError or WarehouseError if it cannot be used.
        """
        with ExitStack() as stack:
            url = stack.enter_context(postgres_url(load_installation()))
            try:
                _prepare(url)
            except (DagsterPostgresException, DBAPIError) as error:
                refused = error if isinstance(error, DBAPIError) else error.__cause__
                raise WarehouseError(unreachable(url, getattr(refused, "orig", None))) from None
            # The driver is named, because Dagster's own notifications break with psycopg 3.
            url = with_driver(url, "psycopg2").update_query_dict({"plugin": _PLUGIN})
            return cls(url, stack.pop_all(), inst_data)


def _prepare(url: URL) -> None:
    """Make the schema if it is missing. Raises WarehouseError if the database cannot be used."""
    engine = open_engine(url, poolclass=NullPool)
    # With the patience that Dagster's own connections have: the server may be starting anew.
    with retry_pg_connection_fn(engine.connect) as connection, connection.begin():
        if DAGSTER_SCHEMA not in check_preconditions(connection, for_writing=True).schemas:
            make_schema(connection)


def make_schema(connection: Connection) -> None:
    """Make the schema, unless a process that has come at the same time has made it."""
    # IF NOT EXISTS does not see what another transaction has not committed yet, and fails if it does that then.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('bl_pipeline.dagster', 0))"))
    connection.execute(CreateSchema(DAGSTER_SCHEMA, if_not_exists=True))

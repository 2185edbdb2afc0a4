"""Dagster's own storage, in a schema of its own in the warehouse's Postgres."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Self
from weakref import finalize

import psycopg
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from sqlalchemy.engine import URL, make_url

from bl_pipeline.settings import load_settings
from bl_pipeline.warehouse.database import WarehouseError, postgres_url, unreachable

SCHEMA = "dagster"


class WarehouseStorage(DagsterPostgresStorage):
    """Runs, events and schedules in the schema `dagster` of the Postgres that the settings name.

    Named in dagster.yaml. Every process that opens the instance holds the embedded Postgres, where that is used,
    as long as it uses the instance.
    """

    def __init__(self, url: URL, held: ExitStack, inst_data: ConfigurableClassData | None) -> None:
        super().__init__(url.render_as_string(hide_password=False), inst_data=inst_data)
        # An instance keeps the parts of its storage, and not this object.
        finalize(self.run_storage, held.close)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """No options: the settings of bl_pipeline say it all."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, _config_value: Any) -> Self:
        """The storage in the Postgres of the settings.

        Raises SettingsError or WarehouseError where there is none.
        """
        with ExitStack() as stack:
            url = make_url(stack.enter_context(postgres_url(load_settings())))
            # The driver is named, because Dagster's own notifications break with psycopg 3.
            url = url.set(drivername="postgresql+psycopg2")
            try:
                with psycopg.connect(
                    url.set(drivername="postgresql").render_as_string(hide_password=False), connect_timeout=10
                ) as connection:
                    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            except psycopg.OperationalError as error:
                raise WarehouseError(unreachable(url, error)) from None
            options = " ".join(filter(None, [url.query.get("options"), f"-csearch_path={SCHEMA}"]))  # type: ignore[list-item]
            return cls(url.update_query_dict({"options": options}), stack.pop_all(), inst_data)

"""The Dagster instance whose history the UI shows, for the processes that are not Dagster's own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from bl_pipeline.dagster_names import Names
from bl_pipeline.home import open_folder
from bl_pipeline.project import PROJECT
from bl_pipeline.settings import Settings

_MORE_CONNECTIONS = 8
"""Beside the one that is kept, as many as Dagster uses at a time, and then closes."""


def dagster_home(settings: Settings) -> Path:
    """The folder of Dagster's logs and settings, DAGSTER_HOME if that is set.

    Raises SettingsError if this account cannot use it.
    """
    return open_folder(Path(os.environ.get("DAGSTER_HOME") or settings.bl_home / "dagster"), settings.bl_home)


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance with this project's dagster.yaml. Raises WarehouseError if Postgres cannot be reached."""
    home = dagster_home(settings)
    config = home if (home / "dagster.yaml").exists() else PROJECT
    ref = InstanceRef.from_dir(
        str(home),
        config_dir=str(config),
        # Dagster would lead this process' own output, its progress bar too, through files and two helpers.
        overrides={
            "compute_logs": {
                "module": "dagster._core.storage.noop_compute_log_manager",
                "class": "NoOpComputeLogManager",
            }
        },
    )
    # Imported only here: the definitions are loaded without it.
    from bl_pipeline.defs.storage import close_connections  # noqa: PLC0415

    with dg.DagsterInstance.from_ref(ref) as instance:
        # Keep a connection, as Dagster's webserver does: else every event of a run opens several, one after the other.
        instance.optimize_for_webserver(statement_timeout=0, pool_recycle=-1, max_overflow=_MORE_CONNECTIONS)
        try:
            yield instance
        finally:
            close_connections()


def limit_pools(instance: dg.DagsterInstance, stores: Iterable[Names]) -> None:
    """Let each of these stores have one run at a time.

    The default limit of dagster.yaml is not there yet when the first two runs of a new instance start.
    """
    for names in stores:
        instance.event_log_storage.set_concurrency_slots(names.pool, 1)

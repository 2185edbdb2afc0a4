"""The one resource of the sync's ops."""

from collections.abc import Iterator

import dagster as dg

from bl_pipeline.defs.session import SyncSession, open_session
from bl_pipeline.settings import SettingsError, load_settings
from bl_pipeline.warehouse.database import WarehouseError


@dg.resource(description="The warehouse, the store's lock and the BrickLink API, from the settings.")
def sync_session(_context: dg.InitResourceContext) -> Iterator[SyncSession]:
    """A SyncSession for as long as the run (or, with another executor, the step) lasts."""
    try:
        settings = load_settings()
        context = open_session(settings)
        session = context.__enter__()
    except (SettingsError, WarehouseError) as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    try:
        yield session
    finally:
        context.__exit__(None, None, None)

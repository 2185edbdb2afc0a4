"""The one resource of the sync's ops."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from bl_pipeline.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from bl_pipeline.defs.session import SyncSession


@dg.resource(description="The warehouse, the store's lock and the BrickLink API, from the settings.")
def sync_session(_context: dg.InitResourceContext) -> Iterator["SyncSession"]:
    """A SyncSession for as long as the run (or, with another executor, the step) lasts."""
    from bl_pipeline.defs.session import open_session  # noqa: PLC0415
    from bl_pipeline.warehouse.database import WarehouseError  # noqa: PLC0415

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
